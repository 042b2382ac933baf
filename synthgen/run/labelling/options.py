"""The options of `synthgen label`."""

import getpass
from collections.abc import Mapping
from dataclasses import dataclass

from synthgen.errors import InputError
from synthgen.labels import exchange

COUNT = 40
"""Questions of a session, unless --count says otherwise."""


@dataclass(frozen=True)
class Options:
    """What the command line of `synthgen label` says."""

    export: str | None = None
    import_: str | None = None
    web: bool = False
    port: int = 0
    annotator: str | None = None
    count: int = COUNT
    train: bool = False
    disagreements: bool = False

    @property
    def name(self) -> str:
        """Return who answers: --annotator, or the login name. Raises InputError where there is neither."""
        if self.annotator is not None:
            return exchange.check_annotator(self.annotator)
        try:
            return exchange.check_annotator(getpass.getuser())
        except (KeyError, OSError) as error:
            raise InputError("--annotator: this machine has no login name for you; give a name") from error


def read_options(values: Mapping[str, str | None], flags: set[str]) -> Options:
    """Read the command line's options. Raises InputError."""
    ways = [name for name in ("--export", "--import", "--web") if values.get(name) is not None or name in flags]
    if len(ways) > 1:
        raise InputError(f"{ways[0]} and {ways[1]} do not go together; give one of them")
    if values["--then"] not in (None, "train"):
        raise InputError(f"--then {values['--then']}: write --then train")
    return Options(
        export=values["--export"],
        import_=values["--import"],
        web="--web" in flags,
        port=_number("--port", values["--port"], 0, 65535),
        annotator=values["--annotator"],
        count=_number("--count", values["--count"] or str(COUNT), 1, 1_000_000),
        train=values["--then"] is not None,
        disagreements="--disagreements" in flags,
    )


def _number(name: str, text: str | None, least: int, most: int) -> int:
    if text is None:
        return least
    if not text.isdecimal() or not least <= int(text) <= most:
        raise InputError(f"{name} {text}: give a whole number from {least} to {most}")
    return int(text)
