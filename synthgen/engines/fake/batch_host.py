"""Serve the files and batches API of the stand-in server.

A batch is worked on for `--batch-seconds` and then ends at once. Its output has its lines in random order, as real hosts
do not keep the order. The faults of kind `upload_*`, `create_*`, `batch_*`, `line_*` and `output_*` happen here. Files
and batches live as long as the server.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from synthgen.engines.fake.faults import Faults
from synthgen.engines.fake.replies import error_response
from synthgen.records import Json

_MOST_LINES = 50_000
_PAGE = 100
_DAY = 86_400

Answer = Callable[[Json], tuple[int, Json]]
"""Returns the status and body that answer one chat request."""


class BatchHost:
    """Hold the uploaded files and the batches. `answer` answers one line."""

    def __init__(self, answer: Answer, faults: Faults, seconds: float, seed: int) -> None:
        self._answer = answer
        self._faults = faults
        self._seconds = seconds
        self._rng = random.Random(f"{seed}/batches")
        self._files: dict[str, Json] = {}
        self._contents: dict[str, bytes] = {}
        self._batches: dict[str, Json] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def add_routes(self, app: web.Application, allowed: Callable[[web.Request], web.Response | None]) -> None:
        """Add the API to `app`. `allowed` returns the answer to a request without the right key, else None."""

        def guarded(handle: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
            async def run(request: web.Request) -> web.StreamResponse:
                refusal = allowed(request)
                return refusal if refusal is not None else await handle(request)

            return run

        app.router.add_post("/v1/files", guarded(self._upload))
        app.router.add_get("/v1/files/{id}", guarded(self._file))
        app.router.add_get("/v1/files/{id}/content", guarded(self._content))
        app.router.add_post("/v1/batches", guarded(self._create))
        app.router.add_get("/v1/batches", guarded(self._list))
        app.router.add_get("/v1/batches/{id}", guarded(self._batch))
        app.router.add_post("/v1/batches/{id}/cancel", guarded(self._cancel))

    # -- files -------------------------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.Response:
        if (fault := self._faults.batch_fault("upload_busy")) is not None:
            return error_response(429, "Too many uploads", {"Retry-After": str(fault.value or 1)})
        form = await request.post()
        part = form.get("file")
        if form.get("purpose") != "batch" or not isinstance(part, web.FileField):
            return error_response(400, "a form with purpose=batch and a file is needed")
        content = part.file.read()
        if (fault := self._faults.batch_fault("upload_limit")) is not None and len(content) > fault.value:
            return error_response(413, f"The file is larger than {fault.value} bytes")
        return web.json_response(self._keep(part.filename, content, "batch"))

    async def _file(self, request: web.Request) -> web.Response:
        return _found(self._files.get(request.match_info["id"]))

    async def _content(self, request: web.Request) -> web.Response:
        content = self._contents.get(request.match_info["id"])
        if content is None or (self._is_output(request) and self._faults.batch_fault("output_gone") is not None):
            return error_response(404, "No such File object")
        if self._is_output(request) and self._faults.batch_fault("output_cut") is not None:
            content = content[: len(content) // 2]
        return web.Response(body=content, content_type="application/octet-stream")

    def _is_output(self, request: web.Request) -> bool:
        return bool(self._files[request.match_info["id"]]["purpose"] == "batch_output")

    def _keep(self, name: str, content: bytes, purpose: str) -> Json:
        key = f"file-{len(self._files) + 1}"
        self._contents[key] = content
        self._files[key] = {
            "id": key, "object": "file", "bytes": len(content), "created_at": int(time.time()), "filename": name,
            "purpose": purpose, "status": "processed",
        }  # fmt: skip
        return self._files[key]

    # -- batches -----------------------------------------------------------------------------------

    async def _create(self, request: web.Request) -> web.StreamResponse:
        asked = orjson.loads(await request.read())
        if asked.get("input_file_id") not in self._files:
            return error_response(400, "No such File object", param="input_file_id")
        now = int(time.time())
        batch: Json = {
            "id": f"batch_{len(self._batches) + 1}", "object": "batch", "endpoint": asked["endpoint"], "errors": None,
            "input_file_id": asked["input_file_id"], "completion_window": asked["completion_window"],
            "status": "validating", "output_file_id": None, "error_file_id": None, "created_at": now,
            "expires_at": now + _DAY, "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": asked.get("metadata"),
        }  # fmt: skip
        self._batches[batch["id"]] = batch
        task = asyncio.create_task(self._work(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._faults.batch_fault("create_lost") is not None:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(batch)

    async def _list(self, request: web.Request) -> web.Response:
        newest_first = [*self._batches.values()][::-1]
        after = request.query.get("after")
        start = next((place for place, one in enumerate(newest_first, 1) if one["id"] == after), 0)
        page = newest_first[start : start + _PAGE]
        more = start + _PAGE < len(newest_first)
        return web.json_response({"object": "list", "data": page, "has_more": more})

    async def _batch(self, request: web.Request) -> web.Response:
        if self._faults.batch_fault("batch_gone") is not None:
            return error_response(404, "No such batch")
        return _found(self._batches.get(request.match_info["id"]))

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self._batches.get(request.match_info["id"])
        if batch is not None and batch["status"] in ("validating", "in_progress"):
            batch["status"] = "cancelling"
        return _found(batch)

    async def _work(self, batch: Json) -> None:
        """Answer the lines of a batch, unless it is cancelled or a fault ends it."""
        lines = self._contents[batch["input_file_id"]].splitlines()
        requests = [orjson.loads(line) for line in lines]
        ids = [request["custom_id"] for request in requests]
        fault = self._faults.batch_fault("batch_fails")
        if fault is not None or len(ids) > _MOST_LINES or len({*ids}) < len(ids):
            code, _, words = str(fault.value if fault and fault.value else "invalid: unusable file").partition(": ")
            data = [{"code": code, "message": words, "line": 1, "param": None}]
            batch.update(status="failed", errors={"object": "list", "data": data})
            return
        counts = batch["request_counts"]
        counts["total"] = len(requests)
        batch["status"] = "in_progress"
        await asyncio.sleep(self._seconds)
        ended, answered = self._end(batch, len(requests))
        outputs, errors = list[Json](), list[Json]()
        for request in requests[:answered]:
            if self._faults.batch_fault("line_lost") is not None:
                continue
            status, body = self._line(request)
            (outputs if status == 200 else errors).append(_line(request["custom_id"], status, body))
        counts.update(completed=len(outputs), failed=len(errors))
        errors += [_unanswered(request["custom_id"], ended) for request in requests[answered:]]
        outputs += [_line(f"stranger-{number}", 200, {}) for number in range(3)] * (
            self._faults.batch_fault("line_strangers") is not None
        )
        for key, listed in (("output_file_id", outputs), ("error_file_id", errors)):
            self._rng.shuffle(listed)
            if listed:
                content = b"".join(orjson.dumps(line) + b"\n" for line in listed)
                batch[key] = self._keep(f"{batch['id']}_{key}.jsonl", content, "batch_output")["id"]
        batch["status"] = ended

    def _end(self, batch: Json, count: int) -> tuple[str, int]:
        """Return the final status of a batch, and how many of its `count` lines are answered."""
        if batch["status"] == "cancelling":
            return "cancelled", count // 2
        for kind, status in (("batch_expires", "expired"), ("batch_cancelled", "cancelled")):
            if (fault := self._faults.batch_fault(kind)) is not None:
                return status, int(count * (0.5 if fault.value is None else fault.value))
        return "completed", count

    def _line(self, request: Json) -> tuple[int, Json]:
        if (fault := self._faults.batch_fault("line_status")) is not None:
            status = int(fault.value or 500)
            return status, {"error": {"message": "a fault, as told", "type": "StandInError", "code": status}}
        return self._answer(request["body"])


def _line(custom_id: str, status: int, body: Json) -> Json:
    response = {"status_code": status, "request_id": f"req-{custom_id}", "body": body}
    return {"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": response, "error": None}


def _unanswered(custom_id: str, ended: str) -> Json:
    error = {"code": f"batch_{ended}", "message": f"This request was not executed before the batch {ended}."}
    return {"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": None, "error": error}


def _found(entry: Json | None) -> web.Response:
    return error_response(404, "No such object") if entry is None else web.json_response(entry)
