"""Read the bytes of a text file safely: regular files only, decompressed, within size limits, as UTF-8.

Memory use stays within a buffer and one row for any file.
"""

import codecs
import gzip
import io
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from synthgen.errors import InputError
from synthgen.tasks.encodings import marked, not_utf8
from synthgen.tasks.rows import limits
from synthgen.tasks.rows.located import Problems

_BUFFER = 256 * 1024
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def open_file(path: Path, most: int | None = None) -> IO[bytes]:
    """Open a regular file, or a link to one, up to the size limit. Never wait for a pipe or a device."""
    most = limits.FILE_BYTES if most is None else most
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
            raise InputError(f"{path}: {kind}, not a file; write the rows to a file and name that")
        if status.st_size > most:
            raise InputError(f"{path}: {status.st_size:,} bytes is more than the {most:,} that is read; split the file")
        return path.open("rb", buffering=0)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path and its permissions") from error


@contextmanager
def open_text(path: Path, problems: Problems) -> Iterator["io.BufferedReader[_Capped]"]:
    """Return the decompressed bytes of a text file without its byte order mark."""
    with (
        open_file(path, problems.file_bytes) as raw,
        io.BufferedReader(_Capped(raw, path, problems), _BUFFER) as reader,
    ):
        start = reader.peek(4)[:4]
        if (name := marked(start)) is not None:
            problems.stop((1, 1), f"{name}, by its byte order mark; save the file as UTF-8")
        if start.startswith(codecs.BOM_UTF8):
            reader.read(len(codecs.BOM_UTF8))
        yield reader


def lines(path: Path, problems: Problems) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line with its line feed). Only a line feed ends a line."""
    with open_text(path, problems) as file:
        for number in range(1, problems.file_rows + 1):
            raw = file.readline(limits.ROW_BYTES + 1)
            if not raw:
                return
            if len(raw) > limits.ROW_BYTES:
                problems.stop((number, 1), f"the line is longer than {limits.ROW_BYTES:,} bytes; write one row a line")
            yield number, raw
        if file.peek(1):
            problems.stop((number + 1, 1), f"more than {problems.file_rows:,} lines; split the file")


def decoded(raw: bytes, number: int, problems: Problems) -> str | None:
    """Decode a line. Report a problem and return None if it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        problems.add((number, len(raw[: error.start].decode("utf-8")) + 1), not_utf8(error))
        return None


class _Capped(io.RawIOBase):
    """Pass on decompressed bytes up to the limits. Count lines to report the place where reading stopped."""

    def __init__(self, raw: IO[bytes], path: Path, problems: Problems) -> None:
        super().__init__()
        self._problems = problems
        self._packed = path.stat().st_size if path.suffix.lower() == ".gz" else None
        self._read = raw.read if self._packed is None else gzip.GzipFile(fileobj=raw, mode="rb").read1
        self._bytes, self._line = 0, 1

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._read(len(buffer))
        except EOFError:
            self._stop("the gzip data ends too soon; copy or compress the file again")
        except (gzip.BadGzipFile, zlib.error) as error:
            self._stop(f"not whole gzip data ({error}); compress the file again, or take .gz from its name")
        except OSError as error:
            self._stop(f"cannot be read on: {error.strerror}; check the disk")
        buffer[: len(data)] = data
        self._bytes += len(data)
        self._line += data.count(b"\n")
        self._check()
        return len(data)

    def _check(self) -> None:
        if self._bytes > self._problems.file_bytes:
            self._stop(f"more than the {self._problems.file_bytes:,} bytes that are read; split the file")
        if self._packed is not None and self._bytes > max(limits.EXPANSION_FROM, limits.EXPANSION * self._packed):
            self._stop(
                f"{self._packed:,} bytes of gzip became more than {limits.EXPANSION} times as many, as a gzip bomb does;"
                " decompress the file if it is none"
            )

    def _stop(self, cause: str) -> NoReturn:
        self._problems.stop((self._line, 1), cause)
