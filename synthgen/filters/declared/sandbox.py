"""Run Python code of a generator in a bubblewrap sandbox: no network, no files but Python's own, no other processes.

The sandbox has its own user, process, network and mount namespaces, and a filter of system calls. Limits on time and
memory are set inside it before the code runs, and the code cannot raise them. It does not protect against faults of the kernel. Without bubblewrap no code is run.
"""

import json
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from synthgen.filters.declared import seccomp

Outcome = Literal["passed", "failed", "over_limit", "no_sandbox"]

_START_SECONDS = 2.0
"""Seconds that the sandbox may take to start. Code may take its limit in processor time, and twice that in all."""
_RUNNER = r"""
import json, os, resource, sys
job = json.loads(sys.stdin.readline())
out = os.fdopen(os.dup(1), "w")
null = os.open(os.devnull, os.O_RDWR)
for number in (0, 1, 2):
    os.dup2(null, number)
def tell(word, text=""):
    out.write(json.dumps({"word": word, "text": text[:300], "token": job["token"]}) + "\n")
    out.flush()
    os._exit(0)
seconds, size = job["seconds"], job["memory"] * 2**20
for name, most in (("AS", size), ("CPU", -int(-seconds // 1)), ("FSIZE", 2**20), ("NOFILE", 32), ("CORE", 0)):
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (most, most))
space = {"__name__": "sample"}
try:
    exec(compile(job["code"], "code", "exec"), space)
    exec(compile(job["tests"], "tests", "exec"), space)
    for name in [name for name in space if name.startswith("test_") and callable(space[name])]:
        space[name]()
except MemoryError:
    tell("over_limit", "it takes more than %d MiB of memory" % job["memory"])
except BaseException as error:
    space.clear()
    tell("failed", "%s: %s" % (type(error).__name__, error))
tell("passed")
"""


@dataclass(frozen=True)
class Limits:
    """Hold the limits of one execution."""

    seconds: float
    memory: int
    """MiB."""


@dataclass(frozen=True)
class Result:
    """Hold the outcome of one execution, and the error in words."""

    outcome: Outcome
    text: str = ""


def problem() -> str | None:
    """Return the reason why code cannot be run on this machine, with the cure; None when it can."""
    if sys.platform != "linux":
        return "bubblewrap needs Linux; run on a Linux machine, or leave the check out of task.checks"
    if not seccomp.supported():
        return f"the sandbox has no filter of system calls for {platform.machine()}; leave the check out of task.checks"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed, and code is never run outside it; install it: apt-get install bubblewrap"
    result = executed("", "", Limits(5.0, 256))
    if result.outcome == "passed":
        return None
    return (
        f"bubblewrap cannot start a sandbox on this machine ({result.text or result.outcome}); allow user namespaces "
        "(in a container: --security-opt seccomp=unconfined), or leave the check out of task.checks"
    )


def executed(code: str, tests: str, limits: Limits) -> Result:
    """Run code and then its tests in a sandbox. Functions named `test_...` of both are called without arguments."""
    token = secrets.token_hex(8)
    job = {"code": code, "tests": tests, "token": token, "seconds": limits.seconds, "memory": limits.memory}
    try:
        with _filter() as number:
            done = subprocess.run(
                [*_command(), "--seccomp", str(number), *_python(), "-c", _RUNNER], input=json.dumps(job) + "\n",
                capture_output=True, text=True, timeout=2 * limits.seconds + _START_SECONDS, check=False, env={},
                pass_fds=[number],
            )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Result("over_limit", f"it takes more than {limits.seconds:g} s")
    except OSError as error:
        return Result("no_sandbox", str(error))
    said = _said(done.stdout, token)
    if said is not None:
        return said
    if done.stderr.startswith("bwrap:"):
        return Result("no_sandbox", done.stderr.strip()[:300])
    if done.returncode in (-9, -24, 128 + 9, 128 + 24):
        return Result("over_limit", f"it takes more than {limits.seconds:g} s or {limits.memory} MiB")
    return Result("failed", f"it ended Python itself, with code {done.returncode}")


@contextmanager
def _filter() -> Iterator[int]:
    """Yield the number of an open file with the filter of system calls."""
    with tempfile.TemporaryFile() as file:
        file.write(seccomp.program())
        file.seek(0)
        yield file.fileno()


def _said(stdout: str, token: str) -> Result | None:
    """Return the result that the runner printed; None when it printed none."""
    try:
        said = json.loads(stdout)
    except ValueError:
        return None
    return Result(said["word"], said["text"]) if said.get("token") == token else None


@lru_cache(1)
def _command() -> tuple[str, ...]:
    """Return the command that starts a sandbox, up to its last options."""
    python = Path(_python()[0])
    roots = [path for path in map(Path, ("/usr", "/lib", "/lib64", "/lib32", "/bin")) if path.exists()]
    roots += [] if python.is_relative_to("/usr") else [Path(sys.base_prefix)]
    mounts: list[str] = []
    for root in roots:
        kind, source = ("--symlink", root.readlink()) if root.is_symlink() else ("--ro-bind", root)
        mounts += [kind, str(source), str(root)]
    return (
        shutil.which("bwrap") or "bwrap", "--unshare-all", "--die-with-parent", "--new-session", *mounts,
        "--proc", "/proc", "--dev", "/dev", "--size", str(2**24), "--tmpfs", "/tmp", "--chdir", "/tmp",
        "--cap-drop", "ALL", "--clearenv", "--setenv", "PYTHONHASHSEED", "0", "--setenv", "LANG", "C.UTF-8",
    )  # fmt: skip


@lru_cache(1)
def _python() -> tuple[str, ...]:
    """Return the command that starts Python isolated, without site packages."""
    python = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
    return str(python), "-I", "-S", "-X", "utf8"
