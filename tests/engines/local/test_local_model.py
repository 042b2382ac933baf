import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from synthgen.engines import bundled
from synthgen.engines.local.model import LocalModel
from synthgen.errors import ConfigError, FatalRequestError
from synthgen.records import Completion, Message, Request, Sampling

# Small and untrained, of two families: a window over the last 16 tokens, and attention to all of them.
FAMILIES = {"mistral": {"sliding_window": 16}, "qwen3": {}}
SIZES = {
    "vocab_size": 49152, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256, "eos_token_id": 2,
}  # fmt: skip


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    made: Path = tmp_path_factory.mktemp(request.param)
    config = AutoConfig.for_model(request.param, **SIZES, **FAMILIES[request.param])
    AutoModelForCausalLM.from_config(config).save_pretrained(made)
    AutoTokenizer.from_pretrained(bundled.resolve(bundled.GENERATOR)).save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> LocalModel:
    return LocalModel(str(folder), None, False, "cpu", "float32", seed=0)


class Program:
    """Touch a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


@pytest.mark.slow
def test_pickled_weights_are_refused_and_not_opened(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "model"
    shutil.copytree(folder, bad)
    (bad / "model.safetensors").unlink()
    (bad / "pytorch_model.bin").write_bytes(pickle.dumps(Program(tmp_path / "ran")))
    with pytest.raises(ConfigError, match=r"cannot load .*model\.safetensors"):
        LocalModel(str(bad), None, False, "cpu", "float32", seed=0)
    assert not (tmp_path / "ran").exists()


def ask(question: str, **sampling: Any) -> Request:
    system = Message(role="system", content="the words that all prompts begin with " * 8)
    chosen = Sampling(**({"temperature": 0, "max_tokens": 12, "logprobs": 3} | sampling))
    return Request(id=question, messages=(system, Message(role="user", content=question)), sampling=chosen)


def answers(model: LocalModel, *requests: Request) -> list[Completion]:
    rows = [model.row(request, lambda: False) for request in requests]
    done = {row: model.completion(row, 0.0) for row in model.generate(rows)}
    return [done[row] for row in rows]


def test_an_unfinished_turn_is_left_open(model: LocalModel) -> None:
    opening = Request(id="0/generate", messages=(Message(role="user", content=""),), sampling=Sampling(max_tokens=8))
    prompts = [
        model._tokenizer.decode(model.row(request, lambda: False).prompt)
        for request in (opening, opening.model_copy(update={"continues": True}))
    ]
    assert prompts[0].endswith("<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n")
    assert prompts[1].endswith("<|im_start|>user\n")


@pytest.mark.slow
def test_a_batch_computes_the_same_as_single_requests(model: LocalModel) -> None:
    requests = [ask("a"), ask("a question much longer than the others are"), ask("b c d", max_tokens=5)]
    alone = [answers(model, request)[0] for request in requests]
    for one, same in zip(alone, answers(model, *requests), strict=True):
        assert same.text == one.text
        for place, expected in zip(same.logprobs, one.logprobs, strict=True):
            assert place == pytest.approx(expected, abs=1e-4)


def test_a_prefix_is_shared_only_where_every_layer_sees_all_of_it(model: LocalModel, folder: Path) -> None:
    _, second = answers(model, ask("a"), ask("b"))
    assert (second.cached_tokens > 32) is ("qwen3" in folder.name)


def test_an_abandoned_row_is_dropped_and_the_others_go_on(model: LocalModel) -> None:
    kept, dropped = model.row(ask("a"), lambda: False), model.row(ask("b"), lambda: True)
    assert list(model.generate([dropped, kept])) == [kept]
    assert len(dropped.tokens) == 1


def test_prompt_and_reply_must_fit_the_context(model: LocalModel) -> None:
    with pytest.raises(FatalRequestError, match="max_tokens=250 exceed the model's context of 256 tokens"):
        model.row(ask("a", max_tokens=250), lambda: False)


def test_words_are_barred_at_the_start_and_after_a_space(model: LocalModel, folder: Path) -> None:
    from transformers import AutoTokenizer

    encode = AutoTokenizer.from_pretrained(folder).encode
    row = model.row(ask("Music?", bad_words=("play the song",)), lambda: False)
    assert row.banned == (tuple(encode("play the song")), tuple(encode(" play the song")))


@pytest.mark.slow
def test_the_chat_template_is_told_that_the_model_should_not_think(folder: Path, tmp_path: Path) -> None:
    hybrid = tmp_path / "model"
    shutil.copytree(folder, hybrid)
    template = "{% for m in messages %}{{ m.content }}{% endfor %}{{ 'a' if enable_thinking else 'b c d' }}"
    (hybrid / "chat_template.jinja").write_text(template)
    lengths = {
        thinking: len(LocalModel(str(hybrid), None, False, "cpu", "float32", 0, None, thinking)._prompt(ask("x")))
        for thinking in (True, False)
    }
    assert lengths[True] != lengths[False]


def test_a_model_without_a_chat_template_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(ConfigError, match="has no chat template"):
        LocalModel(str(tmp_path), None, False, "cpu", "float32", seed=0)


def test_a_system_turn_that_the_template_refuses_is_a_fatal_request(model: LocalModel) -> None:
    tokenizer: Any = model._tokenizer
    before = tokenizer.chat_template
    tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    try:
        with pytest.raises(FatalRequestError, match="System role not supported"):
            model.row(ask("a"), lambda: False)
    finally:
        tokenizer.chat_template = before
