"""Train the student of a retrieval task: a sentence encoder that ranks passages by their cosine to a query.

It is fine-tuned with MultipleNegativesRankingLoss (Henderson et al., 2017) on pairs of query and passage, each with
hard negatives; see `mining`. The saved student is a sentence-transformers model, with the passages that it searches
and the negatives of its training in files beside it.
"""

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.engines.bundled import resolve
from synthgen.errors import ConfigError, RunFolderError
from synthgen.records import Json
from synthgen.student import training
from synthgen.student.config import planned_steps
from synthgen.student.mining import NegativeLimits, mined, nearest
from synthgen.student.named import RetrieverConfig
from synthgen.student.plan import Plan, Probe, TrainingFolders
from synthgen.student.ranking import CUT, METRICS, ranking_figures, ranking_scores
from synthgen.student.rows import TrainingRow
from synthgen.student.scores import Figures, Floats, Ints
from synthgen.tasks.learning import student_metrics
from synthgen.tasks.task import Task

PASSAGES, NEGATIVES = "passages.jsonl", "negatives.jsonl"
_BATCH = 64
_DISTRACTORS = 256
"""Most passages of other rows that a held-out query's passage must be nearer than."""
_QUERY, _PASSAGE = ("query",), ("document", "passage", "corpus")
"""Names under which a model may keep the prompt of a query and of a passage; encode_query reads them too."""


@dataclass
class Student:
    """Hold an encoder, the passages that it searches, and the negatives of its training rows."""

    model: Any
    passages: Sequence[str]
    negatives: Sequence[Json] = ()

    def embed(self, texts: Sequence[str], names: Sequence[str]) -> Floats:
        """Return unit vectors of queries (`_QUERY`) or passages (`_PASSAGE`)."""
        marked = [self.prompt(names) + text for text in texts]
        found = self.model.encode(marked, prompt="", batch_size=_BATCH, convert_to_numpy=True, show_progress_bar=False)
        vectors = np.asarray(found, dtype=np.float64).reshape(len(texts), -1)
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))

    def prompt(self, names: Sequence[str]) -> str:
        prompts = self.model.prompts or {}
        return next((prompts[name] for name in names if prompts.get(name)), "")


@dataclass(frozen=True)
class QueryPassages:
    """Hold the queries of rows, all different passages, and which passages are right for each query."""

    queries: list[str]
    passages: list[str]
    own: Ints
    """Index of each row's passage."""
    right: list[frozenset[int]]
    """Indices of the passages of all rows that have the same query."""

    def keys(self, row: int) -> set[tuple[str, str]]:
        """Return keys that no two rows of a batch may share, because the passage of one would be a wrong negative of
        the other."""
        return {("query", self.queries[row]), ("passage", self.passages[self.own[row]])}


class Retriever:
    """Fit, save, load and query retrievers for one task. Rows of `others` add their passages to those searched."""

    def __init__(
        self, task: Task, cfg: RetrieverConfig, say: Callable[[str], None], others: Sequence[TrainingRow] = ()
    ) -> None:
        self.cfg = cfg
        self.headline = student_metrics(task.metrics, METRICS, "retriever")[0]
        shape = task.schema["properties"][task.target[0]]
        if len(task.target) != 1 or shape.get("type", "string") != "string":
            raise ConfigError(
                f"task.target: the target of a retriever is one text, the passage; change it in {task.name}"
            )
        self._task = task
        self._say = say
        self._others = [task.target_text(row.data) for row in others]

    def steps(self, rows: int) -> int:
        return planned_steps(rows, self.cfg)

    def stratum(self, row: TrainingRow) -> str:  # noqa: ARG002
        return ""

    def fit(
        self, rows: Sequence[TrainingRow], plan: Plan, place: TrainingFolders, probe: Probe | None = None
    ) -> Student:
        """Load the encoder, mine negatives with it, and train it as planned.

        A row is used in proportion to its weight. No batch has two rows of the same query or passage.
        """
        from transformers import Trainer, TrainingArguments, set_seed

        set_seed(plan.seed)
        pairs = self._pairs([row.data for row in rows])
        student = Student(self._encoder(), list(dict.fromkeys([*pairs.passages, *self._others])))
        negatives = self._negatives(student, pairs, plan.seed)
        student.negatives = self._lines(pairs, negatives)
        size = min(self.cfg.batch_size, len(pairs.passages), len(set(pairs.queries)))
        order = apart(plan.order(rows, size, weighted=True), [pairs.keys(row) for row in range(len(rows))], size)
        arguments = training.arguments(self.cfg, plan, place) | {"per_device_train_batch_size": size}
        trainer = Trainer(
            model=_ranking_loss(student.model, self.cfg.scale),
            args=TrainingArguments(**arguments, remove_unused_columns=False),
            train_dataset=[{"row": row} for row in order],
            data_collator=_Collate(student, pairs, negatives),
        )
        held = probe.rows if probe else ()
        training.run(trainer, place, self._say, probe, lambda: self._held_out(student, held, pairs.passages))
        return student

    def save(self, student: Student, folder: Path) -> None:
        student.model.save(str(folder), create_model_card=False)
        _write(folder / PASSAGES, [{"passage": text} for text in student.passages])
        _write(folder / NEGATIVES, student.negatives)

    def load(self, folder: Path) -> Student:
        """Load a student. Raise RunFolderError for another kind of student."""
        if not (folder / PASSAGES).is_file():
            raise RunFolderError(f"{folder}: this is not a retriever, because it has no {PASSAGES}; train it again")
        lines = (folder / PASSAGES).read_text("utf-8").splitlines()
        return Student(self._model(str(folder)), [str(json.loads(line)["passage"]) for line in lines])

    def score(self, student: Student, rows: Sequence[Json]) -> Floats:
        """Return scores of shape (rows, 3), as `ranking_scores` does.

        The rows' passages are searched together with those of all training rows.
        """
        pairs = self._pairs(rows)
        passages = list(dict.fromkeys([*pairs.passages, *student.passages]))
        vectors = student.embed(pairs.queries, _QUERY), student.embed(passages, _PASSAGE)
        return ranking_scores(nearest(*vectors, CUT)[1], pairs.right)

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:  # noqa: ARG002
        return ranking_figures(np.stack(scores))

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:  # noqa: ARG002
        """Return the number of passages that were searched."""
        found = {self._task.target_text(row) for row in rows}
        return {"passages": len(found | set(self._others))} if self._others else {}

    def row_scores(self, scores: Floats) -> Floats:
        """Return the headline of every row by itself."""
        return np.asarray(scores[:, METRICS.index(self.headline)])

    def predict(self, student: Student, rows: Sequence[Json]) -> list[Json]:
        """Return the best passage of every row as its target, and `passages`: the best ones with their cosines.

        The passages of the training rows are searched, and those of `rows` that have one.
        """
        if not rows:
            return []
        [target] = self._task.target
        own = [self._task.target_text(row) for row in rows if target in row]
        passages = list(dict.fromkeys([*student.passages, *own]))
        queries = student.embed([self._task.input_text(row) for row in rows], _QUERY)
        scores, found = nearest(queries, student.embed(passages, _PASSAGE), self.cfg.answers)
        return [
            {
                target: passages[places[0]],
                "passages": [
                    {"text": passages[index], "score": round(float(score), 4)}
                    for score, index in zip(cosines, places, strict=True)
                ],
            }
            for cosines, places in zip(scores, found, strict=True)
        ]

    def _pairs(self, rows: Sequence[Json]) -> QueryPassages:
        queries = [self._task.input_text(row) for row in rows]
        index: dict[str, int] = {}
        own = [index.setdefault(self._task.target_text(row), len(index)) for row in rows]
        right: dict[str, set[int]] = {}
        for query, place in zip(queries, own, strict=True):
            right.setdefault(query, set()).add(place)
        return QueryPassages(queries, list(index), np.asarray(own), [frozenset(right[query]) for query in queries])

    def _negatives(self, student: Student, pairs: QueryPassages, seed: int) -> list[list[int]]:
        if not self.cfg.negatives:
            return [[] for _ in pairs.queries]
        limits = NegativeLimits(self.cfg.negatives, self.cfg.margin, self.cfg.near_duplicate)
        queries, passages = student.embed(pairs.queries, _QUERY), student.embed(pairs.passages, _PASSAGE)
        return mined(queries, passages, pairs.own, pairs.right, limits, seed)

    def _lines(self, pairs: QueryPassages, negatives: Sequence[Sequence[int]]) -> list[Json]:
        """Return each different pair with its negatives, as sentence-transformers reads them with `datasets`."""
        found = {
            (query, pairs.passages[own]): [pairs.passages[index] for index in hard]
            for query, own, hard in zip(pairs.queries, pairs.own, negatives, strict=True)
        }
        return [{"query": query, "passage": passage, "negatives": hard} for (query, passage), hard in found.items()]

    def _held_out(self, student: Student, rows: Sequence[TrainingRow], others: Sequence[str]) -> Floats:
        """Return for each row the cross-entropy of its passage among all held-out passages and some of the others."""
        pairs = self._pairs([row.data for row in rows])
        known = set(pairs.passages)
        passages = pairs.passages + list(islice((text for text in others if text not in known), _DISTRACTORS))
        vectors = student.embed(pairs.queries, _QUERY), student.embed(passages, _PASSAGE)
        logits = self.cfg.scale * vectors[0] @ vectors[1].T
        for row, right in enumerate(pairs.right):
            logits[row, [index for index in right if index != pairs.own[row]]] = -np.inf
        mine = logits[np.arange(len(rows)), pairs.own]
        most = logits.max(1)
        return np.asarray(most + np.log(np.exp(logits - most[:, None]).sum(1)) - mine, dtype=np.float64)

    def _encoder(self) -> Any:
        path = resolve(self.cfg.model, self._say)
        with training.loading("student.retriever.model", path):
            return self._model(path)

    def _model(self, path: str) -> Any:
        from sentence_transformers import SentenceTransformer

        # only safetensors, because the older format is a pickle, which can run code
        options = {"use_safetensors": True, "dtype": "float32"}
        model = SentenceTransformer(path, model_kwargs=options, device=training.device())
        model.max_seq_length = min(self.cfg.max_length, model.max_seq_length or self.cfg.max_length)
        return model


def apart(order: Sequence[int], keys: Sequence[set[Any]], size: int) -> list[int]:
    """Return the rows of `order` in batches of `size` without two rows that share a key.

    A row that does not fit into its batch comes in a later one. Where only such rows are left, other rows fill the
    batch; if all rows share a key with one of the batch, the batch gets rows that do.
    """
    waiting, out = deque(order), list[int]()
    while len(out) < len(order):
        batch, seen, later = list[int](), set[Any](), list[int]()
        while waiting and len(batch) < size:
            row = waiting.popleft()
            if keys[row] & seen:
                later.append(row)
            else:
                batch.append(row)
                seen |= keys[row]
        for row in range(len(keys)):
            if len(batch) == size:
                break
            if not keys[row] & seen:
                batch.append(row)
                seen |= keys[row]
        spare = size - len(batch)
        out += batch + later[:spare]
        waiting.extendleft(reversed(later[spare:]))
    return out


class _Collate:
    """Tokenize a batch: the queries, their passages, and as many columns of negatives as every row has."""

    def __init__(self, student: Student, pairs: QueryPassages, negatives: Sequence[Sequence[int]]) -> None:
        self._student = student
        self._pairs = pairs
        self._negatives = negatives

    def __call__(self, batch: Sequence[Json]) -> Json:
        rows = [entry["row"] for entry in batch]
        passages = [[self._pairs.own[row], *self._negatives[row]] for row in rows]
        columns = [self._tokens([self._pairs.queries[row] for row in rows], _QUERY)]
        for places in zip(*(row[: min(map(len, passages))] for row in passages), strict=True):
            columns.append(self._tokens([self._pairs.passages[place] for place in places], _PASSAGE))
        return {"columns": columns}

    def _tokens(self, texts: Sequence[str], names: Sequence[str]) -> Json:
        prompt = self._student.prompt(names)
        return dict(self._student.model.preprocess([prompt + text for text in texts]))


def _write(path: Path, rows: Sequence[Json]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")


def _ranking_loss(model: Any, scale: float) -> Any:
    """Return a module that computes the loss of a collated batch, as transformers' Trainer expects it."""
    import torch
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    class RankingLoss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ranking = MultipleNegativesRankingLoss(model, scale=scale)

        def forward(self, columns: Any, labels: Any = None) -> Json:
            return {"loss": self.ranking(columns, labels)}

    return RankingLoss()
