"""Write a run's review for other annotation tools, and read their answers: `synthgen review --to` and `--from`."""

from pathlib import Path

from synthgen.labels.inbox import Store
from synthgen.run.labelling.accepted import Accepted
from synthgen.run.reviewing.corrections import Corrector
from synthgen.run.reviewing.options import Options


def write(accepted: Accepted, store: Store, folder: Path, options: Options) -> list[str]:
    raise NotImplementedError


def read(accepted: Accepted, store: Store, folder: Path, options: Options, correct: Corrector | None) -> list[str]:
    raise NotImplementedError
