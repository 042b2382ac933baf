"""Two people answer at once, each on a page of a process of their own, into one ledger."""

import asyncio
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import forks
import pytest
from forks import SYNTHGEN

from synthgen.cli import dispatch
from synthgen.records import PersonAnswer


async def answered(name: str, label: str) -> int:
    """Serve the page of a person, give `label` to every sample, and return how many there were."""
    command = [*SYNTHGEN, "review", "run", "--annotator", name, "--web"]
    process = await forks.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    url = ""
    while not url:
        line = (await process.stdout.readline()).decode()
        assert line, "the page did not start"
        url = next(iter(re.findall(r"http://127\.0\.0\.1:\d+/\?token=\S+", line)), "")
    base, given = f"http://{urlsplit(url).netloc}", 0
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        await browser.get(url)
        async with browser.get(f"{base}/api/question") as response:
            state = await response.json()
        while state["question"]:
            body = {"id": state["question"]["id"], "do": "answer", "answer": label}
            async with browser.post(f"{base}/api/answer", json=body) as response:
                assert response.status == 200, await response.text()
                state = await response.json()
            given += 1
        await browser.post(f"{base}/api/done", json={})
    await process.communicate()
    assert process.returncode == 0
    return given


@pytest.mark.slow
async def test_two_people_answer_at_once_and_no_answer_is_lost(
    make_run: Callable[..., Path], answers_of: Callable[[Path], list[PersonAnswer]]
) -> None:
    run = make_run(40)
    assert dispatch(["review", "run", "--sample", "random", "--count", "40", "--annotators", "anna,ben"]) == 0
    assert await asyncio.gather(answered("anna", "sport"), answered("ben", "world")) == [40, 40]
    given = {(one.sample_id, one.annotator): one.answer for one in answers_of(run)}
    assert len(given) == 80
    assert {(name, answer) for (_, name), answer in given.items()} == {("anna", "sport"), ("ben", "world")}
