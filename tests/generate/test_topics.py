"""The file of topics: what a person may write, and what is said with file and line about anything else."""

from pathlib import Path

import pytest

from synthgen.errors import InputError
from synthgen.generate.topics import Topics, from_json, read_topics, to_yaml

SPORT = [("tennis",), ("team games", "football"), ("team games", "rugby", "tries")]


def read(tmp_path: Path, text: str, *labels: str) -> Topics:
    (tmp_path / "topics.yaml").write_text(text, encoding="utf-8")
    return read_topics(tmp_path / "topics.yaml", labels)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    topics = Topics({"sport": SPORT, "文化": [("音乐: 古典",), ("no",)]})
    assert read(tmp_path, to_yaml(topics, "news"), "sport", "文化") == topics
    assert from_json(topics.to_json()) == topics


def test_a_task_without_labels_has_one_tree(tmp_path: Path) -> None:
    topics = Topics({None: SPORT})
    assert read(tmp_path, to_yaml(topics, "news")) == topics
    assert topics.of("tone=formal") == SPORT  # a slot may ask for a value of task.assign


def test_lists_mappings_and_single_topics_may_be_mixed(tmp_path: Path) -> None:
    text = "sport:\n- tennis\n- team games: [football, {rugby: tries}]\n- 2024\n"
    assert read(tmp_path, text, "sport").leaves["sport"] == [
        ("tennis",), ("team games", "football"), ("team games", "rugby", "tries"), ("2024",),
    ]  # fmt: skip


def test_labels_are_put_in_the_tasks_order(tmp_path: Path) -> None:
    assert list(read(tmp_path, "b: [x]\na: [y]\n", "a", "b").leaves) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("sport: [tennis]\nsprot: [golf]\n", 2, "'sprot' is not a label of the task; did you mean sport?"),
        ("sport: [tennis]\nsport: [golf]\n", 2, "the label 'sport' stands here twice"),
        ("sport: [tennis]\n", 1, "label 'world' has no topics; add world: [first topic, second topic]"),
        ("sport: [tennis]\nworld: []\n", 2, "label 'world' has no topics; add at least one"),
        ("sport: [tennis]\nworld:\n", 2, "label 'world' has no topics; add at least one"),
        ("- tennis\n- golf\n", 1, "must map each label to its topics, such as sport: [first topic"),
        ("sport:\n- tennis\n- no\n", 3, "YAML reads no as true or false; put it in quotes"),
        ("sport:\n- tennis\n-\n", 3, "an empty topic; write its name, or remove the line"),
        ("sport:\n- tennis\n- [golf, rugby]\n", 3, "a list where a topic should stand"),
        ("sport:\n- tennis\n- Tennis\n", 3, "the topic 'Tennis' stands here twice; remove one of them"),
        (f"sport:\n- {'x' * 81}\n", 2, "must be one line of at most 80 characters"),
        ("sport:\n  a:\n   b:\n    c:\n     d:\n      e:\n       f:\n        g: [h]\n", 8, "more than 6 levels"),
        ("sport: [tennis\nworld: [x]\n", 2, "not YAML: "),
        ("sport: &a\n  golf: *a\nworld: [x]\n", 1, "more than 6 levels"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, "sport", "world")
    said = str(caught.value)
    assert said.startswith(f"generate.taxonomy.tree: {tmp_path / 'topics.yaml'}:{line}: ")
    assert words in said


def test_a_file_that_expands_without_end_is_refused(tmp_path: Path) -> None:
    rows = [f"l{n}: &l{n} {{{', '.join(f't{n}{i}: *l{n - 1}' for i in range(9))}}}" for n in range(1, 6)]
    text = f"l0: &l0 [{', '.join(f'x{i}' for i in range(9))}]\n" + "\n".join(rows) + "\n"
    with pytest.raises(InputError, match="more than 20000 topics"):
        read(tmp_path, text)


def test_an_empty_file_and_one_that_is_not_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"topics.yaml: the file is empty; write one with: synthgen taxonomy --out"):
        read(tmp_path, "# nothing\n", "sport")
    (tmp_path / "topics.yaml").write_bytes(b"sport: [caf\xe9]\n")
    with pytest.raises(InputError, match=r"topics\.yaml: "):
        read_topics(tmp_path / "topics.yaml", ["sport"])
    with pytest.raises(InputError, match="cannot be read"):
        read_topics(tmp_path, ["sport"])
