"""What is whole of a text that was cut off where its field ends."""

import re

from synthgen.records import Json

# A full stop behind a word of three letters or more, before something that is not written small: no abbreviation.
_END = re.compile(r"""(?<=\w{3})[.!?…]+["'”’»)\]]*(?=\s+[^\sa-z])|[。！？…]+["”’»」』）]*""")


class Cut:
    """Cut a reply's last field back to its last whole sentence, if it fills the field to its limit.

    Of the other fields none is touched: what was written after them may be about all they say. `schema` is a sample's, with
    the bounds its grammar has.
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
