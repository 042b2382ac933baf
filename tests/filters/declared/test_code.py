"""Test code: it parses, passes its tests in a sandbox, and the tests fail when its functions are empty."""

from collections.abc import Callable

import pytest

from synthgen.errors import ConfigError
from synthgen.filters.declared import sandbox
from synthgen.filters.declared.kinds import declared_checks
from synthgen.filters.declared.sandbox import Limits, executed
from synthgen.records import Verdict
from synthgen.tasks.task import Task

needs_sandbox = pytest.mark.skipif(sandbox.problem() is not None, reason=str(sandbox.problem()))
CODE = {"kind": "code", "field": "code", "tests": "tests", "seconds": 2, "memory": 128}
EVEN = "def even(n):\n    return n % 2 == 0\n"
LIMITS = Limits(1.0, 128)


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "tests", "reason"),
    [
        (EVEN, "assert even(4) and not even(3)", None),
        (EVEN, "def test_even():\n    assert even(0)\n    assert not even(1)", None),
        ("class 计数:\n    def 加(self, n): return n + 1", "assert 计数().加(1) == 2", None),
        (EVEN, "assert even(3)", "failed_tests"),
        (EVEN, "def test_odd():\n    assert odd(3)", "failed_tests"),
        (EVEN, "assert not even(3)", "weak_tests"),
        (EVEN, "even(4)", "weak_tests"),
        ("def even(n):\nreturn True", "assert even(2)", "no_python"),
        (EVEN, "assert even(2", "no_python"),
        ("def f(n):\n    while True: pass", "f(1)", "over_limit"),
        ("import os\nos._exit(0)", "assert False", "failed_tests"),
    ],
)
def test_code_passes_tests_that_mean_something(
    verdict: Callable[..., Verdict], code: str, tests: str, reason: str | None
) -> None:
    assert verdict(CODE, code=code, tests=tests).reason == reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [(EVEN, None), ("print 'hello'", "no_python"), ("x = 1\n  y = 2", "no_python"), ("(" * 5000, "no_python")],
)
def test_code_without_tests_is_parsed_and_not_run(
    verdict: Callable[..., Verdict], monkeypatch: pytest.MonkeyPatch, code: str, reason: str | None
) -> None:
    monkeypatch.setattr(sandbox, "executed", None)
    assert verdict({"kind": "code", "field": "code"}, code=code).reason == reason


@needs_sandbox
@pytest.mark.parametrize(
    ("prefix", "rest", "reason"),
    [
        ("def even(n):\n", "    return n % 2 == 0", None),
        ("def even(n):\n    return n ", "% 2 == 0", None),
        ("def even(n):\n", "    return n % 2 == 1", "failed_tests"),
        ("def even(n):\n", "return n % 2 == 0", "no_python"),
    ],
)
def test_the_parts_of_a_completion_are_one_program(
    verdict: Callable[..., Verdict], prefix: str, rest: str, reason: str | None
) -> None:
    check = CODE | {"field": ["prefix", "rest"]}
    assert verdict(check, prefix=prefix, rest=rest, tests="assert even(4) and not even(3)").reason == reason


@needs_sandbox
@pytest.mark.parametrize(
    "code",
    [
        "import socket\nsocket.create_connection(('1.1.1.1', 53), 0.5)",
        "open('/etc/passwd')",
        "open('/usr/written', 'w')",
        "import os\nos.fork()",
        "import subprocess\nsubprocess.run(['/bin/true'])",
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))",
        "open('/tmp/large', 'w').write('a' * (2 << 20))",
        "import os\nassert 'HOME' in os.environ",
    ],
)
def test_code_reaches_nothing_outside_its_sandbox(code: str) -> None:
    assert executed(code, "", LIMITS).outcome == "failed"


@needs_sandbox
def test_code_has_a_standard_library_and_threads_and_a_folder_of_its_own() -> None:
    code = "import json, re, threading\nthread = threading.Thread(target=print)\nthread.start()\nthread.join()"
    assert executed(code + "\nopen('/tmp/small', 'w').write('a')", "", LIMITS).outcome == "passed"


@needs_sandbox
@pytest.mark.parametrize("code", ["x = 'a' * 10**10", "import time\ntime.sleep(60)"])
def test_code_that_takes_too_much_is_stopped(code: str) -> None:
    assert executed(code, "", LIMITS).outcome == "over_limit"


def test_a_task_with_tests_is_refused_where_there_is_no_bubblewrap(
    declaring: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="bubblewrap is not installed, and code is never run outside it; install it"):
        declared_checks(declaring({"kind": "code", "field": "text", "tests": "tags[]"}))


@needs_sandbox
def test_a_sandbox_that_does_not_start_leaves_the_code_unscored(
    verdict: Callable[..., Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "problem", lambda: None)
    monkeypatch.setattr(sandbox, "_command", lambda: ("bwrap", "--unshare-all", "--ro-bind", "/nowhere", "/nowhere"))
    found = verdict(CODE, code=EVEN, tests="assert even(2)")
    assert (found.outcome, found.reason) == ("unscored", "no_sandbox")
