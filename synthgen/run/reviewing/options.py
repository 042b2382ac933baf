"""Define the options of `synthgen review`."""

from dataclasses import dataclass

from synthgen.annotate.adjudicate import MAJORITY
from synthgen.errors import InputError
from synthgen.labels.exchange import check_annotator

TOOLS = ("label-studio", "argilla", "doccano")


@dataclass(frozen=True)
class ReviewOptions:
    """Hold the options of `synthgen review`. Raise InputError for options that exclude or need each other."""

    sample: str | None = None
    count: int | None = None
    overlap: int = 2
    annotators: str | None = None
    annotator: str | None = None
    web: bool = False
    port: int = 0
    agreement: bool = False
    as_json: bool = False
    adjudicate: str | None = None
    to: str | None = None
    from_: str | None = None
    out: str | None = None
    file: str | None = None
    url: str | None = None
    project: int | None = None
    train: bool = False

    def __post_init__(self) -> None:
        actions = {
            "--annotator": self.annotator, "--agreement": self.agreement, "--adjudicate": self.adjudicate,
            "--to": self.to, "--from": self.from_,
        }  # fmt: skip
        given = [name for name, value in actions.items() if value]
        if len(given) == 2 and "--from" in given and "--annotator" in given:
            given = ["--from"]  # the annotator of a file's answers
        if len(given) > 1:
            raise InputError(f"{given[0]} and {given[1]} exclude each other; give only one of them")
        if self.sample and given and given != ["--to"]:
            raise InputError(f"--sample and {given[0]} exclude each other; make the batch first")
        if self.sample and self.annotators is None:
            raise InputError("--sample: the people are missing; name them: --annotators anna,ben")
        if self.annotators is not None and self.sample is None:
            raise InputError(
                "--annotators: says who gets a new batch; give --sample random, stratified or uncertain too"
            )
        if self.web and not (self.annotator or self.adjudicate in self._persons()):
            raise InputError("--web: needs the person who answers; give --annotator NAME or --adjudicate NAME")
        if self.to and (self.out is None) == (self.url is None):
            raise InputError(f"--to {self.to}: give either a folder to write (--out DIR) or a server (--url URL)")
        if self.from_ and (self.file is None) == (self.url is None):
            raise InputError(f"--from {self.from_}: give either a file to read (--file FILE) or a server (--url URL)")
        if self.url and "label-studio" not in (self.to, self.from_):
            raise InputError("--url: only Label Studio is reached through its API; use files for the other tools")
        if self.as_json and given and given != ["--agreement"]:
            raise InputError(f"--json: shows the state or --agreement; {given[0]} has no JSON")

    def _persons(self) -> tuple[str, ...]:
        return (self.adjudicate,) if self.adjudicate and self.adjudicate != MAJORITY else ()

    @property
    def people(self) -> list[str]:
        """Return the people of a new batch. Raise InputError for fewer than one, or a name that is not allowed."""
        names = [check_annotator(name) for name in str(self.annotators).split(",") if name.strip()]
        if not names:
            raise InputError("--annotators: names nobody; write names with commas between them: anna,ben")
        if doubled := [name for name in names if names.count(name) > 1]:
            raise InputError(f"--annotators: {doubled[0]} is named twice; remove one")
        if MAJORITY in names:
            raise InputError(f"--annotators: '{MAJORITY}' is the name under which majorities are recorded; use another")
        return names
