"""Read a run's accepted samples, their vectors and their label probabilities for a labelling session."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from synthgen.labels.choose import Chooser, chooser
from synthgen.labels.inbox import Change
from synthgen.labels.pool import saved_labels, weighing
from synthgen.labels.questions import Asking, Form, ReviewTerms, ShownSample
from synthgen.ledger import Reader, Vector
from synthgen.numerics.blas import one_core
from synthgen.records import PersonAnswer, Sample
from synthgen.report.view import TaskView, read_task
from synthgen.run.labelling.options import LabelOptions
from synthgen.tasks.task import as_text


def label_shares(reader: Reader, task: TaskView) -> tuple[dict[str, dict[str, float]], Mapping[str, float]]:
    """Return the label probabilities of every accepted sample, and its doubt, both by the sample's id.

    The probabilities are by label, the likeliest first. A sample without further label sources has its own label with
    probability 1. Both mappings are empty where the task has no labels.
    """
    if not task.labels:
        return {}, {}
    cfg = replace(
        saved_labels(reader), weight=1.0
    )  # with a fixed weight no weights are fitted, which would take seconds; the probabilities stay the same
    with one_core():  # on a busy machine several threads would wait for one another, and the person for all of them
        fitted = weighing(reader, list(task.labels), cfg)
    known = {key: found.labels for key, found in fitted.samples.items() if found.labels}
    own = {sample.id: {str(sample.label): 1.0} for sample in reader.samples() if sample.origin == "synthetic"}
    found = {key: dict(known.get(key, shares)) for key, shares in own.items()}
    return {key: dict(sorted(one.items(), key=lambda pair: -pair[1])) for key, one in found.items()}, fitted.doubts


@dataclass(frozen=True)
class Accepted(Mapping[str, ShownSample]):
    """Hold the accepted samples of a run by id, in the form in which a person sees them."""

    task: TaskView
    form: Form
    samples: Mapping[str, Sample]
    vectors: Mapping[str, Vector]
    shares: Mapping[str, Mapping[str, float]]
    doubts: Mapping[str, float]
    seeds: frozenset[str]
    seed: int

    @classmethod
    def read(cls, reader: Reader) -> "Accepted":
        task = read_task(reader)
        held = list(reader.embedded_samples())
        shares, doubts = label_shares(reader, task)
        if not task.labels:
            doubts = {sample.id: 1.0 - sample.quality for sample, _ in held}
        return cls(
            task=task,
            form=Form(
                task.name,
                task.language,
                (reader.meta("task") or {}).get("labels") or {},
                label_field=task.label_field if task.labels else None,
            ),
            samples={sample.id: sample for sample, _ in held if sample.origin == "synthetic"},
            vectors={sample.id: vector for sample, vector in held if vector is not None},
            shares=shares,
            doubts=doubts,
            seeds=frozenset(sample.id for sample, _ in held if sample.origin == "seed"),
            seed=(reader.meta("run") or {}).get("seed") or 0,
        )

    def chooser(self) -> Chooser:
        return chooser(list(self.samples), self.vectors, self.shares, self.seed, self.doubts)

    def __iter__(self) -> Iterator[str]:
        return iter(self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __contains__(self, key: object) -> bool:
        return key in self.samples

    def __getitem__(self, sample_id: str) -> ShownSample:
        data = self.samples[sample_id].data
        fields = self.task.free(data) if self.task.labels else list(self.task.ordered(data).items())
        shown = [(name, as_text(value)) for name, value in fields]
        return ShownSample(shown, self.shares.get(sample_id, {}), self.task.ordered(data))

    def asking(
        self,
        answers: Sequence[PersonAnswer],
        annotator: str,
        options: LabelOptions,
        put: Callable[[Sequence[Change]], None],
        plan: ReviewTerms | None = None,
    ) -> Asking:
        """Return the questions for one person's session. `put` writes the answers to the ledger."""
        count, disagreements = options.count, options.disagreements
        return Asking(self.form, self, self.chooser(), answers, annotator, count, put, disagreements, plan)
