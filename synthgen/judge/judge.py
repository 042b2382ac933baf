"""Build a run's judge from its config: its checks, its calibration before the first slot, and its canaries."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from synthgen.engines.base import Tell
from synthgen.engines.grammar.schema import choice
from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError, InputError, TooLongError
from synthgen.judge import pairwise
from synthgen.judge.asking import Questions
from synthgen.judge.calibration import LEAST_OF_EACH
from synthgen.judge.canaries import Canaries, CanariesConfig
from synthgen.judge.endpoints import JudgeEngineConfig
from synthgen.judge.grader import GRADES, Grader, Grades, Panel, comparing, own_criteria
from synthgen.judge.label import LabelCheck, LabelConfig
from synthgen.judge.labelled import Rated, enough, read_rated
from synthgen.judge.labels import LabelsCheck, question
from synthgen.judge.panel import AGGREGATES, Gate, PanelMemberConfig, check_panel, request_kind
from synthgen.judge.question import TEMPLATE, YesNo, ask_text
from synthgen.judge.rubric import RubricCheck, RubricConfig
from synthgen.judge.study import in_words, study
from synthgen.records import Candidate, Check, Engine, Grammar, Json, Message, Sample
from synthgen.tasks.rows.source import find_source
from synthgen.tasks.task import Task

_AT_ONCE = 64  # rated rows whose questions are in flight together


@dataclass
class JudgeConfig:
    label: LabelConfig = field(default_factory=LabelConfig)
    """Settings of the label check."""
    rubric: RubricConfig = field(default_factory=RubricConfig)
    """Settings of the rubric judge."""
    engine: JudgeEngineConfig = field(default_factory=JudgeEngineConfig)
    """Endpoints that answer the judge's questions instead of the run's engine, such as a stronger model at another host."""
    panel: list[PanelMemberConfig] = field(default_factory=list)
    """Several rubric judges instead of a single one, such as
    `[{template: judge}, {template: judge_strict, url: ..., model: ...}]`."""
    aggregate: str = "mean"
    """Method that combines the panel's grades: mean, majority or worst."""
    calibration: str | None = None
    """Rated samples for calibrating the rubric judge: a file, a dataset folder, or hf:OWNER/NAME; null for none."""
    min_auc: float = 0.6
    """Minimum AUC of a rubric judge on the rated samples. A judge below it neither rejects nor weighs samples."""
    questions: bool = True
    """Ask the questions of declared checks: kinds `judge`, `attributes` and `prefers`, and `supported` with `judge: true`."""
    canaries: CanariesConfig = field(default_factory=CanariesConfig)
    """Settings of the canaries: samples with a known verdict, which test the rubric judge during the run."""
    attempts: int = 2
    """Maximum number of times that a question is asked until its answer can be read."""
    votes: int = 1
    """Number of answers to count per question when the engine gives no logprobs. More answers give finer probabilities,
    and each costs a request."""
    adapter: str | None = None
    """LoRA folder of an adapter for the judge, as `synthgen adapt judge` makes it. With engine=openai or judge.engine, the
    name under which the endpoints serve the adapter. null uses the model itself. Panel members with their own endpoint do not
    use the adapter."""

    def __post_init__(self) -> None:
        check_panel(self.panel)
        if self.aggregate not in AGGREGATES:
            raise ConfigError(f"judge.aggregate: '{self.aggregate}' is not one of {', '.join(AGGREGATES)}")
        if not 0 <= self.min_auc <= 1:
            raise ConfigError(f"judge.min_auc: must be from 0 to 1, got {self.min_auc}")
        if self.attempts < 1:
            raise ConfigError(f"judge.attempts: must be 1 or more, got {self.attempts}")
        if self.votes < 1:
            raise ConfigError(f"judge.votes: must be 1 or more, got {self.votes}")

    @property
    def members(self) -> list[PanelMemberConfig]:
        """Return the rubric judges: the panel, or a single default judge."""
        return self.panel or [PanelMemberConfig()]

    def labels(self, task: Task) -> bool:
        """Return True when the label check is part of the run."""
        return self.label.enabled and bool(task.labels)

    def judges_labels_alone(self, task: Task) -> bool:
        """Return True when the check of each label alone is part of the run."""
        return self.label.enabled and bool(task.multi_labels)

    def grades(self, task: Task) -> bool:
        """Return True when a rubric judge is part of the run."""
        return self.rubric.enabled and bool(task.rubric)


class Decider(Protocol):
    """Decide labels from several label sources, one of which is the label check."""

    async def is_sure(self, candidate: Candidate) -> bool:
        """Tell whether the label check can be skipped for a candidate."""
        ...


class Judge:
    """Hold the checks of a run's judge. Call `ready` before the first candidate.

    `find` returns a sample by its id. `keep` stores a record under a key. `tell` reports an event. `salt` determines the fences. `adapter` is the name of
    the adapter that answers. A model that thinks although it is asked not to may take `thinking_tokens` for that. With a `decider`, the label check rejects nothing: it is one of several label sources, and
    is asked when the others are not sure.
    """

    def __init__(
        self,
        task: Task,
        cfg: JudgeConfig,
        prompts: Prompts,
        seeds: Sequence[Sample],
        find: Callable[[str], Sample],
        rated: Sequence[Rated],
        engine: Engine,
        salt: int,
        round_slots: int,
        keep: Callable[[str, Json], object],
        tell: Tell,
        decider: Decider | None = None,
        adapter: str | None = None,
        thinking_tokens: int = 0,
    ) -> None:
        self.checks: list[Check] = []
        self.yes_no: YesNo | None = None
        """Asks the questions of declared checks; None where the config switches them off."""
        self.pairs: pairwise.Pairwise | None = None
        """Compares texts for declared checks; None where the config switches questions off."""
        self._cfg = cfg
        self._rated = rated
        self._salt = salt
        self._keep = keep
        self._tell = tell
        self._rubric: RubricCheck | None = None
        self._label: LabelCheck | None = None
        questions = self._questions = Questions(engine, cfg.attempts, adapter, cfg.votes, thinking_tokens)
        if cfg.questions:
            self.yes_no = YesNo(task, prompts, questions, salt)
            self.pairs = pairwise.Pairwise(task, questions, prompts, salt)
        head: tuple[Message, ...] = ()
        if cfg.labels(task):
            sure = decider.is_sure if decider is not None else None
            self._label = LabelCheck(task, cfg.label, questions, prompts, seeds, salt, decider is None, sure)
            self.checks.append(self._label)
            head = self._label.head if cfg.rubric.after_label else ()
        if cfg.judges_labels_alone(task):
            self.checks.append(LabelsCheck(task, cfg.label, questions, prompts, salt))
        if cfg.grades(task):
            members = [grader(member, cfg, task, prompts, salt, head) for member in cfg.members]
            self._panel = Panel(members, task, questions)
            gate = Gate(cfg.aggregate, cfg.rubric.threshold)
            self._rubric = RubricCheck(self._panel, gate, find, cfg.rubric.ask_untrusted)
            self.checks.append(self._rubric)
            if cfg.canaries.every is not None and seeds and self._panel.criteria():
                slots = cfg.canaries.every * round_slots
                self._rubric.canaries = Canaries(task, slots, seeds, self._panel, self._rubric, keep, tell)

    def on_too_long(self, learn: Callable[[TooLongError], Awaitable[None]]) -> None:
        """Call `learn` for every question that the engine refuses as too long; `learn` may call `refit`."""
        self._questions.on_too_long = learn

    def refit(self, cfg: JudgeConfig) -> None:
        """Ask with the number of shots in `cfg` from now on."""
        if self._label is None or cfg.label == self._cfg.label:
            return
        self._cfg = cfg
        self._label.refit(cfg.label)
        if self._rubric is not None and cfg.rubric.after_label:
            self._panel.refit(self._label.head)

    @property
    def alarm(self) -> str | None:
        """Return the name of the stop rule when failed canaries must end the run, else None."""
        canaries = self._rubric.canaries if self._rubric else None
        return "canaries" if canaries and canaries.wrong and self._cfg.canaries.stop else None

    async def ready(self, slot: int = 0) -> None:
        """Calibrate the rubric judge if there are rated samples, and send the questions that need no candidate.

        These are the canaries of the window of `slot`, and the label check's text without content. Their answers are not
        awaited here. Answers that the ledger already has are reused.
        """
        if self._label is not None:
            self._label.begin()
        if self._rubric is not None:
            await self._calibrate(self._rubric)
            if self._rubric.canaries is not None and self._rubric.gate.binding:
                self._rubric.canaries.begin(slot)

    async def _calibrate(self, rubric: RubricCheck) -> None:
        if not self._rated or not self._panel.criteria():
            return
        opinions = await self._opinions()
        means = [self._panel.means(opinion) for opinion in opinions]
        gate = rubric.gate
        rubric.gate, record = await asyncio.to_thread(
            study, self._rated, opinions, means, gate, self._cfg.min_auc, self._salt
        )
        self._keep("calibration", record)
        label = any(check.name == "label" for check in self.checks)
        others = "the label check decides" if label else "no other judge decides: what passes the filters is accepted"
        asked = "Its grades are recorded, but it" if self._cfg.rubric.ask_untrusted else "It is not asked and"
        self._tell(*in_words(record, f"{asked} rejects nothing and does not weigh samples; {others}"))

    async def _opinions(self) -> list[dict[str, Grades]]:
        """Return the panel's grades for every rated sample, with request ids that sort before the first slot."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def ask(row: Rated) -> dict[str, Grades]:
            async with room:
                return await self._panel.ask(f"-1/calibration/{row.id}", row.data)

        return await asyncio.gather(*map(ask, self._rated))


def grader(
    member: PanelMemberConfig, cfg: JudgeConfig, task: Task, prompts: Prompts, salt: int, head: tuple[Message, ...]
) -> Grader:
    """Return the grader of a panel member. It continues `head`, the label check's conversation, if it can."""
    kind, head = request_kind(member, cfg.panel), head if _follows(member, prompts) else ()
    return Grader(member.name, kind, member.template, task, prompts, salt, head)


def read_calibration(
    cfg: JudgeConfig, task: Task, eval_rows: Sequence[Json], bases: Sequence[Path], trained_on: Set[str] = frozenset()
) -> list[Rated]:
    """Return the rated samples that the config names, without those whose ids are in `trained_on`.

    The judge's adapter was trained on the latter, so they would overstate its quality. Raise ConfigError when the run
    has no rubric judge to calibrate. Raise InputError when `read_rated` does, or when too few rated samples are left.
    """
    if cfg.calibration is None:
        return []
    if not cfg.grades(task):
        raise ConfigError(
            "judge.calibration: this run has no rubric judge to calibrate; give the task a rubric and set "
            "judge.rubric.enabled=true, or leave judge.calibration out"
        )
    if not own_criteria(task):
        raise ConfigError(
            f"judge.calibration: {', '.join(task.rubric)} compares a sample with those it was made after, which rated rows "
            "do not name; add another criterion to task.rubric, or leave judge.calibration out"
        )
    source = find_source(cfg.calibration, bases, "judge.calibration")
    rated = read_rated(source, task, eval_rows)
    left = [row for row in rated if row.id not in trained_on]
    if len(left) < len(rated) and not enough(left):
        raise InputError(
            f"judge.calibration: judge.adapter was trained on {len(rated) - len(left)} rows of {source}, and the others "
            f"have fewer than {LEAST_OF_EACH} good or {LEAST_OF_EACH} bad rows; rate more samples, or leave "
            "judge.calibration out"
        )
    return left


def render_once(
    cfg: JudgeConfig, task: Task, prompts: Prompts, row: Json, asks: bool = False, compares: bool = False
) -> None:
    """Render every prompt of the judge once, to find missing variables early. Raise InputError or ConfigError.

    `asks` is True when declared checks ask questions, `compares` when they compare texts.
    """
    if cfg.questions and compares:
        prompts.render(pairwise.TEMPLATE, "system", task=task)
        pairwise.ask_text(prompts, task, row, row, 0)
    if cfg.questions and asks:
        prompts.render(TEMPLATE, "system", task=task)
        ask_text(prompts, task, "question", row, 0)
    if cfg.labels(task):
        prompts.render("label", "system", task=task)
        prompts.render("label", "ask", task=task, text=task.input_text(row), mark="mark")
    if cfg.judges_labels_alone(task):
        prompts.render(TEMPLATE, "system", task=task)
        ask_text(prompts, task, question(prompts, task, next(iter(task.multi_labels))), row, 0)
    if cfg.grades(task):
        for name, statement in task.rubric.items():
            if "/" in name:
                raise ConfigError(
                    f"task.rubric: '{name}' contains a slash; name criteria with letters, digits, '-' and '_'"
                )
            for member in cfg.members:
                shown = {"task": task, "sample": row, "mark": "mark", "criterion": statement}
                if name in task.compared:
                    template = comparing(member.template, prompts)
                    prompts.render(template, "system", task=task, criterion=statement)
                    prompts.render(template, "ask", **shown, parents=[row], parents_mark="mark")
                    continue
                prompts.render(member.template, "system", task=task)
                if len(own_criteria(task)) == 1 and prompts.has_block(member.template, "ask_one"):
                    prompts.render(member.template, "system_one", task=task, criterion=statement)
                    prompts.render(member.template, "ask_one", **shown)
                    continue
                prompts.render(member.template, "ask", **shown)
                if cfg.labels(task) and cfg.rubric.after_label and _follows(member, prompts):
                    prompts.render(member.template, "after_label", **shown, text=task.input_text(row))


def _follows(member: PanelMemberConfig, prompts: Prompts) -> bool:
    """Return True when a judge can continue the label check's conversation: same engine, and a prompt made for it."""
    return member.url is None and prompts.has_block(member.template, "after_label")


def grammars(cfg: JudgeConfig, task: Task, asks: bool = False, compares: bool = False) -> list[Grammar]:
    """Return every grammar that the judge sends.

    `asks` is True when declared checks ask questions, `compares` when they compare texts.
    """
    found = [choice(task.labels)] if cfg.labels(task) else []
    found += [YesNo.grammar] if (cfg.questions and asks) or cfg.judges_labels_alone(task) else []
    found += [pairwise.Pairwise.grammar] if cfg.questions and compares else []
    return [*found, choice(GRADES)] if cfg.grades(task) else found
