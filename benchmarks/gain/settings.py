"""Compose the benchmark's config from the shipped one, and bind a work folder to one set of settings."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from synthgen.config import Config, build, explained, register
from synthgen.diversity.embedder import Encoder, HashEncoder, ModelEncoder, Vectors
from synthgen.engines.bundled import resolve
from synthgen.errors import RunFolderError
from synthgen.records import Json, content_id
from synthgen.tasks.assets import root


def composed(overrides: Sequence[str]) -> Config:
    """Return the shipped config with `overrides`; a run's task, names and budget are ignored. Raise ConfigError."""
    register()
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        try:
            return build(compose("config", list(overrides)))
        except (HydraException, OmegaConfBaseException) as error:
            raise explained(error) from error


def encoder_of(config: Config) -> Encoder:
    """Return the config's embedder, which measures variety and finds near-duplicates."""
    name = config.diversity.embedder
    return HashEncoder() if name == "hash" else ModelEncoder(resolve(name), config.diversity.batch)


class Remembering:
    """Cache an encoder's vectors, so that each text is embedded once for all arms and budgets."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, Vectors] = {}

    @property
    def dim(self) -> int:
        return self._encoder.dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            self._known.update(zip(new, self._encoder.encode(new), strict=True))
        return np.stack([self._known[text] for text in texts]) if texts else np.zeros((0, self.dim), np.float32)


def bind(work: Path, question: Json) -> None:
    """Create the work folder, or reuse one with the same settings. Raise RunFolderError for other settings."""
    work.mkdir(parents=True, exist_ok=True)
    note = work / "question.json"
    asked = {name: value if isinstance(value, int) else content_id(value) for name, value in question.items()}
    if not note.exists():
        note.write_text(json.dumps(asked, indent=2) + "\n", encoding="utf-8")
        return
    before = json.loads(note.read_text(encoding="utf-8"))
    if changed := [name for name in asked if before.get(name) != asked[name]]:
        raise RunFolderError(f"--work {work}: made with another {', '.join(changed)}; give it back, or another folder")
