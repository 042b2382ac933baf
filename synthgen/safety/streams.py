"""Write to terminals and pipes that cannot encode every character, such as those with PYTHONIOENCODING=ascii."""

import codecs
import io
from typing import TextIO

_ESCAPE = "synthgen-escape"


def escape_unencodable(stream: TextIO) -> None:
    r"""Make `stream` write characters outside its encoding as JSON escapes (\u4e2d), which keeps JSON valid and messages readable.

    Without this, Python raises UnicodeEncodeError in the middle of the output.
    """
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        codecs.register_error(_ESCAPE, _escaped)
        stream.reconfigure(errors=_ESCAPE)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)), error.end
