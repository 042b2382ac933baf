"""Make the annotation guide of a task, or of a run, with the samples about which its people or its models were unsure."""

from collections.abc import Sequence
from pathlib import Path

from synthgen.annotate.guide import MOST, Disputed, Findings, Guide, Uncertain, guide
from synthgen.config import Config
from synthgen.errors import RunFolderError
from synthgen.labels.answers import NOT_A_SAMPLE, by_sample, ordinary, settled
from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.run.labelling.accepted import Accepted
from synthgen.tasks.loading import load_task
from synthgen.tasks.seeds import read_samples


def of_task(config: Config, bases: Sequence[Path]) -> Guide:
    """Return the guide of a task file, with examples from its seeds."""
    task = load_task(config.task, bases)
    seeds = list(read_samples(task.seeds, task, "seed")) if task.seeds is not None else []
    return guide(task.with_label_sets(seeds).definition(), seeds)


def of_run(folder: Path) -> Guide:
    """Return the guide of a run's task, with examples from its seeds, its disagreements and its uncertain samples."""
    with Reader(folder / "ledger.sqlite") as reader:
        definition = reader.meta("task")
        if not definition:
            raise RunFolderError(f"{folder}: the run was stopped before it wrote its task; start it again")
        held = reader.seeds()
        accepted = Accepted.read(reader)
        findings = Findings(
            vectors={sample.id: vector for sample, vector in held if vector is not None},
            disputed=_disputed(reader, accepted),
            uncertain=_uncertain(reader, accepted),
        )
        return guide(definition, [sample.data for sample, _ in held], findings)


def _disputed(reader: Reader, accepted: Accepted) -> list[Disputed]:
    """Return the samples with different answers, the latest answered first, each with its decision."""
    answers = reader.people_answers()
    decisions = settled(answers)
    latest = {key: max(one.at for one in given) for key, given in by_sample(answers).items()}
    found = []
    for key, given in sorted(by_sample(ordinary(answers)).items(), key=lambda pair: -latest[pair[0]]):
        said = [one.answer for one in given]
        if len(set(said)) < 2 or key not in accepted:
            continue
        decision = decisions[key]
        shares: dict[str, float] = {} if decision is NOT_A_SAMPLE else decision
        best = max(shares, key=shares.__getitem__) if shares else None
        decided = 2 * said.count(best) > len(said) or len(given) < len(by_sample(answers)[key])
        found.append(Disputed(_data(accepted, key), said, best, decided))
    return found[:MOST]


def _uncertain(reader: Reader, accepted: Accepted) -> list[Uncertain]:
    chooser = accepted.chooser()
    chooser.take({one.sample_id for one in reader.people_answers()})
    found: list[Uncertain] = []
    while len(found) < MOST and (key := chooser.next({})) is not None:
        chooser.take([key])
        found.append(Uncertain(_data(accepted, key), accepted.shares.get(key, {}), accepted.samples[key].quality))
    return found


def _data(accepted: Accepted, key: str) -> Json:
    return accepted.task.ordered(accepted.samples[key].data)
