"""Read LoRA adapters, check that they fit a model, and pass them to vLLM.

An adapter is a PEFT folder: `adapter_config.json` and `adapter_model.safetensors`. `synthgen.student.adapter` trains
adapters; this module checks that vLLM can serve one.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthgen.errors import ConfigError
from synthgen.records import Json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # the values that vLLM allows for max-lora-rank
_A, _B = ".lora_A.weight", ".lora_B.weight"

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Adapter:
    """Describe an adapter that requests can name."""

    name: str
    """Name derived from the content, so that equal adapters are served once; or the name that endpoints use."""
    folder: Path | None = None
    """None if only the endpoints have the adapter."""
    base: str = ""
    """The model that the adapter was trained on, according to its config."""
    shapes: tuple[tuple[str, int, int], ...] = ()
    """One triple per layer: its name, the width of its input, the width of its output."""
    rank: int = 0


def read_adapter(folder: Path, key: str) -> Adapter:
    """Read the adapter in `folder`. Raise ConfigError, naming the config's `key`, if vLLM cannot serve it."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ConfigError(f"{key}: {folder} has no {name}; give a LoRA folder as `synthgen adapt` or PEFT saves it")
    settings = _settings(folder, key)
    shapes = _shapes(folder / WEIGHTS, key)
    if others := sorted(name for name in shapes if not name.endswith((_A, _B))):
        raise ConfigError(f"{key}: {folder / WEIGHTS} holds {others[0]}; only plain LoRA matrices can be served")
    layers = _layers(shapes, folder, key)
    digest = hashlib.blake2b(digest_size=6)
    for name in (CONFIG, WEIGHTS):
        digest.update((folder / name).read_bytes())
    rank = max(shape[0] for name, shape in shapes.items() if name.endswith(_A))
    if rank > _VLLM_RANKS[-1]:
        raise ConfigError(f"{key}: {folder} has rank {rank}; vLLM serves ranks up to {_VLLM_RANKS[-1]}")
    base = str(settings.get("base_model_name_or_path") or "")
    return Adapter(f"lora-{digest.hexdigest()}", folder, base, layers, rank)


def check_fits(adapter: Adapter, model: str, folder: Path | None, key: str) -> None:
    """Raise ConfigError if the adapter was trained for another model, with other layers or another name."""
    what = f"{key}: {adapter.folder} does not fit model.name={model}"
    if folder is None:
        if adapter.base != model:
            raise ConfigError(
                f"{what}: it says that it was trained on '{adapter.base}'; give that model or another adapter, or, if "
                f"they are the same one, write its name into {CONFIG} as base_model_name_or_path"
            )
        return
    packed = "quantization_config" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    base = {
        _tail(name): shape
        for file in sorted(folder.glob("*.safetensors"))
        for name, shape in _shapes(file, key).items()
    }
    known = {name.rpartition(".")[0] for name in base}
    for layer, width, out in adapter.shapes:
        if layer not in known:
            raise ConfigError(f"{what}: the model has no layer {layer}; it was trained on '{adapter.base}'")
        shape = base.get(f"{layer}.weight")
        if shape is not None and not packed and shape != (out, width):
            raise ConfigError(
                f"{what}: its {layer} is {out} x {width}, the model's {' x '.join(map(str, shape))}; it was trained "
                f"on '{adapter.base}'"
            )


def lora_flags(adapters: Sequence[Adapter]) -> Json:
    """Return the flags of vLLM's engine that reserve space for all `adapters` at once."""
    if not adapters:
        return {}
    rank = max(adapter.rank for adapter in adapters)
    room = next(allowed for allowed in _VLLM_RANKS if allowed >= rank)
    return {"enable-lora": True, "max-loras": len(adapters), "max-lora-rank": room}


def lora_modules(adapters: Sequence[Adapter]) -> Json:
    """Return the flag of vLLM's server that names `adapters`; the server loads them before it is healthy."""
    if not adapters:
        return {}
    return {"lora-modules": tuple({"name": adapter.name, "path": str(adapter.folder)} for adapter in adapters)}


def distinct(adapters: Sequence[Adapter | None]) -> list[Adapter]:
    return list({adapter.name: adapter for adapter in adapters if adapter is not None}.values())


def _settings(folder: Path, key: str) -> Json:
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{key}: {folder / CONFIG} is not valid JSON: {error}") from error
    if not isinstance(found, dict) or found.get("peft_type") != "LORA":
        raise ConfigError(f"{key}: {folder / CONFIG} does not describe a LoRA adapter (peft_type LORA)")
    for name, plain in (("use_dora", False), ("bias", "none"), ("modules_to_save", None)):
        if found.get(name, plain) not in (plain, None, []):
            raise ConfigError(f"{key}: {folder} was trained with {name}={found[name]}; only plain LoRA can be served")
    return found


def _layers(shapes: Shapes, folder: Path, key: str) -> tuple[tuple[str, int, int], ...]:
    found = []
    for name in sorted(name for name in shapes if name.endswith(_A)):
        pair = name.removesuffix(_A) + _B
        if pair not in shapes or len(shapes[name]) != 2 or len(shapes[pair]) != 2:
            raise ConfigError(f"{key}: {folder / WEIGHTS} lacks one of the two matrices for {name.removesuffix(_A)}")
        found.append((_tail(name.removesuffix(_A)), shapes[name][1], shapes[pair][0]))
    if not found:
        raise ConfigError(f"{key}: {folder / WEIGHTS} holds no LoRA matrices")
    return tuple(found)


def _tail(name: str) -> str:
    """Return a tensor's name without the prefix of its layers, which differs between wrappers."""
    _, layers, rest = name.removeprefix("base_model.model.").partition("layers.")
    return layers + rest if layers else name.removeprefix("base_model.model.")


def _shapes(file: Path, key: str) -> Shapes:
    """Return the name and shape of every tensor; only the head of the file is read."""
    from safetensors import SafetensorError

    try:
        return dict(_heads(file))
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{key}: {file} is not a safetensors file: {error}") from error


def _heads(file: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as tensors:
        for name in tensors.keys():  # noqa: SIM118  # not a dictionary
            yield name, tuple(tensors.get_slice(name).get_shape())
