"""Find the files of a run whose project was moved. A run folder keeps absolute paths, which then are out of date.

This module does not check the content of a file: a resume refuses seeds, eval rows and prompts that differ from the
run's.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from synthgen.config import Config
from synthgen.tasks.assets import root


def found_again(config: Config, folder: Path, say: Callable[[str], object]) -> Config:
    """Return a saved config in which paths that no longer exist are replaced by the places where the files are now.

    For each such path, look for its trailing parts, the longest first, below the folders above the run's `folder`, the
    working folder and the folder of synthgen's own files. Keep the path where nothing is found.
    """

    def again(key: str, path: str | None) -> str | None:
        if path is None or not Path(path).is_absolute() or Path(path).exists():
            return path
        place = next((place for place in _places(Path(path), folder) if place.exists()), None)
        if place is None:
            return path
        say(f"{key}: {path} does not exist; using {place}")
        return str(place)

    task = replace(
        config.task,
        seeds=again("task.seeds", config.task.seeds),
        eval=again("task.eval", config.task.eval),
        documents=[again("task.documents", each) for each in config.task.documents] if config.task.documents else None,
        texts=again("task.texts", config.task.texts),
        prompts=again("task.prompts", config.task.prompts) or "",
    )
    taxonomy = config.generate.taxonomy
    generate = replace(
        config.generate,
        adapter=again("generate.adapter", config.generate.adapter),
        taxonomy=replace(taxonomy, tree=again("generate.taxonomy.tree", taxonomy.tree)),
    )
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
