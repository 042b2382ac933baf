"""The ledger as a file: its tables, its version, and what tells a whole one from any other file."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from synthgen.errors import RunFolderError, WriteError
from synthgen.ledger.bulk import Statement, together
from synthgen.ledger.durable import sync
from synthgen.records import content_id

VERSION = 3
OLDEST = 1
_OLDEST_SQLITE = (3, 33)  # UPDATE ... FROM
APPLICATION_ID = 0x73796E67  # "syng" in the file header: tells a ledger from any other SQLite file

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE texts (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE slots (slot INTEGER PRIMARY KEY, grp INTEGER NOT NULL, label TEXT, strategy TEXT NOT NULL,
  parents TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE requests (id TEXT NOT NULL, attempt INTEGER NOT NULL, slot INTEGER NOT NULL, kind TEXT NOT NULL,
  messages TEXT NOT NULL, spec TEXT NOT NULL, sent_at REAL NOT NULL, state TEXT NOT NULL, error TEXT,
  text TEXT, finish_reason TEXT, logprobs TEXT, prompt_tokens INTEGER, cached_tokens INTEGER,
  completion_tokens INTEGER, engine TEXT, seconds REAL, PRIMARY KEY (id, attempt)) WITHOUT ROWID;
CREATE TABLE candidates (slot INTEGER NOT NULL, item INTEGER NOT NULL, id TEXT NOT NULL, label TEXT, text TEXT NOT NULL,
  data TEXT, finish_reason TEXT NOT NULL, parents TEXT NOT NULL, depth INTEGER NOT NULL, strategy TEXT NOT NULL,
  template TEXT NOT NULL, outcome TEXT NOT NULL, "check" TEXT, reason TEXT, PRIMARY KEY (slot, item)) WITHOUT ROWID;
CREATE TABLE verdicts (slot INTEGER NOT NULL, item INTEGER NOT NULL, position INTEGER NOT NULL, "check" TEXT NOT NULL,
  outcome TEXT NOT NULL, reason TEXT, score REAL, details TEXT NOT NULL,
  PRIMARY KEY (slot, item, position)) WITHOUT ROWID;
CREATE TABLE samples (id TEXT PRIMARY KEY, position INTEGER NOT NULL UNIQUE, data TEXT NOT NULL, origin TEXT NOT NULL,
  label TEXT, slot INTEGER, item INTEGER, parents TEXT NOT NULL, depth INTEGER NOT NULL, strategy TEXT NOT NULL,
  template TEXT NOT NULL, quality REAL NOT NULL, novelty REAL NOT NULL);
CREATE UNIQUE INDEX samples_by_slot ON samples (slot, item) WHERE slot IS NOT NULL;
CREATE INDEX requests_by_slot ON requests (slot);
CREATE TABLE embeddings (sample_id TEXT PRIMARY KEY REFERENCES samples (id), vector BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (seq INTEGER PRIMARY KEY, began REAL NOT NULL, pid INTEGER NOT NULL, version TEXT NOT NULL,
  ended REAL, exit_code INTEGER);
CREATE TABLE answers (sample_id TEXT NOT NULL, annotator TEXT NOT NULL, answer TEXT, at REAL NOT NULL,
  PRIMARY KEY (sample_id, annotator)) WITHOUT ROWID;
CREATE TABLE events (seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL);
"""

_STEPS = {
    1: [
        "CREATE TABLE sessions (seq INTEGER PRIMARY KEY, began REAL NOT NULL, pid INTEGER NOT NULL,"
        " version TEXT NOT NULL, ended REAL, exit_code INTEGER)"
    ],
    2: [
        "CREATE TABLE answers (sample_id TEXT NOT NULL, annotator TEXT NOT NULL, answer TEXT, at REAL NOT NULL,"
        " PRIMARY KEY (sample_id, annotator)) WITHOUT ROWID"
    ],
}
"""Statements that make a ledger of a version one of the next."""


def make(path: Path, statements: Sequence[Statement]) -> None:
    """Create a ledger file at `path` with `statements`, whole or not at all. Raise RunFolderError on failure."""
    if path.exists():
        raise RunFolderError(f"{path} exists already; a ledger is never overwritten")
    unfinished = path.with_name(f"{path.name}.new")  # a kill in here leaves no half ledger at `path`
    _remove(unfinished)
    try:
        with contextlib.closing(connect(unfinished)) as connection:
            connection.executescript(TABLES)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            for sql, values in together(statements):
                connection.execute(sql, values)
            connection.commit()
    except sqlite3.OperationalError as error:
        _remove(unfinished)
        raise RunFolderError(f"{path}: cannot be made: {error}; is there room, and may you write there?") from error
    unfinished.rename(path)
    sync(path.parent)


def connect(path: Path) -> sqlite3.Connection:
    """Return the writing connection; only one may exist (SQLite before 3.51.3 can lose a WAL with two).

    Raises RunFolderError where this Python's SQLite is too old for the ledger's statements.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise RunFolderError(
            f"{path}: needs SQLite {'.'.join(map(str, _OLDEST_SQLITE))} or newer, and this Python has "
            f"{sqlite3.sqlite_version}; use a newer build of Python"
        )
    connection = sqlite3.connect(path, check_same_thread=False, cached_statements=64)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def read_only(path: Path) -> tuple[sqlite3.Connection, int]:
    """Return a connection for reading, and the file's version.

    Raises RunFolderError if `path` is missing, foreign, or of a version that this program does not know.
    """
    if not path.is_file():
        raise RunFolderError(f"{path}: no ledger here; is this a run folder?")
    with damage_named(path):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        with damage_named(path):
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise RunFolderError(f"{path}: an SQLite file, but not a synthgen ledger; it is left as it is")
        if not OLDEST <= version <= VERSION:
            raise RunFolderError(
                f"{path}: written by ledger version {version}, this program reads versions {OLDEST} to {VERSION}; "
                "use the synthgen that made it, or a newer one"
            )
    except RunFolderError:
        connection.close()
        raise
    return connection, version


def check(path: Path) -> None:
    """Raise RunFolderError unless `path` is a whole ledger whose samples match the accepted candidates.

    SQLite notices a page that does not fit its neighbours, not one whose text was changed; sample ids
    are content hashes, and so do.
    """
    connection, _ = read_only(path)
    with contextlib.closing(connection), damage_named(path):
        finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if finding != "ok":
            raise _damaged(path, finding)
        for key, data in connection.execute("SELECT id, data FROM samples"):
            if not _is_content(key, data):
                raise _damaged(path, f"sample {key} does not hold what its id says")
        lengths = connection.execute("SELECT DISTINCT length(vector) FROM embeddings").fetchall()
        if len(lengths) > 1 or any(length % 4 for (length,) in lengths):
            raise _damaged(path, "embeddings of unequal lengths")


def upgrade(path: Path) -> Path | None:
    """Convert an older ledger to this version; return the path of the kept copy, None if it was current.

    The caller holds the run folder's lock. Killed half-way, it leaves the old ledger as it was.
    """
    connection, version = read_only(path)
    with contextlib.closing(connection):
        if version == VERSION:
            return None
        copy = path.with_name(f"{path.name}.v{version}")
        unfinished = copy.with_name(f"{copy.name}.new")
        unfinished.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(unfinished)) as target:
            connection.backup(target)
    sync(unfinished)
    unfinished.rename(copy)
    sync(path.parent)
    with contextlib.closing(connect(path)) as writing:
        writing.isolation_level = None
        writing.execute("BEGIN IMMEDIATE")
        for step in range(version, VERSION):
            for statement in _STEPS[step]:
                writing.execute(statement)
        writing.execute(f"PRAGMA user_version = {VERSION}")
        writing.execute("COMMIT")
    return copy


_NO_ROOM = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE, sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP,
}  # fmt: skip


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """SQLite's complaints about a file, not those about a query, as a RunFolderError that names the file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # text that is not UTF-8 has none
        if code in _NO_ROOM:
            raise WriteError(
                f"{path}: SQLite cannot write the small files that it needs beside it, even to read ({error}); "
                "make room on that disk, or raise the limit on file sizes (ulimit -f), and try again"
            ) from error
        match code & 0xFF:
            case sqlite3.SQLITE_CANTOPEN:
                raise RunFolderError(
                    f"{path}: cannot be opened ({error}); its folder must be writable, for SQLite's files beside it"
                ) from error
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_IOERR:
                raise _damaged(path, str(error)) from error
            case _:
                raise


def _damaged(path: Path, finding: str) -> RunFolderError:
    return RunFolderError(
        f"{path}: not a readable ledger ({finding}); it is left as it is. Restore it from a copy, or save what "
        "sqlite3's .recover can read and start a new run"
    )


def _remove(path: Path) -> None:
    """Delete a database and the files that SQLite keeps beside it."""
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _is_content(key: str, data: str) -> bool:
    try:
        return content_id(json.loads(data)) == key
    except ValueError:
        return False
