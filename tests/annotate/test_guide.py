"""The annotation guide: what is in it, in which language, and when its version changes."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from synthgen.annotate import checks
from synthgen.annotate.blocks import Example, Items, Paragraph, Table, as_html, as_markdown
from synthgen.annotate.examples import placed, split
from synthgen.annotate.guide import Disputed, Findings, Guide, Uncertain, guide
from synthgen.annotate.in_force import in_force, put_in_force
from synthgen.cli import dispatch
from synthgen.filters.declared.kinds import KINDS
from synthgen.records import Json
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import TaskConfig


def of(name: str, findings: Findings | None = None) -> Guide:
    fields = OmegaConf.to_container(OmegaConf.load(root() / f"conf/task/{name}.yaml"))
    assert isinstance(fields, dict)
    task = load_task(TaskConfig(**{str(key): value for key, value in fields.items()}))
    seeds: list[Json] = list(read_samples(task.seeds, task, "seed")) if task.seeds is not None else []
    return guide(task.with_label_sets(seeds).definition(), seeds, findings)


def test_every_label_has_its_meaning_and_typical_and_borderline_examples() -> None:
    text = of("sentiment").markdown()
    parts = text.partition("## Labels")[2].partition("## A good sample")[0].split("\n### ")[1:]
    assert [part.splitlines()[0] for part in parts] == ["negative", "neutral", "positive"]
    for part in parts:
        typical, _, borderline = part.partition("Borderline:")
        assert "Typical:" in typical and typical.count("\n> ") == 2
        assert borderline.count("close to") == 2
    assert "the writer is unhappy with it" in parts[0]
    assert "not a sample" in text.partition("## In doubt")[2]


def test_tasks_without_labels_show_fields_rubric_and_checks_in_words() -> None:
    text = of("dialogue").markdown()
    assert "turns has 2 to 6 turns, the first is by user, the last is by assistant" in text
    assert "The assistant speaks as the persona would" in text
    assert "| persona | text of 5 to 80 characters | given |" in text
    assert "Correct a sample with e" in text
    relations = of("relations").markdown()
    assert "works\\_for: person – organisation" in relations


def test_the_guide_of_a_chinese_task_is_in_chinese() -> None:
    text = of("zh_entities").markdown()
    assert "# 标注指南" in text and "## 拿不准的时候" in text and "中的每段文字都原样出现在 text 中" in text
    assert not any(word in text for word in ("sample", "Typical", "characters"))
    assert 'lang="zh"' in of("zh_entities").html()


def test_a_run_adds_what_people_and_models_were_unsure_about() -> None:
    findings = Findings(
        disputed=[
            Disputed({"text": "Fine, I suppose.", "label": "neutral"}, ["neutral", None, "neutral"], "neutral", True),
            Disputed({"text": "It works.", "label": "neutral"}, ["neutral", "positive"], "neutral", False),
        ],
        uncertain=[
            Uncertain({"text": "Not what I expected.", "label": "negative"}, {"negative": 0.6, "neutral": 0.4}, 1.0)
        ],
    )
    text = of("sentiment", findings).markdown()
    assert "answers: 2 × neutral, 1 × not a sample; decided: neutral" in text
    assert "answers: 1 × neutral, 1 × positive; not decided yet" in text
    assert "by the run: negative 60 %, neutral 40 %" in text
    assert of("sentiment").hash != of("sentiment", findings).hash
    assert of("sentiment").hash == of("sentiment").hash


def test_the_version_in_force_is_kept_with_the_earlier_ones(tmp_path: Path) -> None:
    assert in_force(tmp_path) is None
    first, second = of("sentiment"), of("spam")
    put_in_force(tmp_path, first)
    put_in_force(tmp_path, second)
    assert in_force(tmp_path) == second.hash
    assert (tmp_path / "guide" / f"{first.hash}.md").read_text() == first.markdown()
    assert first.hash in first.markdown() and first.hash in first.html()


def test_untrusted_text_is_no_markup_in_either_form() -> None:
    hostile = "<script>alert(1)</script> [x](http://evil) \u202e*bold*"
    blocks = [Paragraph(hostile), Items([hostile]), Table(["a"], [[hostile]]), Example([("text", hostile)], hostile)]
    page = as_html(blocks, hostile, "en")
    assert "<script" not in page and "\u202e" not in page
    text = as_markdown(blocks)
    assert "](http" not in text.replace("\\]", "") and "\u202e" not in text


def test_typical_samples_are_near_their_label_and_borderline_ones_near_another() -> None:
    vectors = [[1, 0], [0.9, 0.1], [0.6, 0.5], [0, 1], [0.1, 0.9], [0.5, 0.6]]
    found = placed(vectors, ["a", "a", "a", "b", "b", "b"])
    typical, borderline = split(found["a"], 1)
    assert [place.row for place in typical] == [0] and [place.row for place in borderline] == [2]
    assert borderline[0].nearest == "b"
    assert split(found["a"][:1], 2)[1] == [], "a single example is typical"


@pytest.mark.parametrize("kind", [one.kind for one in KINDS if one.kind != "pattern"])
@pytest.mark.parametrize("chinese", [True, False])
def test_every_kind_of_declared_check_has_words_of_its_own(kind: str, chinese: bool) -> None:
    keys = ("field", "in", "of", "to", "from", "by", "empty", "values", "head", "tail", "equals", "question", "over")
    (said,) = checks.in_words({"kind": kind, **{key: f"<{key}>" for key in keys}}, chinese)
    assert "<" in said or "language" in kind or kind == "attributes"
    assert said != checks.in_words({"kind": "unknown"}, chinese)[0].replace("unknown", kind)


@pytest.mark.slow
def test_the_verb_writes_both_forms_and_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["guide", "spam", "--out", "g"]) == 0
    assert capsys.readouterr().out.startswith("guide ")
    assert {path.name for path in (tmp_path / "g").iterdir()} == {"guide.md", "guide.html"}
    for arguments, words in (
        (["guide"], "TASK is missing"),
        (["guide", "nothing"], "nothing"),
        (["guide", "--run", "nowhere"], "not a run folder"),
    ):
        assert dispatch(arguments) == 2
        assert words in capsys.readouterr().err
