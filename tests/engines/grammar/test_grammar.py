import json
from typing import Any

import pytest

from synthgen.engines import bundled
from synthgen.engines.grammar.schema import (
    bounded,
    choice,
    may_begin,
    preflight,
    regex_of,
    sample_grammar,
    to_outlines,
    to_response_format,
    to_vllm,
    vocabulary,
    whole,
)
from synthgen.errors import ConfigError
from synthgen.records import Grammar, Json
from synthgen.tasks.task import Task

ITEM: Json = {
    "type": "object",
    "properties": {"text": {"type": "string", "minLength": 4}, "label": {"enum": ["a", "b"]}},
    "required": ["text", "label"],
}
SCHEMA = Grammar(kind="json_schema", spec=ITEM)
REGEX = Grammar(kind="regex", spec=r"[a-c]{2}\d")
CHOICE = choice(["sport", "a b", "1.5"])
CFG = Grammar(kind="cfg", spec='start: "yes" | "no"')
CAPS: dict[str, Any] = {"tokenizer": None, "seconds": 120, "gigabytes": 4}


def one_field(**schema: Any) -> Grammar:
    return Grammar(kind="json_schema", spec={"type": "object", "properties": {"x": schema}, "required": ["x"]})


def refusal(grammar: Grammar, **caps: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        preflight([grammar], **(CAPS | caps))
    return str(caught.value)


# -- bounds ------------------------------------------------------------------------------------------


def test_an_open_string_and_an_open_array_are_given_bounds() -> None:
    assert bounded({"type": "string"}, 90) == {"type": "string", "maxLength": 90}
    tags = {"type": "array", "items": {"type": "string"}}
    assert bounded(tags, 90) == {"type": "array", "items": {"type": "string", "maxLength": 90}, "maxItems": 8}


def test_bounds_never_go_below_what_the_schema_asks_for() -> None:
    assert bounded({"type": "string", "minLength": 200}, 90)["maxLength"] == 200
    assert bounded({"type": "array", "minItems": 12}, 90)["maxItems"] == 12


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "maxLength": 5},
        {"type": "string", "enum": ["a"]},
        {"type": "string", "pattern": "[a-z]+"},
        {"type": "string", "format": "date"},
        {"type": "array", "items": {"type": "integer"}, "maxItems": 100},
        {"type": "integer"},
    ],
)
def test_existing_bounds_are_kept(schema: Json) -> None:
    assert bounded(schema, 90) == schema


def test_bounds_reach_nested_schemas_and_leave_the_original_alone() -> None:
    schema = {"type": "object", "properties": {"turns": {"type": "array", "items": {"type": "string"}}}}
    before = json.dumps(schema)
    assert bounded(schema, 50)["properties"]["turns"]["items"]["maxLength"] == 50
    assert json.dumps(schema) == before


def test_bounds_reach_alternatives_and_leave_constants_alone() -> None:
    schema = {"anyOf": [{"type": "string"}, {"type": "null"}], "examples": [{"type": "string"}]}
    assert bounded(schema, 50)["anyOf"] == [{"type": "string", "maxLength": 50}, {"type": "null"}]
    assert bounded({"type": ["string", "null"]}, 50)["maxLength"] == 50
    assert bounded({"const": {"type": "string"}}, 50) == {"const": {"type": "string"}}


def test_backends_are_given_the_same_closed_objects_and_plain_alternatives() -> None:
    inner = {"type": "object", "properties": {"y": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"x": inner}, "additionalProperties": True}
    found = bounded(schema, 50)
    assert found["additionalProperties"] is True
    assert found["properties"]["x"]["additionalProperties"] is False
    assert bounded({"oneOf": [{"type": "integer"}]}, 50) == {"anyOf": [{"type": "integer"}]}


# -- what a reply may be -----------------------------------------------------------------------------


def test_one_sample_is_its_schema_in_the_order_of_its_properties() -> None:
    grammar = sample_grammar(ITEM, items=1, max_tokens=100)
    assert isinstance(grammar.spec, dict)
    assert list(grammar.spec["properties"]) == ["text", "label"]
    assert grammar.spec["properties"]["text"]["maxLength"] == 300


def test_several_samples_are_an_array_of_fixed_length_that_shares_the_token_limit() -> None:
    grammar = sample_grammar(ITEM, items=4, max_tokens=100)
    assert isinstance(grammar.spec, dict)
    array = grammar.spec["properties"]["items"]
    assert (array["minItems"], array["maxItems"]) == (4, 4)
    assert array["items"]["properties"]["text"]["maxLength"] == 75
    assert grammar.spec["required"] == ["items"]
    preflight([grammar], **CAPS)


# -- the same grammar for each engine ----------------------------------------------------------------


def test_vllm_is_told_each_kind_under_its_own_name() -> None:
    assert to_vllm(SCHEMA) == {"json": ITEM}
    assert to_vllm(REGEX) == {"regex": REGEX.spec}
    assert to_vllm(CHOICE) == {"choice": ["sport", "a b", "1.5"]}
    assert to_vllm(CFG) == {"grammar": CFG.spec}
    json.dumps([to_vllm(grammar) for grammar in (SCHEMA, REGEX, CHOICE, CFG)])


def test_other_servers_are_told_a_schema_and_nothing_else() -> None:
    form = to_response_format(SCHEMA)
    assert form is not None
    assert form["json_schema"]["schema"] == ITEM
    assert to_response_format(CHOICE) is None


def test_outlines_is_told_each_kind_as_its_own_type() -> None:
    from outlines import types

    assert isinstance(to_outlines(SCHEMA), types.JsonSchema)
    assert list(json.loads(to_outlines(SCHEMA).schema)["properties"]) == ["text", "label"]
    assert to_outlines(REGEX) == types.Regex(str(REGEX.spec))
    assert to_outlines(CHOICE).items == ["sport", "a b", "1.5"]
    assert to_outlines(CFG) == types.CFG(str(CFG.spec))


@pytest.mark.parametrize(
    "grammar", [SCHEMA, one_field(enum=["é", "日本"]), REGEX, CHOICE, choice(["a|b", "(c)", "d e"])]
)
def test_the_grammar_compiled_before_traffic_is_the_one_that_outlines_compiles(grammar: Grammar) -> None:
    from outlines.types.dsl import to_regex
    from outlines_core import Index

    bytewise = vocabulary(None)
    ours, theirs = (
        Index(regex, bytewise) for regex in (regex_of(grammar.kind, grammar.spec), to_regex(to_outlines(grammar)))
    )
    assert ours.get_transitions() == theirs.get_transitions()


# -- the vocabulary ----------------------------------------------------------------------------------


class SentencePiece:
    """The corner of a Hugging Face tokenizer that `vocabulary` looks at, in Llama's spelling."""

    eos_token_id = 0
    all_special_ids = (0,)
    added_tokens_decoder: dict[int, Any] = {}

    def get_vocab(self) -> dict[str, int]:
        return {"</s>": 0, "a": 1, "▁the": 2, "the": 3, "<0xE6>": 4, "<0x20>": 5, "▁": 6}

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        raw = b"".join(
            bytes([int(t[3:5], 16)]) if t.startswith("<0x") else t.replace("▁", " ").encode() for t in tokens
        )
        return raw.decode("utf-8", "replace").removeprefix(" ")


def test_sentencepiece_spaces_and_byte_tokens_are_spelled_as_bytes() -> None:
    words = vocabulary(SentencePiece())
    assert [words.get(token) for token in (b" the", b"the", b"\xe6", b" ")] == [[2], [3], [4], [5, 6]]
    assert words.get(b"</s>") is None
    assert words.get_eos_token_id() == 0


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(bundled.resolve(bundled.GENERATOR))


def test_special_tokens_are_no_text(tokenizer: Any) -> None:
    words = vocabulary(tokenizer)
    assert words.get(b"<|endoftext|>") is None
    assert words.get(b"<|im_start|>") is None
    assert words.get(b" the") == tokenizer.convert_tokens_to_ids(["Ġthe"])


@pytest.mark.parametrize("label", ["日本", "Ζεύς", "🦄"])
def test_a_label_in_any_script_can_be_written(tokenizer: Any, label: str) -> None:
    from outlines_core import Guide, Index

    guide = Guide(Index(regex_of("choice", (label, "x")), vocabulary(tokenizer)))
    for token in tokenizer.encode(label):
        assert token in guide.get_tokens()
        guide.advance(token)
    assert guide.is_finished()


@pytest.mark.parametrize("options", [("new", "new york"), ("new york", "new"), ("1", "10")])
def test_an_option_that_begins_another_does_not_hide_it(options: tuple[str, ...]) -> None:
    from outlines_core import Guide, Index

    for option in options:
        guide = Guide(Index(whole(regex_of("choice", options)), vocabulary(None)))
        for byte in option.encode():
            assert byte in guide.get_tokens()
            guide.advance(byte)
        assert guide.is_finished()


# -- compiling beforehand ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "library"), [("outlines", "llguidance"), ("xgrammar", "xgrammar"), ("guidance", "llguidance")]
)
@pytest.mark.slow
def test_grammars_of_every_kind_compile_with_the_backend_that_is_used(backend: str, library: str) -> None:
    pytest.importorskip(library)  # comes with vLLM
    preflight([SCHEMA, REGEX, CHOICE, CFG], **CAPS, backend=backend)


def test_a_context_free_grammar_that_cannot_be_read_is_refused() -> None:
    pytest.importorskip("llguidance")
    words = refusal(Grammar(kind="cfg", spec="this is no grammar"))
    assert words.startswith('the grammar: guidance cannot compile the cfg "this is no grammar": ')


def test_a_grammar_that_only_the_backend_in_use_refuses_is_refused() -> None:
    pytest.importorskip("llguidance")
    assert "guidance cannot compile" in refusal(one_field(type="string", format="weird"), backend="guidance")


@pytest.mark.slow
def test_grammars_compile_against_a_models_vocabulary(news_task: Task) -> None:
    grammars = [sample_grammar(news_task.schema, 1, 96), choice(news_task.labels)]
    preflight(grammars, bundled.resolve(bundled.GENERATOR), seconds=300, gigabytes=8)


def test_a_compile_that_takes_too_long_names_the_settings_that_help() -> None:
    words = refusal(one_field(type="string", maxLength=200_000), seconds=0.2)
    assert words.startswith("task.schema: its grammar is not compiled after 0.2 s of processor time")
    assert "maxLength" in words
    assert "engine.grammar_seconds" in words


def test_a_compile_that_a_busy_machine_holds_up_is_not_blamed_on_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "synthgen.engines.grammar.schema._STARTING", -599.99
    )  # 0.01 s by the clock, too few to even start
    words = refusal(CHOICE, seconds=120)
    assert "the machine is busy" in words
    assert "of processor time" in words
    assert "maxLength" not in words


def test_a_compile_that_takes_too_much_memory_names_the_settings_that_help() -> None:
    preflight([CHOICE], None, seconds=120, gigabytes=0.1)
    words = refusal(one_field(type="string", maxLength=200_000), gigabytes=0.1)
    assert words.startswith("task.schema: its grammar is not compiled within 0.1 GB")
    assert "engine.grammar_gigabytes" in words


@pytest.mark.parametrize(
    ("grammar", "said"),
    [
        (one_field(**{"not": {"type": "string"}}), 'Unsupported JSON Schema structure {"not"'),
        (one_field(type="string", format="weird"), "Format weird is not supported"),
        (one_field(type="string", pattern="^(?=a).*$"), "no look-around"),
        (Grammar(kind="regex", spec="(a"), 'the regex "(a"'),
    ],
)
def test_a_grammar_that_outlines_cannot_compile_is_refused_with_the_reason_on_one_line(
    grammar: Grammar, said: str
) -> None:
    words = refusal(grammar)
    where = "task.schema" if grammar.kind == "json_schema" else "the grammar"
    assert words.startswith(f"{where}: outlines cannot compile the {grammar.kind} ")
    assert said in words
    assert "\n" not in words


@pytest.mark.slow
def test_a_model_without_a_tokenizer_is_not_blamed_on_the_schema(tmp_path: Any) -> None:
    assert refusal(CHOICE, tokenizer=str(tmp_path)).startswith(f"model.name: '{tmp_path}' has no tokenizer")


@pytest.mark.parametrize(
    ("grammar", "begins", "does_not"),
    [
        (CHOICE, ("", "s", "sport", "a b", "1.", " sport", "Sport"), ("Hello", "sports", "s port")),
        (choice(["体育", "财经"]), ("体", "\ufffd", "财\ufffd"), ("你",)),
        (SCHEMA, ("", "{", '{"', "\n{"), ("Hello", "```json", '"')),
        (REGEX, ("Hello",), ()),
    ],
    ids=["choice", "chinese", "schema", "regex"],
)
def test_only_tokens_that_may_begin_a_reply_are_allowed_first(
    grammar: Grammar, begins: tuple[str, ...], does_not: tuple[str, ...]
) -> None:
    assert all(may_begin(grammar, text) for text in begins)
    assert not any(may_begin(grammar, text) for text in does_not)
