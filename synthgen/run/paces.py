"""Remember in the user's cache how fast students are trained on this machine.

The loop of a later run, even of the first run of another task, can then estimate the time of its student. Paces are
kept for each setting of the student, kind of task, and length of text, in steps of a factor of two.
"""

import contextlib
import json
import math
import os
import platform
import statistics
from dataclasses import asdict
from pathlib import Path

from synthgen.engines.bundled import cache_dir
from synthgen.records import Json, content_id
from synthgen.run.prepare import Prepared
from synthgen.student.clock import Paces

_IRRELEVANT = ("max_minutes", "checkpoint_seconds", "report_to")
"""Keys of the student's config on which its paces do not depend."""


def remember(prepared: Prepared, paces: Paces) -> None:
    """Keep the paces that the run's student was measured with. Keep nothing where the cache cannot be written."""
    if not paces.units:
        return
    file = _file(prepared)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.with_suffix(f".{os.getpid()}")
        whole.write_text(json.dumps(asdict(paces)), encoding="utf-8")
        whole.replace(file)


def remembered(prepared: Prepared) -> Paces | None:
    """Return the paces of such a student on this machine; None if none were kept."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        kept: Json = json.loads(_file(prepared).read_text(encoding="utf-8"))
        return Paces(_numbers(kept["seconds"]), _numbers(kept["units"]))
    return None


def _numbers(kept: Json) -> dict[str, float]:
    return {str(kind): float(value) for kind, value in dict(kept).items()}


def _file(prepared: Prepared) -> Path:
    task, student = prepared.task, asdict(prepared.config.student)
    lengths = [len(task.text(seed.data)) for seed in prepared.seeds]
    length = statistics.fmean(lengths) if lengths else 0.0
    like = {
        "student": {key: value for key, value in student.items() if key not in _IRRELEVANT},
        "kind": task.kind,
        "length": round(math.log2(1 + length)),
        "machine": [platform.node(), os.cpu_count(), os.environ.get("CUDA_VISIBLE_DEVICES")],
    }
    return cache_dir() / "paces" / f"{content_id(like)}.json"
