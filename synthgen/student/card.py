"""Write the student's model card (README.md): its training data, its figures, and how to load it.

It holds no local paths, because a card gets published. Every value in it is escaped.
"""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml  # type: ignore[import-untyped]

from synthgen import __version__
from synthgen.records import Json
from synthgen.safety.untrusted import clean, markdown, one_line
from synthgen.selection import left_out
from synthgen.student.inputs import inputs_of
from synthgen.student.learner import Experiment
from synthgen.student.scores import DESCRIBED, GAINS, SEEDS_ONLY, SYNTHETIC
from synthgen.student.turns import asked, conversation
from synthgen.tasks.task import Task, as_text

_PIPELINES = {
    "classifier": "text-classification",
    "frozen": "text-classification",
    "tagger": "token-classification",
    "intent_tagger": "token-classification",
    "generator": "text-generation",
    "retriever": "sentence-similarity",
    "preference": "text-generation",
}
_LIBRARIES = {"frozen": None, "retriever": "sentence-transformers"}
"""Libraries that load a kind of student, where it is not transformers."""
_EXAMPLE = 500
"""Most characters of the example's input."""


class _Verbatim(str):
    """Mark text that is already Markdown, YAML or code, and must not be escaped."""

    __slots__ = ()


def model_card(task: Task, experiment: Experiment, metrics: Json, example: Json) -> str:
    """Return the text of a student's README.md. The code example in it uses the input of the sample `example`."""
    learner = experiment.learner
    base = published_name(learner.cfg.model)
    figures = {name: table["figures"] for name, table in _arms(metrics).items() if table["figures"]}
    return (
        _environment()
        .get_template("card.md.jinja")
        .render(
            task=task,
            metrics=metrics,
            base=base,
            figures=figures,
            left_out=left_out.sentence(metrics),
            share=f"{metrics['confidence']:.0%}",
            settings=_settings(experiment),
            version=__version__,
            front=_Verbatim(yaml.safe_dump(_front(task, base, metrics), allow_unicode=True, sort_keys=False)),
            example=_Verbatim(_example(task, metrics["kind"], example).replace("```", "` ` `")),
            messages=_code(
                [{"role": turn.role, "content": _short(turn.text)} for turn in asked(conversation(task, example))]
            ),
            interval=_interval,
        )
    )


def _short(text: str) -> str:
    return clean(text[:_EXAMPLE])


def _code(value: Any) -> _Verbatim:
    """Return a value as Python code that cannot end the card's code block."""
    return _Verbatim(repr(value).replace("```", "` ` `"))


def published_name(model: str) -> str:
    """Return a model's name without the local folders of its path."""
    return Path(model).name if model.startswith(("/", "~", ".")) or Path(model).is_dir() else model


def _example(task: Task, kind: str, row: Json) -> str:
    """Return the input of a sample as Python code, in the form that the kind of student takes."""
    [given] = inputs_of(task, [row])
    if isinstance(given, str):
        return repr(clean(given[:_EXAMPLE]))
    first, second = (clean(text[:_EXAMPLE]) for text in given)
    return repr((first, second) if kind == "frozen" else {"text": first, "text_pair": second})


def _arms(metrics: Json) -> Json:
    return {name: metrics[name] for name in (SEEDS_ONLY, DESCRIBED, SYNTHETIC, *GAINS) if metrics.get(name)}


def _interval(found: Json | None) -> str:
    """Return `0.917 (0.867 to 0.967)`."""
    if not found or found.get("mean") is None:
        return "–"
    ends = f" ({found['low']:.3f} to {found['high']:.3f})" if found.get("low") is not None else ""
    return f"{found['mean']:.3f}{ends}"


def _settings(experiment: Experiment) -> dict[str, str]:
    """Return the student's settings by key, without the model, which the card names elsewhere."""
    learner, training = vars(experiment.learner.cfg), vars(experiment.cfg.training)
    stepped = training if experiment.learner.steps(1) else {}
    return {name: as_text(value) for name, value in {**learner, **stepped}.items() if name != "model"}


def _front(task: Task, base: str, metrics: Json) -> Json:
    return {
        **({"language": [one_line(task.language)]} if task.language else {}),
        "license": "other",
        "base_model": one_line(base),
        "pipeline_tag": _PIPELINES[metrics["kind"]],
        **({"library_name": library} if (library := _LIBRARIES.get(metrics["kind"], "transformers")) else {}),
        "metrics": [metrics["metric"]],
        "tags": ["synthgen", "synthetic"],
    }


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the output is Markdown, and `_shown` escapes it
    )


def _shown(value: Any) -> str:
    """Escape a value on one line, unless it is marked as verbatim. The template passes every value through it."""
    return value if isinstance(value, _Verbatim) else markdown(str(value))
