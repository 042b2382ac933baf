"""Cut a text that reached its maximum length back to its last complete sentence."""

import re

from synthgen.records import Json

# A full stop after three or more letters, and before anything but a lower-case letter, does not end an abbreviation.
_END = re.compile(r"""(?<=\w{3})[.!?…]+["'”’»)\]]*(?=\s+[^\sa-z])|[。！？…]+["”’»」』）]*""")


class Cut:
    """Cut a reply's last field back to its last complete sentence, if its text has the maximum length of the field.

    Leave the other fields unchanged, because later fields may refer to everything in them. `schema` is the schema of a
    sample, with the bounds of its grammar.
    """

    def __init__(self, schema: Json) -> None:
        self._field, part = list(schema["properties"].items())[-1]
        free = part.get("type") == "string" and not part.keys() & {"enum", "const", "pattern", "format"}
        self._least, self._most = part.get("minLength", 0), part.get("maxLength", 0) if free else 0

    def back(self, data: Json) -> Json:
        text = data.get(self._field)
        if not isinstance(text, str) or not self._least < self._most <= len(text):
            return data
        ends = [match.end() for match in _END.finditer(text)]
        return {**data, self._field: text[: ends[-1]]} if ends and ends[-1] >= self._least else data


def whole_sentences(text: str) -> str:
    """Return a text that was cut off, up to the end of its last complete sentence; empty where there is none."""
    ends = [match.end() for match in _END.finditer(f"{text} X")]
    return text[: min(ends[-1], len(text))] if ends else ""
