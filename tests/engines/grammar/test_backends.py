"""Test which structured-output backend a run's grammars get, and whether the libraries do what the table says of them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from synthgen.engines.grammar.backends import FEATURES, asked_for, choose, server_options
from synthgen.engines.grammar.schema import choice, regex_of, vocabulary
from synthgen.errors import ConfigError
from synthgen.records import Grammar, Json

PLAIN = Grammar(kind="json_schema", spec={"type": "object", "properties": {"x": {"type": "string", "maxLength": 9}}})
CFG = Grammar(kind="cfg", spec='start: "(" start ")" | "x"')


def one_field(**schema: Any) -> Grammar:
    return Grammar(kind="json_schema", spec={"type": "object", "properties": {"x": schema}, "required": ["x"]})


INT: Json = {"type": "integer"}
TWO_INTS: Json = {"type": "object", "properties": {"a": INT, "b": INT}, "additionalProperties": False}
# A schema for each line of the table, in its order: what it accepts, and what only those accept that do not keep it.
PROBES: list[tuple[Json, Any, Any]] = [
    ({"type": "string", "maxLength": 9}, 'say "no"\n', "0123456789"),
    ({"type": "integer", "minimum": 3}, 5, 2),
    ({"type": "integer", "multipleOf": 5}, 10, 11),
    ({"type": "string", "pattern": "^[a-c]+$", "maxLength": 3}, "abc", "xyz"),
    ({**TWO_INTS, "maxProperties": 1}, {"a": 1}, {"a": 1, "b": 1}),
    ({**TWO_INTS, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1}, {}),
    ({"allOf": [INT, {"minimum": 3}]}, 5, 2),
    ({"type": "object", "patternProperties": {"^x": INT}, "additionalProperties": False}, {"x1": 1}, {"y": 1}),
    ({"type": "array", "items": [{"type": "string"}]}, ["a"], [1]),
    ({"type": "string", "format": "idn-email"}, "a@b.co", "x y"),
    ({"type": "string", "format": "uri-reference"}, "/x", "x y"),
    ({"type": "string", "format": "ipv4"}, "1.2.3.4", "1.2.3"),
    ({"type": "array", "items": INT, "uniqueItems": True}, [1, 2], [1, 1]),
    ({"type": "array", "items": INT, "contains": {"const": 5}}, [1, 5], [1, 1]),
    ({"type": "object", "additionalProperties": INT, "propertyNames": {"maxLength": 1}}, {"a": 1}, {"xx": 1}),
    ({**TWO_INTS, "dependentRequired": {"a": ["b"]}}, {"a": 1, "b": 1}, {"a": 1}),
    ({**TWO_INTS, "dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1, "b": 1}, {"a": 1}),
    ({**TWO_INTS, "if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1, "b": 1}, {"a": 1}),
    ({"not": {"type": "string"}}, 1, "a"),
]


# -- what the libraries do ----------------------------------------------------------------------------


def by_outlines(grammar: Grammar, text: str) -> bool:
    from outlines_core import Guide, Index

    guide = Guide(Index(regex_of(grammar.kind, grammar.spec), vocabulary(None)))
    for byte in text.encode():
        if byte not in guide.get_tokens():
            return False
        guide.advance(byte)
    return bool(guide.is_finished())


def by_xgrammar(grammar: Grammar, text: str) -> bool:
    import xgrammar

    known = xgrammar.TokenizerInfo([bytes([byte]) for byte in range(256)] + [b"</s>"], stop_token_ids=[256])
    compiler = xgrammar.GrammarCompiler(known)
    match grammar.kind:
        case "json_schema":
            compiled = compiler.compile_json_schema(json.dumps(grammar.spec), any_whitespace=False)
        case "cfg":
            compiled = compiler.compile_lark(grammar.spec)
        case "regex":
            compiled = compiler.compile_regex(grammar.spec)
        case "choice":
            compiled = compiler.compile_grammar("root ::= " + " | ".join(map(json.dumps, grammar.spec)))
    matcher = xgrammar.GrammarMatcher(compiled, terminate_without_stop_token=False)
    return bool(matcher.accept_string(text) and matcher.accept_token(256))


def by_guidance(grammar: Grammar, text: str) -> bool:
    from llguidance import LLMatcher, LLTokenizer, grammar_from

    known = LLTokenizer("byte")
    match grammar.kind:
        case "json_schema":
            defaults = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
            compiled = LLMatcher.grammar_from_json_schema(grammar.spec, defaults=defaults)
        case kind:
            spec = json.dumps(grammar.spec) if kind == "choice" else str(grammar.spec)
            compiled = grammar_from("grammar" if kind == "cfg" else kind, spec)
    if wrong := LLMatcher.validate_grammar(compiled, known):
        raise ValueError(wrong)
    matcher = LLMatcher(known, compiled, log_level=0)
    return bool(matcher.consume_tokens(list(text.encode())) and matcher.is_accepting())


ACCEPTS: dict[str, Callable[[Grammar, str], bool]] = {
    "outlines": by_outlines,
    "xgrammar": by_xgrammar,
    "guidance": by_guidance,
}


@pytest.fixture(params=list(ACCEPTS))
def backend(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    pytest.importorskip({"outlines": "outlines_core", "guidance": "llguidance"}.get(name, name))
    return name


@pytest.mark.slow
def test_the_table_says_what_each_library_does(backend: str) -> None:
    accepts = ACCEPTS[backend]
    for feature, (schema, good, bad) in zip(FEATURES, PROBES, strict=True):
        assert feature.asked(schema), feature.name
        grammar = Grammar(kind="json_schema", spec=schema)
        match feature.by(backend):
            case "kept":
                assert accepts(grammar, json.dumps(good)), feature.name
                assert not accepts(grammar, json.dumps(bad)), feature.name
            case "loose":
                assert accepts(grammar, json.dumps(bad)), feature.name
            case "narrow":
                assert not accepts(grammar, json.dumps(good)), feature.name
            case "refused" if backend != "xgrammar":  # there vLLM refuses, before the library is asked
                with pytest.raises(ValueError):
                    accepts(grammar, json.dumps(good))


@pytest.mark.slow
def test_vllm_refuses_xgrammar_what_the_table_says_and_nothing_else() -> None:
    vllm = pytest.importorskip("vllm.v1.structured_output.backend_xgrammar")
    for feature, (schema, _, _) in zip(FEATURES, PROBES, strict=True):
        if vllm.has_xgrammar_unsupported_json_features(schema):
            assert feature.xgrammar == "refused", feature.name


@pytest.mark.parametrize(
    ("grammar", "text"),
    [(CFG, "((x))"), (choice(["sport", "sports news"]), "sports news"), (Grammar(kind="regex", spec="a(xb)?"), "axb")],
)
def test_a_backend_that_the_table_gives_a_grammar_without_a_schema_can_write_it(
    backend: str, grammar: Grammar, text: str
) -> None:
    ((_, feature),) = asked_for(grammar)
    if feature.by(backend) == "kept":
        assert ACCEPTS[backend](grammar, text)
    elif grammar.kind != "cfg":
        assert not ACCEPTS[backend](grammar, text)


# -- which one is chosen ------------------------------------------------------------------------------


def test_the_backend_that_is_wanted_is_taken_where_it_keeps_everything() -> None:
    for wanted in ACCEPTS:
        chosen = choose(wanted, [one_field(enum=["a", "b"]), choice(["1", "2"])])
        assert (chosen.backend, chosen.why) == (wanted, "")


def test_a_bounded_string_does_not_go_to_xgrammar_which_forbids_quotes_in_it() -> None:
    chosen = choose("xgrammar", [PLAIN])
    assert chosen.backend == "guidance"
    assert "a quotation mark or line break in a text of bounded length (task.schema.properties.x)" in chosen.why


def test_a_context_free_grammar_gets_a_backend_that_can_and_a_line_that_says_so() -> None:
    chosen = choose("outlines", [CFG, choice(["1", "2"])])
    assert chosen.backend == "guidance"
    assert chosen.why == (
        "structured outputs by guidance instead of outlines, which cannot enforce a context-free grammar (the grammar)"
    )
    assert choose("xgrammar", [CFG]).backend == "xgrammar"


def test_a_schema_keyword_that_the_backend_ignores_selects_a_backend_that_enforces_it() -> None:
    chosen = choose("outlines", [one_field(type="integer", minimum=1, maximum=5)])
    assert chosen.backend == "guidance"
    assert "bounds of a number (task.schema.properties.x)" in chosen.why
    assert choose("xgrammar", [one_field(type="integer", minimum=1)]).backend == "xgrammar"
    assert choose("xgrammar", [one_field(type="string", pattern="a+", maxLength=9)]).backend == "guidance"


def test_labels_of_which_one_begins_another_do_not_go_to_outlines() -> None:
    assert choose("outlines", [choice(["sport", "sports news"])]).backend == "guidance"
    assert choose("outlines", [choice(["sport", "news"])]).backend == "outlines"


def test_a_keyword_that_no_backend_enforces_is_reported_and_checked_on_arrival() -> None:
    chosen = choose("guidance", [one_field(type="array", items={"type": "string"}, uniqueItems=True)])
    assert chosen.backend == "outlines"
    assert chosen.why == (
        "no structured-output backend can enforce all of the schema; outlines leaves out uniqueItems "
        "(task.schema.properties.x), and replies are checked again when they come"
    )


def test_a_schema_that_every_backend_refuses_is_one_error_before_the_start() -> None:
    with pytest.raises(ConfigError) as caught:
        choose("outlines", [one_field(type="string", format="idn-email")])
    words = str(caught.value)
    assert words.startswith(
        "task.schema.properties.x: no structured-output backend accepts this schema: outlines refuses"
    )
    assert "\n" not in words


def test_the_second_choice_is_the_backend_that_enforces_most() -> None:
    assert choose("outlines", [one_field(type="string", format="ipv4")]).backend == "guidance"
    assert choose("outlines", [one_field(type="string", format="uri-reference")]).backend == "xgrammar"


def test_a_property_named_like_a_keyword_is_not_taken_for_the_keyword() -> None:
    spec = {"type": "object", "properties": {"minimum": {"type": "string"}, "x": {"const": {"uniqueItems": True}}}}
    assert list(asked_for(Grammar(kind="json_schema", spec=spec))) == []


def test_no_backend_may_pad_with_white_space() -> None:
    assert server_options("outlines") == {"backend": "outlines"}  # which has one blank at most, and no such option
    assert server_options("xgrammar")["disable_any_whitespace"] is True
    assert server_options("guidance")["disable_any_whitespace"] is True
