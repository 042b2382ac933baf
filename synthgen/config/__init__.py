"""Define, compose and explain the config of a run: the only package besides `synthgen.cli` that knows Hydra.

`schema.py` has the dataclasses, `building.py` makes them from a composed config, `saved.py` from a run's own config, and
`faults.py` explains errors to the user.
"""

from synthgen.config.building import build
from synthgen.config.faults import check_task_file, explained, located, not_text, of_a_task_file
from synthgen.config.saved import from_saved, from_yaml, to_json, to_yaml, without
from synthgen.config.schema import Config, known_keys, register, with_new_entries

__all__ = [
    "Config",
    "build",
    "check_task_file",
    "explained",
    "from_saved",
    "from_yaml",
    "known_keys",
    "located",
    "not_text",
    "of_a_task_file",
    "register",
    "to_json",
    "to_yaml",
    "with_new_entries",
    "without",
]
