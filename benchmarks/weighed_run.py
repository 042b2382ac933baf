"""Run `synthgen`, and print its memory at given numbers of candidates.

weighed_run.py COUNT,COUNT,... VERB ...
"""

import json
import sys

from benchmarks.common import resident
from synthgen.cli import dispatch
from synthgen.run.loop import Loop
from synthgen.run.progress import Progress

COUNTS = [int(count) for count in sys.argv[1].split(",")]
tick = Loop._tell


def weighing(loop: Loop, progress: Progress) -> None:
    tick(loop, progress)
    while COUNTS and progress.candidates >= COUNTS[0]:
        COUNTS.pop(0)
        figures = {
            "candidates": progress.candidates,
            "accepted": progress.accepted,
            "resident": resident(),
            "seconds": progress.seconds,
        }
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    Loop._tell = weighing  # type: ignore[method-assign]
    sys.exit(dispatch(sys.argv[2:]))
