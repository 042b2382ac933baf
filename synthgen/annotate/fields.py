"""Put the fields of a task's JSON Schema into words for annotators, in English or Chinese."""

from collections.abc import Mapping
from typing import Any

from synthgen.records import Json

_ENGLISH: Mapping[str, str] = {
    "string": "text", "integer": "whole number", "number": "number", "boolean": "yes or no", "null": "nothing",
    "between": "{kind} of {low} to {high} characters", "most": "{kind} of at most {high} characters",
    "least": "{kind} of at least {low} characters", "range": "{kind} from {low} to {high}", "one_of": "one of {values}",
    "list": "list of {item}", "list_most": "list of at most {high}, each: {item}",
    "list_between": "list of {low} to {high}, each: {item}", "object": "object with {parts}", "or": " or ",
    "joint": ", ", "any": "any value", "optional": "{words} (may be missing)",
}  # fmt: skip
_CHINESE: Mapping[str, str] = {
    "string": "文本", "integer": "整数", "number": "数字", "boolean": "是或否", "null": "空",
    "between": "{low} 到 {high} 个字符的{kind}", "most": "至多 {high} 个字符的{kind}",
    "least": "至少 {low} 个字符的{kind}", "range": "{low} 到 {high} 的{kind}", "one_of": "其中之一：{values}",
    "list": "列表，每项：{item}", "list_most": "至多 {high} 项的列表，每项：{item}",
    "list_between": "{low} 到 {high} 项的列表，每项：{item}", "object": "对象，含 {parts}", "or": "或",
    "joint": "、", "any": "任意值", "optional": "{words}（可以没有）",
}  # fmt: skip


def in_words(schema: Json, name: str, chinese: bool) -> str:
    """Return the form of the field `name` of a schema, followed by its description where the schema has one."""
    words = _CHINESE if chinese else _ENGLISH
    part = schema.get("properties", {}).get(name, {})
    said = _form(part, words)
    if name not in schema.get("required", []):
        said = words["optional"].format(words=said)
    described = str(part.get("description") or "").strip()
    return f"{described}{'：' if chinese else ': '}{said}" if described else said


def _form(part: Any, words: Mapping[str, str]) -> str:
    if not isinstance(part, dict):
        return words["any"]
    if "enum" in part or "const" in part:
        values = part.get("enum", [part.get("const")])
        return words["one_of"].format(values=words["joint"].join(str(value) for value in values))
    kind = part.get("type")
    if isinstance(kind, list):
        return words["or"].join(_form({**part, "type": one}, words) for one in kind)
    match kind:
        case "string":
            return _bounded(part, words, "minLength", "maxLength", ("between", "most", "least"))
        case "integer" | "number":
            low, high = part.get("minimum"), part.get("maximum")
            both = low is not None and high is not None
            return words["range"].format(kind=words[kind], low=low, high=high) if both else words[kind]
        case "array":
            item = _form(part.get("items"), words)
            low, high = part.get("minItems"), part.get("maxItems")
            name = "list" if high is None else "list_between" if low else "list_most"
            return words[name].format(item=item, low=low, high=high)
        case "object":
            parts = [f"{key} ({_form(one, words)})" for key, one in part.get("properties", {}).items()]
            return words["object"].format(parts=words["joint"].join(parts))
        case _:
            return words.get(str(kind), words["any"])


def _bounded(part: Json, words: Mapping[str, str], low_key: str, high_key: str, names: tuple[str, str, str]) -> str:
    low, high = part.get(low_key), part.get(high_key)
    kind = words[str(part["type"])]
    if low is None and high is None:
        return kind
    name = names[0] if low is not None and high is not None else names[1] if high is not None else names[2]
    return words[name].format(kind=kind, low=low, high=high)
