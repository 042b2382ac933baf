"""Load shipped tasks, with changes, for the tests of students."""

from typing import Any

import yaml

from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import Task, TaskConfig


def shipped(task: str, /, **changes: Any) -> Task:
    fields = yaml.safe_load((root() / f"conf/task/{task}.yaml").read_text("utf-8"))
    return load_task(TaskConfig(**(fields | changes)))
