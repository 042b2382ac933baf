"""Provide shipped tasks by name."""

from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import OmegaConf

from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import Task, TaskConfig


@pytest.fixture
def shipped() -> Callable[[str], Task]:
    def load(name: str) -> Task:
        fields: Any = OmegaConf.to_container(OmegaConf.load(root() / f"conf/task/{name}.yaml"))
        return load_task(TaskConfig(**fields))

    return load
