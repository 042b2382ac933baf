import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthgen.report import plain, write_reports

VOID = {"meta"}


class Page(HTMLParser):
    """The tags, attributes and text of a page; fails on tags that do not close in order."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.source = path.read_text("utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(self.source)
        self.close()
        assert self.open == []

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)


def page(folder: Path) -> Page:
    write_reports(folder, lambda config: yaml.safe_dump(config, allow_unicode=True))
    return Page(folder / "report.html")


def test_the_page_loads_nothing_and_runs_nothing(run: Any) -> None:
    found = page(run.path)
    assert "script" not in {tag for tag, _ in found.tags}
    for tag, attributes in found.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "srcset", "style", "data", "action"), (tag, name)
            if name == "href":
                assert (value or "").startswith("#")
    assert "url(" not in found.source
    assert "@import" not in found.source


def test_the_pages_policy_allows_only_its_own_style(run: Any) -> None:
    found = page(run.path)
    policy = next(a["content"] for tag, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    style = re.findall(r"<style>(.*?)</style>", found.source, re.S)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}'" in policy


def test_hostile_text_is_shown_and_does_nothing(make_run: Callable[..., Any]) -> None:
    run = make_run(run={"name": "<script>name</script>\u202e", "seed": 1}, stopped_by="<b>x</b>")
    found = page(run.path)
    for text in run.hostile:
        assert plain.clean(text).split("\n")[-1] in found.text
    assert "<script>config</script>" not in found.source
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "i"})
    assert "<i>odd</i>" in found.text
    assert "{{ 7 * 7 }}" in found.text


def test_no_hidden_character_reaches_the_page(make_run: Callable[..., Any]) -> None:
    run = make_run(
        engine={"name": "e\x1b[0m", "version": "\u202e1", "model": "m\u2066"},
        run={"name": "\u200bx", "seed": 1, "versions": {"a\x07": "\x00"}},
        config={"key": "\x1b[31m\u202evalue"},
    )
    source = page(run.path).source
    assert plain.clean(source) == source


def test_chinese_and_emoji_stay_as_they_are(run: Any) -> None:
    text = page(run.path).text
    assert "今天北京的天气怎么样？" in text
    assert "🎉👩‍👩‍👧" in text


def test_every_section_is_there_and_linked(run: Any) -> None:
    found = page(run.path)
    ids = [a["id"] for tag, a in found.tags if tag == "section"]
    assert ids == ["student", "funnel", "rejected", "accepted", "labels", "cost", "diversity", "judge", "setup"]
    assert [f"#{name}" for name in ids] == [a["href"] for tag, a in found.tags if tag == "a"]


def test_rejections_show_count_share_threshold_and_neighbour(run: Any) -> None:
    text = " ".join(page(run.path).text.split())
    assert "near duplicate means nearly the same as" in text
    assert "near check, diversity.threshold 0.9 5 27.8 %" in text
    assert "≈ seed sentence number 2" in text
    assert "score 0.970" in text
    assert "music 0.85 · weather 0.1" in text


def test_charts_stay_inside_their_frame(run: Any) -> None:
    shares = [
        float(value[:-1])
        for _, attributes in page(run.path).tags
        for value in attributes.values()
        if value and re.fullmatch(r"-?[\d.]+%", value)
    ]
    assert len(shares) > 30
    assert all(0 <= share <= 100 for share in shares)


def test_a_loss_of_the_student_is_the_verdict_of_the_page(make_run: Callable[..., Any], student: Any) -> None:
    student |= {"is_gain": False, "gain": {"mean": -0.1, "low": -0.18, "high": -0.02}}
    found = page(make_run(student=student).path)
    assert ("div", {"class": "verdict loss"}) in found.tags
    assert "The synthetic data made the student worse" in found.text


def test_the_page_shows_the_student_beside_its_baseline(make_run: Callable[..., Any], student: Any) -> None:
    labels = ["weather", "<i>odd</i>"]
    for arm, f1 in (("seeds_only", 0.61), ("synthetic", 0.72)):
        figure = {key: student[arm][key] for key in ("mean", "low", "high")}
        student[arm] |= {
            "figures": {"accuracy": figure, "macro_f1": figure},
            "classes": {label: {"precision": 0.5, "recall": 0.25, "f1": f1, "support": 45} for label in labels},
            "confusion": {"labels": labels, "counts": [[40, 5], [44, 1]]},
        }
    student["gain"] |= {"figures": {name: dict(student["gain"]) for name in ("accuracy", "macro_f1")}}
    text = page(make_run(student=student).path).text
    for figure in ("70.0 % (60.0 % to 80.0 %)", "80.0 % (72.0 % to 88.0 %)", "+10.0 (+2.0 to +18.0)", "macro F1"):
        assert figure in text, figure
    for figure in ("61.0 %", "72.0 %", "44"):
        assert figure in text, figure


def test_many_labels_get_their_commonest_mistakes_in_place_of_a_matrix(
    make_run: Callable[..., Any], student: Any
) -> None:
    labels = [f"label-{index}" for index in range(40)]
    counts = [[50 if i == j else 0 for j in range(40)] for i in range(40)]
    counts[3][7], counts[5][6] = 17, 2
    student["synthetic"] |= {"confusion": {"labels": labels, "counts": counts}}
    text = page(make_run(student=student).path).text
    assert "Most frequent mistakes: with synthetic data" in text
    assert text.index("label-3") < text.index("label-7") < text.index("17") < text.index("label-5")
    assert "Predicted, by true class" not in text


def test_the_chosen_number_of_training_steps_is_printed(make_run: Callable[..., Any], student: Any) -> None:
    chosen = {"steps_chosen_by": "3-fold cross-validation", "most_steps": 45, "held_out_loss": [[4, 0.5]]}
    student["seeds_only"] |= {"steps": 20, **chosen}
    text = page(make_run(student=student).path).text
    assert "seeds only: 20 of 45 (3-fold cross-validation)" in text


def test_the_page_is_written_without_student_scores(make_run: Callable[..., Any], student: Any) -> None:
    nothing = {"mean": None, "low": None, "high": None, "figures": {}}
    student |= {"seeds_only": nothing, "synthetic": nothing, "gain": nothing, "is_gain": None, "eval_rows": 0}
    found = page(make_run(student=student).path)
    assert ("div", {"class": "verdict absent"}) in found.tags


def test_a_killed_run_has_a_page_too(killed: Path) -> None:
    found = page(killed)
    assert "did not finish" in found.text
    assert "No sample was accepted." in found.text


def test_other_kinds_of_task_show_their_fields_by_name(make_run: Callable[..., Any]) -> None:
    task = {
        "name": "qa", "kind": "generation", "description": "", "language": "en",
        "schema": {"type": "object", "properties": {"text": {"type": "string"}, "label": {"type": "string"}}},
        "input": ["text"], "target": ["label"], "labels": {}, "rubric": {},
    }  # fmt: skip
    found = page(make_run(task=task).path)
    assert found.texts.count("label") >= 19
    assert found.texts.count("text") >= 19


def test_long_texts_are_cut_and_the_number_of_samples_is_bounded(make_run: Callable[..., Any]) -> None:
    run = make_run(slots=400)
    found = page(run.path)
    assert "30 of " in found.text
    assert len(found.source) < 120_000


def test_the_same_ledger_gives_the_same_page(make_run: Callable[..., Any]) -> None:
    one, other = (page(make_run().path).source for _ in range(2))
    assert one == other


@pytest.mark.parametrize("count", [1, 5])
def test_a_short_run_has_no_empty_chart(make_run: Callable[..., Any], count: int) -> None:
    assert "Acceptance over the run" not in page(make_run(slots=count).path).text
