"""Engines are told apart by what they declare: outside engines/ nothing asks for an engine's type."""

import ast
import asyncio
from pathlib import Path

import pytest

import synthgen
from synthgen.engines.base import Capabilities, EngineContext, LearnedLimits, ModelConfig
from synthgen.engines.http.dialect import DialectConfig
from synthgen.engines.kinds import ENGINES
from synthgen.records import Message, Request

PACKAGE = Path(synthgen.__file__).parent
ENDPOINT = {"urls": ["http://127.0.0.1:1/v1"], "model": "m"}
NEEDS = {"openai": ENDPOINT, "openai_batch": ENDPOINT}


def asked_types(source: str) -> set[str]:
    """Return the names that `isinstance`, `issubclass` and class patterns ask for and that come from engines/."""
    tree = ast.parse(source)
    of_engines = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("synthgen.engines")
        for alias in node.names
    }
    asked: list[ast.AST] = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            asked += node.args[1:]
        elif isinstance(node, ast.MatchClass):
            asked.append(node.cls)
    names = {part.id for tree in asked for part in ast.walk(tree) if isinstance(part, ast.Name)}
    return names & of_engines


def test_the_search_finds_each_way_of_asking_for_a_type() -> None:
    imports = "from synthgen.engines.fake.replay import ReplayConfig\n"
    assert asked_types(imports + "isinstance(engine, str | ReplayConfig)") == {"ReplayConfig"}
    assert asked_types(imports + "match engine:\n  case ReplayConfig(): pass") == {"ReplayConfig"}
    assert asked_types(imports + "isinstance(engine, str)") == set()


@pytest.mark.slow
def test_nothing_outside_engines_asks_for_an_engines_type() -> None:
    sources = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "engines"]
    assert len(sources) > 100
    found = {str(path.relative_to(PACKAGE)): asked_types(path.read_text()) for path in sources}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("kind", ENGINES)
def test_every_engine_declares_itself(kind: str) -> None:
    cfg = ENGINES[kind](**NEEDS.get(kind, {}))
    assert cfg.kind == kind
    assert isinstance(cfg.capabilities, Capabilities)
    assert cfg.capabilities.in_flight >= 1
    assert cfg.info("a-model").keys() == {"name", "version", "model"}
    assert cfg.info("a-model")["name"] == kind
    assert (cfg.info("a-model")["model"] == "a-model") == cfg.capabilities.loads_model


def test_what_an_engine_can_do_follows_its_config() -> None:
    assert ENGINES["replay"](restarts_per_hour=2).capabilities.restarts_per_hour == 2
    assert ENGINES["vllm"](backend="xgrammar").capabilities.grammar_backend == "xgrammar"
    other = ENGINES["openai"](**NEEDS["openai"], dialect=DialectConfig(preset="ollama"))
    assert not other.capabilities.bars_words
    for url, leaves in (("http://10.0.0.1/v1", True), ("http://localhost:8000/v1", False), ("http://[::1]/v1", False)):
        assert ENGINES["openai"](urls=[url], model="a").capabilities.leaves_cores == leaves


def test_a_config_starts_its_engine(tmp_path: Path) -> None:
    async def answer() -> str:
        context = EngineContext(ModelConfig(), 0, [], [], tmp_path, LearnedLimits(), print, print)
        engine = await ENGINES["replay"]().start(context)
        return (await engine.complete(Request(id="0/generate", messages=(Message(role="user", content="Hi"),)))).text

    assert asyncio.run(answer())
