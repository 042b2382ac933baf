"""Find the shipped configs, prompts and examples, and the files that a user names.

A wheel has `conf/`, `prompts/` and `examples/` inside the package; a clone has them beside it. Only
this module depends on the difference.
"""

from collections.abc import Sequence
from pathlib import Path

from synthgen.errors import InputError

PACKAGE = Path(__file__).resolve().parents[1]


def root() -> Path:
    """Return the folder that holds `conf/`, `prompts/` and `examples/`."""
    return PACKAGE if (PACKAGE / "conf").is_dir() else PACKAGE.parent


class MissingError(InputError):
    """Report that the file which the config names under `key` does not exist."""

    def __init__(self, words: str, key: str) -> None:
        super().__init__(words)
        self.key = key


def find(path: str, bases: Sequence[Path], what: str) -> Path:
    """Return the first existing match of `path` as an absolute path.

    The search goes through `bases`, the working folder and the assets, in this order. A link is not resolved, because
    the suffix of its name determines the file's format, and its target may have another suffix. Raise InputError,
    naming every searched place, if there is no match.
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
    except OSError:  # a parent folder cannot be searched, or the name is too long
        return False
