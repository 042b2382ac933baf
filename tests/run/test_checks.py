"""Test what checks declare: all of them are known to reports and docs, and what they declare is so."""

import importlib
import pkgutil
import runpy
from pathlib import Path

import synthgen
from synthgen.config import known_keys
from synthgen.filters.declared.kinds import DeclaredChecks
from synthgen.filters.rules import FiltersConfig
from synthgen.records import CheckSpec, Sample
from synthgen.run.checks import RULES, SETTLING, SPECS, RuleParts, made, reasons, threshold_key, words
from synthgen.tasks.task import Task

ROOT = Path(__file__).parents[2]


def test_every_check_is_known_to_reports_and_docs() -> None:
    found = set()
    for module in pkgutil.walk_packages(synthgen.__path__, "synthgen."):
        if module.name.split(".")[1] in ("filters", "diversity", "judge", "labels", "run"):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, type) and isinstance(spec := getattr(value, "spec", None), CheckSpec):
                    found.add(spec.name)
    assert len(found) > 8
    assert found <= {spec.name for spec in SPECS}


def test_an_entry_builds_the_checks_of_its_specs(news_task: Task) -> None:
    schema, declared = news_task.schema, DeclaredChecks(news_task)
    parts = RuleParts(news_task, FiltersConfig(), schema, [], [], declared, dict[str, Sample]().__getitem__)
    for entry in RULES:
        assert {check.spec.name for check in entry.make(parts)} <= {spec.name for spec in entry.specs}
    assert [check.spec.name for check in made(RULES, parts)] == ["form", "text", "personal_data", "eval"]


def test_a_check_that_runs_twice_is_declared_once() -> None:
    names = [spec.name for spec in SPECS]
    assert len(set(names)) == len(names)
    assert {"exact", "near"} <= {spec.name for entry in SETTLING for spec in entry.specs}


def test_every_threshold_is_a_config_key() -> None:
    keys = set(known_keys())
    thresholds = [reason.threshold for spec in SPECS for reason in spec.reasons if reason.threshold]
    assert thresholds
    assert set(thresholds) <= keys


def test_a_reason_of_several_checks_has_the_words_of_all() -> None:
    assert (
        reasons()["label"] == "another label is more likely than the requested one, or no label is likely enough for it"
    )
    assert words("trust", "label") == "no label is likely enough for it"
    assert words("trust", "rubric") is None
    assert reasons()["eval_overlap"] == "too close to a held-out eval row"


def test_a_rejection_is_held_against_its_own_checks_threshold() -> None:
    assert threshold_key("eval", "eval_overlap") == "filters.max_eval_overlap"
    assert threshold_key("near", "eval_overlap") == "diversity.eval_threshold"
    assert threshold_key("form", "length") is None


def test_the_page_of_checks_is_what_they_declare() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "document_config.py"))
    assert (ROOT / "docs" / "checks.md").read_text(encoding="utf-8") == script["checks_page"]()
