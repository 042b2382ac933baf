"""Put the declared checks of a task into words for annotators, in English or Chinese."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from synthgen.records import Json

_ENGLISH: Mapping[str, str] = {
    "distinct": "{field} differs from {from} in more than case, width and punctuation.",
    "distinct_list": "The entries of {field} differ from each other.",
    "equal_after": "{field} is the same as {to}, apart from the form of writing.",
    "empty_when": "{field} is empty if {by} is {empty}, and only then.",
    "allowed": "The values that {field} may have follow from {by}: {values}.",
    "spans": "Each text in {field} occurs word for word in {in}.",
    "offsets": "Each text in {field} occurs word for word in {in}, at a place of its own.",
    "member": "Each text in {field} is also in {of}, character by character.",
    "pairs": "{head} and {tail} have types that the type of the relation allows: {values}.",
    "length_ratio": "{field} is {min} to {max} times as long as {to}, in {unit}.",
    "length_ratio_open": "{field} is at least {min} times as long as {to}, in {unit}.",
    "kept": "{field} says nothing that {in} lacks of these: {what}.",
    "copied": "At most {percent} % of {field} is copied from {from}.",
    "evaluates": "The calculation in {field} has the result in {equals}.",
    "schema_of": "{field} is JSON in the form that the task prescribes.",
    "language": "{field} is in the language {language}.",
    "supported": "{in} supports everything that {field} says.",
    "code": "The Python code in {field} runs and passes the tests in {tests}.",
    "judge": "The answer to this question is {answer}: {question}",
    "attributes": "The sample has the attribute values that were asked for: {attributes}.",
    "prefers": "{field} is a better answer than {over}.",
    "must": "{field} matches the pattern {must}.",
    "must_not": "{field} does not match the pattern {must_not}.",
    "turns": "{field} has {min} to {max} turns",
    "turns_open": "{field} has at least {min} turns",
    "first": "the first is by {first}",
    "last": "the last is by {last}",
    "alternate": "speakers take turns",
    "repeat": "no turn repeats another",
    "other": "The check {kind} passes.",
}
_CHINESE: Mapping[str, str] = {
    "distinct": "{field} 与 {from} 不同，差别不能只在大小写、全角半角和标点。",
    "distinct_list": "{field} 的各项互不相同。",
    "equal_after": "除书写形式外，{field} 与 {to} 相同。",
    "empty_when": "当且仅当 {by} 为 {empty} 时，{field} 为空。",
    "allowed": "{field} 可取的值由 {by} 决定：{values}。",
    "spans": "{field} 中的每段文字都原样出现在 {in} 中。",
    "offsets": "{field} 中的每段文字都原样出现在 {in} 中，各占一处。",
    "member": "{field} 中的每段文字都与 {of} 中的某一项逐字相同。",
    "pairs": "{head} 与 {tail} 的类型符合关系类型的要求：{values}。",
    "length_ratio": "{field} 的长度是 {to} 的 {min} 到 {max} 倍（按{unit}计）。",
    "length_ratio_open": "{field} 的长度至少是 {to} 的 {min} 倍（按{unit}计）。",
    "kept": "{field} 中的下列内容在 {in} 中都有：{what}。",
    "copied": "{field} 中至多 {percent}% 照抄自 {from}。",
    "evaluates": "{field} 中算式的结果是 {equals}。",
    "schema_of": "{field} 是符合任务规定格式的 JSON。",
    "language": "{field} 使用的语言是 {language}。",
    "supported": "{field} 所说的一切都有 {in} 作依据。",
    "code": "{field} 中的 Python 代码可以运行，并通过 {tests} 中的测试。",
    "judge": "对下面问题的回答是“{answer}”：{question}",
    "attributes": "样本具有所要求的属性值：{attributes}。",
    "prefers": "{field} 是比 {over} 更好的回答。",
    "must": "{field} 符合模式 {must}。",
    "must_not": "{field} 不符合模式 {must_not}。",
    "turns": "{field} 有 {min} 到 {max} 轮",
    "turns_open": "{field} 至少有 {min} 轮",
    "first": "第一轮是 {first}",
    "last": "最后一轮是 {last}",
    "alternate": "双方轮流说话",
    "repeat": "没有重复的轮次",
    "other": "通过检查 {kind}。",
}
_TERMS = {
    "words": "词", "characters": "字符", "numbers": "数字", "names": "名称", "placeholders": "占位符", "urls": "网址",
}  # fmt: skip


def in_words(entry: Json, chinese: bool, language: str = "") -> list[str]:
    """Return a declared check as sentences. `language` is the task's, for a check of language that names none."""
    words = _CHINESE if chinese else _ENGLISH
    kind = str(entry.get("kind"))
    known = {"language": language, **_DEFAULTS.get(kind, {}), **entry}
    told = {key: _shown(value, chinese) for key, value in known.items()}

    def say(name: str, **more: str) -> str:
        return words[name].format_map({**told, **more})

    match kind:
        case "pattern":
            return [say(name) for name in ("must", "must_not") if known.get(name)]
        case "turns":
            return [_turns(known, say, chinese)]
        case "distinct":
            return [say("distinct" if known.get("from") else "distinct_list")]
        case "length_ratio":
            return [say("length_ratio" if known["max"] is not None else "length_ratio_open")]
        case "copied":
            return [say("copied", percent=f"{100 * float(known['max']):g}")]
        case "judge":
            yes = bool(known["expect"])
            return [say("judge", answer=("是" if yes else "否") if chinese else ("yes" if yes else "no"))]
        case _:
            return [say(kind if kind in words else "other")]


_DEFAULTS: Mapping[str, Json] = {
    "turns": {"min": 1, "max": None, "first": "", "last": "", "alternate": True},
    "distinct": {"from": ""},
    "length_ratio": {"min": 0.0, "max": None, "unit": "words"},
    "kept": {"what": ["numbers", "placeholders", "urls"]},
    "copied": {"max": 0.8},
    "judge": {"expect": True},
    "attributes": {"attributes": []},
    "code": {"tests": "tests"},
}
"""Values that a declaration may leave out, by kind; those of `synthgen.filters.declared`."""


def _turns(known: Json, say: Callable[..., str], chinese: bool) -> str:
    parts = [say("turns" if known["max"] is not None else "turns_open")]
    parts += [say(name) for name in ("first", "last") if known[name]]
    parts += [say("alternate")] if known["alternate"] else []
    parts.append(say("repeat"))
    return f"{'，'.join(parts)}。" if chinese else f"{', '.join(parts)}."


def _shown(value: Any, chinese: bool) -> str:
    """Return a value of a declaration for a sentence: names in a list are joined, mappings are written as a list."""
    joint = "、" if chinese else ", "
    if isinstance(value, list):
        return joint.join(_shown(one, chinese) for one in value)
    if isinstance(value, dict):
        return ("；" if chinese else "; ").join(f"{key}: {_pairs(one)}" for key, one in value.items())
    if isinstance(value, str):
        return _TERMS.get(value, value) if chinese else value
    return json.dumps(value, ensure_ascii=False)


def _pairs(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(one, list) for one in value):
        return ", ".join(" – ".join(map(str, one)) for one in value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
