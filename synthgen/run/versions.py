"""List the versions of the packages on which the result of a run depends."""

import importlib.metadata
import platform

from synthgen import __version__
from synthgen.engines.vllm.options import vllm_version

_PACKAGES = ("torch", "transformers", "outlines", "sentence-transformers", "faiss-cpu", "trl", "peft")


def versions() -> dict[str, str]:
    found = {"synthgen": __version__, "python": platform.python_version(), "vllm": vllm_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = ""
    return found
