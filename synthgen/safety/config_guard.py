"""Refuse a config that runs code, makes Hydra write files, or holds a secret.

Hydra's own settings can name classes to build (launcher, sweeper, callbacks), logging handlers, and packages to import.
Any file of a config from somebody else's folder can change these settings. Every config that Hydra composes is
therefore checked before Hydra acts on it. `launchers` lists the settings that the command line may choose.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf

from synthgen.errors import ConfigError
from synthgen.safety import secrets as secrecy
from synthgen.safety.launchers import Chosen
from synthgen.safety.overrides import readable
from synthgen.safety.untrusted import one_line

_SILENT = {"version": 1, "root": None, "disable_existing_loggers": False}
_PLUGINS = "hydra._internal.core_plugins"
_HYDRA: dict[str, Any] = {
    "launcher": {"_target_": f"{_PLUGINS}.basic_launcher.BasicLauncher"},
    "sweeper": {"_target_": f"{_PLUGINS}.basic_sweeper.BasicSweeper", "max_batch_size": None, "params": None},
    "callbacks": {},
    "searchpath": [],
    "hydra_logging": _SILENT,
    "job_logging": _SILENT,
    "output_subdir": None,
}
_HYDRA_JOB: dict[str, Any] = {"env_set": {}, "chdir": None}
_OWN = "Hydra's own settings can run code and write files, so only synthgen may set them; remove it"
_SECRET = "a secret does not belong in the config, which is saved to files; set it in the environment instead"
_OVERRIDE = re.compile(r"[+~]*(?P<key>[^=+~]*)=?")
_VARIABLE = re.compile(rf"""['"]?(?:(?:Bearer|Basic|Token)\s+)?{secrecy.FROM_ENVIRONMENT.pattern}['"]?""")
_ENTRY = re.compile(r"(?P<key>[\w./@-]+)['\"]?\s*[:=]\s*(?P<value>[^,{}\[\]]*)")


@contextmanager
def composing(chosen: Chosen) -> Iterator[None]:
    """Make Hydra raise ConfigError, inside this context, for every change of its own settings but those in `chosen`.

    Hydra has no public hook between composing a config and acting on it. Every config, including those of sweeps,
    passes through the loader, so the check is placed there. The command line alone decides between a run and a sweep:
    Hydra would compose the whole config once more to look for `hydra.mode`, which users may not set.
    """
    load, mode = ConfigLoaderImpl.load_configuration, Hydra.get_mode

    def guarded(loader: ConfigLoaderImpl, *args: Any, **kwargs: Any) -> DictConfig:
        composed = load(loader, *args, **kwargs)
        _refuse_other_hydra(composed, chosen)
        return composed

    # setattr, because mypy refuses an assignment to a method
    setattr(ConfigLoaderImpl, "load_configuration", guarded)  # noqa: B010
    setattr(Hydra, "get_mode", lambda *_, **__: None)  # noqa: B010
    try:
        yield
    finally:
        setattr(ConfigLoaderImpl, "load_configuration", load)  # noqa: B010
        setattr(Hydra, "get_mode", mode)  # noqa: B010


def checked(words: Sequence[str], scratch: str) -> list[str]:
    """Return the command line for Hydra. A sweep writes its overrides to the temporary folder `scratch`.

    Raise ConfigError for a flag that replaces the root config by another config or by a pickle, and where
    `refuse_overrides` does.
    """
    options, overrides = parted(words)
    for name in ("--config-path", "--config-name", "--experimental-rerun"):
        if name in options:
            raise ConfigError(
                f"{name}: synthgen always uses its own root config; put your config into a folder as "
                "task/NAME.yaml, experiment/NAME.yaml, ..., and pass experiment=NAME --config-dir FOLDER"
            )
    refuse_overrides(overrides)
    overrides = readable(overrides)
    return [*options, *([f"hydra.sweep.dir='{scratch}'"] if "--multirun" in options else []), *overrides]


def parted(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return Hydra's options, by their long names, and the overrides.

    The user may mix options and overrides in any order. Hydra itself requires all overrides to be consecutive.
    """
    flags = vars(get_args_parser().parse_intermixed_args(list(words)))
    overrides: list[str] = flags.pop("overrides")
    options: list[str] = []
    for name, value in flags.items():
        if value is not None and value is not False:
            options += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
    return options, overrides


def refuse_overrides(overrides: Sequence[str]) -> None:
    """Raise ConfigError for an override that changes Hydra's own settings or holds a secret. Do not quote the secret.

    Call this before anything else reads the overrides, because other error messages quote an override that they
    cannot parse.
    """
    variables = secrecy.environment_secrets()
    for number, override in enumerate(overrides, 1):
        match = _OVERRIDE.match(override)
        key = match["key"] if match and "=" in override else ""
        where = one_line(secrecy.mask(key)) or f"override {number}"
        if re.match(r"hydra\b", key or override.lstrip("+~")) or re.search(r"@(_global_\.)?hydra\b", key):
            raise ConfigError(f"{where}: {_OWN}")
        _refuse_secret_text(where, override, variables)
        for entry in _ENTRY.finditer(_without_variables(override)):
            if not key.startswith("task.") and _is_secret_entry(entry["key"].rpartition(".")[2], entry["value"]):
                raise ConfigError(f"{where}: {_SECRET}{_how(key)}")


def refuse_content(content: Any) -> None:
    """Raise ConfigError for a key that names code to run, and for a key or value that looks like a secret.

    Under `task`, a key that is named like a secret is allowed, because a task names its own fields and labels.
    """
    _refuse_content(content, "", secrecy.environment_secrets())


def _refuse_content(content: Any, path: str, variables: dict[str, str]) -> None:
    if isinstance(content, dict):
        for key, value in content.items():
            name = f"{path}.{key}" if path else str(key)
            if key == "_target_":
                raise ConfigError(f"{name}: a config must not name code to run; remove this key")
            if not name.startswith("task.") and _is_secret_entry(str(key), value):
                raise ConfigError(f"{name}: {_SECRET}{_how(name)}")
            _refuse_secret_text(path or "the config", str(key), variables)
            _refuse_content(value, name, variables)
    elif isinstance(content, list | tuple):
        for index, value in enumerate(content):
            _refuse_content(value, f"{path}.{index}", variables)
    elif isinstance(content, str):
        _refuse_secret_text(path, content, variables)


def _refuse_secret_text(where: str, text: str, variables: dict[str, str]) -> None:
    if found := secrecy.shape(text):
        raise ConfigError(f"{where}: holds {found}; {_SECRET}{_how(where)}")
    if variable := next((name for name, value in variables.items() if value in text), None):
        raise ConfigError(
            f"{where}: holds the value of the environment variable {variable}, which looks like a secret and would be "
            f"saved to files; leave it in the environment, or unset {variable} if it is not a secret"
        )


def _is_secret_entry(key: str, value: Any) -> bool:
    """Return True for a text whose key is named like a secret. Numbers, such as counts of tokens, are not secrets."""
    return secrecy.is_secret_name(key) and secrecy.could_be_secret(
        _without_variables(value) if isinstance(value, str) else value
    )


def _without_variables(text: str) -> str:
    """Replace references to environment variables, because a reference holds no secret itself."""
    return _VARIABLE.sub("null", text)


def _how(where: str) -> str:
    return " (engine.api_key_env names the variable that engine=openai reads)" if where.startswith("engine") else ""


def _refuse_other_hydra(composed: DictConfig, chosen: Chosen) -> None:
    """Raise ConfigError where Hydra's settings differ from those of `conf/config.yaml` and of the command line."""
    node: Any = OmegaConf.to_container(composed.hydra, resolve=False, enum_to_str=True)
    for part, expected in _HYDRA.items():
        if node[part] != (chosen.expected(part, node[part]) or expected):
            raise ConfigError(f"hydra.{part}: {_OWN}")
    for key, nothing in _HYDRA_JOB.items():
        if node["job"][key] != nothing:
            raise ConfigError(f"hydra.job.{key}: {_OWN}")
