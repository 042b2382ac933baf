"""Check that Python code parses and passes its own tests, and that these tests fail when the code does nothing."""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from synthgen.filters.declared import sandbox
from synthgen.filters.declared.base import Fault, Found, KeyProblem, Path, Stage, quoted
from synthgen.filters.declared.fields import Paths, refuse_same, string_place, string_steps, texts_beside
from synthgen.records import Json
from synthgen.tasks.paths import strings
from synthgen.tasks.task import Task

_DEEPEST = 200
"""Most brackets in a row, because Python's parser may use much memory for more."""


@dataclass
class CodeConfig:
    field: Paths
    """Path to the code, in Python. Several paths are joined in their order without anything between them, such as
    `[prefix, rest]`."""
    tests: str = ""
    """Path to its tests: `assert` statements, or functions `test_...` that are called without arguments. Without this key,
    the code is parsed and not run."""
    seconds: float = 5.0
    """Most seconds that code and tests may take."""
    memory: int = 256
    """Most memory that they may take, in MiB."""


class Code:
    """Find code that does not parse, fails its tests, or has tests that pass without it."""

    kind: ClassVar[str] = "code"
    meaning: ClassVar[str] = (
        "The Python code in `field` parses and passes the tests in `tests`, and these fail when its functions are empty. "
        "It runs in a bubblewrap sandbox without network."
    )
    reasons: ClassVar[dict[str, str]] = {
        "no_python": "has code that is not Python",
        "failed_tests": "has code that fails its own tests",
        "over_limit": "has code that takes too much time or memory",
        "weak_tests": "has tests that pass although every function is empty",
        "no_sandbox": "has code that could not be run, because the sandbox failed",
    }
    config: ClassVar[type[CodeConfig]] = CodeConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "sandbox"

    def __init__(self, cfg: CodeConfig, task: Task) -> None:
        self._steps, *self._rest = string_steps("field", cfg.field, task)
        self._cfg = cfg
        self._tests = None
        if not 0 < cfg.seconds <= 60:
            raise KeyProblem("seconds", f"must be above 0 and at most 60, got {cfg.seconds}")
        if not 64 <= cfg.memory <= 4096:
            raise KeyProblem("memory", f"must be from 64 to 4096 MiB, got {cfg.memory}")
        if cfg.tests:
            refuse_same("tests", cfg.tests, cfg.field, "the field of the tests")
            self._tests = string_place("tests", cfg.tests, task).steps
            if (why := sandbox.problem()) is not None:
                raise KeyProblem("tests", why)

    def faults(self, data: Json) -> Iterator[Found]:
        for path, first in strings(data, self._steps):
            code = first + "".join(text for rest in self._rest for text in texts_beside(data, path, self._steps, rest))
            tree = _parsed(code)
            if isinstance(tree, str):
                yield Fault("no_python", path, f"{quoted(code)} is not Python: {tree}", {"problem": tree})
                continue
            if self._tests is None:
                continue
            tests = "\n\n".join(texts_beside(data, path, self._steps, self._tests))
            parsed = _parsed(tests)
            if isinstance(parsed, str):
                problem = f"its tests are not Python: {parsed}"
                yield Fault("no_python", path, problem, {"problem": problem})
                continue
            yield from self._tested(path, code, tree, tests)

    def _tested(self, path: Path, code: str, tree: ast.Module, tests: str) -> Iterator[Found]:
        limits = sandbox.Limits(self._cfg.seconds, self._cfg.memory)
        result = sandbox.executed(code, tests, limits)
        if result.outcome == "passed":
            empty = sandbox.executed(_emptied(tree), tests, limits)
            if empty.outcome == "passed":
                yield Fault("weak_tests", path, "its tests pass although every function is empty")
            elif empty.outcome == "no_sandbox":
                yield Fault("no_sandbox", path, empty.text, {"problem": empty.text}, unscored=True)
            return
        reason = "failed_tests" if result.outcome == "failed" else result.outcome
        problem = f"{'fails its tests' if reason == 'failed_tests' else 'was stopped'}: {result.text}"
        yield Fault(reason, path, problem, {"problem": result.text}, unscored=reason == "no_sandbox")


def _parsed(code: str) -> ast.Module | str:
    """Return the syntax tree of code, or the error."""
    if max((code.count(bracket) for bracket in "([{"), default=0) > _DEEPEST * 10:
        return "it has too many brackets"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes are no concern of the run
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return str(error) or type(error).__name__


def _emptied(tree: ast.Module) -> str:
    """Return the code with the body of every function replaced by `pass`. Statements outside functions stay."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("test_"):
            node.body = [ast.copy_location(ast.Pass(), node)]
            node.decorator_list = [each for each in node.decorator_list if isinstance(each, ast.Name)]
    return ast.unparse(tree)
