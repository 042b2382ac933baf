"""Compose a config with Hydra for the verbs that need one.

Hydra's own flags are declared here, so that help and shell completion show them, and a mistyped flag gets a clear
message. They are passed on to Hydra unchanged.
"""

import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthgen.cli.completion import complete_overrides
from synthgen.cli.sweeping import SweepRun, exit_codes, launched, objective, sweep_folder
from synthgen.cli.verb import FOLDER, Function, complain, wrong
from synthgen.errors import ConfigError, ExitCode, UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from synthgen.config import Config

Work = Callable[["Config", list[Path]], int]
"""A function that does the work of a verb. Its arguments are the config and the folders to search first for files that
the config names; it returns the exit code."""

NOTES = (
    "OVERRIDES have Hydra's syntax and may be mixed with options in any order: KEY=VALUE sets a key "
    "(budget.target=500), GROUP=NAME selects a file of conf/GROUP (engine=openai, experiment=smoke), MAPPING.KEY=VALUE adds an entry to a mapping "
    "(engine.flags.max-num-seqs=256). docs/config.md lists every key.",
    "With --config-dir DIR, synthgen also finds your own files: task=reviews selects DIR/task/reviews.yaml.",
)
_PARTS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_FLAGS: tuple[tuple[tuple[str, ...], str, dict[str, Any]], ...] = (
    (("--config-dir", "-cd"), "Also search this folder for tasks, experiments and other config files.", {"type": FOLDER, "metavar": "DIR", "multiple": True}),
    (("--multirun", "-m"), "Run once for each combination of values; separate the values with commas (run.seed=1,2).", {"is_flag": True}),
    (("--cfg", "-c"), "Print the composed config and exit.", {"type": click.Choice(["job", "hydra", "all"])}),
    (("--resolve",), "With --cfg: replace each ${...} by its value.", {"is_flag": True}),
    (("--package", "-p"), "With --cfg: print only this part of the config.", {"metavar": "KEY"}),
    (("--info", "-i"), "Print Hydra's information about the composition and exit.", {"type": click.Choice(_PARTS), "is_flag": False, "flag_value": "all"}),
    (("--hydra-help",), "Print Hydra's own help and exit.", {"is_flag": True}),
    (("--shell-completion", "-sc"), "Print Hydra's completion script; synthgen has its own completion.", {"is_flag": True, "hidden": True}),
    (("--run", "-r"), "Run once, which is the default.", {"is_flag": True, "hidden": True}),
    (("--config-path", "-cp"), "Refused: synthgen always uses its own root config.", {"hidden": True}),
    (("--config-name", "-cn"), "Refused: synthgen always uses its own root config.", {"hidden": True}),
    (("--experimental-rerun",), "Refused: synthgen always uses its own root config.", {"hidden": True}),
)  # fmt: skip
_MODES = ("run", "multirun", "cfg", "info", "shell_completion")


def overrides(
    metavar: str = "[OVERRIDES]", help: str = "Settings of the run: task=voice_intent budget.target=500."
) -> Callable[[Function], Function]:
    """Return a decorator that adds the parameters of a verb that composes a config: `words`, and one for each flag."""

    def add(function: Function) -> Function:
        for names, words, more in reversed(_FLAGS):
            function = click.option(*names, help=words, **more)(function)
        return click.argument("words", nargs=-1, metavar=metavar, help=help, shell_complete=complete_overrides)(
            function
        )

    return add


def compose(verb: str, words: Sequence[str], flags: dict[str, Any], work: Work) -> int:
    """Compose the config with Hydra and do `work` on it. Return the exit code.

    With --multirun do the work on each config in turn, and return the highest exit code. A signal ends the whole
    sequence: print the commands of the runs that were not started.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    from synthgen import config as schema
    from synthgen.safety import config_guard as guard
    from synthgen.safety import launchers
    from synthgen.tasks.assets import root

    _check_modes(words, flags)
    chosen, words = launchers.taken(words, flags["multirun"])
    folder = _config_folder(flags)
    folders = [folder] if folder else []
    flags = {**flags, "config_dir": folder}
    codes = [0]
    errors: list[UserError] = []
    left: list[str] = []

    def job(composed: "DictConfig") -> float | None:
        if ExitCode.INTERRUPTED in codes:
            left.append(command_of(verb, folder, composed))
            return None
        try:
            codes.append(_one(composed, work))
        except KeyboardInterrupt:
            codes.append(ExitCode.INTERRUPTED)
        except UserError as error:  # raised again after Hydra has ended, because Hydra would print a message of its own
            errors.append(error)
            return None
        return objective(run_folder_of(composed)) if chosen.names else None

    schema.register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors reach this function, which turns each into one message
    helping = flags["hydra_help"]  # composes Hydra's defaults without the user's files, so it needs no guard
    with sweep_folder(chosen.names.get("launcher")) as scratch, nullcontext() if helping else guard.composing(chosen):
        given = guard.checked([*_given(flags), *schema.with_new_entries(words)], str(scratch)) + chosen.words
        _check_overrides([] if flags["shell_completion"] else words)
        sys.argv = [f"synthgen {verb}", *(["--hydra-help"] if helping else given)]
        task = SweepRun(verb, folder, scratch, time.time()) if "launcher" in chosen.names else job
        try:
            with launched() if "launcher" in chosen.names else nullcontext():
                hydra.main(version_base="1.3", config_path=str(root() / "conf"), config_name="config")(task)()
            codes += exit_codes(scratch)
        except UnicodeDecodeError as error:
            if (unread := schema.not_text(error, folders)) is None:
                raise
            raise unread from error
        except (HydraException, OmegaConfBaseException, YAMLError) as error:
            raise schema.of_a_task_file(error, folders) or schema.explained(error, Path.cwd()) from error
    if left:
        print(f"{len(left)} of the runs were not started; each of these commands starts one:", *left, sep="\n")
    if errors and not left:
        raise errors[0]
    for failed in errors:
        complain(str(failed))
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
        for part, key, value in _numbered(built, settings.job.num):
            setattr(getattr(built, part), key, value)
    bases = [Path(entry.path) for entry in settings.runtime.config_sources if entry.schema == "file"]
    bases = [base for base in bases if base != root() / "conf"]
    try:
        return work(built, [*bases, *(base.parent for base in bases)])
    except ConfigError as error:
        raise schema.located(error, settings) from error


def _numbered(built: "Config | DictConfig", number: int) -> list[tuple[str, str, str]]:
    """Return the group, key and value of each name that must differ between the runs of a sweep."""
    names = [("run", "name"), ("run", "dir"), *([("adapt", "dir")] if built.adapt.dir else [])]
    return [(part, key, f"{getattr(getattr(built, part), key)}-{number}") for part, key in names]


def run_folder_of(composed: "DictConfig") -> Path:
    """Return the folder of the current run of a sweep."""
    from hydra.core.hydra_config import HydraConfig

    own = {f"{part}.{key}": value for part, key, value in _numbered(composed, HydraConfig.get().job.num)}
    return Path(own["run.dir"])


def command_of(verb: str, folder: str | None, composed: "DictConfig") -> str:
    """Return the command that carries out the current run of a sweep by itself, under the same name."""
    from hydra.core.hydra_config import HydraConfig

    settings = HydraConfig.get()
    own = {f"{part}.{key}": value for part, key, value in _numbered(composed, settings.job.num)}
    if own["run.dir"] == f"runs/{own['run.name']}":
        del own["run.dir"]  # the default
    own = {key: value for key, value in own.items() if verb.startswith(key.partition(".")[0])}
    given = [word for word in settings.overrides.task if word.lstrip("+").partition("=")[0] not in own]
    options = ["--config-dir", folder] if folder else []
    return shlex.join(["synthgen", *verb.split(), *options, *given, *(f"{key}={value}" for key, value in own.items())])


def _config_folder(flags: dict[str, Any]) -> str | None:
    """Return the folder of --config-dir, if it is given."""
    folders = flags["config_dir"]
    if len(folders) > 1:
        wrong(
            f"--config-dir is given twice ({folders[0]} and {folders[1]}), but only one folder can be searched; put the files into one folder"
        )
    return folders[0] if folders else None


def _given(flags: dict[str, Any]) -> list[str]:
    """Return the flags as command-line words."""
    words: list[str] = []
    for name, value in flags.items():
        if value is not None and value is not False:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def _check_modes(words: Sequence[str], flags: dict[str, Any]) -> None:
    chosen = [f"--{name.replace('_', '-')}" for name in _MODES if flags[name]]
    if len(chosen) > 1:
        wrong(f"{chosen[0]} and {chosen[1]} exclude each other; give only one of them")
    if flags["shell_completion"] and "COMP_LINE" not in os.environ and any(word.startswith("query=") for word in words):
        wrong(
            "--shell-completion query=... is only for shells, which set COMP_LINE; use --shell-completion install=bash"
        )


def _check_overrides(words: Sequence[str]) -> None:
    """Refuse a word that is not an override, and suggest GROUP=NAME where a config file has that name."""
    from synthgen.tasks.assets import root

    for word in words:
        if "=" not in word and not word.startswith("~"):
            near = sorted((root() / "conf").glob(f"*/{word}.yaml")) if word.isidentifier() else []
            meant = f"; did you mean {near[0].parent.name}={word}?" if near else ", such as budget.target=500"
            wrong(f"'{word}' is not an override: write KEY=VALUE{meant}")
