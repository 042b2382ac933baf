"""The model card: what the student was made of and reaches, how to load it, and no markup from data."""

from dataclasses import replace

import pytest
import yaml

from synthgen import student
from synthgen.student import StudentConfig


@pytest.fixture(scope="module")
def cards(tmp_path_factory, news_task, news_rows, news_eval):
    """The card of a frozen student of the news task, and of one whose task is described with markup."""
    hostile = replace(news_task, description="<script>alert(1)</script> [x](http://evil.example) | `a`\n# b")
    found = []
    for task in (news_task, hostile):
        out = tmp_path_factory.mktemp("run") / "student"
        cfg = StudentConfig(kind="frozen", bootstrap=100)
        metrics = student.train(task, cfg, news_rows, news_eval[:20], news_eval[100:], out, 0, lambda _: None)
        found.append(((out / "README.md").read_text("utf-8"), metrics))
    return found


def test_the_card_has_the_figures_with_their_intervals_beside_the_baseline(cards):
    card, metrics = cards[0]
    for arm in ("seeds_only", "synthetic"):
        found = metrics[arm]["figures"]["accuracy"]
        assert f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})" in card
    assert "seeds only (baseline)" in card
    assert "20 samples that people wrote" in card
    assert f"On {metrics['eval_rows']} held-out rows" in card
    assert "| sport | " in card


def test_the_front_matter_is_yaml_that_a_hub_reads(cards):
    front = yaml.safe_load(cards[0][0].split("---\n")[1])
    assert front["pipeline_tag"] == "text-classification"
    assert front["base_model"] == "bundled:all-minilm-l6-v2"
    assert front["language"] == ["en"]


def test_the_code_in_the_card_loads_the_student(cards, news_task, news_rows, news_eval, tmp_path, capsys):
    cfg = StudentConfig(kind="frozen", bootstrap=100)
    student.train(news_task, cfg, news_rows, [], [], tmp_path / "student", 0, lambda _: None)
    card = (tmp_path / "student/README.md").read_text("utf-8")
    code = card.split("```python\n")[1].split("```")[0].replace("path/to/student", str(tmp_path / "student"))
    exec(compile(code, "card", "exec"), {})
    assert capsys.readouterr().out.strip() == f"['{news_rows[0]['label']}']"


def test_nothing_in_the_task_becomes_markup(cards):
    card, _ = cards[1]
    assert "<script>" not in card
    assert r"\[x\](http:\//evil.example) \| \`a\` \# b" in card
    assert "\n# b" not in card
    assert "\\0" not in card, "a figure is not a list"
