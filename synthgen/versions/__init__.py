"""Freeze datasets as versions, and list, compare, merge and restore them.

It reads any dataset: a run, a folder or file of rows, a dataset on the hub, a version in a store. It never changes a
run; `synthgen.prepare` cleans rows.
"""

from synthgen.versions.diff import Diff, compare
from synthgen.versions.freeze import FrozenVersion, freeze, freeze_dataset
from synthgen.versions.merge import MergeConfig, Merged, merge
from synthgen.versions.names import Library
from synthgen.versions.restore import check_out
from synthgen.versions.store import STORE, Store, Version

__all__ = [
    "STORE",
    "Diff",
    "FrozenVersion",
    "Library",
    "MergeConfig",
    "Merged",
    "Store",
    "Version",
    "check_out",
    "compare",
    "freeze",
    "freeze_dataset",
    "merge",
]
