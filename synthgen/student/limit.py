"""Report the effects of `student.max_minutes` on a student: missing steps and arms that were not trained."""

import math
from collections.abc import Callable, Mapping, Sequence

from synthgen.records import Json
from synthgen.student.config import StudentConfig
from synthgen.student.scores import SPOKEN, SYNTHETIC
from synthgen.student.steps import Steps
from synthgen.student.work import Done


def seconds(cfg: StudentConfig) -> float:
    """Return the seconds that a student may take; infinity without a limit."""
    return math.inf if cfg.max_minutes is None else 60 * cfg.max_minutes


def has_time_now(metrics: Json, cfg: StudentConfig, say: Callable[[str], None]) -> bool:
    """Return True, and report it, if a limit cut the student's training short and that limit is now higher or removed."""
    earlier = (metrics.get("cut_short") or {}).get("max_minutes")
    if earlier is None or 60 * earlier >= seconds(cfg):
        return False
    say(f"the student was cut short by student.max_minutes={earlier:g}; it is trained again")
    return True


def cut_short(
    cfg: StudentConfig, steps: Mapping[str, Steps], done: Mapping[str, Sequence[Done]], repeats: int
) -> Json | None:
    """Return {max_minutes, steps, of, untrained, fewer, sentence}, or None if the limit had no effect.

    `steps` is the number of steps of the kept student, and `of` the number that was planned. `untrained` lists arms.
    `fewer` holds the number of trainings of each arm that has fewer than `repeats`.
    """
    kept = done[SYNTHETIC][0]
    hurried = bool(steps[SYNTHETIC].cut)
    untrained = [arm for arm, found in done.items() if not found]
    fewer = {arm: len(found) for arm, found in done.items() if 0 < len(found) < repeats}
    if kept.cut is None and not hurried and not untrained and not fewer:
        return None
    of = steps[SYNTHETIC].count
    parts = []
    if kept.cut is not None:
        parts.append(f"the student was trained for {kept.cut} of {of} steps")
    if hurried:
        looked = "held_out_loss" in steps[SYNTHETIC].facts
        parts.append(f"its number of steps was chosen with {'fewer' if looked else 'no'} evaluations on held-out rows")
    if untrained:
        parts.append(f"not trained for the comparison: {', '.join(SPOKEN[arm] for arm in untrained)}")
    if fewer:
        parts.append(
            f"of {repeats} trainings per arm there are "
            + ", ".join(f"{count} {SPOKEN[arm]}" for arm, count in fewer.items())
        )
    return {
        "max_minutes": cfg.max_minutes,
        "steps": kept.cut if kept.cut is not None else of,
        "of": of,
        "untrained": untrained,
        "fewer": fewer,
        "sentence": f"student.max_minutes={cfg.max_minutes:g} was reached: {'; '.join(parts)}",
    }
