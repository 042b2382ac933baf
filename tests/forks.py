"""Processes that start in milliseconds, because they are forked from one that has imported what they need.

`forks` is for functions, `Popen` and `run` for `python -m synthgen` and other modules of it. They start no new
interpreter: tests of Python's own options and variables use `subprocess`.
"""

import asyncio
import contextlib
import ctypes
import gc
import importlib
import io
import multiprocessing
import os
import pickle
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

_imported: tuple[str, ...] | None = None


def forks(*modules: str) -> ForkServerContext:
    """Return a context whose processes are forked from one that has imported these modules.

    The processes of a test run share one such process. It is started anew where the modules differ from those before.
    """
    global _imported
    context = multiprocessing.get_context("forkserver")
    if _imported != modules:
        forkserver._forkserver._stop()
        context.set_forkserver_preload(list(modules))
        _imported = modules
    return context


# -- the command line ------------------------------------------------------------------------------

SYNTHGEN = [sys.executable, "-m", "synthgen"]

_NEEDED = (
    "synthgen.cli", "synthgen.run.session", "synthgen.run.preview", "synthgen.run.doctor", "synthgen.run.labelling.flow",
    "synthgen.labels.web", "synthgen.run.build", "synthgen.engines.fake.stand_in", "synthgen.student",
    "synthgen.formats.kinds", "synthgen.report", "faiss", "ftfy", "wordfreq", "rich.live", "scipy.optimize", "scipy.sparse", "jsonschema_rs", "uvloop",
)  # fmt: skip
"""Modules that nearly every run imports. With what a first run keeps in memory, they take two of a run's three seconds of CPU."""

_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2): this process becomes the parent of its descendants' orphans."""

_libc = ctypes.CDLL(None)
_server: tuple[socket.socket, subprocess.Popen[bytes]] | None = None


class Popen(subprocess.Popen):
    """Run a module of synthgen like `subprocess.Popen`, as a child of this process that starts in milliseconds.

    `preexec_fn` must be a function that pickles.
    """

    def _execute_child(self, args: Any, _executable: Any, preexec_fn: Any, *others: Any) -> None:
        (_, _, cwd, env, _, _, _, read_in, write_in, read_out, write_out, read_error, write_error, *_) = others
        assert is_forked(args), args
        request = {
            "module": args[2],
            "words": args[3:],
            "cwd": str(cwd or Path.cwd()),
            "env": dict(env or os.environ),
            "session": others[-2],
            "first": preexec_fn,
        }
        streams = [theirs if theirs >= 0 else own for own, theirs in enumerate((read_in, write_out, write_error))]
        _libc.prctl(_SUBREAPER, 1, 0, 0, 0)
        try:
            server = _started()
            socket.send_fds(server, [pickle.dumps(request)], streams)
            self.pid = int(server.recv(32))
        finally:
            _libc.prctl(_SUBREAPER, 0, 0, 0, 0)
        self._child_created = True
        self._close_pipe_fds(read_in, write_in, read_out, write_out, read_error, write_error)


def run(
    arguments: list[str],
    *,
    input: str | None = None,
    capture_output: bool = False,
    timeout: float = 120,
    check: bool = False,
    **options: Any,
) -> "subprocess.CompletedProcess[Any]":
    """Run `[*SYNTHGEN, *words]` to its end, like `subprocess.run`."""
    if input is not None:
        options["stdin"] = subprocess.PIPE
    if capture_output:
        options["stdout"] = options["stderr"] = subprocess.PIPE
    with Popen(arguments, **options) as process:
        try:
            output, errors = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(arguments, process.returncode, output, errors)
    if check:
        done.check_returncode()
    return done


def is_forked(command: Any) -> bool:
    """Return True for `[sys.executable, "-m", "synthgen", ...]`, or with another module of synthgen."""
    return list(command[:2]) == [sys.executable, "-m"] and command[2].split(".")[0] == "synthgen"


def either(command: Any, **options: Any) -> "subprocess.Popen[Any]":
    """Fork what can be forked, and start anything else as `subprocess` does."""
    return (Popen if is_forked(command) else subprocess.Popen)(command, **options)


like_subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": either, "run": run})
"""Stands in for the module `subprocess` where code under test starts modules of synthgen."""


async def create_subprocess_exec(*command: str, **options: Any) -> asyncio.subprocess.Process:
    """Start `[*SYNTHGEN, *words]` like the function of this name in asyncio."""
    with mock.patch.object(asyncio.unix_events, "subprocess", like_subprocess):
        return await asyncio.create_subprocess_exec(*command, **options)


def _started() -> socket.socket:
    """Return the connection to the process that forks; start it at the first call. It ends with the connection."""
    global _server
    if _server is None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        here = str(Path(__file__).parent)
        code = f"import sys; sys.path.insert(0, {here!r}); import forks; forks._serve({theirs.fileno()})"
        command = [sys.executable, "-c", code]
        _server = ours, subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd="/")
        theirs.close()
    return _server[0]


def _serve(descriptor: int) -> None:
    """Fork a process for each request, until the connection ends."""
    connection = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in _NEEDED:
        importlib.import_module(module)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        words = ["run", "experiment=smoke", "budget.target=1", f"run.dir={folder}/out"]
        assert importlib.import_module("synthgen.cli").dispatch(words) == 0
    assert threading.active_count() == 1, "a forked process has only the thread that forks"
    gc.collect()
    gc.freeze()
    while True:
        message, streams, *_ = socket.recv_fds(connection, 1 << 20, 3)
        if not message:
            return
        out, back = os.pipe()
        between = os.fork()
        if between == 0:  # its end makes the test's process the parent of the child
            parent = os.getpid()
            child = os.fork()
            if child == 0:
                while os.getppid() == parent:
                    time.sleep(0.0005)
                for each in (out, back):
                    os.close(each)
                connection.close()
                _program(streams, **pickle.loads(message))
                return
            os.write(back, str(child).encode())
            os._exit(0)
        os.waitpid(between, 0)
        connection.send(os.read(out, 32))
        for each in (out, back, *streams):
            os.close(each)


def _program(
    streams: list[int],
    module: str,
    words: list[str],
    cwd: str,
    env: dict[str, str],
    session: bool,
    first: Callable[[], object] | None,
) -> None:
    """Be `python -m MODULE` in this process."""
    for own, theirs in enumerate(streams):
        os.dup2(theirs, own)
    os.closerange(3, max(streams) + 1)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # follows TMPDIR
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if session:
        os.setsid()
    if first:
        first()
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    sys.path[:] = [cwd, *sys.path[2:]]  # the folder of this file is no part of a user's path
    sys.argv = ["synthgen", *words]
    if module != "synthgen":
        sys.modules.pop(module, None)  # runpy warns of a module that is imported already
    runpy.run_module(module, run_name="__main__", alter_sys=True)
