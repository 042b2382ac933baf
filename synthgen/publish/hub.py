"""Upload files to the Hugging Face hub: one commit for each `Upload`.

A commit holds all files of an upload, so that a reader of the repository sees the old version or the new one. Large
files are uploaded before the commit. Repeating the command sends only what the hub does not have yet.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from synthgen.errors import UserError
from synthgen.publish.record import Published
from synthgen.publish.upload import DATASET, Upload
from synthgen.safety.secrets import keep, mask

TOKEN = "HF_TOKEN"
_NAME = re.compile(r"hf:(?P<name>[\w.-]+/[\w.-]+)", re.A)
_OURS = re.compile(r"(train|validation)\.(jsonl|csv|parquet)")
"""Files that an earlier push in another format may have left."""
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_LARGE = 50_000_000
"""Bytes from which a push says that it is sending."""
_CONFLICTS = (409, 412)
_CLIENTS = ("httpx", "httpx2", "httpcore", "httpcore2")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Hub:
    """Hold the settings for reaching the hub. The token comes from the environment only."""

    endpoint: str
    token: str
    attempts: int = 6
    first_wait: float = 1.0
    """Seconds before the first repetition; each further one waits twice as long, up to 30 s."""


def repository(target: str) -> str | None:
    """Return OWNER/NAME of a target hf:OWNER/NAME; None for a target of another kind."""
    if not target.startswith("hf:"):
        return None
    match = _NAME.fullmatch(target)
    if match is None:
        raise UserError(f"--to: '{target}' names no repository; write hf:OWNER/NAME")
    return match["name"]


def endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def hub_of_environment() -> Hub:
    """Return the hub with the token of the environment. Raise UserError where there is none."""
    token = keep(os.environ.get(TOKEN))
    if token is None:
        raise UserError(
            f"{TOKEN} is not set; create a token with write access at {endpoint()}/settings/tokens, and put it into the "
            f"environment: export {TOKEN}=..."
        )
    return Hub(endpoint(), token)


def address(name: str, kind: str) -> str:
    """Return the address of a repository's page."""
    return f"{endpoint()}/{'datasets/' if kind == DATASET else ''}{name}"


def push(hub: Hub, name: str, upload: Upload, public: bool, say: Callable[[str], None]) -> Published:
    """Publish the files of `upload` in the repository `name`. Return the result with its commit.

    Raise UserError where the hub refuses, where it cannot be reached after all attempts, and where the repository is
    public and `public` is false.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    kind = "dataset" if upload.kind == DATASET else "model"
    title = f"synthgen push {upload.hash[:16]}"
    repeated = _Repeated(hub, say)
    with _quiet(), _explained(hub, name):
        repeated(lambda: api.create_repo(name, repo_type=kind, private=not public, exist_ok=True))
        before = repeated(lambda: api.repo_info(name, repo_type=kind))
        if not before.private and not public:
            raise UserError(f"hf:{name}: this {kind} is public already; add --public to publish there")
        present = {each.rfilename for each in before.siblings or ()}
        stale = sorted(file for file in present - upload.files.keys() if kind == "dataset" and _OURS.fullmatch(file))

        def commit() -> str:
            """Commit once. If an earlier attempt arrived although its answer was lost, return its commit."""
            head = api.repo_info(name, repo_type=kind).sha
            if head != before.sha:
                if api.list_repo_commits(name, repo_type=kind)[0].title == title:
                    return str(head)
                raise UserError(f"hf:{name}: somebody else changed it during the upload; repeat the command")
            operations: list[Any] = [
                *(CommitOperationAdd(file, data) for file, data in upload.files.items()),
                *(CommitOperationDelete(file) for file in stale),
            ]
            made = api.create_commit(name, operations, commit_message=title, repo_type=kind, parent_commit=head)
            return str(made.oid)

        if (size := sum(upload.size(file) for file in upload.files)) >= _LARGE:
            say(
                f"hf:{name}: sending {len(upload.files)} files, {size / 1e6:,.0f} MB; what the hub has already is not sent"
            )
        after = repeated(commit)
    if after == before.sha:
        said = f"{address(name, upload.kind)} has these files already; nothing was sent"
    else:
        seen = "public" if not before.private else "private"
        said = f"{address(name, upload.kind)} ({seen}), commit {after[:12]}"
    return Published(f"{upload.kind}: {said}", str(after))


class _Repeated:
    """Repeat a call after errors that may pass, with growing pauses."""

    def __init__(self, hub: Hub, say: Callable[[str], None]) -> None:
        self._hub, self._say = hub, say

    def __call__(self, call: Callable[[], _T]) -> _T:
        policy = Retrying(
            stop=stop_after_attempt(self._hub.attempts),
            wait=wait_exponential(multiplier=self._hub.first_wait, max=30),
            retry=retry_if_exception(may_pass),
            before_sleep=self._note,
            reraise=True,
        )
        return policy(call)

    def _note(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._say(f"{self._hub.endpoint}: {_words(error)}; trying again")


def may_pass(error: BaseException) -> bool:
    """Return True for an error that a repetition may overcome: a lost connection, a limit, a fault of the server."""
    for each in _chain(error):
        status = _status(each)
        if status is not None:
            return status in (*_TRANSIENT, *_CONFLICTS)
        if isinstance(each, ConnectionError | TimeoutError) or type(each).__module__.partition(".")[0] in _CLIENTS:
            return True
    # the uploader of large files raises a bare RuntimeError for each of its network errors
    return type(error) is RuntimeError


@contextlib.contextmanager
def _explained(hub: Hub, name: str) -> Iterator[None]:
    """Turn the errors of the hub's client into UserErrors with cause and cure."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # the client passes on errors of HTTP, of its own checks and of its uploader
        status = next((found for each in _chain(error) if (found := _status(each)) is not None), None)
        again = "the hub has all of it or nothing; repeat the command, which sends only what is missing"
        match status:
            case 401:
                cure = f"{TOKEN} is not accepted; create another one at {hub.endpoint}/settings/tokens"
            case 403:
                cure = f"{TOKEN} may not write to {name.partition('/')[0]}; create a token with write access to it"
            case _:
                cure = again
        raise UserError(f"hf:{name}: {_words(error)}; {cure}") from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _status(error: BaseException) -> int | None:
    found = getattr(getattr(error, "response", None), "status_code", None)
    return found if isinstance(found, int) else None


def _words(error: BaseException | None) -> str:
    """Return the reason of an error: the message of its first cause, on one line."""
    if error is None:
        return "no answer"
    first = next((each for each in _chain(error) if _status(each) is not None), list(_chain(error))[-1])
    said = getattr(first, "server_message", None) or str(first).strip().partition("\n")[0] or type(first).__name__
    status = _status(first)
    return mask(f"{f'HTTP {status}: ' if status else ''}{said.split(' (Request ID')[0]}")[:300]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the client's progress bars and warnings, because synthgen prints its own progress."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from huggingface_hub.utils import logging as hub_logging

    hidden, level = are_progress_bars_disabled(), hub_logging.get_verbosity()
    disable_progress_bars()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        hub_logging.set_verbosity(level)
        if not hidden:
            enable_progress_bars()
