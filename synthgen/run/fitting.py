"""Keep prompts within the model's window: leave out samples that do not fit, or name the seed or key at fault."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synthgen.engines import bundled
from synthgen.engines.lengths import Lengths, window_of
from synthgen.errors import ConfigError, InputError
from synthgen.generate.prompting import Fit
from synthgen.judge.judge import JudgeConfig, grader
from synthgen.judge.label import LabelPrompt
from synthgen.records import Message, Sample
from synthgen.run.prepare import Prepared

_ANSWER = 16
"""Most tokens of a judge's answer."""


@dataclass(frozen=True)
class FittedPrompts:
    """Hold the judge's config with as many shots as fit, and notes to the user about everything that was left out."""

    judge: JudgeConfig
    notes: Sequence[str] = ()


def fit_prompts(prepared: Prepared, window: int | None = None) -> FittedPrompts:
    """Limit the run's prompts to the model's window, and return the changes.

    The window is the smaller of model.max_len and `window`, which the engine reports, or else that of a local model.
    Where none of them is known, change nothing. Raise InputError for a seed that fits no prompt, ConfigError where even
    a prompt without samples does not fit.
    """
    config = prepared.config
    folder = _model_folder(prepared)
    known = [size for size in (config.model.max_len, window) if size is not None]
    size = min(known, default=None) or (window_of(folder) if folder is not None else None)
    if size is None:
        return FittedPrompts(config.judge)
    lengths = Lengths(folder)
    fit = Fit(size - config.generate.max_tokens, lengths.most)
    prepared.prompting.fit = fit
    notes = [*_check_seeds(prepared, lengths, fit, size), *_generator_notes(prepared, fit, size, lengths)]
    judge, more = _fitting_judge(prepared, lengths, size)
    return FittedPrompts(judge, [*notes, *more])


def _model_folder(prepared: Prepared) -> Path | None:
    """Return the folder of the model that the run loads; None where it is not on this machine or a server loads it."""
    if not prepared.capabilities.loads_model:
        return None
    folder = Path(bundled.resolve(prepared.config.model.name))
    return folder if folder.is_dir() else None


def _check_seeds(prepared: Prepared, lengths: Lengths, fit: Fit, size: int) -> list[str]:
    """Raise InputError, naming all seeds that do not fit even as the only sample of a prompt.

    A run that has begun may have such seeds from an older version: return a warning about them instead.
    """
    task, prompting, written = prepared.task, prepared.prompting, prepared.config.generate.max_tokens
    alone = lengths.least(prompting.messages(next(iter(task.asked), None), []))
    if alone > fit.room:
        raise ConfigError(
            f"generate.max_tokens: a prompt without samples takes {alone} tokens and its answer up to {written}; "
            f"the window is {size}: set a smaller generate.max_tokens, or a model (model.max_len) with a larger window"
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
        + f"\nthe window is {size} tokens, of which an answer may take {written} (generate.max_tokens); "
        "shorten the seed, set a smaller generate.max_tokens, or a model (model.max_len) with a larger window"
    )
    if not prepared.begun:
        raise InputError(words)
    return [f"warning: {words}"]


def _generator_notes(prepared: Prepared, fit: Fit, size: int, lengths: Lengths) -> list[str]:
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
        f"hint: a prompt with the longest seeds takes {longest} tokens, but only {size} - "
        f"{prepared.config.generate.max_tokens} (generate.max_tokens) are left for it: the longest samples of such a "
        "prompt are left out until it fits"
    ]


def _most_shown(prepared: Prepared, key: str) -> int:
    cfg = prepared.config.generate
    return max(int(getattr(getattr(cfg, name), key)) for name in cfg.strategies.shares())


def _longest(samples: Sequence[Sample], count: int) -> list[Sample]:
    return sorted(samples, key=lambda sample: -len(str(sample.data)))[:count]


def _fitting_judge(prepared: Prepared, lengths: Lengths, size: int) -> tuple[JudgeConfig, list[str]]:
    """Return the judge's config with as many shots of the label check as fit beside the longest candidate."""
    cfg, task = prepared.config.judge, prepared.task
    text = _longest_text(prepared)
    room = size - _ANSWER - text
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
    short = min((seed.data for seed in prepared.seeds), key=lambda data: len(str(data)))
    for member in cfg.members:
        one = grader(member, cfg, prepared.task, prepared.prompts, 0, head)
        for criterion in prepared.task.rubric:
            needed = lengths.least(one.question(short, "mark", criterion))
            if needed > room:
                raise ConfigError(
                    f"task.rubric.{criterion}: the question takes {needed} tokens with the shortest seed, and longer texts "
                    "do not fit into the window: set a smaller generate.max_tokens or judge.label.shots, or a model "
                    "(model.max_len) with a larger window"
                )
