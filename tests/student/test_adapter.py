"""A LoRA adapter: trained on answers alone, saved as PEFT saves it, the same for a seed, and served by its name."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from synthgen.engines.adapters import check_fits, read_adapter
from synthgen.engines.grammar.schema import choice
from synthgen.engines.local.engine import TransformersConfig, TransformersEngine
from synthgen.errors import ConfigError, InputError
from synthgen.judge.examples import LABEL, RUBRIC
from synthgen.records import AdapterExample, Message, Request, Sampling
from synthgen.student import adapter, causal
from synthgen.student.config import AdaptConfig

KINDS = ("apple", "stone")


def label(number: int) -> AdapterExample:
    """Return a label question whose text names the answer."""
    kind = KINDS[number % 2]
    messages = (Message(role="system", content="Sort."), Message(role="user", content=f"{kind} {number}"))
    return AdapterExample(kind=LABEL, row=f"r{number}", messages=messages, answer=kind, options=KINDS, stratum=kind)


def grade(number: int) -> AdapterExample:
    good = number % 2 == 0
    messages = (Message(role="user", content=f"Grade {'fine' if good else 'awful'} {number}"),)
    options = ("1", "2", "3", "4", "5")
    return AdapterExample(
        kind=RUBRIC, row=f"g{number}", messages=messages, answer="5" if good else "1", options=options,
        stratum="good" if good else "bad",
    )  # fmt: skip


TRAINED = [make(number) for number in range(12) for make in (label, grade)]
HELD_OUT = [make(number) for number in range(12, 20) for make in (label, grade)]
CONFIG = AdaptConfig(min_steps=60, batch_size=4, learning_rate=0.02, rank=4, alpha=8, dropout=0.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_generator: Path) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("adapters") / "judge"
    return out, adapter.train(CONFIG, "judge", str(tiny_generator), TRAINED, HELD_OUT, out, 3, lambda _: None)


@pytest.mark.slow
def test_what_is_held_out_is_answered_better_than_before(trained: tuple[Path, dict[str, Any]]) -> None:
    _, metrics = trained
    before, after = metrics["before"], metrics["after"]
    assert after["loss"] < before["loss"] - 1
    assert after["label_accuracy"] > max(0.9, before["label_accuracy"])
    assert after["auc"]["value"] > max(0.9, before["auc"]["value"])
    assert not adapter.is_worse(metrics)
    assert adapter.is_worse({"before": after, "after": before})


@pytest.mark.slow
def test_the_folder_is_an_adapter_with_its_figures_and_a_card(
    trained: tuple[Path, dict[str, Any]], tiny_generator: Path
) -> None:
    out, metrics = trained
    assert {path.name for path in out.iterdir()} == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "metrics.json"
    }  # fmt: skip
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert metrics["conversations"] == {"trained": 24, "held_out": 16}
    assert adapter.rows_trained_on(out) == {one.row for one in TRAINED}
    assert len(metrics["base_hash"]) == 64
    found = read_adapter(out, "judge.adapter")
    assert (found.rank, found.base) == (4, tiny_generator.name)
    check_fits(found, "tiny", tiny_generator, "judge.adapter")
    card = (out / "README.md").read_text()
    assert (
        f"| label accuracy | {metrics['before']['label_accuracy']:.3f} | {metrics['after']['label_accuracy']:.3f} |"
        in card
    )
    assert str(tiny_generator.parent) not in card + (out / "adapter_config.json").read_text()


@pytest.mark.slow
def test_the_same_arguments_give_the_same_adapter(tiny_generator: Path, tmp_path: Path) -> None:
    cfg = AdaptConfig(min_steps=3, epochs=0.1, batch_size=2, rank=1, dropout=0.5)
    for name in "ab":
        adapter.train(cfg, "judge", str(tiny_generator), TRAINED, HELD_OUT[:2], tmp_path / name, 3, lambda _: None)
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert {name: (tmp_path / "a" / name).read_bytes() for name in names} == {
        name: (tmp_path / "b" / name).read_bytes() for name in names
    }


@pytest.mark.slow
def test_the_prompt_is_what_an_engine_makes_and_the_loss_is_the_answers(tiny_generator: Path) -> None:
    model, tokenizer = causal.load(tiny_generator, "model.name")
    one = label(1)
    ids, start = adapter.encode(tokenizer, one)
    assert tokenizer.decode(ids[:start]).endswith("<|im_start|>user\nstone 1<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer.decode(ids[start:]) == "stone"
    running = one.model_copy(update={"options": (), "answer": '{"a":1}'})
    ended, begins = adapter.encode(tokenizer, running)
    assert tokenizer.decode(ended[begins:]) == '{"a":1}<|im_end|>'
    [loss], [tokens] = causal.losses(model, tokenizer, [(ids, start)])
    assert (tokens, math.isfinite(loss)) == (len(ids) - start, True)


@pytest.mark.slow
def test_conversations_that_are_too_long_are_counted_and_none_left_is_an_error(
    tiny_generator: Path, tmp_path: Path
) -> None:
    long = label(0).model_copy(update={"messages": (Message(role="user", content="word " * 100),)})
    cfg = AdaptConfig(min_steps=1, epochs=0.1, max_length=64, rank=1)
    metrics = adapter.train(cfg, "judge", str(tiny_generator), [long, grade(0)], [], tmp_path / "a", 0, lambda _: None)
    assert (metrics["left_out"], metrics["conversations"]["trained"]) == (1, 1)
    assert metrics["before"] == {"loss": None}
    with pytest.raises(InputError, match="all 1 conversations are longer than 64 tokens; raise it"):
        adapter.train(cfg, "judge", str(tiny_generator), [long], [], tmp_path / "b", 0, lambda _: None)
    with pytest.raises(InputError, match="nothing to train on"):
        adapter.train(cfg, "judge", str(tiny_generator), [], [], tmp_path / "b", 0, lambda _: None)
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
async def test_the_transformers_engine_answers_with_the_adapter_that_is_asked_for(
    trained: tuple[Path, dict[str, Any]], tiny_generator: Path
) -> None:
    found = read_adapter(trained[0], "judge.adapter")
    engine = TransformersEngine(
        TransformersConfig(device="cpu", dtype="float32"), str(tiny_generator), None, False, 0, [found]
    )

    async def shares(name: str | None) -> list[float]:
        one = label(21)
        request = Request(
            id="0/label", messages=one.messages, grammar=choice(KINDS), adapter=name,
            sampling=Sampling(temperature=0.0, max_tokens=1, logprobs=5),
        )  # fmt: skip
        first = (await engine.complete(request)).logprobs[0]
        return [math.exp(first[token]) for token in sorted(first)]

    try:
        plain, adapted, plain_again = [await shares(name) for name in (None, found.name, None)]
    finally:
        await engine.aclose()
    assert plain == pytest.approx(plain_again)
    assert max(adapted) > 0.9
    assert adapted != pytest.approx(plain, abs=0.05)


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.name: cannot load"):
        adapter.train(CONFIG, "judge", str(tmp_path), TRAINED, [], tmp_path / "a", 0, lambda _: None)
