"""Define the options of `synthgen label`."""

import getpass
from dataclasses import dataclass

from synthgen.errors import InputError
from synthgen.labels import exchange


@dataclass(frozen=True)
class LabelOptions:
    """Hold the options of `synthgen label`. Raise InputError for options that exclude each other."""

    export: str | None = None
    import_: str | None = None
    web: bool = False
    port: int = 0
    annotator: str | None = None
    count: int = 40
    train: bool = False
    disagreements: bool = False

    def __post_init__(self) -> None:
        given = {"--export": self.export is not None, "--import": self.import_ is not None, "--web": self.web}
        ways = [name for name, wanted in given.items() if wanted]
        if len(ways) > 1:
            raise InputError(f"{ways[0]} and {ways[1]} exclude each other; give only one of them")

    @property
    def page(self) -> list[str]:
        """Return the words of a command line that open the same page again, on the same port."""
        return ["--web", *(["--port", str(self.port)] if self.port else [])] if self.web else []

    @property
    def name(self) -> str:
        """Return the name of the person who answers: --annotator, or the login name. Raise InputError without either."""
        if self.annotator is not None:
            return exchange.check_annotator(self.annotator)
        try:
            return exchange.check_annotator(getpass.getuser())
        except (KeyError, OSError) as error:
            raise InputError("--annotator: this machine has no login name for you; give a name") from error
