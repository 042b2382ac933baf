"""The page for labelling: who may open it, and what it does."""

import asyncio
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import forks
import pytest
from forks import SYNTHGEN

from synthgen.records import PersonAnswer

Make = Callable[..., Path]
Answers = Callable[[Path], list[PersonAnswer]]
COMMAND = [*SYNTHGEN, "label", "run", "--web"]
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e{{7*7}}"


class Served:
    """`synthgen label --web` and a browser without a face."""

    def __init__(self, process: "asyncio.subprocess.Process", url: str, browser: aiohttp.ClientSession) -> None:
        self.process, self.url, self.browser = process, url, browser
        self.base = "http://" + urlsplit(url).netloc

    async def state(self) -> dict:
        async with self.browser.get(f"{self.base}/api/question") as response:
            assert response.status == 200
            return await response.json()

    async def do(self, what: str, status: int = 200, **more: object) -> dict:
        state = await self.state()
        body = {"id": state["question"] and state["question"]["id"], "do": what, **more}
        async with self.browser.post(f"{self.base}/api/answer", json=body) as response:
            assert response.status == status, await response.text()
            return await response.json()


async def serve(*arguments: str) -> tuple["asyncio.subprocess.Process", str]:
    process = await forks.create_subprocess_exec(*COMMAND, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    while line := await asyncio.wait_for(process.stdout.readline(), 60):
        if match := re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line.decode()):
            return process, match.group()
    raise AssertionError((await process.communicate())[1].decode())


@pytest.fixture
async def served(make_run: Make) -> AsyncIterator[Served]:
    make_run([HOSTILE, *(f"item {number}" for number in range(5))])
    process, url = await serve("--count", "4")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        yield Served(process, url, browser)
    if process.returncode is None:
        process.kill()
        await process.wait()


@pytest.mark.slow
async def test_the_sign_in_link_works_once_and_sets_a_strict_cookie(served: Served) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as stranger:
        for path in ("/", "/api/question", "/?token=", "/?token=wrong"):
            async with stranger.get(served.base + path) as response:
                assert response.status == 403, path
        async with stranger.post(f"{served.base}/api/answer", json={"do": "undo"}) as response:
            assert response.status == 403
        async with served.browser.get(served.url, allow_redirects=False) as response:
            assert response.status == 303 and response.headers["Location"] == "/"
            cookie = response.headers["Set-Cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
            token = urlsplit(served.url).query.partition("=")[2]
            assert token not in cookie
        for someone in (stranger, served.browser):
            async with someone.get(served.url, allow_redirects=False) as response:
                assert response.status == 403, "the token is void"
        async with stranger.get(f"{served.base}/api/question", cookies={"synthgen_label": "x"}) as response:
            assert response.status == 403


@pytest.mark.slow
async def test_other_hosts_and_other_sites_are_refused(served: Served) -> None:
    for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{urlsplit(served.url).port}"}):
        async with served.browser.get(served.url, headers=headers) as response:
            assert response.status == 403
    await served.browser.get(served.url)  # the refused ones have not used it up
    state = await served.state()
    body = {"id": state["question"]["id"], "do": "not"}
    async with served.browser.post(
        f"{served.base}/api/answer", json=body, headers={"Origin": "http://evil.example"}
    ) as response:
        assert response.status == 403
    async with served.browser.post(f"{served.base}/api/answer", data='{"do": "undo"}') as response:
        assert response.status == 403, "a form of another site can send text, not JSON"
    assert (await served.state())["given"] == 0


@pytest.mark.slow
async def test_the_page_runs_its_own_script_alone_and_shows_texts_as_text(served: Served) -> None:
    async with served.browser.get(served.url) as response:
        page, policy = await response.text(), response.headers["Content-Security-Policy"]
        assert response.headers["Cache-Control"] == "no-store"
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', page))
    assert "default-src 'none'" in policy and f"script-src 'nonce-{nonce}'" in policy
    assert "http" not in re.sub(r"<!doctype html>", "", page), "nothing is loaded from elsewhere"
    assert "innerHTML" not in page
    texts = set()
    for _ in range(4):
        state = await served.do("skip") if texts else await served.state()
        texts.add(state["question"]["fields"][0][1])
    async with served.browser.get(f"{served.base}/") as response:
        again = await response.text()
    assert nonce not in again
    assert not any(re.search("[\x00-\x08\x1b\u202e]", text) for text in texts)


@pytest.mark.slow
async def test_the_page_answers_skips_undoes_and_ends(served: Served, answers_of: Answers, tmp_path: Path) -> None:
    await served.browser.get(served.url)
    state = await served.state()
    assert (state["given"], state["count"], state["annotator"], state["undo"]) == (0, 4, "anna", False)
    assert [one["answer"] for one in state["question"]["labels"]] == ["business", "science", "sport", "world"]
    first = state["question"]["id"]
    state = await served.do("answer", answer="sport")
    folder = tmp_path / "run"
    assert [(a.sample_id, a.answer) for a in answers_of(folder)] == [(first, "sport")]
    async with served.browser.post(
        f"{served.base}/api/answer", json={"id": first, "do": "answer", "answer": "world"}
    ) as response:
        assert response.status == 409, "a key that was hit twice does not answer the next question"
        assert (await response.json())["question"]["id"] == state["question"]["id"]
    await served.do("answer", status=400, answer="no such label")
    await served.do("nonsense", status=400)
    assert (await served.do("undo"))["question"]["id"] == first
    assert answers_of(folder) == []
    await served.do("not")
    await served.do("skip")
    await served.do("answer", answer="world")
    assert [a.answer for a in sorted(answers_of(folder), key=lambda a: a.at)] == [None, "world"]
    async with served.browser.post(f"{served.base}/api/done", json={}) as response:
        assert response.status == 200
    output, errors = await asyncio.wait_for(served.process.communicate(), 60)
    assert served.process.returncode == 0, errors.decode()
    closing = output.decode().splitlines()
    assert "2 answers of anna, 1 skipped; in the ledger of run" in closing
    assert closing[-1] == "synthgen label run --count 2 --web"


@pytest.mark.slow
async def test_ctrl_c_ends_the_page_with_exit_code_5(served: Served) -> None:
    await served.browser.get(served.url)
    await served.do("answer", answer="sport")
    served.process.send_signal(signal.SIGINT)
    output, _ = await asyncio.wait_for(served.process.communicate(), 60)
    assert served.process.returncode == 5
    assert output.decode().splitlines()[-1] == "synthgen label run --count 3 --web"


@pytest.mark.slow
async def test_a_port_can_be_chosen_and_one_that_is_taken_is_named(served: Served) -> None:
    port = str(urlsplit(served.url).port)
    done = await forks.create_subprocess_exec(*COMMAND, "--port", port, stderr=subprocess.PIPE)
    _, errors = await asyncio.wait_for(done.communicate(), 60)
    assert done.returncode == 2
    assert f"--port {port}: cannot be used" in errors.decode()
