"""Rewrite Python code by its syntax tree without changing what it does.

Code that looks up names at run time (`eval`, `locals` and the like) is not renamed. The check `code` runs the tests of
rewritten code, which decide if it is right.
"""

import builtins
import keyword
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import libcst as cst
import libcst.matchers as m

Rewrite = Callable[[str, Sequence[str], random.Random], str]
"""Returns changed code, or the same code where the rewrite does not apply. The second argument are other texts of the
sample, such as tests and the task, whose names must stay."""

_DYNAMIC = {"eval", "exec", "locals", "globals", "vars", "getattr", "setattr", "format_map"}
_NAMES = (
    "value", "result", "item", "items", "data", "count", "total", "left", "right", "current", "entry", "key", "part",
    "found", "first", "last", "number", "output", "source", "index", "step", "acc", "out", "elem", "rest", "size",
)  # fmt: skip
_COMMENTS = (
    "# the main step",
    "# see the tests for examples",
    "# nothing is changed in place here",
    "# edge cases first",
)
_NEGATED: dict[type[cst.BaseCompOp], type[cst.BaseCompOp]] = {
    cst.Equal: cst.NotEqual, cst.NotEqual: cst.Equal, cst.In: cst.NotIn, cst.NotIn: cst.In, cst.Is: cst.IsNot,
    cst.IsNot: cst.Is,
}  # fmt: skip
"""Comparisons with an opposite for all operands; `<` has none for NaN and sets."""
_AUGMENTED: dict[type[cst.BaseBinaryOp], type[cst.BaseAugOp]] = {
    cst.Add: cst.AddAssign, cst.Subtract: cst.SubtractAssign, cst.Multiply: cst.MultiplyAssign,
}  # fmt: skip


def rename(code: str, others: Sequence[str], rng: random.Random) -> str:
    """Rename local variables and parameters, except names that the other texts contain."""
    tree = cst.parse_module(code)
    every = {node.value for node in m.findall(tree, m.Name()) if isinstance(node, cst.Name)}
    if every & _DYNAMIC or m.findall(tree, m.Global() | m.Nonlocal() | m.ClassDef() | m.Lambda()):
        return code
    fixed = set(re.findall(r"\w+", "\n".join(others))) | set(dir(builtins)) | set(keyword.kwlist)
    functions = [node for node in m.findall(tree, m.FunctionDef()) if isinstance(node, cst.FunctionDef)]
    local: set[str] = set()
    for function in functions:
        local |= {node.name.value for node in m.findall(function.params, m.Param(name=m.Name()))}  # type: ignore[attr-defined]
        for target in m.findall(
            function.body, m.AssignTarget() | m.For() | m.CompFor() | m.AugAssign() | m.AnnAssign()
        ):
            local |= _bound(target.target)  # type: ignore[attr-defined]
    attributes = {node.attr.value for node in m.findall(tree, m.Attribute())}  # type: ignore[attr-defined]
    keywords = {node.keyword.value for node in m.findall(tree, m.Arg(keyword=m.Name()))}  # type: ignore[attr-defined]
    outside = {
        name
        for line in tree.body
        for node in [line]
        if not isinstance(line, cst.FunctionDef)
        for name in (each.value for each in m.findall(node, m.Name()))  # type: ignore[attr-defined]
    } | {function.name.value for function in functions}
    olds = sorted(local - fixed - attributes - keywords - outside)
    free = [name for name in _NAMES if name not in every | fixed]
    rng.shuffle(free)
    rng.shuffle(olds)
    new = dict(zip(olds, free, strict=False))
    return tree.visit(_Renamed(new)).code if new else code


def comments(code: str, _: Sequence[str], rng: random.Random) -> str:
    """Add a comment, or remove all comments."""
    tree = cst.parse_module(code)
    has = bool(m.findall(tree, m.Comment()))
    return tree.visit(_WithoutComments() if has else _WithComment(rng)).code


def docstrings(code: str, others: Sequence[str], _rng: random.Random) -> str:
    """Remove the docstring of each function, or add the task as one where there is none."""
    said = next((text for text in others if text and "\n" not in text and '"' not in text and "\\" not in text), "")
    return cst.parse_module(code).visit(_Docstrings(said)).code


def conditions(code: str, _: Sequence[str], _rng: random.Random) -> str:
    """Swap the branches of `if` and `else`, with the negated condition."""
    return cst.parse_module(code).visit(_Swapped()).code


def loops(code: str, _: Sequence[str], _rng: random.Random) -> str:
    """Write `for` over a range as `while`, where the loop does not use `continue` or change its variable."""
    tree = cst.parse_module(code)
    return tree.visit(_Loops()).code


def comprehensions(code: str, _: Sequence[str], _rng: random.Random) -> str:
    """Write an assigned list comprehension as a loop, or a loop that only appends as a comprehension."""
    return cst.parse_module(code).visit(_Comprehensions()).code


def assignments(code: str, _: Sequence[str], _rng: random.Random) -> str:
    """Write `x += 1` as `x = x + 1`, and the other way round, where a number is added."""
    return cst.parse_module(code).visit(_Assignments()).code


REWRITES_OF_CODE: dict[str, Rewrite] = {
    "rename": rename, "comments": comments, "docstrings": docstrings, "conditions": conditions, "loops": loops,
    "comprehensions": comprehensions, "assignments": assignments,
}  # fmt: skip
"""Every rewrite, by its name."""


def _bound(target: cst.CSTNode) -> set[str]:
    """Return the names that a target binds; an index or attribute binds none."""
    if isinstance(target, cst.Name):
        return {target.value}
    if isinstance(target, cst.Tuple | cst.List):
        return {name for element in target.elements for name in _bound(element.value)}
    return _bound(target.value) if isinstance(target, cst.StarredElement) else set()


class _Renamed(cst.CSTTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        super().__init__()
        self._names = names

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:  # noqa: N802, ARG002
        return updated_node.with_changes(value=self._names.get(updated_node.value, updated_node.value))


class _WithoutComments(cst.CSTTransformer):
    def leave_TrailingWhitespace(self, original_node: Any, updated_node: cst.TrailingWhitespace) -> Any:  # noqa: N802, ARG002
        if updated_node.comment is None:
            return updated_node
        return updated_node.with_changes(comment=None, whitespace=cst.SimpleWhitespace(""))

    def leave_EmptyLine(self, original_node: Any, updated_node: cst.EmptyLine) -> Any:  # noqa: N802, ARG002
        return cst.RemoveFromParent() if updated_node.comment is not None else updated_node


class _WithComment(cst.CSTTransformer):
    """Add a comment above the last statement of the first function."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._text: str | None = rng.choice(_COMMENTS)

    def leave_FunctionDef(self, original_node: Any, updated_node: cst.FunctionDef) -> Any:  # noqa: N802, ARG002
        body = updated_node.body
        if self._text is None or not isinstance(body, cst.IndentedBlock):
            return updated_node
        line = cst.EmptyLine(comment=cst.Comment(self._text))
        self._text = None
        last = body.body[-1]
        last = last.with_changes(leading_lines=[*getattr(last, "leading_lines", ()), line])
        return updated_node.with_changes(body=body.with_changes(body=[*body.body[:-1], last]))


class _Docstrings(cst.CSTTransformer):
    def __init__(self, said: str) -> None:
        super().__init__()
        self._said = said

    def leave_FunctionDef(self, original_node: Any, updated_node: cst.FunctionDef) -> Any:  # noqa: N802, ARG002
        body = updated_node.body
        if not isinstance(body, cst.IndentedBlock):
            return updated_node
        if updated_node.get_docstring() is not None:
            rest = body.body[1:] or [cst.parse_statement("pass")]
            return updated_node.with_changes(body=body.with_changes(body=rest))
        if not self._said:
            return updated_node
        doc = cst.parse_statement(f'"""{self._said}"""')
        return updated_node.with_changes(body=body.with_changes(body=[doc, *body.body]))


class _Swapped(cst.CSTTransformer):
    def leave_If(self, original_node: Any, updated_node: cst.If) -> Any:  # noqa: N802, ARG002
        other = updated_node.orelse
        if not isinstance(other, cst.Else):
            return updated_node
        return updated_node.with_changes(
            test=_negated(updated_node.test),
            body=other.body,
            orelse=other.with_changes(body=updated_node.body),
            whitespace_before_test=cst.SimpleWhitespace(" "),
        )

    def leave_IfExp(self, original_node: Any, updated_node: cst.IfExp) -> Any:  # noqa: N802, ARG002
        return updated_node.with_changes(
            test=_negated(updated_node.test), body=updated_node.orelse, orelse=updated_node.body
        )


def _negated(test: cst.BaseExpression) -> cst.BaseExpression:
    if isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
        return test.expression
    if isinstance(test, cst.Comparison) and len(test.comparisons) == 1:
        (one,) = test.comparisons
        if opposite := _NEGATED.get(type(one.operator)):
            return test.with_changes(comparisons=[one.with_changes(operator=opposite())])
    simple = isinstance(test, cst.Name | cst.Call | cst.Subscript | cst.Attribute) or bool(getattr(test, "lpar", ()))
    inner = test if simple else test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return cst.UnaryOperation(operator=cst.Not(), expression=inner)


class _Loops(cst.CSTTransformer):
    """Rewrite one loop for each function body, from the inside."""

    def leave_For(self, original_node: Any, updated_node: cst.For) -> Any:  # noqa: N802, ARG002
        target, call, body = updated_node.target, updated_node.iter, updated_node.body
        if (
            not isinstance(target, cst.Name)
            or not m.matches(call, m.Call(func=m.Name("range"), args=[m.Arg(star="", keyword=None)]))
            or updated_node.orelse is not None
            or not isinstance(body, cst.IndentedBlock)
            or m.findall(body, m.Continue())
            or any(
                target.value in _bound(node.target)  # type: ignore[attr-defined]
                for node in m.findall(body, m.AssignTarget() | m.AugAssign() | m.For())
            )
        ):
            return updated_node
        assert isinstance(call, cst.Call)
        end = call.args[0].value
        changed = {
            name
            for node in m.findall(body, m.AssignTarget() | m.AugAssign() | m.For())
            for name in _bound(node.target)  # type: ignore[attr-defined]
        }
        if not isinstance(end, cst.Integer | cst.Name) or _code(end) in changed:
            return updated_node  # a range computes its end once, a `while` each time
        start = cst.parse_statement(f"{target.value} = -1").with_changes(leading_lines=updated_node.leading_lines)
        test = cst.parse_expression(f"{target.value} < {_code(end)} - 1")
        step = cst.parse_statement(f"{target.value} += 1")
        return cst.FlattenSentinel([start, cst.While(test=test, body=body.with_changes(body=[step, *body.body]))])


class _Comprehensions(cst.CSTTransformer):
    def leave_SimpleStatementLine(self, original_node: Any, updated_node: cst.SimpleStatementLine) -> Any:  # noqa: N802, ARG002
        found = m.extract(
            updated_node,
            m.SimpleStatementLine(
                body=[m.Assign(
                    targets=[m.AssignTarget(target=m.SaveMatchedNode(m.Name(), "name"))],
                    value=m.ListComp(
                        elt=m.SaveMatchedNode(m.DoNotCare(), "elt"),
                        for_in=m.CompFor(
                            target=m.SaveMatchedNode(m.DoNotCare(), "target"), iter=m.SaveMatchedNode(m.DoNotCare(), "iter"),
                            ifs=m.SaveMatchedNode([m.ZeroOrMore()], "ifs"), inner_for_in=None, asynchronous=None,
                        ),
                    ),
                )]
            ),
        )  # fmt: skip
        if found is None:
            return updated_node
        name = found["name"].value  # type: ignore[union-attr]
        uses = {node.value for part in ("elt", "iter") for node in m.findall(found[part], m.Name())}  # type: ignore
        if name in uses or any(name in _code(one) for one in found["ifs"]):  # type: ignore[union-attr]
            return updated_node
        lines = [f"for {_code(found['target'])} in {_code(found['iter'])}:"]
        for condition in found["ifs"]:  # type: ignore[union-attr]
            lines.append(f"{'    ' * len(lines)}if {_code(condition.test)}:")  # type: ignore[union-attr]
        lines.append(f"{'    ' * len(lines)}{name}.append({_code(found['elt'])})")
        start = cst.parse_statement(f"{name} = []").with_changes(leading_lines=updated_node.leading_lines)
        return cst.FlattenSentinel([start, cst.parse_statement("\n".join(lines) + "\n")])


class _Assignments(cst.CSTTransformer):
    def leave_Assign(self, original_node: Any, updated_node: cst.Assign) -> Any:  # noqa: N802, ARG002
        if len(updated_node.targets) != 1 or not isinstance(updated_node.value, cst.BinaryOperation):
            return updated_node
        target, value = updated_node.targets[0].target, updated_node.value
        operator = _AUGMENTED.get(type(value.operator))
        if operator is None or not isinstance(value.right, cst.Integer) or not target.deep_equals(value.left):
            return updated_node
        return cst.AugAssign(target=target, operator=operator(), value=value.right)

    def leave_AugAssign(self, original_node: Any, updated_node: cst.AugAssign) -> Any:  # noqa: N802, ARG002
        opposite = {new: old for old, new in _AUGMENTED.items()}.get(type(updated_node.operator))
        target = updated_node.target
        if opposite is None or not isinstance(updated_node.value, cst.Integer) or not isinstance(target, cst.Name):
            return updated_node
        value = cst.BinaryOperation(left=target, operator=opposite(), right=updated_node.value)
        return cst.Assign(targets=[cst.AssignTarget(target)], value=value)


def _code(node: Any) -> str:
    return cst.Module([]).code_for_node(node)
