"""The judge of a run, put together from its config: its checks, its calibration before the first slot, its canaries."""

import asyncio
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from synthgen.engines.base import Tell
from synthgen.engines.grammar.schema import choice
from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError, InputError
from synthgen.judge.asking import Questions
from synthgen.judge.calibration import LEAST_OF_EACH
from synthgen.judge.canaries import Canaries, CanariesConfig
from synthgen.judge.grader import GRADES, Grader, Grades, Panel
from synthgen.judge.label import LabelCheck, LabelConfig
from synthgen.judge.labelled import Rated, enough, read_rated
from synthgen.judge.panel import AGGREGATES, Gate, MemberConfig, check_panel, request_kind
from synthgen.judge.rubric import RubricCheck, RubricConfig
from synthgen.judge.study import in_words, study
from synthgen.records import Candidate, Check, Engine, Grammar, Json, Message, Sample
from synthgen.tasks.rows.source import find_source
from synthgen.tasks.task import Task

_AT_ONCE = 64  # rated rows whose questions are under way together


@dataclass
class JudgeConfig:
    label: LabelConfig = field(default_factory=LabelConfig)
    """The label check."""
    rubric: RubricConfig = field(default_factory=RubricConfig)
    """The rubric judge."""
    panel: list[MemberConfig] = field(default_factory=list)
    """Rubric judges instead of the one, as `[{template: judge}, {template: judge_strict, url: ..., model: ...}]`."""
    aggregate: str = "mean"
    """What the panel's grades come to: mean, majority or worst."""
    calibration: str | None = None
    """Rated samples to calibrate the rubric judge on: a file, a dataset folder, or hf:OWNER/NAME; null for none."""
    min_auc: float = 0.6
    """A rubric judge with a lower AUC on the rated samples rejects nothing and weighs nothing."""
    canaries: CanariesConfig = field(default_factory=CanariesConfig)
    """Samples with a known verdict, put to the rubric judge every round."""
    attempts: int = 2
    """How often a question is asked until its answer can be read."""
    votes: int = 1
    """Answers to a question that are counted where the engine gives no logprobs; more are finer, and cost as much each."""
    adapter: str | None = None
    """A LoRA folder for the judge, as `synthgen adapt judge` makes it; with engine=openai the name that the endpoints
    serve one under. null for the model itself. Panel members with endpoints of their own go without."""

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
    def members(self) -> list[MemberConfig]:
        """Return the rubric judges: the panel, or the one."""
        return self.panel or [MemberConfig()]

    def labels(self, task: Task) -> bool:
        """Return True when the label check is part of the run."""
        return self.label.enabled and bool(task.labels)

    def grades(self, task: Task) -> bool:
        """Return True when a rubric judge is part of the run."""
        return self.rubric.enabled and bool(task.rubric)


class Decider(Protocol):
    """Decide labels from several sources, the label check among them."""

    async def is_sure(self, candidate: Candidate) -> bool:
        """Tell whether the label check need not be asked about a candidate."""
        ...


class Judge:
    """Hold the checks of a run's judge. Call `ready` before the first candidate.

    `keep` writes a figure down under a key, `tell` hears of events; `salt` makes the fences; `adapter` is what answers, by
    its name. With a `decider`, the label check rejects nothing: it is one of several sources, asked where the others are
    not sure.
    """

    def __init__(
        self,
        task: Task,
        cfg: JudgeConfig,
        prompts: Prompts,
        seeds: Sequence[Sample],
        rated: Sequence[Rated],
        engine: Engine,
        salt: int,
        round_slots: int,
        keep: Callable[[str, Json], object],
        tell: Tell,
        decider: Decider | None = None,
        adapter: str | None = None,
    ) -> None:
        self.checks: list[Check] = []
        self._cfg = cfg
        self._rated = rated
        self._salt = salt
        self._keep = keep
        self._tell = tell
        self._rubric: RubricCheck | None = None
        questions = Questions(engine, cfg.attempts, adapter, cfg.votes)
        head: tuple[Message, ...] = ()
        if cfg.labels(task):
            sure = decider.is_sure if decider is not None else None
            label = LabelCheck(task, cfg.label, questions, prompts, seeds, salt, decider is None, sure)
            self.checks.append(label)
            head = label.head if cfg.rubric.after_label else ()
        if cfg.grades(task):
            members = [grader(member, cfg, task, prompts, salt, head) for member in cfg.members]
            self._panel = Panel(members, list(task.rubric), questions)
            gate = Gate(cfg.aggregate, cfg.rubric.threshold)
            self._rubric = RubricCheck(self._panel, gate, cfg.rubric.ask_untrusted)
            self.checks.append(self._rubric)
            if cfg.canaries.every is not None:
                slots = cfg.canaries.every * round_slots
                self._rubric.canaries = Canaries(task, slots, seeds, self._panel, self._rubric, keep, tell)

    @property
    def alarm(self) -> str | None:
        """Return the stop rule that ends the run because the judge failed its canaries, if it does."""
        canaries = self._rubric.canaries if self._rubric else None
        return "canaries" if canaries and canaries.wrong and self._cfg.canaries.stop else None

    async def ready(self) -> None:
        """Calibrate the rubric judge where there are rated samples. Answers on disk are reused."""
        if self._rubric is None or not self._rated:
            return
        opinions = await self._opinions()
        means = [self._panel.means(opinion) for opinion in opinions]
        gate = self._rubric.gate
        self._rubric.gate, record = await asyncio.to_thread(
            study, self._rated, opinions, means, gate, self._cfg.min_auc, self._salt
        )
        self._keep("calibration", record)
        label = any(check.name == "label" for check in self.checks)
        others = "the label check decides" if label else "nothing else judges: what passes the filters is accepted"
        asked = "It writes its grades down," if self._cfg.rubric.ask_untrusted else "It is not asked about candidates,"
        self._tell(*in_words(record, f"{asked} rejects nothing and does not weigh samples; {others}"))

    async def _opinions(self) -> list[dict[str, Grades]]:
        """Return the panel's grades for every rated sample, under request ids that precede the first slot."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def ask(row: Rated) -> dict[str, Grades]:
            async with room:
                return await self._panel.ask(f"-1/calibration/{row.id}", row.data)

        return await asyncio.gather(*map(ask, self._rated))


def grader(
    member: MemberConfig, cfg: JudgeConfig, task: Task, prompts: Prompts, salt: int, head: tuple[Message, ...]
) -> Grader:
    """Return a panel member; `head` is the label check's conversation, which it continues where it can."""
    kind, head = request_kind(member, cfg.panel), head if _follows(member, prompts) else ()
    return Grader(member.name, kind, member.template, task, prompts, salt, head)


def read_calibration(
    cfg: JudgeConfig, task: Task, eval_rows: Sequence[Json], bases: Sequence[Path], trained_on: Set[str] = frozenset()
) -> list[Rated]:
    """Return the rated samples that the config names.

    Those with ids in `trained_on`, which the judge's adapter has learnt by heart, are left out. Raises ConfigError where
    there is nothing to calibrate, InputError for what `read_rated` refuses and where too few are left.
    """
    if cfg.calibration is None:
        return []
    if not cfg.grades(task):
        raise ConfigError(
            "judge.calibration: calibrates the rubric judge, and this run has none; give the task a rubric and set "
            "judge.rubric.enabled=true, or leave it out"
        )
    source = find_source(cfg.calibration, bases, "judge.calibration")
    rated = read_rated(source, task, eval_rows)
    left = [row for row in rated if row.id not in trained_on]
    if len(left) < len(rated) and not enough(left):
        raise InputError(
            f"judge.calibration: {len(rated) - len(left)} rows of {source} trained judge.adapter, and of the others "
            f"fewer than {LEAST_OF_EACH} are good or bad; rate more samples, or leave judge.calibration out"
        )
    return left


def render_once(cfg: JudgeConfig, task: Task, prompts: Prompts, row: Json) -> None:
    """Render every prompt of the judge, to find missing variables now. Raise InputError or ConfigError."""
    if cfg.labels(task):
        prompts.render("label", "system", task=task)
        prompts.render("label", "ask", task=task, text=task.input_text(row), mark="mark")
    if cfg.grades(task):
        for name, statement in task.rubric.items():
            if "/" in name:
                raise ConfigError(f"task.rubric: '{name}' has a slash; name criteria with letters, digits, '-' and '_'")
            for member in cfg.members:
                prompts.render(member.template, "system", task=task)
                shown = {"task": task, "sample": row, "mark": "mark", "criterion": statement}
                if len(task.rubric) == 1 and prompts.has_block(member.template, "ask_one"):
                    prompts.render(member.template, "system_one", task=task, criterion=statement)
                    prompts.render(member.template, "ask_one", **shown)
                    continue
                prompts.render(member.template, "ask", **shown)
                if cfg.labels(task) and cfg.rubric.after_label and _follows(member, prompts):
                    prompts.render(member.template, "after_label", **shown, text=task.input_text(row))


def _follows(member: MemberConfig, prompts: Prompts) -> bool:
    """Return True when a judge can continue the label check's conversation: same engine, matching prompt."""
    return member.url is None and prompts.has_block(member.template, "after_label")


def grammars(cfg: JudgeConfig, task: Task) -> list[Grammar]:
    """Return every grammar that the judge will send."""
    found = [choice(task.labels)] if cfg.labels(task) else []
    return [*found, choice(GRADES)] if cfg.grades(task) else found
