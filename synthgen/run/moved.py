"""Finds the files of a run whose project was moved: a run folder keeps whole paths, which lead to where the files were.

What a found file holds is not looked at here: a resume refuses other seeds, eval rows and prompts than the run's.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from synthgen.config import Config
from synthgen.tasks.assets import root


def found_again(config: Config, folder: Path, say: Callable[[str], object]) -> Config:
    """Return a saved config whose paths lead to files that are there, as far as they are found again.

    A path that is gone is looked for from its end: below the folders above the run's `folder`, the working folder and
    synthgen's own files, the longest end first.
    """

    def again(key: str, path: str | None) -> str | None:
        if path is None or not Path(path).is_absolute() or Path(path).exists():
            return path
        place = next((place for place in _places(Path(path), folder) if place.exists()), None)
        if place is None:
            return path
        say(f"{key}: {path} is gone; {place} is used")
        return str(place)

    task = replace(
        config.task,
        seeds=again("task.seeds", config.task.seeds) or "",
        eval=again("task.eval", config.task.eval),
        prompts=again("task.prompts", config.task.prompts) or "",
    )
    generate = replace(config.generate, adapter=again("generate.adapter", config.generate.adapter))
    judge = replace(
        config.judge,
        adapter=again("judge.adapter", config.judge.adapter),
        calibration=again("judge.calibration", config.judge.calibration),
    )
    return replace(config, task=task, generate=generate, judge=judge)


def _places(path: Path, folder: Path) -> Iterator[Path]:
    bases = dict.fromkeys([*folder.resolve().parents, Path.cwd(), root()])
    for start in range(1, len(path.parts)):
        for base in bases:
            yield base.joinpath(*path.parts[start:])
