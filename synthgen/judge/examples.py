"""Build the training data of a judge's adapter: the questions that a run would ask, with the right answers.

Rated rows give a grade for every criterion. Good rows and seeds also give a label. In the question about a seed, other
seeds are the examples, with the same number for each label. So the prompt neither contains the seed's own answer, nor
shows it by a missing example.
"""

from collections.abc import Sequence

from synthgen.engines.prompts import Prompts
from synthgen.judge.grader import GRADES, own_criteria
from synthgen.judge.judge import JudgeConfig, grader
from synthgen.judge.label import LabelPrompt
from synthgen.judge.labelled import Rated
from synthgen.records import AdapterExample, Message, Sample
from synthgen.tasks.task import Task

RUBRIC, LABEL = "rubric", "label"
GOOD, BAD = "good", "bad"


def exchanges(
    task: Task, cfg: JudgeConfig, prompts: Prompts, seeds: Sequence[Sample], rated: Sequence[Rated], salt: int
) -> list[AdapterExample]:
    """Return every question whose answer is known. `salt` determines the fences, as in a run with that seed."""
    found: list[AdapterExample] = []
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
) -> list[AdapterExample]:
    """Ask about the first seed of each label with the other seeds as examples, then about the second, and so on.

    A label's only seed is not asked about, because it is needed as an example.
    """
    by_label = {label: [seed for seed in seeds if seed.label == label] for label in task.labels}
    found = []
    for turn in range(max(map(len, by_label.values()), default=0)):
        asked = [own[turn] for own in by_label.values() if 1 < len(own) > turn]
        others = [[seed for seed in own if seed not in asked] for own in by_label.values()]
        per_label = min(map(len, others))
        prompt = LabelPrompt(task, cfg.label, prompts, [seed for own in others for seed in own[:per_label]], salt)
        found += [_label(task, prompt, seed.id, seed.label, task.input_text(seed.data)) for seed in asked]
    return found


def _label(task: Task, prompt: LabelPrompt, row: str, label: str | None, text: str) -> AdapterExample:
    assert label is not None, "tasks with a label check have labels"
    return AdapterExample(
        kind=LABEL, row=row, messages=prompt.messages(text), answer=label, options=tuple(task.labels), stratum=label
    )


def _grades(
    task: Task, cfg: JudgeConfig, prompts: Prompts, rated: Sequence[Rated], salt: int, head: tuple[Message, ...]
) -> list[AdapterExample]:
    """Return the graded questions of every panel member that the run's engine serves.

    The answer is the row's own grade if it has one, else 5 for a good row and 1 for a bad one.
    """
    found = []
    for member in [member for member in cfg.members if member.url is None]:
        asks = grader(member, cfg, task, prompts, salt, head)
        for row in rated:
            mark = asks.mark(row.data)
            for criterion in row.grades or (own_criteria(task) if row.good is not None else ()):
                grade = round(row.grades[criterion]) if row.grades else (5 if row.good else 1)
                found.append(
                    AdapterExample(
                        kind=RUBRIC,
                        row=row.id,
                        messages=asks.question(row.data, mark, criterion),
                        answer=str(grade),
                        options=GRADES,
                        stratum="" if row.good is None else GOOD if row.good else BAD,
                    )
                )
    return found
