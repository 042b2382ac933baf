"""Keep prompts within the model's window: leave out samples that do not fit, or name the seed or key at fault."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synthgen.engines import bundled
from synthgen.engines.http.thinking import rooms
from synthgen.engines.lengths import Lengths, window_of
from synthgen.errors import ConfigError, InputError
from synthgen.generate.prompting import PromptLimit
from synthgen.judge.judge import JudgeConfig, grader
from synthgen.judge.label import LabelPrompt
from synthgen.records import Json, Message, Sample
from synthgen.run.prepare import Prepared
from synthgen.tasks.schemas import blank

_ANSWER = 16
"""Most tokens of a judge's answer."""


@dataclass(frozen=True)
class FittedPrompts:
    """Hold the judge's config with as many shots as fit, and notes to the user about everything that was left out."""

    judge: JudgeConfig
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class _Answer:
    """Hold the most tokens of an answer, and of the thinking before it."""

    written: int
    thinking: int

    @property
    def words(self) -> str:
        return f"{self.written} and {self.thinking} of thinking" if self.thinking else str(self.written)

    @property
    def keys(self) -> str:
        return "generate.max_tokens or model.thinking_tokens" if self.thinking else "generate.max_tokens"


_Room = tuple[Lengths, int, int]
"""Hold the counter of the judge's prompts, the window of its model, and the tokens to leave free for thinking."""


def fit_prompts(
    prepared: Prepared, dialects: Sequence[Json] = (), judge_dialects: Sequence[Json] = ()
) -> FittedPrompts:
    """Limit the run's prompts to the model's window, and return the changes.

    The window is the smaller of model.max_len and those that the engine's `dialects` report, or else that of a local
    model. The judge's own endpoints report `judge_dialects`. Where no window is known, change nothing. Leave room for
    thinking where the model may think. Raise InputError for a seed that fits no prompt, ConfigError where even a prompt
    without samples does not fit.
    """
    config = prepared.config
    room, notes = _fit_generator(prepared, dialects)
    if config.judge.engine.enabled:
        window = min((one["window"] for one in judge_dialects if one.get("window")), default=None)
        room = (Lengths(None), window, rooms(config.model, judge_dialects)[1]) if window is not None else None
    if room is None:
        return FittedPrompts(config.judge, notes)
    judge, more = _fitting_judge(prepared, *room)
    return FittedPrompts(judge, [*notes, *more])


def _fit_generator(prepared: Prepared, dialects: Sequence[Json]) -> tuple[_Room | None, list[str]]:
    """Limit the generator's prompts. Return the room for prompts of a judge of the same model, and notes to the user.

    The room is None where the window is not known.
    """
    config = prepared.config
    folder = _model_folder(prepared)
    windows = (one.get("window") for one in dialects)
    known = [size for size in (config.model.max_len, *windows) if size is not None]
    size = min(known, default=None) or (window_of(folder) if folder is not None else None)
    if size is None:
        return None, []
    lengths = Lengths(folder)
    thinking, judge_thinking = rooms(config.model, dialects)
    fit = PromptLimit(size - config.generate.max_tokens - thinking, lengths.most)
    prepared.prompting.fit = fit
    answer = _Answer(config.generate.max_tokens, thinking)
    notes = [
        *_check_seeds(prepared, lengths, fit, size, answer),
        *_generator_notes(prepared, fit, size, lengths, answer),
    ]
    return (lengths, size, judge_thinking), notes


def _model_folder(prepared: Prepared) -> Path | None:
    """Return the folder of the model that the run loads; None where it is not on this machine or a server loads it."""
    if not prepared.capabilities.loads_model:
        return None
    folder = Path(bundled.resolve(prepared.config.model.name))
    return folder if folder.is_dir() else None


def _check_seeds(prepared: Prepared, lengths: Lengths, fit: PromptLimit, size: int, answer: _Answer) -> list[str]:
    """Raise InputError, naming all seeds that do not fit even as the only sample of a prompt.

    A run that has begun may have such seeds from an older version: return a warning about them instead.
    """
    task, prompting = prepared.task, prepared.prompting
    alone = lengths.least(prompting.messages(next(iter(task.asked), None), []))
    if alone > fit.room:
        raise ConfigError(
            f"{answer.keys}: a prompt without samples takes {alone} tokens and its answer up to {answer.words}; "
            f"the window is {size}: set a smaller {answer.keys}, or a model (model.max_len) with a larger window"
        )
    found = []
    for seed, place in zip(prepared.seeds, prepared.places, strict=True):
        needed = lengths.least(prompting.messages(seed.label, [seed]))
        if needed > fit.room:
            about = "" if lengths.exact else "about "
            found.append(
                f"{task.seeds}:{place[0]}: fits no prompt: a prompt with only this seed takes {about}{needed} tokens"
            )
    if not found:
        return []
    words = (
        "\n".join(found[:20])
        + f"\nthe window is {size} tokens, of which an answer may take {answer.words} ({answer.keys}); "
        f"shorten the seed, set a smaller {answer.keys}, or a model (model.max_len) with a larger window"
    )
    if not prepared.begun:
        raise InputError(words)
    return [f"warning: {words}"]


def _generator_notes(prepared: Prepared, fit: PromptLimit, size: int, lengths: Lengths, answer: _Answer) -> list[str]:
    """Return a hint where prompts with the longest seeds do not fit."""
    longest = 0
    labels: list[str | None] = [*prepared.task.asked] or [None]
    for label in labels:
        own = _longest(
            [seed for seed in prepared.seeds if seed.label == label], _most_shown(prepared, "demonstrations")
        )
        others = [
            one
            for other in prepared.task.labels
            if other != label
            for one in _longest([seed for seed in prepared.seeds if seed.label == other], 1)
        ]
        foils = _longest(others, prepared.prompting.foils(_most_shown(prepared, "foils")))
        longest = max(longest, lengths.most(prepared.prompting.messages(label, [*foils, *own])))
    if longest <= fit.room:
        return []
    return [
        f"hint: a prompt with the longest seeds takes {longest} tokens, but only {fit.room} of the window's {size} are "
        f"left for it beside an answer of up to {answer.words} ({answer.keys}): the longest samples of such a prompt are "
        "left out until it fits"
    ]


def _most_shown(prepared: Prepared, key: str) -> int:
    cfg = prepared.config.generate
    return max(int(getattr(getattr(cfg, name, None), key, 0)) for name in cfg.strategies.shares())


def _longest(samples: Sequence[Sample], count: int) -> list[Sample]:
    return sorted(samples, key=lambda sample: -len(str(sample.data)))[:count]


def _fitting_judge(prepared: Prepared, lengths: Lengths, size: int, thinking: int) -> tuple[JudgeConfig, list[str]]:
    """Return the judge's config with as many shots of the label check as fit beside the longest candidate."""
    cfg, task = prepared.config.judge, prepared.task
    text = _longest_text(prepared)
    room = size - _ANSWER - thinking - text
    if not cfg.labels(task):
        _check_rubric(prepared, cfg, (), lengths, room)
        return cfg, []
    wanted = min(cfg.label.shots, cfg.label.max_shots // len(task.labels))
    for shots in range(wanted, -1, -1):
        fewer = replace(cfg, label=replace(cfg.label, shots=shots))
        prompt = LabelPrompt(task, fewer.label, prepared.prompts, prepared.seeds, 0)
        if lengths.most(prompt.messages("")) <= room:
            break
    else:
        needed = lengths.most(prompt.messages(""))
        raise ConfigError(
            f"judge.label: a question takes {needed} tokens without examples, and its text up to "
            f"{text} more (generate.max_tokens, or maxLength in task.schema); the window is {size}: set a smaller "
            "generate.max_tokens, or a model (model.max_len) with a larger window"
        )
    _check_rubric(prepared, fewer, prompt.head if cfg.rubric.after_label else (), lengths, room)
    if shots == wanted:
        return cfg, []
    return fewer, [
        f"hint: the label check shows {shots} seeds per label instead of {wanted} (judge.label.shots): more do not fit "
        f"into the window of {size} tokens beside a text of up to {text}"
    ]


def _longest_text(prepared: Prepared) -> int:
    """Return the most tokens of a candidate's text: those of its reply, or one per allowed character."""
    parts = prepared.prompting.schema["properties"].values()
    allowed = [part.get("maxLength", 0) if part.get("type") == "string" else 0 for part in parts]
    written = prepared.config.generate.max_tokens
    return min(written, sum(allowed)) if all(allowed) else written


def _check_rubric(prepared: Prepared, cfg: JudgeConfig, head: tuple[Message, ...], lengths: Lengths, room: int) -> None:
    if not cfg.grades(prepared.task):
        return
    known = [seed.data for seed in prepared.seeds] or [blank(prepared.task.schema)]
    short = min(known, key=lambda data: len(str(data)))
    for member in cfg.members:
        one = grader(member, cfg, prepared.task, prepared.prompts, 0, head)
        parents = [short] * _most_shown(prepared, "demonstrations")
        for criterion in prepared.task.rubric:
            needed = lengths.least(one.question(short, "mark", criterion, parents))
            if needed > room:
                raise ConfigError(
                    f"task.rubric.{criterion}: the question takes {needed} tokens with the shortest sample, and longer texts "
                    "do not fit into the window: set a smaller generate.max_tokens or judge.label.shots, or a model "
                    "(model.max_len) with a larger window"
                )
