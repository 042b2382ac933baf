"""Tokens are planted wherever a run can meet them, and none of them may be found again."""

import asyncio
import json
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import forks
import pytest
from aiohttp import web

from synthgen.cli import dispatch
from synthgen.run import lifecycle as run

PLANTED = {
    "OPENAI_API_KEY": "correct-horse-battery-staple",
    "HF_TOKEN": "hf_" + "pLaNtEd" * 5,
    "DB_PASSWORD": "s3cret/with+odd=chars&more",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
WORDS = [
    f"{a}{b}{c}" for a in ("bor", "kim", "tal", "ven") for b in ("a", "e", "o") for c in ("dan", "lis", "mur", "pek")
]


class Echo:
    """An endpoint that repeats the caller's headers, and other people's secrets, in all that it says."""

    def __init__(self, refuse_all: bool) -> None:
        self._refuse_all = refuse_all
        self._asked = 0

    async def chat(self, request: web.Request) -> web.Response:
        self._asked += 1
        body = await request.json()
        gossip = f"{dict(request.headers)} {' '.join(PLANTED.values())}"
        if self._refuse_all:
            return web.json_response({"error": gossip}, status=401)
        if self._asked in (3, 6):
            return web.Response(text=f"{'x' * 280} {gossip}", status=500)
        if self._asked % 7 == 5:
            return web.json_response({"error": gossip}, status=400)
        words = " ".join(random.Random(self._asked).sample(WORDS, 6))
        item = {"text": f"The {words} said: {request.headers['Authorization']}"}
        choice = {"message": {"role": "assistant", "content": json.dumps(item)}, "finish_reason": "stop"}
        return web.json_response({"model": body["model"], "choices": [choice], "usage": {}})


@pytest.fixture
def echo(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an Echo that is served by a thread."""
    loop, ready, address = asyncio.new_event_loop(), threading.Event(), []

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", Echo(request.param).chat)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        ready.set()

    def work() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield address[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def synthgen(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code, and standard output and error together, of the real command line with the tokens about it."""
    done = forks.run(
        [*forks.SYNTHGEN, *words],
        cwd=folder,
        env={**os.environ, **PLANTED},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def assert_clean(folder: Path, said: str) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for name, token in PLANTED.items():
        for spelling in {token, json.dumps(token)[1:-1]}:
            assert spelling not in said, f"{name} was printed"
            for path in files:
                assert spelling.encode() not in path.read_bytes(), f"{name} stands in {path.relative_to(folder)}"


@pytest.mark.slow
def test_a_run_on_the_replay_engine_writes_no_secret(tmp_path: Path) -> None:
    code, said = synthgen(tmp_path, "run", "experiment=smoke", "run.dir=out", "budget.target=5", "engine.failing=0.3")
    assert code == 0
    assert_clean(tmp_path, said)


@pytest.mark.parametrize("echo", [False], indirect=True)
@pytest.mark.slow
def test_secrets_that_an_endpoint_echoes_are_not_written(echo: str, tmp_path: Path) -> None:
    settings = ["experiment=smoke", "engine=openai", f"engine.urls=[{echo}]", "engine.model=m", "judge=none"]
    code, said = synthgen(tmp_path, "run", "run.dir=out", "budget.target=12", "engine.in_flight=2", *settings)
    assert code == 0, said
    texts = [json.loads(line)["text"] for line in (tmp_path / "out/dataset/train.jsonl").read_text().splitlines()]
    assert any("Bearer ***" in text for text in texts)  # it was there to be found
    for verb in (["report"], ["export"], ["export", "--format", "csv"]):
        more = synthgen(tmp_path, verb[0], "out", *verb[1:])
        assert more[0] == 0
        said += more[1]
    assert_clean(tmp_path, said)


@pytest.mark.parametrize("echo", [True], indirect=True)
@pytest.mark.slow
def test_secrets_in_an_endpoints_refusal_are_masked(echo: str, tmp_path: Path) -> None:
    settings = ["experiment=smoke", "engine=openai", f"engine.urls=[{echo}]", "engine.model=m", "judge=none"]
    code, said = synthgen(tmp_path, "run", "run.dir=out", "engine.patience=1", *settings)
    assert code == 4
    assert "answered 401" in said
    assert "***" in said
    assert_clean(tmp_path, said)


def test_the_traceback_of_a_bug_is_masked_and_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(*_: object) -> int:
        raise RuntimeError(f"no luck with {' '.join(PLANTED.values())}\x1b[2J")

    for name, token in PLANTED.items():
        monkeypatch.setenv(name, token)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "start", start)
    assert dispatch(["run", "experiment=smoke"]) == 1
    said = capsys.readouterr().err
    assert "RuntimeError: no luck with *** *** *** ***" in said
    assert "in start" in said
    assert "\x1b" not in said
    assert not any(token in said for token in PLANTED.values())
