"""A review through a real Label Studio server: two people answer 20 samples there, and a third corrects spans.

The server runs from an environment of its own, which `make label-studio` creates, because its pins conflict with ours.
"""

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from synthgen.cli import dispatch
from synthgen.records import PersonAnswer, Sample

PROGRAM = Path(__file__).parents[2] / ".venv-label-studio" / "bin" / "label-studio"
ADMIN, TOKEN, PASSWORD = "anna@example.org", "0123456789abcdef0123456789abcdef01234567", "only-for-this-test"
START_SECONDS = 2400
"""The first start migrates the database: 30 seconds of CPU time, which take long on a busy machine."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.thorough,
    pytest.mark.skipif(not PROGRAM.exists(), reason="needs Label Studio in .venv-label-studio: make label-studio"),
    pytest.mark.timeout(START_SECONDS + 600),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Label Studio server with SQLite, on 127.0.0.1."""
    folder = tmp_path_factory.mktemp("label-studio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    settings = {
        "LATEST_VERSION_CHECK": "0", "COLLECT_ANALYTICS": "0", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "",
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder), "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true", "HOME": str(folder),
    }  # fmt: skip
    command = [
        str(PROGRAM), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port),
        "--data-dir", str(folder), "--username", ADMIN, "--password", PASSWORD, "--user-token", TOKEN,
        "--enable-legacy-api-token",
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} | settings
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
            assert time.monotonic() < deadline, (folder / "server.log").read_text()[-2000:]
            try:
                if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def of_token(url: str, token: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Token {token}"}, timeout=120)


def signed_up(url: str, email: str) -> httpx.Client:
    """A client of a new user, who follows the invitation of the first one."""
    with of_token(url, TOKEN) as admin:
        invitation = admin.get("/api/invite").json()["invite_url"]
    with httpx.Client(base_url=url, follow_redirects=True, timeout=120) as browser:
        path = invitation[invitation.index("/user") :]
        form = re.search(r'csrfmiddlewaretoken" value="([^"]+)', browser.get(path).text)
        assert form is not None
        fields = {"csrfmiddlewaretoken": form[1], "email": email, "password": PASSWORD, "allow_newsletters": "false"}
        browser.post(path, data=fields, headers={"Referer": url + path})
        return of_token(url, browser.get("/api/current-user/token").json()["token"])


def tasks_of(person: httpx.Client, project: int) -> list[dict[str, object]]:
    query = {"project": project, "page_size": 100, "fields": "all"}
    found: list[dict[str, object]] = person.get("/api/tasks", params=query).json()["tasks"]
    return found


def annotate(person: httpx.Client, task: object, result: list[dict[str, object]]) -> None:
    answer = person.post(f"/api/tasks/{task}/annotations/", json={"result": result})
    assert answer.status_code == 201, answer.text


def chosen(name: str, value: str) -> dict[str, object]:
    return {"from_name": name, "to_name": "text_shown", "type": "choices", "value": {"choices": [value]}}


def test_two_people_answer_twenty_samples_in_label_studio(
    server: str, make_run: Callable[..., Path], answers_of: Callable[[Path], list[PersonAnswer]],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    run = make_run(24)
    review = ["review", "run", "--to", "label-studio", "--url", server]
    assert dispatch([*review, "--sample", "random", "--count", "20", "--annotators", "anna,ben"]) == 0
    assert "20 samples pushed to" in capsys.readouterr().out
    assert dispatch(review) == 0
    said = capsys.readouterr().out
    assert "0 samples pushed to" in said
    assert "20 were there already" in said
    project = int(re.findall(r"/projects/(\d+)", said)[0])
    expected: dict[str, list[str | None]] = {}
    with of_token(server, TOKEN) as anna, signed_up(server, "ben@example.org") as ben:
        for person in (anna, ben):
            found = tasks_of(person, project)
            assert len(found) == 20
            for number, task in enumerate(found):
                answer: str | None = ["business", "science", "sport", "world"][number % 4]
                if person is ben and number % 5 == 0:
                    answer = "sport" if answer != "sport" else "world"
                answer = None if number == 3 else answer
                annotate(person, task["id"], [chosen("label", answer or "not a sample")])
                data = task["data"]
                assert isinstance(data, dict)
                expected.setdefault(data["synthgen_id"], []).append(answer)
    assert dispatch(["review", "run", "--from", "label-studio", "--url", server]) == 0
    said = capsys.readouterr().out
    assert "40 answers of anna@example.org, ben@example.org: 40 new in the ledger" in said
    assert "people differ on 4 samples" in said
    given = answers_of(run)
    assert {one.sample_id for one in given} == expected.keys()
    for key, answers in expected.items():
        own = {one.annotator: one.answer for one in given if one.sample_id == key}
        assert [own["anna@example.org"], own["ben@example.org"]] == answers
    assert all(one.guide is not None for one in given)
    assert dispatch(["review", "run", "--from", "label-studio", "--url", server]) == 0
    assert "0 new in the ledger, 40 known already" in capsys.readouterr().out, "pulling twice changes nothing"


def test_spans_and_relations_corrected_in_label_studio_make_new_samples(
    server: str, task_run: Callable[[str], Path], accepted_of: Callable[[Path], list[Sample]],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    run = task_run("relations")
    before = {sample.id: sample for sample in accepted_of(run)}
    review = ["review", run.name, "--sample", "random", "--count", "3", "--annotators", "anna,ben"]
    assert dispatch([*review, "--to", "label-studio", "--url", server]) == 0
    project = int(re.findall(r"/projects/(\d+)", capsys.readouterr().out)[0])
    with of_token(server, TOKEN) as anna:
        good, bad, changed = tasks_of(anna, project)
        for task, verdict in ((good, "good sample"), (bad, "not a sample"), (changed, "good sample")):
            predictions = task["predictions"]
            assert isinstance(predictions, list)
            result = predictions[0]["result"]
            if task is changed:
                result = [one for one in result if one["type"] != "relation"]
            annotate(anna, task["id"], [chosen("verdict", verdict), *result])
    assert dispatch(["review", run.name, "--from", "label-studio", "--url", server]) == 0
    assert "1 correction" in capsys.readouterr().out
    (new,) = [sample for sample in accepted_of(run) if sample.id not in before]
    (parent,) = new.parents
    assert new.data == {**before[parent].data, "relations": []}


def test_a_wrong_token_is_named_without_showing_it(
    server: str, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "f" * 40)
    make_run(6)
    review = [
        "review",
        "run",
        "--sample",
        "random",
        "--annotators",
        "anna,ben",
        "--to",
        "label-studio",
        "--url",
        server,
    ]
    assert dispatch(review) == 2
    said = capsys.readouterr().err
    assert "refuses the token in LABEL_STUDIO_API_KEY" in said
    assert "f" * 40 not in said
