"""Choose batches of samples for several people, assign each sample to some of them, and keep the assignments.

The assignments of a run are in `review.jsonl` beside its ledger, one batch a line, so that a batch can also be made
while the run is at work. The answers themselves are in the ledger.
"""

import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from itertools import combinations, zip_longest
from pathlib import Path

import msgspec

from synthgen.errors import InputError, RunFolderError, WriteError
from synthgen.labels.choose import Chooser
from synthgen.ledger.durable import cure, sync
from synthgen.records import PersonAnswer

NAME = "review.jsonl"
METHODS = ("random", "stratified", "uncertain")
_SPARE = 4
"""Choose each sample's group from the group's size and this many more people, to limit the number of groups to
compare."""


@dataclass(frozen=True)
class Batch:
    """Hold a batch of samples, and the people who are to answer each of them."""

    number: int
    method: str
    guide: str | None
    """Hash of the guide that was in force when the batch was made."""
    people: Sequence[str]
    assigned: Mapping[str, Sequence[str]]
    """The people of each sample, by the sample's id, in the order of the batch."""


def read(run: Path) -> list[Batch]:
    """Return the batches of a run. A line that a crash cut off was never acknowledged, and is ignored."""
    path = run / NAME
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            found.append(msgspec.json.decode(line, type=Batch))
        except (ValueError, msgspec.DecodeError) as error:
            raise RunFolderError(
                f"{path}:{number}: not a batch ({error}); remove the line, or restore the file"
            ) from error
    return found


def append(run: Path, batch: Batch) -> None:
    """Write a batch. It is on disk when this returns. Raise WriteError where it cannot be written."""
    path = run / NAME
    try:
        with path.open("ab+") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            file.write(json.dumps(asdict(batch), ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync(run)
    except OSError as error:
        raise WriteError(f"{path}: the batch cannot be written: {error.strerror}; {cure(error)}") from error


def sampled(
    method: str,
    count: int,
    labels: Mapping[str, str | None],
    without: Set[str],
    chooser: Chooser,
    seed: int,
) -> list[str]:
    """Return the ids of at most `count` samples that are not in `without`.

    `labels` has the label of each accepted sample. `random` draws from all samples, `stratified` equally from each
    label, and `uncertain` takes them in the order in which `synthgen label` asks.
    """
    open_ones = sorted(labels.keys() - without)
    rng = random.Random(f"{seed}/review/{method}/{len(without)}")
    match method:
        case "random":
            return rng.sample(open_ones, min(count, len(open_ones)))
        case "stratified":
            rng.shuffle(open_ones)
            groups: defaultdict[str | None, list[str]] = defaultdict(list)
            for key in open_ones:
                groups[labels[key]].append(key)
            turns = zip_longest(*(groups[label] for label in sorted(groups, key=str)))
            return [key for turn in turns for key in turn if key is not None][:count]
        case _:
            return list(_uncertain(chooser, count, without))


def _uncertain(chooser: Chooser, count: int, without: Set[str]) -> Iterator[str]:
    chooser.take(without)
    for _ in range(count):
        found = chooser.next({})
        if found is None:
            return
        chooser.take([found])
        yield found


def assign(samples: Sequence[str], people: Sequence[str], overlap: int, seed: int) -> dict[str, list[str]]:
    """Assign each sample to `overlap` people, with equal numbers of samples per person and per group of people.

    Raise InputError if there are fewer than `overlap` people.
    """
    if overlap > len(people):
        raise InputError(f"--overlap {overlap}: --annotators names only {len(people)}; name more people, or lower it")
    rng = random.Random(f"{seed}/assign")
    loads: Counter[str] = Counter()
    met: Counter[frozenset[str]] = Counter()
    found = {}
    for key in samples:
        idlest = sorted(rng.sample(people, len(people)), key=loads.__getitem__)[: overlap + _SPARE]
        group = min(
            combinations(idlest, overlap),
            key=lambda one: (max(loads[name] for name in one), sum(loads[name] for name in one), met[frozenset(one)]),
        )
        loads.update(group)
        met[frozenset(group)] += 1
        found[key] = [name for name in people if name in group]
    return found


def assignments(batches: Iterable[Batch], person: str) -> list[str]:
    """Return the ids of the samples that a person is to answer, in order, each once."""
    return list(dict.fromkeys(key for batch in batches for key, names in batch.assigned.items() if person in names))


def left(batches: Sequence[Batch], person: str, answers: Iterable[PersonAnswer]) -> list[str]:
    """Return the samples that a person has not answered yet."""
    done = {answer.sample_id for answer in answers if answer.annotator == person}
    return [key for key in assignments(batches, person) if key not in done]
