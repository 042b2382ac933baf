"""Ask the questions of a session on a web page, served on 127.0.0.1 only, to the one browser that has the link.

The link contains a token that works once and is exchanged for a cookie. Texts are sent as JSON and shown as plain text.
"""

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from synthgen.errors import UserError
from synthgen.labels.questions import KEYS, Asking, edited
from synthgen.records import GOOD, Json
from synthgen.safety.untrusted import clean
from synthgen.tasks.task import as_text

HOST = "127.0.0.1"
_COOKIE = "synthgen_label"
_PAGE = Path(__file__).with_name("page.html")
_NONCE = "NONCE"
_MOST_BYTES = 2**20

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Page:
    """Serve one session. `url` works once. `over` is set when the person is done."""

    def __init__(self, asking: Asking, port: int) -> None:
        self.over = asyncio.Event()
        self._asking = asking
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}
        self._token: str | None = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        self._one_at_a_time = asyncio.Lock()
        self.url = f"http://{HOST}:{port}/?token={self._token}"
        self.app = web.Application(middlewares=[self._guard], client_max_size=_MOST_BYTES)
        self.app.add_routes(
            [
                web.get("/", self._page),
                web.get("/api/question", self._question),
                web.post("/api/answer", self._answer),
                web.post("/api/done", self._done),
            ]
        )

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests to another host name (DNS rebinding), from other sites, and without the cookie."""
        if request.headers.get("Host") not in self._hosts:
            return _refused("unknown host")
        if (origin := request.headers.get("Origin")) is not None and origin.removeprefix("http://") not in self._hosts:
            return _refused("another site")
        entering = request.path == "/" and "token" in request.query
        if not entering and not self._knows(request):
            return _refused("open the link that synthgen printed; it works once")
        response = await handler(request)
        response.headers.update(
            {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
        )
        return response

    def _knows(self, request: web.Request) -> bool:
        return secrets.compare_digest(request.cookies.get(_COOKIE, "").encode(), self._session.encode())

    async def _page(self, request: web.Request) -> web.StreamResponse:
        if (given := request.query.get("token")) is not None:
            if self._token is None or not secrets.compare_digest(given.encode(), self._token.encode()):
                return _refused("this link is not valid, or was used before; start the command with --web again")
            self._token = None
            entered = web.HTTPSeeOther("/")
            entered.set_cookie(_COOKIE, self._session, httponly=True, samesite="Strict", path="/")
            return entered
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        text = await asyncio.to_thread(_PAGE.read_text, encoding="utf-8")
        return web.Response(
            text=text.replace(_NONCE, nonce), content_type="text/html", headers={"Content-Security-Policy": policy}
        )

    async def _question(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self._state())

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """Process {"id": ..., "do": "answer", "not", "skip", "undo" or "correct", "answer": ..., "fields": {...}}.

        `id` is that of the shown question. `fields` has the corrected fields as text, by name; `answer` is then the label
        of the corrected sample, where the task has labels.

        Answer 409 with the current question when another one is shown: a key was pressed twice, or two windows are open.
        """
        if request.content_type != "application/json":
            return _refused("send JSON")
        try:
            wanted = await request.json()
        except ValueError:
            return web.json_response({"error": "not JSON"}, status=400)
        if not isinstance(wanted, dict):
            return web.json_response({"error": "not an object"}, status=400)
        async with self._one_at_a_time:
            question = self._asking.current
            if wanted.get("do") != "undo" and (question is None or wanted.get("id") != question.sample_id):
                return web.json_response(self._state(), status=409)
            try:
                await asyncio.to_thread(self._do, wanted)
            except ValueError as error:
                return web.json_response({"error": str(error)}, status=400)
            except UserError as error:
                return web.json_response({"error": str(error)}, status=500)
            return web.json_response(self._state())

    def _do(self, wanted: Json) -> None:
        match wanted:
            case {"do": "answer", "answer": str(answer)}:
                self._asking.answer(answer)
            case {"do": "not"}:
                self._asking.answer(None)
            case {"do": "skip"}:
                self._asking.skip()
            case {"do": "undo"}:
                self._asking.undo()
            case {"do": "correct", "fields": dict() as fields}:
                question = self._asking.current
                data = question.data if question is not None else {}
                for name, text in fields.items():
                    if name not in data or not isinstance(text, str):
                        raise ValueError(f"the sample has no field '{str(name)[:60]}'")
                    if text != _in_a_browser(as_text(data[name])):
                        data = edited(data, name, text)
                label = wanted.get("answer")
                self._asking.correct(data, label if isinstance(label, str) else None)
            case _:
                raise ValueError("unknown action; send answer, not, skip, undo or correct")

    async def _done(self, _: web.Request) -> web.StreamResponse:
        self.over.set()
        return web.json_response({})

    def _state(self) -> Json:
        """Return the state that the page shows.

        Hidden characters in names and texts are made visible. Labels are also sent unchanged.
        """
        asking, form = self._asking, self._asking.form
        question = asking.current
        state: Json = {
            "task": clean(form.task),
            "language": form.language,
            "annotator": clean(asking.annotator),
            "given": asking.given,
            "count": asking.count,
            "undo": asking.undoable,
            "title": f"synthgen {form.command}",
            "question": None,
        }
        if question is not None:
            offered = [
                {"answer": label, "name": clean(label), "meaning": clean(form.labels[label])}
                for label in question.labels
            ]
            state["question"] = {
                "id": question.sample_id,
                "fields": [[clean(name), clean(text)] for name, text in question.fields],
                "labels": offered or [{"answer": GOOD, "name": "a good sample", "meaning": ""}],
                "keys": KEYS,
                "labelled": bool(form.labels),
                "said": [clean(one) for one in question.said],
                "edit": {name: as_text(value) for name, value in question.data.items()} if asking.correctable else None,
            }
        return state


async def serve(asking: Asking, port: int, say: Callable[[str], object]) -> None:
    """Serve the page until the person is done. `port` 0 picks a free port. Raise UserError when the port is in use."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise UserError(f"--port {port}: cannot be used ({error.strerror}); give another, or leave it out") from error
    page = Page(asking, listener.getsockname()[1])
    runner = web.AppRunner(page.app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        say(f"label here (the link works once; Ctrl-C or the page's button ends it):\n{page.url}")
        await page.over.wait()
        await asyncio.sleep(0.1)  # lets the response to the browser's last request be sent
    finally:
        await runner.cleanup()


def _in_a_browser(text: str) -> str:
    """Return a text as a browser gives it back from a text area, which has line feeds alone."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _refused(why: str) -> web.Response:
    return web.json_response({"error": why}, status=403)
