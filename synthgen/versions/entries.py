"""Write the rows of a version as text: one line for each row that it adds to its base, or removes from it.

    + 0b1c...e2 train
    - 77aa...10 validation

A line is repeated for each copy of the row. A version without a base adds all its rows. Lines are sorted, so that the
same rows always give the same text.
"""

import re
from collections import Counter
from pathlib import Path

from synthgen.errors import RunFolderError
from synthgen.records import content_id
from synthgen.versions.folders import is_split
from synthgen.versions.rows import Key

_LINE = re.compile(r"([+-]) ([0-9a-f]{32}) (\S+)\n")


def content_hash(rows: Counter[Key]) -> str:
    """Return the hash of a dataset's content: which rows, how many copies, in which splits."""
    by_split: dict[str, list[str]] = {}
    for key, split in sorted(rows.elements()):
        by_split.setdefault(split, []).append(key)
    return content_id({split: content_id(ids) for split, ids in by_split.items()})


def delta(before: Counter[Key], after: Counter[Key]) -> str:
    """Return the lines that lead from the rows of one version to those of another one."""
    lines = [(*key, "+") for key in (after - before).elements()] + [(*key, "-") for key in (before - after).elements()]
    return "".join(f"{sign} {key} {split}\n" for key, split, sign in sorted(lines))


def apply(rows: Counter[Key], path: Path) -> None:
    """Change the rows by the lines of a file. Raise RunFolderError for a line of another form."""
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                match = _LINE.fullmatch(line)
                if match is None or not is_split(match[3]):
                    raise damaged(f"{path}:{number}", "not a line `+ ID SPLIT` or `- ID SPLIT`")
                rows[match[2], match[3]] += 1 if match[1] == "+" else -1
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(str(path), getattr(error, "strerror", None) or "not UTF-8 text") from error


def damaged(where: str, what: str) -> RunFolderError:
    """Return the error about a file of the store that is torn, edited or missing."""
    return RunFolderError(f"{where}: {what}; the store is damaged. Restore the file from git, DVC or a copy")
