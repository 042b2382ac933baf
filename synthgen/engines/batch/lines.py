"""Write requests as the lines of a batch file, and find the answers in result files."""

from collections.abc import Collection
from dataclasses import dataclass, field

import orjson

from synthgen.engines.http.reading import read_payload
from synthgen.records import Json


def line(custom_id: str, path: str, body: Json) -> bytes:
    """Return one line of a batch file, with its line end. Raise TypeError for values that JSON cannot hold."""
    return orjson.dumps({"custom_id": custom_id, "method": "POST", "url": path, "body": body}) + b"\n"


@dataclass
class Results:
    """Hold the lines of a batch's result files by custom_id, as they came."""

    lines: dict[str, bytes] = field(default_factory=dict)
    strangers: int = 0
    """Lines with a custom_id that is not in the batch."""
    unreadable: int = 0
    """Lines that are not JSON, such as the last one of a file that was cut off."""

    def add(self, content: bytes, asked: Collection[str]) -> None:
        """Add the lines of a result file. Of several lines with the same custom_id the first one counts."""
        for each in content.split(b"\n"):
            if not each.strip():
                continue
            try:
                found = read_payload(each)
                custom_id = str(found["custom_id"])
            except (ValueError, LookupError, TypeError):
                self.unreadable += 1
                continue
            if custom_id in asked:
                self.lines.setdefault(custom_id, each)
            else:
                self.strangers += 1


@dataclass(frozen=True)
class ResultLine:
    """Hold one line of a result file."""

    status: int
    """HTTP status of the answer; 0 if there is an error instead."""
    body: bytes
    code: str = ""
    """Code of the error, such as batch_expired."""
    words: str = ""


def read_line(raw: bytes) -> ResultLine:
    """Read a line of a result file, whatever its `response` and `error` hold."""
    found = read_payload(raw)
    response, error = found.get("response"), found.get("error")
    if isinstance(response, dict) and isinstance(response.get("status_code"), int):
        body = response.get("body")
        return ResultLine(response["status_code"], body.encode() if isinstance(body, str) else orjson.dumps(body))
    error = error if isinstance(error, dict) else {"message": str(error)}
    return ResultLine(0, b"", str(error.get("code") or ""), str(error.get("message") or "an error without a message"))
