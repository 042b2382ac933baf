"""Speak the files and batches API of one host: upload, create, look up, download.

Calls that fail for a reason that may pass are repeated, at growing intervals. When the answer to the creation of a batch
is lost, the host's list of batches says if the batch exists, so that it is not created twice.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pyreqwest.exceptions import RequestError
from pyreqwest.multipart import FormBuilder, PartBuilder

from synthgen.engines.http.endpoint import RequestSettings, beginning, make_client
from synthgen.engines.http.headers import retry_after
from synthgen.engines.http.reading import read_payload
from synthgen.errors import EngineGoneError, EngineRefusesError
from synthgen.records import Json
from synthgen.safety.secrets import MASK, keep

_UPLOAD_SECONDS = timedelta(seconds=3600)
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 120.0
_MOST_PAGES = 20
_TOO_LARGE = (b"too large", b"larger than", b"file size", b"maximum size", b"too many requests in")


class TooLargeError(Exception):
    """Report that the host takes no file of this size."""


class _PassingError(Exception):
    """Report a failure that may pass. `after` is the pause that the host asks for, in seconds."""

    def __init__(self, words: str, after: float | None = None) -> None:
        super().__init__(words)
        self.after = after


class BatchApi:
    """Call the API below the base URL `url`, up to and including /v1."""

    def __init__(self, url: str, key: str | None, settings: RequestSettings, patience: float) -> None:
        """Open a client. A call that fails for longer than `patience` seconds raises EngineGoneError."""
        self.url = url.rstrip("/")
        self._key = keep(key)
        self._client = make_client(key, settings, {})
        self._patience = patience

    async def aclose(self) -> None:
        await self._client.close()

    async def upload(self, name: str, content: bytes) -> str:
        """Upload the file of a batch and return its id. Raise TooLargeError if the host takes no file of its size."""

        def build() -> Any:
            part = PartBuilder.from_bytes(content).file_name(name).mime("application/jsonl")
            form = FormBuilder().text("purpose", "batch").part("file", part)
            return self._client.post(f"{self.url}/files").multipart(form).timeout(_UPLOAD_SECONDS)

        status, payload = await self._repeated(build)
        if status == 413 or (status == 400 and any(words in payload.lower() for words in _TOO_LARGE)):
            raise TooLargeError(beginning(payload))
        return str(self._read(status, payload, "POST /files")["id"])

    async def create(self, file: str, path: str, window: str) -> Json:
        """Create the batch of an uploaded file and return it as the host describes it."""
        asked = {"input_file_id": file, "endpoint": path, "completion_window": window}
        patience = _Patience(self._patience)
        while True:
            try:
                return self._read(*await self._once(self._client.post(f"{self.url}/batches").body_json(asked)),
                                  "POST /batches")  # fmt: skip
            except _PassingError as error:
                await patience.wait(error)
            if (found := await self.find(file)) is not None:  # the answer was lost, and not the request
                return found

    async def find(self, file: str) -> Json | None:
        """Return the batch of an uploaded file; None if the host's list of batches does not have it."""
        query = {"limit": "100"}

        def build() -> Any:
            return self._client.get(f"{self.url}/batches").query(query)

        for _ in range(_MOST_PAGES):
            status, payload = await self._repeated(build)
            if status in (404, 405):
                return None
            page = self._read(status, payload, "GET /batches")
            listed = page.get("data") or []
            for batch in listed:
                if batch.get("input_file_id") == file:
                    return dict(batch)
            if not listed or not page.get("has_more"):
                return None
            query["after"] = str(listed[-1]["id"])
        return None

    async def batch(self, key: str) -> Json | None:
        """Return a batch as the host describes it; None if the host does not know it."""
        return await self._got(f"{self.url}/batches/{key}")

    async def content(self, file: str) -> bytes | None:
        """Return the content of a file; None if the host does not have it."""
        address = f"{self.url}/files/{file}/content"
        status, payload = await self._repeated(lambda: self._client.get(address).timeout(_UPLOAD_SECONDS))
        if status in (404, 410):
            return None
        if status != 200:
            raise EngineRefusesError(f"{address} answered {status}: {beginning(payload)}")
        return payload

    async def _got(self, address: str) -> Json | None:
        status, payload = await self._repeated(lambda: self._client.get(address))
        return None if status == 404 else self._read(status, payload, address)

    def _read(self, status: int, payload: bytes, what: str) -> Json:
        """Return the JSON object in an answer. Raise EngineRefusesError for an error or anything else."""
        if status == 404 and what.startswith("POST"):
            raise EngineRefusesError(
                f"{self.url} answered 404 to {what}: this host has no batch API at this address; correct engine.urls, "
                "or use engine=openai"
            )
        if status != 200:
            raise EngineRefusesError(f"{self.url} answered {status} to {what}: {beginning(payload)}")
        with contextlib.suppress(ValueError):
            if isinstance(found := read_payload(payload), dict):
                return found
        raise EngineRefusesError(f"{self.url} answered {what} with something else than JSON: {beginning(payload)}")

    async def _repeated(self, build: Callable[[], Any]) -> tuple[int, bytes]:
        """Send a request that may be sent twice, until it is answered; return the status and the content."""
        patience = _Patience(self._patience)
        while True:
            try:
                return await self._once(build())
            except _PassingError as error:
                await patience.wait(error)

    async def _once(self, builder: Any) -> tuple[int, bytes]:
        try:
            response = await builder.build().send()
            payload = bytes(await response.bytes())
        except RequestError as error:
            causes = [cause["message"] for cause in error.details["causes"] or ()]
            raise _PassingError(f"{self.url}: {': '.join(causes[2:] or [error.message])}") from error
        if self._key:
            payload = payload.replace(self._key.encode(), MASK.encode())
        status = response.status
        if status == 429 and b"insufficient_quota" in payload:
            raise EngineRefusesError(f"{self.url} answered 429: the account has no credit left: {beginning(payload)}")
        if status in (408, 409, 425, 429) or status >= 500:
            words = f"{self.url} answered {status}: {beginning(payload)}"
            raise _PassingError(words, retry_after(response.get_header))
        return status, payload


class _Patience:
    """Wait between the attempts of one call."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._next = _FIRST_WAIT

    async def wait(self, error: _PassingError) -> None:
        """Wait before the next attempt. Raise EngineGoneError if that would exceed the patience."""
        pause = error.after if error.after is not None else self._next * random.uniform(0.5, 1.5)
        self._next = min(_LONGEST_WAIT, 2 * self._next)
        if time.monotonic() + pause > self._until:
            raise EngineGoneError(f"the host of the batches gave no answer for {self._seconds:.0f} s: {error}")
        await asyncio.sleep(pause)
