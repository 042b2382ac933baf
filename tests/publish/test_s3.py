"""S3 by its protocol: a server of moto on 127.0.0.1, reached through s3fs, as a target and as a source.

Neither package is among those of the tests. Install them with synthgen: `pip install "moto[s3]" flask flask-cors s3fs`;
`moto[server]` would bring a version of antlr4 that Hydra cannot use.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.cluster.weights import local_weights
from synthgen.errors import InputError
from synthgen.publish import store
from synthgen.publish.upload import Upload
from synthgen.tasks.assets import root

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
moto = pytest.importorskip("moto.server", reason="needs an S3 server: pip install 'moto[s3]' flask flask-cors")
pytest.importorskip("s3fs", reason="needs the package that reaches S3: pip install s3fs")

TARGET = "s3://bucket/news"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    made = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    yield f"http://{host}:{port}"
    made.stop()


@pytest.fixture(autouse=True)
def bucket(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty bucket named `bucket`, as boto3 shows it, and the environment that leads to it."""
    import boto3
    import fsspec

    urllib.request.urlopen(urllib.request.Request(f"{server}/moto-api/reset", method="POST"))
    for name, value in {
        "AWS_ENDPOINT_URL": server, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_MAX_ATTEMPTS": "1",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    client = boto3.client("s3", endpoint_url=server)
    client.create_bucket(Bucket="bucket")
    return client


def check_users_after(server: str, requests: str) -> None:
    """Let the server check the credentials of all requests but the next ones."""
    headers = {"Content-Type": "text/plain"}
    words = urllib.request.Request(f"{server}/moto-api/reset-auth", requests.encode(), headers, method="POST")
    urllib.request.urlopen(words)


def names(bucket: Any) -> list[str]:
    return [each["Key"] for each in bucket.list_objects_v2(Bucket="bucket").get("Contents", [])]


def test_a_run_is_pushed_and_its_versions_are_compared_and_frozen(
    run: Path, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dispatch(["push", str(run), "--to", TARGET, "--what", "both", "--yes"]) == 0
    pointer = json.loads(bucket.get_object(Bucket="bucket", Key="news/dataset/latest.json")["Body"].read())
    assert {f"news/dataset/{pointer['folder']}/{name}" for name in pointer["files"]} < set(names(bucket))
    kept = [json.loads(line) for line in (run / "published.jsonl").read_text().splitlines()]
    assert [(one["kind"], one["to"]) for one in kept] == [("dataset", TARGET), ("student", TARGET)]
    assert kept[0]["revision"] == pointer["folder"]
    assert dispatch(["push", str(run), "--to", TARGET, "--yes"]) == 0
    assert "is the newest version already; nothing was sent" in capsys.readouterr().out
    assert len((run / "published.jsonl").read_text().splitlines()) == 2
    rows = (run / "dataset" / "train.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "less").mkdir()
    (tmp_path / "less" / "train.jsonl").write_text("".join(rows[1:]))
    (tmp_path / "less" / "validation.jsonl").write_bytes((run / "dataset" / "validation.jsonl").read_bytes())
    assert dispatch(["push", "less", "--to", "s3://bucket/less", "--yes"]) == 0
    capsys.readouterr()
    first = f"{TARGET}/dataset/{pointer['folder']}"
    assert dispatch(["diff", first, "s3://bucket/less/dataset", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["removed"], found["added"], found["unchanged"]) == ({"train": 1}, {}, len(rows) - 1 + found["before"]["rows"]["validation"])  # fmt: skip
    assert dispatch(["version", f"{TARGET}/dataset"]) == 0
    assert capsys.readouterr().out.startswith("news@1 ")


def test_seeds_and_weights_are_read_from_a_bucket(bucket: Any, tmp_path: Path) -> None:
    bucket.upload_file(str(root() / "examples" / "news_topic" / "seeds.jsonl"), "bucket", "in/seeds.jsonl")
    words = ["task.seeds=s3://bucket/in/seeds.jsonl", "task.eval=null", "student=none", "judge=none", "diversity=hash"]
    assert (
        dispatch(["run", "task=news_topic", "engine=replay", *words, f"run.dir={tmp_path / 'run'}", "budget.target=4"])
        == 0
    )
    assert "seeds: s3://bucket/in/seeds.jsonl\n" in (tmp_path / "run" / "config.yaml").read_text()
    bucket.put_object(Bucket="bucket", Key="model/config.json", Body=b"{}")
    bucket.put_object(Bucket="bucket", Key="model/parts/one.safetensors", Body=b"weights")
    folder = Path(local_weights("s3://bucket/model"))
    assert (folder / "config.json").read_bytes() == b"{}"
    assert (folder / "parts" / "one.safetensors").read_bytes() == b"weights"
    with pytest.raises(InputError, match=r"s3://bucket/none: no such folder in the store"):
        local_weights("s3://bucket/none")


@pytest.mark.parametrize(
    "words",
    [
        ["push", "RUN", "--to", "s3://nobucket/news", "--yes"],
        ["diff", "s3://nobucket/news/dataset", "RUN/dataset"],
        ["export", "s3://nobucket/rows.jsonl", "--task", "news_topic", "--out", "out"],
    ],
)
def test_a_bucket_that_is_missing_is_named_and_not_made(
    words: list[str], run: Path, bucket: Any, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch([word.replace("RUN", str(run)) for word in words]) == 2
    assert f"there is no bucket 'nobucket' at {server}; create it, or correct the address" in capsys.readouterr().err
    assert [each["Name"] for each in bucket.list_buckets()["Buckets"]] == ["bucket"]


def test_wrong_credentials_are_named_and_not_tried_again(
    run: Path, server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check_users_after(server, "0")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    try:
        for words in (["push", str(run), "--to", TARGET, "--yes"], ["diff", f"{TARGET}/dataset", str(run)]):
            assert dispatch(words) == 2
            said = capsys.readouterr().err
            assert "the store refuses access to 'bucket'" in said
            assert "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said
            assert "trying again" not in said
            assert "testing" not in said
    finally:
        check_users_after(server, "inf")


def test_an_endpoint_that_is_down_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    assert dispatch(["diff", f"{TARGET}/dataset", str(run)]) == 2
    said = capsys.readouterr().err
    assert f"{TARGET}/dataset: the endpoint http://127.0.0.1:9 cannot be reached" in said
    assert "check the network, and AWS_ENDPOINT_URL" in said


@pytest.mark.timeout(1800)
def test_a_killed_upload_leaves_the_old_version_and_continues(bucket: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.jsonl").write_text('{"text": "one"}\n')
    words = [sys.executable, "-m", "synthgen", "push", str(data), "--to", "s3://bucket/big", "--yes"]
    assert subprocess.run(words, check=False).returncode == 0
    old = bucket.get_object(Bucket="bucket", Key="big/dataset/latest.json")["Body"].read()
    before = set(names(bucket))
    for number in range(20):
        (data / f"part{number}.txt").write_text(f"{number} " * 2000)
    process = subprocess.Popen(words)
    deadline = time.monotonic() + 900
    while len(set(names(bucket)) - before) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    sent = set(names(bucket)) - before
    assert bucket.get_object(Bucket="bucket", Key="big/dataset/latest.json")["Body"].read() == old
    times = {key: bucket.head_object(Bucket="bucket", Key=key)["LastModified"] for key in sent}
    time.sleep(1.1)  # S3 tells times to the second
    assert subprocess.run(words, check=False).returncode == 0
    found = json.loads(bucket.get_object(Bucket="bucket", Key="big/dataset/latest.json")["Body"].read())
    assert {"train.jsonl", "README.md", *(f"part{number}.txt" for number in range(20))} < set(found["files"])
    again = {key: bucket.head_object(Bucket="bucket", Key=key)["LastModified"] for key in sent}
    assert again == times, "what was there is not sent again"


def test_a_file_that_was_changed_in_the_bucket_is_refused(
    bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upload = Upload("dataset", "news", {"train.jsonl": b'{"text": "one"}\n'}, "mit")
    folder = store.push(TARGET, upload, lambda _: None).revision
    bucket.put_object(Bucket="bucket", Key=f"news/dataset/{folder}/train.jsonl", Body=b'{"text": "two"}\n')
    assert dispatch(["log"]) == 2
    assert dispatch(["diff", f"{TARGET}/dataset", f"{TARGET}/dataset/{folder}"]) == 2
    assert "train.jsonl is not the file that was pushed" in capsys.readouterr().err
