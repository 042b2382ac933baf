"""Merge datasets: rows that several of them have are kept once, from the first dataset that has them.

Only rows of different datasets are compared, so that a dataset keeps its own repetitions; `synthgen prepare` removes
those. Texts are equal in the one normal form of all comparisons. A near-duplicate is removed only if it has the same
target as its neighbour, because near-copies with different labels are often made on purpose.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synthgen import __version__
from synthgen.errors import InputError, UserError
from synthgen.numerics.stages import Stages, silent
from synthgen.prepare.item import Item, Origin
from synthgen.prepare.spool import Spool
from synthgen.records import Json, canonical, content_id, to_json
from synthgen.safety.untrusted import one_line
from synthgen.tasks.normal import comparable
from synthgen.versions import near
from synthgen.versions.entries import content_hash
from synthgen.versions.facts import MERGED
from synthgen.versions.reading import Dataset
from synthgen.versions.restore import check_free, files_of, write
from synthgen.versions.roles import Roles, roles_of
from synthgen.versions.rows import DatasetRows, joined
from synthgen.versions.schema import check_same
from synthgen.versions.store import pretty

_THRESHOLDS = {"words": 0.8, "meaning": 0.95}
_SHOWN = 10


@dataclass(frozen=True)
class MergeConfig:
    """Set how a merge treats equal texts that have different targets, and near-duplicates."""

    on_conflict: str = "first"
    """`first` keeps the row of the first dataset, `drop` removes all rows of the text, `error` writes nothing."""
    near: str = "words"
    """`words` compares substrings (MinHash), `meaning` embeddings; `none` keeps near-duplicates."""
    threshold: float | None = None
    """Least similarity of two near-duplicates; 0.8 for words and 0.95 for meaning by default."""
    embedder: str = "bundled:all-minilm-l6-v2"
    """The embedder of `meaning`."""
    target: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0.3 <= self.threshold <= 1:
            raise UserError(f"--threshold: must be from 0.3 to 1, got {self.threshold:g}")

    @property
    def least(self) -> float:
        return _THRESHOLDS.get(self.near, 1.0) if self.threshold is None else self.threshold


@dataclass(frozen=True)
class RowPlace:
    """Name a row: its dataset, its split, and its number within the split, from 0."""

    dataset: str
    split: str
    row: int

    @property
    def json(self) -> Json:
        return {"dataset": self.dataset, "split": self.split, "row": self.row}

    def __str__(self) -> str:
        return f"{self.dataset} {self.split}:{self.row}"


@dataclass
class Merged:
    """Hold the result of a merge."""

    rows: dict[str, int] = field(default_factory=dict)
    """The rows of each split of the result."""
    kept: list[tuple[str, int, int]] = field(default_factory=list)
    """The name of each dataset, its rows, and those of them that are in the result."""
    removed: Counter[str] = field(default_factory=Counter)
    conflicts: list[Json] = field(default_factory=list)
    """The first few texts with different targets."""
    near_other: int = 0
    """Near-duplicates that were kept, because their targets differ."""


class _Joined:
    """Hold the rows of all datasets one after the other, and decide which ones are removed."""

    def __init__(self, datasets: Sequence[Dataset], roles: Roles, work: Path) -> None:
        self.datasets, self.roles = datasets, roles
        self.spool = Spool(work)
        self.of: list[int] = []
        self.places: list[tuple[str, int]] = []
        self.at: list[int] = []
        self.answers: list[str] = []
        self.removed: dict[int, tuple[str, int]] = {}
        """The reason and the neighbour of each removed row."""
        for number, dataset in enumerate(datasets):
            counts = Counter[str]()
            for entry, data in dataset.rows.contents():
                self.spool.append(Item(data, Origin(dataset.name, counts[entry.split]), entry.split))
                self.of.append(number)
                self.places.append((entry.split, counts[entry.split]))
                self.at.append(entry.position)
                self.answers.append(content_id(roles.answer(data)))
                counts[entry.split] += 1

    def place(self, row: int) -> RowPlace:
        return RowPlace(self.datasets[self.of[row]].name, *self.places[row])

    def exact(self, rule: str) -> list[tuple[int, int]]:
        """Remove rows whose text an earlier dataset has. Return the pairs with different targets.

        Of a text with different targets, `rule` keeps the first dataset's rows (`first`) or none (`drop`).
        """
        first: dict[str, int] = {}
        answered: dict[tuple[str, str], int] = {}  # the first row of each text and target that stays
        texts, conflicts = [], []
        for row, item in enumerate(self.spool):
            text = comparable(self.roles.text(item.data))
            key = content_id(text if text else [canonical(item.data)])
            texts.append(key)
            begun = first.setdefault(key, row)
            equal = answered.get((key, self.answers[row]))
            if equal is not None and self.of[equal] != self.of[row]:
                self.removed[row] = "duplicate", equal
            elif self.of[begun] != self.of[row]:
                self.removed[row] = "conflict", begun
                conflicts.append((row, begun))
            else:
                answered.setdefault((key, self.answers[row]), row)
        if rule == "drop":
            disputed = {texts[row]: row for row, _ in conflicts}
            for row, key in enumerate(texts):
                if key in disputed:
                    self.removed[row] = "conflict", first[key] if row != first[key] else disputed[key]
        return conflicts

    def near(self, cfg: MergeConfig, work: Path, stages: Stages) -> int:
        """Remove near-duplicates with the same target. Return the number of those that stay for their target."""
        kept = [row for row in range(len(self.of)) if row not in self.removed]
        of = [self.of[row] for row in kept]
        texts = near.stored((self.roles.text(self.spool[row].data) for row in kept), work)
        if cfg.near == "words":
            matches = near.by_words(texts, of, cfg.least, work, stages)
        else:
            matches = near.by_meaning(texts, of, cfg.least, cfg.embedder, stages)
        found: dict[int, list[tuple[float, int]]] = {}
        for match in matches:
            found.setdefault(kept[match.row], []).append((match.likeness, kept[match.neighbour]))
        texts.close()
        others = 0
        for row in sorted(found):  # a row is removed only if a neighbour of it stays
            staying = [(likeness, each) for likeness, each in found[row] if each not in self.removed]
            same = [(likeness, each) for likeness, each in staying if self.answers[each] == self.answers[row]]
            if same:
                self.removed[row] = "near_duplicate", max(same)[1]
            elif staying:
                others += 1
        return others


def merge(
    datasets: Sequence[Dataset], cfg: MergeConfig, out: Path, work: Path, say: Callable[[str], object] = silent
) -> Merged:
    """Merge datasets and write the result to `out`, which must be new or empty. Long stages are passed to `say`.

    Raise InputError where their fields differ, or where targets conflict and `cfg.on_conflict` is `error`.
    """
    check_free(out)
    check_same(datasets)
    tasks = [each.facts.get("task") for each in reversed(datasets)]
    roles = roles_of(tasks, datasets[0].rows.kinds, cfg.target)
    found = _Joined(datasets, roles, work)
    conflicts = found.exact(cfg.on_conflict)
    told = [_conflict(found, row, other) for row, other in conflicts[:_SHOWN]]
    if conflicts and cfg.on_conflict == "error":
        raise InputError(_refusal(told, len(conflicts)))
    merged = Merged(conflicts=told)
    if cfg.near != "none":
        merged.near_other = found.near(cfg, work, Stages(say))
    rows, extra = _result(found, work)
    merged.rows = rows.splits()
    merged.removed = Counter(reason for reason, _ in found.removed.values())
    kept = Counter(found.of[row] for row in range(len(found.of)) if row not in found.removed)
    merged.kept = [(each.name, len(each.rows), kept[number]) for number, each in enumerate(datasets)]
    if not len(rows):
        raise InputError(
            "the merge has no rows left; nothing was written. Keep conflicting rows with --on-conflict first"
        )
    files = files_of(rows, rows.noted, extra)
    files["removed.jsonl"] = "".join(_removed(found)).encode("utf-8", "surrogatepass")
    files[MERGED] = pretty(_summary(datasets, cfg, roles, merged))
    write(out, files)
    rows.close()
    found.spool.close()
    return merged


def _result(found: _Joined, work: Path) -> tuple[DatasetRows, dict[int, Json]]:
    """Return the rows that stay, each with its lineage: its origin, and its dataset's licence."""
    rows, extra = DatasetRows(work), {}
    for dataset in found.datasets:
        rows.noted |= dataset.rows.noted
    for row, item in enumerate(found.spool):
        if row in found.removed:
            continue
        dataset = found.datasets[found.of[row]]
        lineage = dataset.rows.lineage(found.at[row])
        noted: Json = {"from": [found.place(row).json, *lineage.get("from", [])]}
        if dataset.default_licence and "licence" not in lineage:
            noted["licence"] = dataset.default_licence
        extra[len(rows)] = noted
        rows.add_content("", item.data, [item.split or ""], lineage)
    return rows, extra


def _removed(found: _Joined) -> Iterator[str]:
    for row, (reason, neighbour) in sorted(found.removed.items()):
        dataset = found.datasets[found.of[row]]
        data = joined(
            found.spool[row].data, found.places[row][0], dataset.rows.lineage(found.at[row]), dataset.rows.noted
        )
        line = {"step": "merge", "reason": reason, "source": found.place(row).json}
        yield f"{to_json({**line, 'neighbour': found.place(neighbour).json, 'row': data})}\n"


def _conflict(found: _Joined, row: int, other: int) -> Json:
    text, answer = found.roles.text(found.spool[row].data), found.roles.answer
    return {
        "text": text,
        "places": [str(found.place(other)), str(found.place(row))],
        "targets": [answer(found.spool[other].data), answer(found.spool[row].data)],
    }


def in_words(conflict: Json) -> str:
    """Return a conflict as one line."""
    sides = zip(conflict["targets"], conflict["places"], strict=True)
    targets = ", ".join(f"{to_json(target)} in {place}" for target, place in sides)
    text = one_line(conflict["text"])
    return f"{text if len(text) <= 60 else f'{text[:57]}...'}: {targets}"


def _refusal(told: Sequence[Json], count: int) -> str:
    more = [f"  ... and {count - len(told):,} more"] if count > len(told) else []
    texts = "1 text has" if count == 1 else f"{count:,} texts have"
    head = f"{texts} different targets; nothing was written:"
    cure = "correct the rows, or choose --on-conflict first or drop"
    return "\n".join([head, *(f"  {in_words(each)}" for each in told), *more, cure])


def _summary(datasets: Sequence[Dataset], cfg: MergeConfig, roles: Roles, merged: Merged) -> Json:
    tasks = [each.facts.get("task") for each in datasets]
    found = {
        "merged": [
            {
                "name": each.name,
                "content": content_hash(each.rows.counted()),
                "rows": len(each.rows),
                "kept": kept,
            }
            for each, (_, _, kept) in zip(datasets, merged.kept, strict=True)
        ],
        "task": tasks[0] if all(task == tasks[0] for task in tasks) else None,
        "rows": merged.rows,
        "removed": dict(sorted(merged.removed.items())),
        "near_with_another_target": merged.near_other,
        "conflicts": merged.conflicts,
        "rule": {
            "on_conflict": cfg.on_conflict,
            "near": cfg.near,
            "threshold": None if cfg.near == "none" else cfg.least,
        },
        "target": list(roles.target),
        "synthgen": __version__,
    }
    return {name: value for name, value in found.items() if value is not None}
