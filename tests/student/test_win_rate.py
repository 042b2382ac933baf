"""Test the win rate of `synthgen evaluate RUN --judge`, from a trained student to the printed figure."""

import json

import pytest

from synthgen import student
from synthgen.cli import dispatch
from synthgen.cli.verb import saved
from synthgen.run.prepare import prepare


@pytest.mark.slow
@pytest.mark.thorough
def test_evaluate_adds_the_win_rate_over_the_untrained_model(tmp_path, tiny_generator, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = {"model": tiny_generator, "min_steps": 8, "epochs": 0.1, "rank": 4, "generate_rows": 2,
             "max_new_tokens": 8, "learning_rate": 0.02}  # fmt: skip
    words = [
        "task=instruction", "task.metrics=[rougeL,win_rate]", "engine=replay", "engine.approve=1", "diversity=hash",
        "budget.target=8", "student.training.early_stopping=false", "task.eval=eval.jsonl",
        *(f"student.generator.{name}={value}" for name, value in small.items()),
    ]  # fmt: skip
    rows = [{"instruction": f"Say it {number} times.", "input": "", "output": "It, it."} for number in (2, 3, 4)]
    (tmp_path / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert dispatch(["run", *words, "run.dir=out"]) == 0
    capsys.readouterr()
    assert dispatch(["evaluate", "out", "--judge"]) == 0
    out, table = capsys.readouterr()
    prepared = prepare(saved(tmp_path / "out"), [], begun=True)
    pairs = student.rivals(prepared.task, prepared.config.student, tmp_path / "out/student", rows)
    longer = [_longer(first["output"], second["output"]) for first, second in pairs]
    metrics = json.loads(out)
    assert set(longer) != {0.5}
    assert metrics["figures"]["win_rate"]["mean"] == pytest.approx(sum(longer) / 3)
    assert metrics["metric_details"]["win_rate"] == {"judged": 3, "unscored": 0}
    assert "metrics_left_out" not in metrics
    assert "win_rate" in table


def _longer(first, second):
    """Return the chance that the replay engine's judge gives, which prefers the longer answer in both orders."""
    if first == second:
        return 0.5
    return 0.8 if (len(first), first) > (len(second), second) else 0.2
