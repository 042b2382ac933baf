"""Verbs that compose a config: Hydra's command line, inside ours.

Hydra's flags are declared here, so that help and shell completion show them and a mistyped one is named. They are passed
on as they were given.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthgen.cli.completion import complete_overrides
from synthgen.cli.verb import FOLDER, Function, wrong
from synthgen.errors import ConfigError, UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from synthgen.config import Config

Work = Callable[["Config", list[Path]], int]
"""Does a verb's work on a composed config; the folders are where files that the config names are looked for first."""

NOTES = (
    "OVERRIDES are Hydra's, and stand in any order with the options: KEY=VALUE sets a key (budget.target=500), "
    "GROUP=NAME takes a file of conf/GROUP (engine=openai, experiment=smoke), +KEY=VALUE adds an entry to a mapping "
    "(+engine.flags.max-num-seqs=256). docs/config.md lists every key.",
    "With --config-dir DIR, files of your own are found like synthgen's: DIR/task/reviews.yaml is task=reviews.",
)
_PARTS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_FLAGS: tuple[tuple[tuple[str, ...], str, dict[str, Any]], ...] = (
    (("--config-dir", "-cd"), "Look for tasks, experiments and other config files here too.", {"type": FOLDER, "metavar": "DIR"}),
    (("--multirun", "-m"), "Run once for each combination of values that are given with commas (run.seed=1,2).", {"is_flag": True}),
    (("--cfg", "-c"), "Print the composed config and stop.", {"type": click.Choice(["job", "hydra", "all"])}),
    (("--resolve",), "With --cfg: print the values that ${...} stands for.", {"is_flag": True}),
    (("--package", "-p"), "With --cfg: print this part of the config only.", {"metavar": "KEY"}),
    (("--info", "-i"), "Print what Hydra knows about the composition and stop.", {"type": click.Choice(_PARTS), "is_flag": False, "flag_value": "all"}),
    (("--hydra-help",), "Print Hydra's own help and stop.", {"is_flag": True}),
    (("--shell-completion", "-sc"), "Print Hydra's completion script; synthgen has one of its own.", {"is_flag": True, "hidden": True}),
    (("--run", "-r"), "Run once, which is the default.", {"is_flag": True, "hidden": True}),
    (("--config-path", "-cp"), "Refused: the root config is synthgen's own.", {"hidden": True}),
    (("--config-name", "-cn"), "Refused: the root config is synthgen's own.", {"hidden": True}),
    (("--experimental-rerun",), "Refused: the root config is synthgen's own.", {"hidden": True}),
)  # fmt: skip
_MODES = ("run", "multirun", "cfg", "info", "shell_completion")


def overrides(
    metavar: str = "[OVERRIDES]", help: str = "Settings of the run: task=voice_intent budget.target=500."
) -> Callable[[Function], Function]:
    """Add the arguments and options of a verb that composes a config: parameters `words`, and one for each flag."""

    def add(function: Function) -> Function:
        for names, words, more in reversed(_FLAGS):
            function = click.option(*names, help=words, **more)(function)
        return click.argument("words", nargs=-1, metavar=metavar, help=help, shell_complete=complete_overrides)(
            function
        )

    return add


def compose(verb: str, words: Sequence[str], flags: dict[str, Any], work: Work) -> int:
    """Compose the config as Hydra does, and do the work on it: with --multirun once after another. Return the worst exit code."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    from synthgen import config as schema
    from synthgen.safety import config_guard as guard
    from synthgen.tasks.assets import root

    _check_modes(words, flags)
    codes = [0]
    errors: list[UserError] = []

    def job(composed: "DictConfig") -> None:
        try:
            codes.append(_one(composed, work))
        except UserError as error:  # raised once Hydra is done, which would print a line of its own
            errors.append(error)

    schema.register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us, and go out as one message
    helping = flags[
        "hydra_help"
    ]  # composes Hydra's own defaults and no file of the user's, so there is nothing to guard
    with tempfile.TemporaryDirectory() as scratch, nullcontext() if helping else guard.composing():
        given = guard.checked([*_given(flags), *words], scratch)
        _check_overrides([] if flags["shell_completion"] else words)
        sys.argv = [f"synthgen {verb}", *(["--hydra-help"] if helping else given)]
        try:
            hydra.main(version_base="1.3", config_path=str(root() / "conf"), config_name="config")(job)()
        except (HydraException, OmegaConfBaseException, YAMLError) as error:
            folders = [flags["config_dir"]] if flags["config_dir"] else []
            raise schema.of_a_task_file(error, folders) or schema.explained(error) from error
    if errors:
        raise errors[0]
    return max(codes)


def _one(composed: "DictConfig", work: Work) -> int:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from synthgen import config as schema
    from synthgen.tasks.assets import root

    settings = HydraConfig.get()
    schema.check_task_file(settings)
    built = schema.build(composed)
    if settings.mode == RunMode.MULTIRUN:
        if built.adapt.dir:
            built.adapt.dir = f"{built.adapt.dir}-{settings.job.num}"
        built.run.name, built.run.dir = f"{built.run.name}-{settings.job.num}", f"{built.run.dir}-{settings.job.num}"
    bases = [Path(entry.path) for entry in settings.runtime.config_sources if entry.schema == "file"]
    bases = [base for base in bases if base != root() / "conf"]
    try:
        return work(built, [*bases, *(base.parent for base in bases)])
    except ConfigError as error:
        raise schema.located(error, settings) from error


def _given(flags: dict[str, Any]) -> list[str]:
    """Return the flags as words of a command line."""
    words: list[str] = []
    for name, value in flags.items():
        if value is not None and value is not False:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def _check_modes(words: Sequence[str], flags: dict[str, Any]) -> None:
    chosen = [f"--{name.replace('_', '-')}" for name in _MODES if flags[name]]
    if len(chosen) > 1:
        wrong(f"{chosen[0]} and {chosen[1]} do not go together; give one of them")
    if flags["shell_completion"] and "COMP_LINE" not in os.environ and any(word.startswith("query=") for word in words):
        wrong("--shell-completion is for shells, which set COMP_LINE; write --shell-completion install=bash")


def _check_overrides(words: Sequence[str]) -> None:
    """Refuse a word that is no override, with the override that was meant where a config file has that name."""
    from synthgen.tasks.assets import root

    for word in words:
        if "=" not in word and not word.startswith("~"):
            near = sorted((root() / "conf").glob(f"*/{word}.yaml")) if word.isidentifier() else []
            meant = f"; did you mean {near[0].parent.name}={word}?" if near else ", such as budget.target=500"
            wrong(f"'{word}' is no override: write KEY=VALUE{meant}")
