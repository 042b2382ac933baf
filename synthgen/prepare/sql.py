"""Read the rows of an SQL query through SQLAlchemy, one by one.

A password is read from the environment only: `env:NAME` stands for the database URL in the variable NAME. Nothing is
written to the database: SQLite files are opened read-only, and the transaction is rolled back at the end.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.safety.secrets import keep, mask
from synthgen.tasks.rows.located import visible

_ENVIRONMENT = "env:"
_BATCH = 1000
"""Rows that are fetched at once. The driver holds no more of them, where it can stream."""
_PACKAGES = {"MySQLdb": "mysqlclient", "psycopg2": "psycopg2-binary"}
"""Packages of drivers that have another name than the module, or a form that needs no compiler."""
_SECRET_WORDS = ("password", "passwd", "pwd", "token", "secret", "key")


@dataclass(frozen=True)
class Query:
    """Hold one query. `url` is a database URL of SQLAlchemy without a password, or env:NAME."""

    url: str
    query: str
    where: str = "--sql"
    """File, line and key, or the option that the query was given with, for messages."""

    def __str__(self) -> str:
        return self.url if self.url.startswith(_ENVIRONMENT) else f"sql:{self.url}"


def queries(given: Any, where: str) -> list[Query]:
    """Return the queries of the key `sql`: one mapping with `url` and `query`, or a list of them. Raise InputError."""
    entries = given if isinstance(given, list) else [given]
    found = []
    for entry in entries:
        right = isinstance(entry, Mapping) and entry.keys() == {"url", "query"}
        if not right or not all(isinstance(value, str) and value.strip() for value in entry.values()):
            raise InputError(f"{where}: write `url: DATABASE_URL` and `query: SELECT ...`, or a list of such pairs")
        found.append(Query(entry["url"].strip(), entry["query"].strip(), where))
    return found


class SqlRows:
    """Yield (row, number) for each row of a query. A mistake in the URL is found at once, before any row is read."""

    def __init__(self, query: Query, bases: Sequence[Path] = ()) -> None:
        self._query, self._bases = query, bases
        self._engine = self._opened()

    def __iter__(self) -> Iterator[tuple[Json, int]]:
        from sqlalchemy.exc import SQLAlchemyError

        where = self._query.where
        try:
            with self._engine.connect() as connection:
                options = {"stream_results": True, "max_row_buffer": _BATCH, "yield_per": _BATCH}
                result = connection.execution_options(**options).exec_driver_sql(self._query.query)
                if not result.returns_rows:
                    raise InputError(f"{where}: the query returns no rows; write a SELECT")
                names = list(result.keys())
                if twice := next((name for name in names if names.count(name) > 1), None):
                    raise InputError(f"{where}: two columns are named '{twice}'; rename one with AS")
                for number, values in enumerate(result, start=1):
                    yield (
                        {name: self._json(value, name, number) for name, value in zip(names, values, strict=True)},
                        number,
                    )
                connection.rollback()
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            told = visible(mask(str(cause)).strip().partition("\n")[0])
            raise InputError(
                f"{where}: {self._query}: the database refuses: {told}; correct the query or the URL"
            ) from error
        finally:
            self._engine.dispose()

    def _opened(self) -> Any:
        from sqlalchemy import create_engine
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError, SQLAlchemyError

        where, given = self._query.where, self._query.url
        hidden = given.startswith(_ENVIRONMENT)
        text = os.environ.get(given.removeprefix(_ENVIRONMENT), "") if hidden else given
        if not text:
            raise InputError(f"{where}: the environment has no variable {given[4:]}; set it to the database URL")
        try:
            url = make_url(text)
        except (ArgumentError, ValueError) as error:
            shown = given if hidden else mask(given)
            raise InputError(
                f"{where}: {shown} is no database URL; write it as sqlite:///shop.db or postgresql://HOST/NAME"
            ) from error
        keep(str(url.password or ""))
        secret = url.password or any(word in name.lower() for name in url.query for word in _SECRET_WORDS)
        if secret and not hidden:
            raise InputError(
                f"{where}: the URL holds a password; put the URL into an environment variable, and write env:NAME"
            )
        if url.get_backend_name() == "sqlite":
            return create_engine("sqlite://", creator=self._sqlite(url.database))
        try:
            return create_engine(url)
        except ModuleNotFoundError as error:
            package = _PACKAGES.get(error.name or "", error.name)
            raise InputError(
                f"{where}: the driver for {url.drivername} is missing; run: pip install {package}"
            ) from error
        except SQLAlchemyError as error:
            raise InputError(f"{where}: {url.drivername}: {error}; use a dialect that SQLAlchemy has") from error

    def _sqlite(self, database: str | None) -> Any:
        """Return a function that opens a SQLite file read-only. SQLite would create a file that does not exist."""
        import sqlite3

        places = [base / (database or "") for base in (*self._bases, Path())]
        path = next((place for place in places if database and place.is_file()), None)
        if path is None:
            raise InputError(f"{self._query.where}: the file {database or ''} does not exist; correct the URL's path")
        name = f"file:{quote(str(path.resolve()))}?mode=ro"
        return lambda: sqlite3.connect(name, uri=True, check_same_thread=False)

    def _json(self, value: Any, name: str, number: int) -> Any:
        """Return a value as JSON. Decimals become numbers where that loses no digit, and text elsewhere."""
        if value is None or isinstance(value, str | bool | int):
            return value
        if isinstance(value, float) and isfinite(value):
            return value
        if isinstance(value, Decimal) and value.is_finite():
            if value == value.to_integral_value():
                return int(value)
            return float(value) if Decimal(repr(float(value))) == value else str(value)
        if isinstance(value, date | datetime | time):
            return value.isoformat()
        if isinstance(value, UUID | timedelta):
            return str(value)
        if isinstance(value, list | tuple):
            return [self._json(part, name, number) for part in value]
        if isinstance(value, dict):
            return {str(key): self._json(part, name, number) for key, part in value.items()}
        kind = type(value).__name__
        raise InputError(
            f"{self._query.where}: row {number}, column {name}: JSON has no {kind} such as {str(value)[:20]!r};"
            " convert the column in the query, or leave it out"
        )
