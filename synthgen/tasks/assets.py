"""Finds the shipped configs, prompts and examples, and the files that a user names.

A wheel carries `conf/`, `prompts/` and `examples/` inside the package; a clone has them
beside it. Nothing else in synthgen may know the difference.
"""

from collections.abc import Sequence
from pathlib import Path

from synthgen.errors import InputError

PACKAGE = Path(__file__).resolve().parents[1]


def root() -> Path:
    """Return the folder that holds `conf/`, `prompts/` and `examples/`."""
    return PACKAGE if (PACKAGE / "conf").is_dir() else PACKAGE.parent


class MissingError(InputError):
    """The file that the config names as `key` is not there."""

    def __init__(self, words: str, key: str) -> None:
        super().__init__(words)
        self.key = key


def find(path: str, bases: Sequence[Path], what: str) -> Path:
    """First existing match of `path` under `bases`, then the working folder, then the assets; absolute.

    A link stays a link: it may have another suffix than what it leads to, and the suffix says what a file holds.
    Raises InputError, naming every place looked at, when there is none.
    """
    given = Path(path).expanduser()
    places = [given] if given.is_absolute() else [base / given for base in (*bases, Path.cwd(), root())]
    for place in places:
        if _exists(place):
            return place.absolute()
    looked = "\n".join(f"  {place}" for place in dict.fromkeys(places))
    raise MissingError(f"{what}: no such file or folder: {path}\nlooked at:\n{looked}", what)


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # a folder on the way may not be searched, or the name is too long to be one
        return False
