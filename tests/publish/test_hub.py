"""`push --to hf:` publishes everything in one commit or nothing, whatever happens on the way."""

import json
import random
import shutil
from pathlib import Path

import pytest
from stand_in import PART, TOKEN, StandInHub

from synthgen.cli import dispatch
from synthgen.errors import UserError
from synthgen.ledger import durable
from synthgen.publish import hub as hub_client
from synthgen.publish.upload import Upload
from synthgen.versions.facts import of_run

PUSH = ["--to", "hf:me/news", "--yes"]
DATASET, MODEL = "datasets/me/news", "models/me/news"


def push(run: Path, *words: str) -> int:
    return dispatch(["push", str(run), *PUSH, *words])


def test_without_yes_everything_is_shown_and_nothing_is_sent(
    run: Path, hub: StandInHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["push", str(run), "--to", "hf:me/news", "--what", "both"]) == 0
    said = capsys.readouterr().out
    assert f"dataset -> {hub.url}/datasets/me/news (private)" in said
    for name in ("train.jsonl", "README.md", "croissant.json", "model.safetensors"):
        assert f" bytes  {name}\n" in said
    assert said.endswith("Nothing was sent. To publish it, add --yes\n")
    assert hub.calls.total() == 0


def test_a_dataset_is_one_private_commit_with_every_file(
    run: Path, hub: StandInHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(run, "--license", "cc-by-4.0") == 0
    made = hub.repositories[DATASET]
    assert made.private
    assert len(made.commits) == 2
    listed = {*json.loads(made.files["manifest.json"]), "manifest.json", ".gitattributes"}
    assert set(made.files) == listed
    assert "croissant.json" in listed
    assert made.files["train.jsonl"] == (run / "dataset" / "train.jsonl").read_bytes()
    assert b"\nlicense: cc-by-4.0\n" in made.files["README.md"]
    assert "commit " in capsys.readouterr().out


def test_both_are_two_repositories_and_public_on_request(run: Path, hub: StandInHub) -> None:
    assert push(run, "--what", "both", "--public") == 0
    assert [hub.repositories[key].private for key in (DATASET, MODEL)] == [False, False]
    card = hub.repositories[MODEL].files["README.md"].decode()
    assert "base_model" not in card  # the hub refuses a name that it does not know
    assert hub.repositories[MODEL].files["model.safetensors"] == (run / "student" / "model.safetensors").read_bytes()


def test_the_same_content_again_sends_nothing(run: Path, hub: StandInHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert push(run) == push(run) == 0
    assert "has these files already; nothing was sent" in capsys.readouterr().out
    assert len(hub.repositories[DATASET].commits) == 2
    assert hub.calls["commit"] == 1


def test_another_format_takes_the_place_of_the_first(run: Path, hub: StandInHub) -> None:
    assert push(run) == push(run, "--format", "csv") == 0
    names = set(hub.repositories[DATASET].files)
    assert {"train.csv", ".gitattributes"} < names
    assert "train.jsonl" not in names


STEPS = ["create", "info", "validate", "preupload", "batch", "upload", "commit"]
FILES: dict[str, bytes | Path] = {
    "README.md": b"---\nlicense: mit\n---\n",
    "train.jsonl": b'{"a": 1}\n',
    "more.jsonl": b"{}\n",
}
PARCEL = Upload("dataset", "news", FILES, "mit")


def send(server: StandInHub) -> str:
    made = hub_client.push(hub_client.Hub(server.url, TOKEN, first_wait=0.0), "me/news", PARCEL, False, lambda _: None)
    assert made.revision == server.repositories[DATASET].head
    return made.line


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "fault", ["lost", "unanswered", pytest.param(503, marks=[pytest.mark.slow, pytest.mark.thorough])]
)
def test_a_fault_at_any_step_is_repeated_to_one_commit(step: str, fault: int | str, hub: StandInHub) -> None:
    hub.faults[step] = [fault]
    assert "commit " in send(hub)
    made = hub.repositories[DATASET]
    assert [title for _, title in made.commits] == ["initial commit", f"synthgen push {PARCEL.hash[:16]}"]
    assert {name: made.files[name] for name in FILES} == FILES


@pytest.mark.parametrize("step", STEPS)
def test_a_connection_that_stays_dead_publishes_nothing_and_the_command_continues(step: str, hub: StandInHub) -> None:
    hub.faults[step] = ["lost"] * 1000
    with pytest.raises(
        UserError, match="has all of it or nothing; repeat the command, which sends only what is missing"
    ):
        send(hub)
    made = hub.repositories.get(DATASET)
    assert made is None or set(made.files) == {".gitattributes"}
    uploaded = len(hub.objects)
    hub.faults.clear()
    hub.calls.clear()
    send(hub)
    assert len(hub.repositories[DATASET].commits) == 2
    assert hub.calls["upload"] == len(hub.objects) - uploaded


def test_what_was_uploaded_before_a_fault_is_not_sent_again(hub: StandInHub) -> None:
    hub.faults["upload"] = [0, 400]
    with pytest.raises(UserError, match="HTTP 400"):
        send(hub)
    assert len(hub.objects) == 1
    send(hub)
    assert hub.calls["upload"] == 3


@pytest.mark.slow
def test_a_large_model_goes_up_in_parts_and_a_dead_connection_publishes_none_of_it(run: Path, hub: StandInHub) -> None:
    student = run / "student"
    weights = random.Random(0).randbytes(2 * PART + 1000)
    (student / "model.safetensors").write_bytes(weights)
    (student / "metrics.json").unlink()
    listed = durable.manifest(student, without=("README.md",))
    (student / "metrics.json").write_text(json.dumps({"task": "news_topic", "files": listed}))
    hub.faults["part"] = [0, *["lost"] * 1000]
    assert push(run, "--what", "student") == 2
    assert set(hub.repositories[MODEL].files) == {".gitattributes"} and not (run / "published.jsonl").exists()
    hub.faults = {"part": [0, 503]}
    assert push(run, "--what", "student") == 0
    made = hub.repositories[MODEL]
    assert made.private and made.files["model.safetensors"] == weights
    hub.calls.clear()
    hub.faults = {}
    assert push(run, "--what", "student", "--license", "mit") == 0
    assert hub.calls["part"] == 0, "the hub has the weights already"
    kept = [json.loads(line) for line in (run / "published.jsonl").read_text().splitlines()]
    assert [(one["kind"], one["to"], one["revision"]) for one in kept] == [
        ("student", "hf:me/news", oid) for oid, _ in made.commits[1:]]  # fmt: skip
    [told] = of_run(run)["published"]
    assert told["revision"] == made.head, "a version tells the newest one"


def test_a_second_writer_is_not_overwritten(run: Path, hub: StandInHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert push(run) == 0
    made = hub.repositories[DATASET]
    before = dict(made.files)
    hub.before["commit"] = lambda: made.commits.append(("f" * 40, "theirs"))
    assert push(run, "--license", "mit") == 2
    assert "somebody else changed it during the upload; repeat the command" in capsys.readouterr().err
    assert made.files == before


def test_a_public_repository_is_not_filled_by_accident(
    run: Path, hub: StandInHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(run, "--public") == 0
    assert push(run, "--license", "mit") == 2
    assert "hf:me/news: this dataset is public already; add --public to publish there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "words"), [(401, "HF_TOKEN is not accepted"), (403, "HF_TOKEN may not write to me"), (400, "fault 400")]
)
def test_a_refusal_is_not_repeated(
    status: int, words: str, run: Path, hub: StandInHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.faults["create"] = [status] * 10
    assert push(run) == 2
    assert words in capsys.readouterr().err
    assert hub.calls["create"] == 1


def test_the_token_comes_from_the_environment_and_is_shown_nowhere(
    run: Path, hub: StandInHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert push(run) == 2
    assert (
        f"HF_TOKEN is not set; create a token with write access at {hub.url}/settings/tokens" in capsys.readouterr().err
    )
    monkeypatch.setenv("HF_TOKEN", "hf_wrongwrongwrongwrong9999")
    assert push(run) == 2
    said = capsys.readouterr()
    assert "HF_TOKEN is not accepted" in said.err
    assert "wrongwrong" not in said.err + said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "hf:news"], "--to: 'hf:news' names no repository; write hf:OWNER/NAME"),
        (["--to", "news"], "--to: 'news' is no target; write hf:OWNER/NAME, or an address such as s3://BUCKET/PATH"),
        (["--to", "s3://bucket/x"], "s3:// needs the package s3fs; install it with: pip install s3fs"),
        (["--to", "hf:me/news", "--allow", "mail"], "--allow: 'mail' is not one of email, phone"),
        (["--to", "hf:me/news", "--license", "Mine!"], "--license: 'Mine!' is no licence name of the hub"),
        (["--to", "memory://x", "--public"], "--public is for the hub"),
    ],
)
def test_misuse_is_one_message(words: list[str], message: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["push", str(run), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_student_that_was_changed_is_refused(run: Path, hub: StandInHub, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "student" / "config.json").write_text("{}")
    assert push(run, "--what", "student") == 2
    assert "its files changed after the training" in capsys.readouterr().err
    shutil.rmtree(run / "student")
    assert push(run, "--what", "student") == 2
    assert f"train one with: synthgen resume {run} student=auto" in capsys.readouterr().err, "the run has student=none"


def test_a_folder_that_synthgen_did_not_make_is_published_as_it_is(
    tmp_path: Path, hub: StandInHub, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.csv").write_text("text,label\nGood,1\n")
    (folder / "budget").mkdir()
    for name in (".hidden", "removed.jsonl", "flagged.jsonl", "report.html", "budget/quotas.yaml"):
        (folder / name).touch()
    assert push(folder, "--license", "mit") == 0
    files = hub.repositories[DATASET].files
    assert set(files) == {".gitattributes", "train.csv", "README.md", "croissant.json"}
    assert files["README.md"] == b"---\nlicense: mit\n---\n# mine\n"
    (folder / "train.csv").unlink()
    assert push(folder) == 2
    assert f"{folder}: no files in it; name a folder with a dataset" in capsys.readouterr().err
    assert push(folder, "--what", "student") == 2
    assert "is no run folder, so that it has a dataset only" in capsys.readouterr().err


def test_an_export_is_published_with_checksums_of_what_was_sent(run: Path, hub: StandInHub) -> None:
    assert dispatch(["export", str(run), "--format", "alpaca"]) == 0
    assert push(run / "dataset-alpaca", "--license", "mit") == 0
    files = hub.repositories[DATASET].files
    assert b"\nlicense: mit\n" in files["README.md"]
    listed = json.loads(files["manifest.json"])
    assert {name: entry["bytes"] for name, entry in listed.items()} == {
        name: len(data) for name, data in files.items() if name not in (".gitattributes", "manifest.json")
    }
