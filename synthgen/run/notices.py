"""Warn about settings that are valid but may surprise the user."""

from collections.abc import Iterator
from functools import cache

from synthgen.engines.grammar.schema import most_chars
from synthgen.generate.strategies.back_translation import BackTranslation
from synthgen.labels.config import decides
from synthgen.run.prepare import Prepared
from synthgen.safety.harm import InjectionFinder, may_order
from synthgen.student.rows import label_rows
from synthgen.tasks.seeds import length_hint
from synthgen.tasks.texts import unfit

_READ = 5000
"""Most texts of each file that are searched for orders to a model."""


def notices(prepared: Prepared) -> list[str]:
    """Return the warnings and hints about a run, as lines."""
    return [
        *prepared.warnings,
        *_about_seeds(prepared),
        *_about_orders(prepared),
        *_about_labels(prepared),
        *_about_proposals(prepared),
        *_about_rows(prepared),
        *_about_language(prepared),
        *_about_lengths(prepared),
    ]


def _about_seeds(prepared: Prepared) -> Iterator[str]:
    if prepared.task.seeds is not None:
        return
    student = prepared.config.student
    yield (
        "hint: the task has no seeds: the check off_task and the judge's canaries are off, and the judge sees no examples; "
        "a few samples in task.seeds switch them on"
    )
    if student.kind != "none":
        names = prepared.eval_rows and label_rows(prepared.task, student.label_rows)
        compared = "one of the labels' names and meanings alone" if names else "nothing"
        yield (
            f"hint: without seeds there is no seeds-only baseline: the student is compared with {compared}, so the run "
            "cannot tell whether a few samples of your own would do as well"
        )


def _about_orders(prepared: Prepared) -> Iterator[str]:
    """Warn about texts from files that try to give orders to a model. Prompts fence them, and no row is left out."""
    named = (
        ("seeds", [prepared.task.text(seed.data) for seed in prepared.seeds]),
        ("texts", [prepared.task.input_text(row) for row in prepared.texts]),
        ("passages", [passage.text for passage in prepared.passages]),
    )
    for what, texts in named:
        found = [hit.text for text in texts[:_READ] if may_order(text) and (hit := _finder()(text))]
        if found:
            rows = "one" if len(found) == 1 else str(len(found))
            yield (
                f'warning: {rows} of the {what} tries to give orders to a model, such as "{found[0][:60]}"; leave it out with '
                "synthgen prepare --config (step safety: {remove: [injection]}) unless it belongs there"
            )


@cache
def _finder() -> InjectionFinder:
    return InjectionFinder("critical")


def _about_labels(prepared: Prepared) -> Iterator[str]:
    task = prepared.task
    if prepared.target < (count := len(task.asked)) and not prepared.config.budget.quotas:
        what = "labels" if task.labels else "assigned values"
        yield (
            f"warning: the target of {prepared.target} samples is below the {count} {what} of task {task.name}: "
            f"some {what} can get no sample; set budget.target={count} or more"
        )
    fits = {key for seed in prepared.seeds for key in task.assigned.keys_of(seed.data)}
    if prepared.seeds and (lacking := [key for key in task.assigned.keys if key not in fits]):
        shown = ", ".join(lacking[:5]) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        yield (
            f"hint: no seed has these values of task.assign: {shown}; prompts for them show seeds with other values, "
            "so add one for each"
        )


def _about_proposals(prepared: Prepared) -> Iterator[str]:
    """Warn where the proposed labels of real texts become their labels without any check."""
    config, task = prepared.config, prepared.task
    used = {strategy.name for strategy in prepared.strategies if getattr(strategy, "proposes", False)}
    checked = config.judge.labels(task) or decides(config.labels, task, config.diversity.embedder)
    if used and task.labels and not checked:
        yield (
            f"warning: {' and '.join(sorted(used))}: nothing decides the labels of the real texts, which are only guesses: "
            "use a judge, or an embedder of meaning with labels.enabled=true"
        )


def _about_rows(prepared: Prepared) -> Iterator[str]:
    task, texts = prepared.task, prepared.texts
    if hint := length_hint(prepared.eval_rows, task.eval, task):
        yield hint
    if count := unfit(texts, task):
        yield (
            f"hint: {task.texts}: {count} of {len(texts)} texts break the lengths or patterns of "
            "task.schema and will be rejected; change task.schema if they are good samples"
        )


def _about_language(prepared: Prepared) -> Iterator[str]:
    config, language = prepared.config, prepared.task.language
    generator = prepared.capabilities.loads_model and config.model.name.startswith("bundled:")
    english = ["diversity.embedder"] if config.diversity.embedder.startswith("bundled:") else []
    english += ["model.name"] if generator else []
    if english and not language.lower().startswith("en"):
        yield (
            f"warning: the task's language is {language}, and the bundled models know English only; set "
            f"{' and '.join(english)} to models that know it"
        )
    if generator and BackTranslation.name in config.generate.strategies.shares():
        yield (
            f"warning: back_translation: the bundled model knows English only, and cannot translate into "
            f"{', '.join(config.generate.back_translation.languages)}; set model.name to a model that can"
        )


def _about_lengths(prepared: Prepared) -> Iterator[str]:
    generate = prepared.config.generate
    if generate.copied_words is not None and not prepared.capabilities.bars_words:
        yield (
            "hint: generate.copied_words: this engine cannot forbid words, so copied texts are rejected only after they "
            "are written, which costs tokens; vLLM can forbid words"
        )
    most = most_chars(generate.items, generate.max_tokens)
    for name, part in prepared.task.schema["properties"].items():
        if part.get("maxLength", 0) > most:
            yield (
                f"hint: task.schema: '{name}' may have {part['maxLength']} characters, and generate.max_tokens has room "
                f"for about {most} per sample; longer replies are cut off and rejected as 'length', so raise "
                "generate.max_tokens or lower maxLength"
            )
