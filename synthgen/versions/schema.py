"""Compare the fields of datasets that are to be merged."""

from collections.abc import Sequence

from synthgen.errors import InputError
from synthgen.versions.reading import Dataset
from synthgen.versions.roles import LICENCES


def check_same(datasets: Sequence[Dataset]) -> None:
    """Raise InputError unless all datasets have the same fields with types that agree. Name every difference.

    A field may be missing from some rows of a dataset, and null in others. Licences need not be in all datasets.
    """
    first, *others = datasets
    lines = [line for other in others for line in _differences(first, other)]
    if lines:
        cure = "rename or drop fields with `map` and `drop` of `synthgen prepare --config`, then merge again"
        raise InputError("\n".join(["the datasets have different fields:", *lines, cure]))


def _differences(one: Dataset, other: Dataset) -> list[str]:
    mine, theirs = _types(one), _types(other)
    lines = [f"  {one.name} has the field '{name}', {other.name} has not" for name in mine if name not in theirs]
    lines += [f"  {other.name} has the field '{name}', {one.name} has not" for name in theirs if name not in mine]
    for name in mine:
        if name in theirs and mine[name] and theirs[name] and not mine[name] & theirs[name]:
            lines.append(f"  {name}: {_either(mine[name])} in {one.name}, {_either(theirs[name])} in {other.name}")
    return lines


def _types(dataset: Dataset) -> dict[str, set[str]]:
    """Return the JSON types of each field, without null."""
    return {name: set(kinds) - {"null"} for name, kinds in dataset.rows.kinds.items() if name not in LICENCES}


def _either(kinds: set[str]) -> str:
    return " or ".join(sorted(kinds))
