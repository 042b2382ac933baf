"""Define the ledger file: its tables, its version, and the checks that it is a complete ledger."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from synthgen.errors import RunFolderError, WriteError
from synthgen.ledger.bulk import Statement, together
from synthgen.ledger.durable import sync
from synthgen.records import content_id

VERSION = 7
OLDEST = 1
_OLDEST_SQLITE = (3, 33)  # the first version with UPDATE ... FROM
APPLICATION_ID = 0x73796E67  # "syng" in the file header distinguishes a ledger from other SQLite files

# A vector takes more of a page than the rows of a table WITHOUT ROWID should: those stand within its search tree.
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE texts (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE slots (slot INTEGER PRIMARY KEY, grp INTEGER NOT NULL, label TEXT, strategy TEXT NOT NULL,
  parents TEXT NOT NULL, state TEXT NOT NULL, model TEXT, given TEXT);
CREATE TABLE requests (id TEXT NOT NULL, attempt INTEGER NOT NULL, slot INTEGER NOT NULL, kind TEXT NOT NULL,
  messages TEXT NOT NULL, spec TEXT NOT NULL, sent_at REAL NOT NULL, state TEXT NOT NULL, error TEXT,
  text TEXT, finish_reason TEXT, logprobs TEXT, prompt_tokens INTEGER, cached_tokens INTEGER,
  completion_tokens INTEGER, engine TEXT, seconds REAL, thinking TEXT, usd REAL,
  PRIMARY KEY (id, attempt)) WITHOUT ROWID;
CREATE TABLE candidates (slot INTEGER NOT NULL, item INTEGER NOT NULL, id TEXT NOT NULL, label TEXT, text TEXT NOT NULL,
  data TEXT, finish_reason TEXT NOT NULL, parents TEXT NOT NULL, depth INTEGER NOT NULL, strategy TEXT NOT NULL,
  template TEXT NOT NULL, outcome TEXT NOT NULL, "check" TEXT, reason TEXT, PRIMARY KEY (slot, item)) WITHOUT ROWID;
CREATE TABLE verdicts (slot INTEGER NOT NULL, item INTEGER NOT NULL, position INTEGER NOT NULL, "check" TEXT NOT NULL,
  outcome TEXT NOT NULL, reason TEXT, score REAL, details TEXT NOT NULL,
  PRIMARY KEY (slot, item, position)) WITHOUT ROWID;
CREATE TABLE samples (id TEXT PRIMARY KEY, position INTEGER NOT NULL UNIQUE, data TEXT NOT NULL, origin TEXT NOT NULL,
  label TEXT, slot INTEGER, item INTEGER, parents TEXT NOT NULL, depth INTEGER NOT NULL, strategy TEXT NOT NULL,
  template TEXT NOT NULL, quality REAL NOT NULL, novelty REAL NOT NULL, model TEXT, given TEXT);
CREATE UNIQUE INDEX samples_by_slot ON samples (slot, item) WHERE slot IS NOT NULL;
CREATE INDEX requests_by_slot ON requests (slot);
CREATE TABLE embeddings (sample_id TEXT PRIMARY KEY REFERENCES samples (id), vector BLOB NOT NULL);
CREATE TABLE sessions (seq INTEGER PRIMARY KEY, began REAL NOT NULL, pid INTEGER NOT NULL, version TEXT NOT NULL,
  ended REAL, exit_code INTEGER);
CREATE TABLE answers (sample_id TEXT NOT NULL, annotator TEXT NOT NULL, answer TEXT, at REAL NOT NULL,
  guide TEXT, role TEXT, PRIMARY KEY (sample_id, annotator)) WITHOUT ROWID;
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
    3: ["ALTER TABLE requests ADD COLUMN thinking TEXT"],
    4: [
        "ALTER TABLE slots ADD COLUMN model TEXT",
        "ALTER TABLE samples ADD COLUMN model TEXT",
        "ALTER TABLE requests ADD COLUMN usd REAL",
    ],
    5: ["ALTER TABLE slots ADD COLUMN given TEXT", "ALTER TABLE samples ADD COLUMN given TEXT"],
    6: ["ALTER TABLE answers ADD COLUMN guide TEXT", "ALTER TABLE answers ADD COLUMN role TEXT"],
}
"""Statements that convert a ledger of each older version to the next version."""


def make(path: Path, statements: Sequence[Statement]) -> None:
    """Create a ledger file at `path` with `statements`, completely or not at all. Raise RunFolderError on failure."""
    if path.exists():
        raise RunFolderError(f"{path} exists already; a ledger is never overwritten")
    unfinished = path.with_name(f"{path.name}.new")  # a kill during this leaves no incomplete ledger at `path`
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
        raise RunFolderError(
            f"{path}: cannot be created: {error}; check the free space and your permissions"
        ) from error
    unfinished.rename(path)
    sync(path.parent)


def connect(path: Path) -> sqlite3.Connection:
    """Return the writing connection. Only one may exist, because SQLite before 3.51.3 can lose a WAL with two.

    Raise RunFolderError where this Python's SQLite is too old for the ledger's statements.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise RunFolderError(
            f"{path}: needs SQLite {'.'.join(map(str, _OLDEST_SQLITE))} or newer, and this Python has "
            f"{sqlite3.sqlite_version}; use a newer build of Python"
        )
    connection = sqlite3.connect(path, check_same_thread=False, cached_statements=128)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def read_only(path: Path) -> tuple[sqlite3.Connection, int]:
    """Return a connection for reading, and the version of the file.

    Raise RunFolderError if `path` is missing, is not a ledger, or has a version that this program does not know.
    """
    if not path.is_file():
        raise RunFolderError(f"{path}: there is no such ledger; give the folder of a run")
    with damage_named(path):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        with damage_named(path):
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise RunFolderError(f"{path}: an SQLite file, but not a synthgen ledger; synthgen leaves it unchanged")
        if not OLDEST <= version <= VERSION:
            raise RunFolderError(
                f"{path}: has ledger version {version}, but this program reads versions {OLDEST} to {VERSION}; "
                "use the version of synthgen that wrote it, or a newer one"
            )
    except RunFolderError:
        connection.close()
        raise
    return connection, version


def check(path: Path) -> None:
    """Raise RunFolderError unless `path` is a complete ledger whose samples match the accepted candidates.

    SQLite detects a page that does not fit its neighbours, but not a page whose text was changed. Sample ids are
    content hashes, so comparing them with the content detects that too.
    """
    connection, _ = read_only(path)
    with contextlib.closing(connection), damage_named(path):
        finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if finding != "ok":
            raise _damaged(path, finding)
        for key, data in connection.execute("SELECT id, data FROM samples"):
            if not _is_content(key, data):
                raise _damaged(path, f"the content of sample {key} does not match its id")
        lengths = connection.execute("SELECT DISTINCT length(vector) FROM embeddings").fetchall()
        if len(lengths) > 1 or any(length % 4 for (length,) in lengths):
            raise _damaged(path, "embeddings of unequal lengths")


def upgrade(path: Path) -> Path | None:
    """Convert an older ledger to this version. Return the path of the copy that is kept; None if nothing was converted.

    The caller must hold the lock of the run folder. A kill during the conversion leaves the old ledger unchanged.
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
    """Raise RunFolderError, which names the file, where SQLite reports a fault of the file and not of a query."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(
            error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT
        )  # the error about text that is not UTF-8 has no code
        if code in _NO_ROOM:
            raise WriteError(
                f"{path}: SQLite cannot write the small files beside it that it needs even for reading ({error}); "
                "free some space on that disk, or raise the limit on file sizes (ulimit -f), and try again"
            ) from error
        match code & 0xFF:
            case sqlite3.SQLITE_CANTOPEN:
                raise RunFolderError(
                    f"{path}: cannot be opened ({error}); make its folder writable, for SQLite's files beside it"
                ) from error
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_IOERR:
                raise _damaged(path, str(error)) from error
            case _:
                raise


def _damaged(path: Path, finding: str) -> RunFolderError:
    return RunFolderError(
        f"{path}: not a readable ledger ({finding}); synthgen leaves it unchanged. Restore it from a copy, or save "
        "the data that sqlite3's .recover can read and start a new run"
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
