"""Render report.html of a preparation: one file, opens offline, in the look of a run's report.

Rows are untrusted: hidden characters are made visible, the template escapes every value, and the page's content
security policy forbids the browser to run scripts or load files.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthgen.prepare.item import Origin
from synthgen.prepare.log import StepLog
from synthgen.prepare.step import Step
from synthgen.records import Json
from synthgen.safety.untrusted import clean
from synthgen.tasks.assets import PACKAGE

_LONGEST = 600
"""Most characters of a text that the report shows."""


def page(summary: Json, steps: Sequence[Step], logs: Sequence[StepLog]) -> str:
    """Return the page of a finished preparation."""
    import jinja2
    from markupsafe import Markup

    css = (PACKAGE / "report" / "page.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else _shown(value),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        css=Markup(css),
        css_hash=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        summary=summary,
        steps=list(zip(steps, logs, strict=True)),
        words=_words,
        short=_short,
        place=_place,
        percent=lambda part, whole: f"{100 * part / whole:.1f}%" if whole else "0.0%",
    )


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else clean(str(value))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text) - _LONGEST:,} more characters)"


def _place(origin: Origin) -> str:
    return f"{Path(origin.file).name}:{origin.line}"


def _words(step: Step, code: str) -> str:
    """Return the words that a step declares for a reason."""
    return next((reason.words for reason in step.spec.reasons if reason.code == code), code)
