"""Choose how the runs of a sweep are started, from the command line alone: Hydra's launchers, and its Optuna sweeper.

Hydra's plugins are classes that a config names. A file must therefore not choose them; see `config_guard`. The command
line may choose them by name, and may set their settings that are numbers or plain names. Settings that hold commands,
such as `setup` and `srun_args` of submitit, are refused.
"""

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from synthgen.errors import ConfigError
from synthgen.records import Json
from synthgen.safety.untrusted import one_line

_NUMBER = re.compile(r"null|true|false|-?\d{1,9}(\.\d{1,9})?")
_NAME = re.compile(r"null|[\w.:,/@+-]{1,200}")
_QUEUE = dict.fromkeys(("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "stderr_to_stdout"), _NUMBER)  # fmt: skip
_SLURM = {
    **_QUEUE,
    **dict.fromkeys(
        ("cpus_per_gpu", "gpus_per_task", "signal_delay_s", "max_num_timeout", "array_parallelism"), _NUMBER
    ),
    **dict.fromkeys(
        ("partition", "qos", "account", "constraint", "gres", "exclude", "comment", "mem_per_gpu", "mem_per_cpu"), _NAME
    ),
}
_RAY = {
    **dict.fromkeys(
        (
            "ray.init.num_cpus",
            "ray.init.num_gpus",
            "ray.init.include_dashboard",
            "ray.remote.num_cpus",
            "ray.remote.num_gpus",
        ),
        _NUMBER,
    ),
    "ray.init.address": _NAME,
}
_OPTUNA = {
    **dict.fromkeys(("n_trials", "n_jobs", "max_failure_rate", "sampler.seed", "sampler.n_startup_trials"), _NUMBER),
    "direction": re.compile("minimize|maximize"),
    "study_name": _NAME,
}


@dataclass(frozen=True)
class Plugin:
    """Describe a plugin of Hydra that the command line may choose."""

    module: str
    pip: str
    settings: dict[str, re.Pattern[str]]


KINDS: dict[str, dict[str, Plugin]] = {
    "launcher": {
        "joblib": Plugin("hydra_joblib_launcher", '"synthgen[sweeps]"', {"n_jobs": _NUMBER}),
        "submitit_local": Plugin("hydra_submitit_launcher", '"synthgen[sweeps]"', _QUEUE),
        "submitit_slurm": Plugin("hydra_submitit_launcher", '"synthgen[sweeps]"', _SLURM),
        "ray": Plugin("hydra_ray_launcher", "hydra-ray-launcher", _RAY),
    },
    "sweeper": {
        "optuna": Plugin("hydra_optuna_sweeper", "--no-deps hydra-optuna-sweeper optuna", _OPTUNA),
    },
}
"""The plugins by their kind and name."""


@dataclass
class Chosen:
    """Hold the plugins that a command line chose, by kind, and their settings."""

    names: dict[str, str] = field(default_factory=dict)
    settings: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """Return the overrides for Hydra."""
        groups = [f"hydra/{kind}={name}" for kind, name in self.names.items()]
        return groups + [
            f"{'+' if kind == 'launcher' and name.startswith('ray.') else ''}hydra.{kind}.{name}={value}"
            for kind, found in self.settings.items()
            for name, value in found.items()
        ]

    def expected(self, kind: str, composed: Json) -> Json | None:
        """Return the expected settings of Hydra for a kind: the plugin's own, overridden by those of the command line.

        Return None where the command line chose no plugin of this kind. `composed` has the settings as Hydra composed
        them, whose values are taken for the keys of the command line.
        """
        if kind not in self.names:
            return None
        own = _own(kind, self.names[kind])
        for name in self.settings.get(kind, {}):
            *parents, last = name.split(".")
            ours, theirs = own, composed
            for parent in parents:
                ours, theirs = ours.setdefault(parent, {}), theirs[parent]
            ours[last] = theirs[last]
        return own


def taken(words: Sequence[str], multirun: bool) -> tuple[Chosen, list[str]]:
    """Return the plugins that the words choose, and the other words.

    Raise ConfigError for a plugin that may not be chosen or is not installed, for a setting that may not be set, and
    without --multirun.
    """
    chosen, rest = Chosen(), []
    for word in words:
        group = re.fullmatch(r"hydra/(launcher|sweeper)=([\w-]+)", word)
        if group is None or group[2] == "basic":
            rest.append(word)
            continue
        kind, name = group[1], group[2]
        if name not in KINDS[kind]:
            known = ", ".join(KINDS[kind])
            raise ConfigError(f"hydra/{kind}: '{name}' may not be chosen; use one of {known}")
        plugin = KINDS[kind][name]
        if not multirun:
            raise ConfigError(f"hydra/{kind}: {name} is for a sweep; add --multirun")
        if importlib.util.find_spec("hydra_plugins") is None or not _is_installed(plugin.module):
            raise ConfigError(f"hydra/{kind}: {name} is not installed; run: pip install {plugin.pip}")
        chosen.names[kind] = name
    return chosen, [word for word in rest if not _sets(chosen, word)]


def _sets(chosen: Chosen, word: str) -> bool:
    """Note a setting of a chosen plugin. Return False for another word."""
    given = re.fullmatch(r"\+{0,2}hydra\.(launcher|sweeper)\.([\w.]+)=(.*)", word, re.S)
    if given is None or given[1] not in chosen.names:
        return False
    kind, name, value = given[1], given[2], given[3]
    plugin = KINDS[kind][chosen.names[kind]]
    if name not in plugin.settings:
        known = ", ".join(plugin.settings)
        raise ConfigError(f"hydra.{kind}.{one_line(name)}: may not be set; those that may be are {known}")
    if not plugin.settings[name].fullmatch(value):
        raise ConfigError(f"hydra.{kind}.{name}: '{one_line(value)}' is no number or plain name")
    chosen.settings.setdefault(kind, {})[name] = value
    return True


def _own(kind: str, name: str) -> Json:
    """Return a plugin's own settings, which it registered with Hydra."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    store: Any = ConfigStore.instance().repo["hydra"][kind]
    own: Json = OmegaConf.to_container(store[f"{name}.yaml"].node, resolve=False, enum_to_str=True)  # type: ignore[assignment]
    for default in own.pop("defaults", None) or []:
        if isinstance(default, dict):
            for part, option in default.items():
                own[part] = OmegaConf.to_container(store[part][f"{option}.yaml"].node, resolve=False, enum_to_str=True)
    return own


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(f"hydra_plugins.{module}") is not None
