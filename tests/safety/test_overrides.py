"""Overrides as people type them: texts that Hydra's grammar cannot read are taken, and the rest is refused with a cure."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.cli import dispatch
from synthgen.errors import ConfigError
from synthgen.ledger import Reader
from synthgen.safety.overrides import readable, values

RUN = ["run", "experiment=smoke", "engine.delay=0", "budget.target=4", "student=none", "judge=none"]


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("run.name=café", "café"), ("run.name=点评", "点评"), ("run.dir=out (1)", "out (1)"), ("run.dir=out(1)", "out(1)"),
        ("run.dir=it's", "it's"), ("run.dir=C:\\", "C:\\"), ("run.dir=a'\\", "a'\\"), ("run.name=a=b", "a=b"),
        ("run.name=a#b;c", "a#b;c"), ("run.name=x{y", "x{y"), ('run.dir=a"b', 'a"b'), ("budget.target=7", 7),
        ("judge.calibration=null", None), ("run.dir=''", ""), ("engine.urls=[http://127.0.0.1:1/v1]", ["http://127.0.0.1:1/v1"]),
    ],
)  # fmt: skip
def test_a_value_is_read_as_it_was_meant(override: str, value: Any) -> None:
    assert values([override]) == [(override.partition("=")[0], value)]


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_every_text_is_taken_or_refused_with_a_cure(text: str) -> None:
    try:
        taken = readable([f"run.name={text}"])
    except ConfigError as error:
        assert str(error).startswith("run.name: ")
        return
    try:
        ((_, value),) = values(taken)
    except ConfigError as error:
        assert "with one value" in str(error)
        return
    assert str(value).strip() == text.strip() or taken == [f"run.name={text}"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "run.dir=[x",
            "run.dir: cannot be read: [x; a text with such signs goes in quotes of its own: \"run.dir='[x'\"",
        ),
        (
            "task.export.instruction={text: 把邮件分类。, n: [1]}",
            "task.export.instruction: cannot be read: {text: 把邮件分类。, n: [1]}; in a list or mapping, a text with other signs "
            "than ASCII letters and digits goes in quotes: \"task.export.instruction={text: '把邮件分类。', n: [1]}\"",
        ),
        ("run.name=", "run.name: has no value (a shell variable that is not set, perhaps); leave it out"),
        ("task=", "task: has no value"),
        ("+task.labels.科技=x", "+task.labels.科技: a key on the command line has ASCII letters"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_way_to_write_it(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        readable([override])
    assert str(caught.value).startswith(message)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run.name=.", "run.name: '.' is not the name of a folder"),
        ("run.name=../..", "run.name: '../..' is not the name of a folder"),
        ("run.name=''", "run.name: '' is not the name of a folder"),
        ("run.dir=''", "run.dir: is empty"),
        (f"run.dir=runs/{'é' * 128}", "run.dir: 'é"),
    ],
)
def test_a_run_without_a_folder_of_its_own_is_refused(
    override: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dispatch([*RUN, override]) == 2
    assert capsys.readouterr().err.startswith(f"synthgen: {message}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_names_in_any_script_and_with_signs_make_a_run_that_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    task = Path("mine/task/点评.yaml")
    task.parent.mkdir(parents=True)
    task.write_text(
        "name: 点评\nkind: classification\nschema:\n  type: object\n  properties:\n    text: {type: string, maxLength: 80}\n"
        "    label: {enum: [好, 差]}\n  required: [text, label]\ninput: [text]\ntarget: [label]\nprompts: classification\n"
        "seeds: seeds.csv\n",
        encoding="utf-8",
    )
    Path("mine/seeds.csv").write_text("text,label\n很好吃,好\n太咸了,差\n", encoding="utf-8")
    run = "runs/café (1)"
    assert dispatch([*RUN, "--config-dir", "mine", "task=点评", "run.name=café (1)"]) == 0
    with Reader(Path(run, "ledger.sqlite")) as reader:
        assert reader.meta("task")["name"] == "点评"
    assert dispatch(["resume", run, "budget.target=6"]) == 0
