"""Render report.html: a run on one page that opens offline, in light and dark, without scripts.

The page shows data from seeds, models and files, and all of it is untrusted. `_shown` makes hidden
characters visible, the template escapes every value, and the page's content security policy forbids
the browser to run scripts or load files.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from synthgen.records import Json
from synthgen.report import asked, bias, charts, examples, judging, plain, shares, strategies, trends, worth
from synthgen.report.arm_comparison import arm_comparison
from synthgen.report.settings import read_settings
from synthgen.report.view import open_ledger, read_task
from synthgen.selection import left_out

_HERE = Path(__file__).parent


def report_page(folder: Path, summary: Json, config: str) -> str:
    """Render the page of the run in `folder`. `config` is shown as it is. Raise RunFolderError without a ledger."""
    with open_ledger(folder) as ledger:
        task, settings = read_task(ledger), read_settings(ledger)
        samples = ledger.samples()
        rejections = examples.rejections(ledger, task, settings)
        windows = examples.windows(ledger)
    css = (_HERE / "page.css").read_text(encoding="utf-8")
    return _environment().get_template("page.html.jinja").render(
        css=Markup(css),  # a file of the package, not untrusted data
        css_hash=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        summary=summary,
        task=task,
        settings=settings,
        config=config,
        funnel=_funnel(summary),
        rejections=rejections,
        windows=windows,
        accepted=[(sample, examples.shown_fields(task, sample.data)) for sample in examples.accepted(samples)],
        verdict=plain.verdict(summary["student"]),
        student_sentence=plain.student_sentence(summary["student"]),
        comparison=arm_comparison(summary["student"]),
        left_out=left_out.sentence(summary["student"]),
        plain=plain,
        asked=asked,
        bias=bias,
        judging=judging,
        charts=charts,
        shares=shares,
        strategies=strategies,
        trends=trends,
        worth=worth,
    )  # fmt: skip


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    """Make hidden characters visible and show unknown values as a dash. The template passes every value through it."""
    if isinstance(value, Markup):
        return value
    return "–" if value is None else plain.clean(str(value))


def _funnel(summary: Json) -> list[Json]:
    """Return the steps from candidates to accepted samples, each with the numbers left and rejected."""
    counts = summary["counts"]
    steps = [{"name": "candidates", "left": counts["candidates"], "lost": 0, "kind": "start"}]
    for name, check in summary["checks"].items():
        lost = steps[-1]["left"] - check["left"]
        steps.append({"name": name, "left": check["left"], "lost": lost, "kind": "check"})
    unexplained = steps[-1]["left"] - counts["accepted"]
    steps.append({"name": "accepted", "left": counts["accepted"], "lost": unexplained, "kind": "end"})
    return steps
