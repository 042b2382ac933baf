"""Stands in for `synthgen`: plays the verb `label` through files, and passes every other verb on.

Asks about the accepted samples in the order they came, and keeps the answers in a table of the ledger.
"""

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from synthgen.cli import dispatch


def label(run: Path, words: dict[str, str]) -> int:
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger, ledger:
        if "--export" in words:
            sql = "SELECT id, data, label FROM samples WHERE slot >= 0 ORDER BY slot LIMIT ?"
            asked = ledger.execute(sql, (int(words["--count"]),)).fetchall()
            lines = [json.dumps({"id": key, **json.loads(data), "labels": {label: 1.0}}) for key, data, label in asked]
            Path(words["--export"]).write_text("".join(f"{line}\n" for line in lines))
        else:
            rows = [json.loads(line) for line in Path(words["--import"]).read_text().splitlines()]
            ledger.execute("CREATE TABLE answers (sample_id TEXT, answer TEXT, annotator TEXT)")
            ledger.executemany("INSERT INTO answers VALUES (:id, :answer, :annotator)", rows)
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "label":
        sys.exit(label(Path(sys.argv[2]), dict(zip(sys.argv[3::2], sys.argv[4::2], strict=True))))
    sys.exit(dispatch(sys.argv[1:]))
