"""Write to terminals and pipes that cannot encode every character, and to terminals that may go away."""

import codecs
import errno
import io
import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

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


def outliving(stream: TextIO) -> TextIO:
    """Return a stream to the same terminal that discards the output once the terminal is gone. Return others unchanged.

    Without this, a run whose terminal was closed would end with an error at the next line that it prints.
    """
    if not isinstance(stream, io.TextIOWrapper) or not stream.isatty():
        return stream
    stream.flush()
    terminal = io.BufferedWriter(_Terminal(stream))
    return io.TextIOWrapper(terminal, stream.encoding, stream.errors, line_buffering=True)


class _Terminal(io.RawIOBase):
    """Write to a terminal by its file descriptor, which becomes /dev/null once the terminal is gone."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._owner = stream  # closes the descriptor when it is no longer used
        self._descriptor = stream.fileno()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer") -> int:
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.ENXIO):
                raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._descriptor)
        os.close(nowhere)
        return len(memoryview(data).cast("B"))
