"""Adapter folders: what is read of them, what is refused, and whether they fit a model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from synthgen.engines.adapters import check_fits, distinct, read_adapter
from synthgen.errors import ConfigError

LAYER = "model.layers.0.self_attn.q_proj"
KEY = "judge.adapter"


def tensors(**shapes: tuple[int, ...]) -> dict[str, Any]:
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def adapter(folder: Path, rank: int = 4, width: int = 8, out: int = 6, **settings: Any) -> Path:
    """A LoRA of one layer that reads `width` numbers and gives `out`."""
    folder.mkdir()
    pair = {f"base_model.model.{LAYER}.lora_{side}.weight" for side in "AB"}
    save_file(
        tensors(**{name: (rank, width) if "lora_A" in name else (out, rank) for name in pair}),
        folder / "adapter_model.safetensors",
    )
    known = {"peft_type": "LORA", "r": rank, "base_model_name_or_path": "org/model"}
    (folder / "adapter_config.json").write_text(json.dumps(known | settings))
    return folder


def model(folder: Path, *shape: int, prefix: str = "", **settings: Any) -> Path:
    folder.mkdir()
    save_file(tensors(**{f"{prefix}{LAYER}.weight": shape}), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def test_an_adapter_is_known_by_its_content(tmp_path: Path) -> None:
    one, copy = (read_adapter(adapter(tmp_path / name), KEY) for name in ("a", "b"))
    other = read_adapter(adapter(tmp_path / "c", lora_alpha=8), KEY)
    assert (one.rank, one.base, one.shapes) == (4, "org/model", (("layers.0.self_attn.q_proj", 8, 6),))
    assert one.name == copy.name != other.name
    assert distinct([one, None, copy, other]) == [copy, other]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "does not describe a LoRA adapter"),
        ({"use_dora": True}, "was trained with use_dora=True; only plain LoRA can be served"),
        ({"bias": "all"}, "was trained with bias=all"),
        ({"modules_to_save": ["lm_head"]}, "was trained with modules_to_save="),
        ({"rank": 1024}, "has rank 1024; vLLM serves ranks up to 512"),
    ],
)
def test_an_adapter_that_cannot_be_served_is_named(settings: dict[str, Any], words: str, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a", **settings)
    with pytest.raises(ConfigError, match=f"judge.adapter: .*{words}"):
        read_adapter(folder, KEY)


def test_a_folder_that_is_no_adapter_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no adapter_config.json; give a LoRA folder"):
        read_adapter(tmp_path, KEY)
    folder = adapter(tmp_path / "a")
    (folder / "adapter_model.safetensors").write_bytes(b"torch")
    with pytest.raises(ConfigError, match=r"adapter_model.safetensors is not a safetensors file"):
        read_adapter(folder, KEY)
    save_file(tensors(**{"base_model.model.lm_head.weight": (2, 2)}), folder / "adapter_model.safetensors")
    with pytest.raises(ConfigError, match=r"holds base_model.model.lm_head.weight; only plain LoRA"):
        read_adapter(folder, KEY)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"adapter_config.json is not valid JSON"):
        read_adapter(folder, KEY)


def test_an_adapter_fits_a_model_with_layers_of_its_sizes(tmp_path: Path) -> None:
    found = read_adapter(adapter(tmp_path / "a"), KEY)
    check_fits(found, "mine", model(tmp_path / "m", 6, 8), KEY)
    check_fits(found, "mine", model(tmp_path / "n", 6, 8, prefix="language_model."), KEY)
    check_fits(found, "packed", model(tmp_path / "p", 48, 1, quantization_config={"bits": 4}), KEY)
    with pytest.raises(ConfigError) as caught:
        check_fits(found, "mine", model(tmp_path / "o", 6, 16), KEY)
    assert str(caught.value) == (
        f"judge.adapter: {tmp_path / 'a'} does not fit model.name=mine: its layers.0.self_attn.q_proj is 6 x 8, the "
        "model's 6 x 16; it was trained on 'org/model'"
    )


def test_an_adapter_of_layers_that_the_model_has_not_is_refused(tmp_path: Path) -> None:
    found = read_adapter(adapter(tmp_path / "a"), KEY)
    folder = tmp_path / "m"
    folder.mkdir()
    save_file(tensors(**{"transformer.h.0.attn.weight": (2, 2)}), folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"has no layer layers.0.self_attn.q_proj"):
        check_fits(found, "gpt", folder, KEY)


def test_an_adapter_of_a_remote_model_is_compared_by_the_models_name(tmp_path: Path) -> None:
    found = read_adapter(adapter(tmp_path / "a"), KEY)
    check_fits(found, "org/model", None, KEY)
    with pytest.raises(ConfigError, match=r"trained on 'org/model'; .* write its name into adapter_config.json"):
        check_fits(found, "org/other", None, KEY)
