"""What a judge's adapter is trained on: the questions that a run would put to it, with the answers that are right.

Rated rows give a grade for every criterion; good ones, and seeds, also give a label. A seed is asked about with other
seeds as examples, as many of each label, for its own answer must not stand in the prompt, nor be what is missing there.
"""

from collections.abc import Sequence

from synthgen.engines.prompts import Prompts
from synthgen.judge.grader import GRADES
from synthgen.judge.judge import JudgeConfig, grader
from synthgen.judge.label import LabelPrompt
from synthgen.judge.labelled import Rated
from synthgen.records import Exchange, Message, Sample
from synthgen.tasks.task import Task

RUBRIC, LABEL = "rubric", "label"
GOOD, BAD = "good", "bad"


def exchanges(
    task: Task, cfg: JudgeConfig, prompts: Prompts, seeds: Sequence[Sample], rated: Sequence[Rated], salt: int
) -> list[Exchange]:
    """Return every question whose answer is known; `salt` makes the fences, as in a run of that seed."""
    found: list[Exchange] = []
    head: tuple[Message, ...] = ()
    if cfg.labels(task):
        prompt = LabelPrompt(task, cfg.label, prompts, seeds, salt)
        head = prompt.head if cfg.rubric.after_label else ()
        found += _labels_of_seeds(task, cfg, prompts, seeds, salt)
        shown = {seed.id for seed in seeds}
        good = [row for row in rated if row.good and row.id not in shown]
        found += [_label(task, prompt, row.id, task.label_of(row.data), task.input_text(row.data)) for row in good]
    if cfg.grades(task):
        found += _grades(task, cfg, prompts, rated, salt, head)
    return found


def _labels_of_seeds(
    task: Task, cfg: JudgeConfig, prompts: Prompts, seeds: Sequence[Sample], salt: int
) -> list[Exchange]:
    """Ask about the first seeds of all labels with the others as examples, then about the second ones, and so on.

    A label's only seed is not asked about: it stays an example.
    """
    by_label = {label: [seed for seed in seeds if seed.label == label] for label in task.labels}
    found = []
    for turn in range(max(map(len, by_label.values()), default=0)):
        asked = [held[turn] for held in by_label.values() if 1 < len(held) > turn]
        left = [[seed for seed in held if seed not in asked] for held in by_label.values()]
        as_many = min(map(len, left))
        prompt = LabelPrompt(task, cfg.label, prompts, [seed for held in left for seed in held[:as_many]], salt)
        found += [_label(task, prompt, seed.id, seed.label, task.input_text(seed.data)) for seed in asked]
    return found


def _label(task: Task, prompt: LabelPrompt, row: str, label: str | None, text: str) -> Exchange:
    assert label is not None, "tasks with a label check have labels"
    return Exchange(
        kind=LABEL, row=row, messages=prompt.messages(text), answer=label, options=tuple(task.labels), stratum=label
    )


def _grades(
    task: Task, cfg: JudgeConfig, prompts: Prompts, rated: Sequence[Rated], salt: int, head: tuple[Message, ...]
) -> list[Exchange]:
    """Return a grade for each panel member served by the run's engine; a row's own grade, else 5 or 1."""
    found = []
    for member in [member for member in cfg.members if member.url is None]:
        asks = grader(member, cfg, task, prompts, salt, head)
        for row in rated:
            mark = asks.mark(row.data)
            for criterion in row.grades or (task.rubric if row.good is not None else ()):
                grade = round(row.grades[criterion]) if row.grades else (5 if row.good else 1)
                found.append(
                    Exchange(
                        kind=RUBRIC,
                        row=row.id,
                        messages=asks.question(row.data, mark, criterion),
                        answer=str(grade),
                        options=GRADES,
                        stratum="" if row.good is None else GOOD if row.good else BAD,
                    )
                )
    return found
