"""Stand in for the Hugging Face hub: the endpoints that `huggingface_hub` calls for a commit, with faults on request."""

import asyncio
import base64
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

TOKEN = "hf_standinstandinstandin1234"
_LARGE = (".jsonl", ".parquet", ".safetensors")
"""Files that go through LFS, as .gitattributes has it on the hub."""
PART = 5 * 2**20
"""Bytes of a part of a large file; the hub's parts are larger."""
_OPEN = ("upload", "part", "complete")
"""Steps without a token: their addresses are signed."""


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[tuple[str, str]] = field(default_factory=list)
    """(oid, title), the newest last."""

    @property
    def head(self) -> str:
        return self.commits[-1][0]


class StandInHub:
    """Serve on 127.0.0.1 in a thread. `faults` maps a step to what happens at its next calls, one after another.

    A fault is a status code, "lost" (the connection closes before the request has an effect) or "unanswered" (it closes
    afterwards). 0 is no fault.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self._parts: dict[str, dict[int, bytes]] = {}
        self.faults: dict[str, list[int | str]] = {}
        self.before: dict[str, Callable[[], object]] = {}
        """Functions by step: the hub calls each before it answers the next call of this step."""
        self.calls: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=10**8)
        app.router.add_post("/api/repos/create", self._step("create", self._create))
        app.router.add_post("/api/validate-yaml", self._step("validate", self._validate))
        app.router.add_get("/api/{kind}s/{owner}/{name}", self._step("info", self._info))
        app.router.add_get("/api/{kind}s/{owner}/{name}/revision/main", self._step("info", self._info))
        app.router.add_get("/api/{kind}s/{owner}/{name}/commits/main", self._step("commits", self._commits))
        app.router.add_post("/api/{kind}s/{owner}/{name}/preupload/main", self._step("preupload", self._preupload))
        app.router.add_post("/api/{kind}s/{owner}/{name}/commit/main", self._step("commit", self._commit))
        for prefix in ("/datasets", ""):
            app.router.add_post(
                f"{prefix}/{{owner}}/{{name}}.git/info/lfs/objects/batch", self._step("batch", self._batch)
            )
        app.router.add_put("/objects/{oid}", self._step("upload", self._upload))
        app.router.add_put("/parts/{oid}/{number}", self._step("part", self._part))
        app.router.add_post("/complete/{oid}", self._step("complete", self._complete))
        app.router.add_post("/verify", self._step("verify", self._verify))
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    def _step(self, name: str, handler: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.calls[name] += 1
            if name not in _OPEN and request.headers.get("Authorization") != f"Bearer {TOKEN}":
                return web.json_response({"error": "Invalid credentials"}, status=401)
            queue = self.faults.get(name, [])
            fault = queue.pop(0) if queue else None
            if event := self.before.pop(name, None):
                event()
            if isinstance(fault, int) and fault:
                return web.json_response({"error": f"fault {fault}"}, status=fault)
            if fault == "lost":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            answer = await handler(request)
            if fault == "unanswered":
                assert request.transport is not None
                request.transport.abort()
            return answer

        return handle

    def _of(self, request: web.Request) -> Repository | None:
        found = request.match_info
        return self.repositories.get(f"{found['kind']}s/{found['owner']}/{found['name']}")

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        kind = asked.get("type") or "model"
        key = f"{kind}s/{asked['organization']}/{asked['name']}"
        address = f"{self.url}/{'datasets/' if kind == 'dataset' else ''}{asked['organization']}/{asked['name']}"
        if key in self.repositories:
            return web.json_response({"error": "You already created this repo", "url": address}, status=409)
        first = (hashlib.sha1(key.encode()).hexdigest(), "initial commit")
        made = Repository(asked.get("visibility") == "private", {".gitattributes": b"*.jsonl filter=lfs\n"}, [first])
        self.repositories[key] = made
        return web.json_response({"url": address})

    async def _validate(self, request: web.Request) -> web.Response:
        text = (await request.json())["content"]
        good = text.startswith("---\n") and "\nlicense: " in text
        return web.json_response(
            {"errors": [] if good else [{"message": "no licence"}], "warnings": []}, status=200 if good else 400
        )

    async def _info(self, request: web.Request) -> web.Response:
        found = self._of(request)
        if found is None:
            return web.json_response({"error": "Repository not found"}, status=404)
        listed = [{"rfilename": name} for name in found.files]
        return web.json_response({"id": "x/y", "sha": found.head, "private": found.private, "siblings": listed})

    async def _commits(self, request: web.Request) -> web.Response:
        found = self._of(request)
        assert found is not None
        listed = [
            {"id": oid, "title": title, "message": "", "authors": [{"user": "me"}], "date": "2026-01-01T00:00:00.000Z"}
            for oid, title in reversed(found.commits)
        ]
        return web.json_response(listed)

    async def _preupload(self, request: web.Request) -> web.Response:
        found = self._of(request)
        assert found is not None
        files = []
        for each in (await request.json())["files"]:
            large = each["path"].endswith(_LARGE)
            known = found.files.get(each["path"])
            oid = None
            if known is not None:
                header = b"blob %d\0" % len(known)
                oid = hashlib.sha256(known).hexdigest() if large else hashlib.sha1(header + known).hexdigest()
            files.append(
                {"path": each["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}
            )
        return web.json_response({"files": files})

    async def _batch(self, request: web.Request) -> web.Response:
        objects = []
        for each in (await request.json())["objects"]:
            oid, count = each["oid"], -(-each["size"] // PART)
            upload: dict[str, Any] = {"href": f"{self.url}/objects/{oid}"}
            if count > 1:
                urls = {f"{number:05}": f"{self.url}/parts/{oid}/{number}" for number in range(1, count + 1)}
                upload = {"href": f"{self.url}/complete/{oid}", "header": {"chunk_size": str(PART), **urls}}
            actions = {"actions": {"upload": upload, "verify": {"href": f"{self.url}/verify"}}}
            objects.append({**each, **({} if oid in self.objects else actions)})
        return web.json_response({"transfer": "basic", "objects": objects})

    async def _upload(self, request: web.Request) -> web.Response:
        data = await request.read()
        assert hashlib.sha256(data).hexdigest() == request.match_info["oid"]
        self.objects[request.match_info["oid"]] = data
        return web.Response()

    async def _part(self, request: web.Request) -> web.Response:
        data, found = await request.read(), request.match_info
        self._parts.setdefault(found["oid"], {})[int(found["number"])] = data
        return web.Response(headers={"ETag": hashlib.md5(data).hexdigest()})

    async def _complete(self, request: web.Request) -> web.Response:
        oid, asked = request.match_info["oid"], await request.json()
        parts = self._parts[oid]
        named = [(each["partNumber"], each["etag"]) for each in asked["parts"]]
        assert named == [(number, hashlib.md5(data).hexdigest()) for number, data in sorted(parts.items())]
        data = b"".join(parts[number] for number in sorted(parts))
        assert hashlib.sha256(data).hexdigest() == oid
        self.objects[oid] = data
        return web.Response()

    async def _verify(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert len(self.objects[asked["oid"]]) == asked["size"]
        return web.Response()

    async def _commit(self, request: web.Request) -> web.Response:
        found = self._of(request)
        assert found is not None
        lines = [json.loads(line) for line in (await request.text()).splitlines()]
        head = next(line["value"] for line in lines if line["key"] == "header")
        if head["parentCommit"] != found.head:
            return web.json_response({"error": "the branch was updated"}, status=412)
        files = dict(found.files)
        for line in lines:
            match line["key"]:
                case "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                case "lfsFile":
                    files[line["value"]["path"]] = self.objects[line["value"]["oid"]]
                case "deletedFile":
                    del files[line["value"]["path"]]
        found.files = files
        oid = hashlib.sha1(json.dumps([found.head, head["summary"]]).encode()).hexdigest()
        found.commits.append((oid, head["summary"]))
        prefix = "datasets/" if request.match_info["kind"] == "dataset" else ""
        page = f"{self.url}/{prefix}{request.match_info['owner']}/{request.match_info['name']}"
        return web.json_response({"commitUrl": f"{page}/commit/{oid}", "commitOid": oid, "pullRequestUrl": None})
