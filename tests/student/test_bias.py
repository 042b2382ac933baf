"""A student whose answers depend on the people in a text is found out."""

import json
from pathlib import Path
from typing import Any

import pytest

from synthgen import student
from synthgen.cli import dispatch
from synthgen.student.bias import swap_figures

ROWS = [
    {"text": "He fixed the lamp.", "label": "sport"},
    {"text": "She fixed the lamp.", "label": "sport"},
    {"text": "James and his lamp.", "label": "sport"},
    {"text": "The lamp is fixed.", "label": "sport"},
]


class Prejudiced:
    """Answers `business` where a text says he or his, and `world` elsewhere."""

    def predict(self, student: Any, rows: Any) -> Any:
        words = [set(row["text"].lower().split()) for row in rows]
        return [{"label": "business" if found & {"he", "his"} else "world", "probability": 0.9} for found in words]


def test_answers_that_change_are_counted_by_the_kind_of_swap(news_task: Any) -> None:
    found = swap_figures(news_task, Prejudiced(), None, ROWS)  # type: ignore[arg-type]
    pronouns, names = found["swaps"]["pronouns"], found["swaps"]["names"]
    assert (pronouns["rows"], pronouns["changed"], pronouns["share"]) == (3, 3, 1.0)
    assert pronouns["answers"] == {"business -> world": 2, "world -> business": 1}
    assert pronouns["examples"][0]["swapped"] == {"text": "She fixed the lamp."}
    assert (names["rows"], names["changed"]) == (1, 0) and 0 < names["high"] < 1


def test_a_copied_name_in_an_answer_is_no_change(news_task: Any) -> None:
    class Copying:
        def predict(self, student: Any, rows: Any) -> Any:
            return [{"label": row["text"].split()[0]} for row in rows]

    found = swap_figures(news_task, Copying(), None, ROWS)  # type: ignore[arg-type]
    assert [found["swaps"][kind]["changed"] for kind in ("pronouns", "names", "origins")] == [0, 0, 0]


@pytest.mark.slow
def test_evaluate_writes_the_table_into_report_and_card_of_this_student_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    figures = {"mean": None, "low": None, "high": None}
    metrics = {"metric": "accuracy", "eval_rows": 0, "seeds_only": figures, "synthetic": figures, "gain": figures}
    monkeypatch.setattr(student, "train", lambda *_: metrics)
    scored = {"confidence": 0.95, "eval_rows": 4, "figures": {}, "metric": "accuracy"}
    monkeypatch.setattr(student, "evaluate", lambda *_, **__: dict(scored))
    monkeypatch.setattr(student, "bias", lambda task, cfg, model, rows: swap_figures(task, Prejudiced(), None, rows))
    Path("people.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    assert dispatch(["run", "experiment=smoke", "student=frozen", "run.dir=out", "budget.target=5"]) == 0
    Path("out/student").mkdir()
    Path("out/student/config.json").write_text("{}", encoding="utf-8")
    assert "Bias of the student" not in Path("out/dataset/README.md").read_text(encoding="utf-8")
    capsys.readouterr()
    assert dispatch(["evaluate", "out", "people.jsonl", "--bias"]) == 0
    said = capsys.readouterr()
    assert "  pronouns: 3 of 3 answers change, 100.0 %" in said.err
    assert json.loads(said.out)["bias"]["swaps"]["pronouns"]["rows"] == 3
    assert json.loads(Path("out/summary.json").read_text(encoding="utf-8"))["bias"]["swaps"]["names"]["rows"] == 1
    assert "Answers that change" in Path("out/report.html").read_text(encoding="utf-8")
    assert "| pronouns: he and she" in Path("out/dataset/README.md").read_text(encoding="utf-8")
    monkeypatch.setattr(student, "train", lambda *_: {**metrics, "eval_rows": 1})
    assert dispatch(["train", "out"]) == 0
    assert json.loads(Path("out/summary.json").read_text(encoding="utf-8"))["bias"] is None
