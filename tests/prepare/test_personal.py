"""Personal data in rows is found as well as promised, and redacted, pseudonymised, rejected or reported."""

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.personal_data import TEXTS, measure, read
from synthgen.errors import ConfigError
from synthgen.safety.personal import FORMATTED, KINDS, Found, find, joined
from synthgen.safety.personal.numbers import may_hold

TEXT = "Mail jane@lamp.example or call +44 7700 900123."


def test_planted_personal_data_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    rows = read()
    figures, errors = measure(rows)
    print(*(f"{kind}: {each}" for kind, each in figures.items()), *errors, sep="\n")
    assert len(rows) >= 200
    planted = sum(figures[kind]["planted"] for kind in FORMATTED)
    assert sum(figures[kind]["planted"] * figures[kind]["recall"] for kind in FORMATTED) / planted >= 0.95
    assert all(figures[kind]["precision"] >= 0.95 for kind in FORMATTED)
    assert figures["name.en"]["recall"] >= 0.8 and figures["name.en"]["precision"] >= 0.8


def test_most_names_are_found_in_texts_that_the_rules_were_not_made_for() -> None:
    figures, _ = measure(read(TEXTS.with_name("unseen_names.txt")))
    assert figures["name.en"]["recall"] >= 0.8 and figures["name.en"]["precision"] >= 0.8


@pytest.mark.parametrize(
    "text",
    [
        "4929 1234 5678 9013 is no card",  # a wrong check digit
        "110105199013310028 has month 13",
        "build 10.20.30.40, version 1.2.3.4",
        "see page 2019-2020 and 12:30:45",
        "GB00 NWBK 6016 1331 9268 19",
        "@home and a@b",
        "Will they mark the art in May, in Paris?",
        "订单号13812345678901",
    ],
)
def test_what_only_looks_like_personal_data_is_left(text: str) -> None:
    assert find(text, KINDS) == []


def test_data_is_redacted_with_its_kind_and_shown_nowhere(run: Any) -> None:
    done = run([TEXT], "personal")
    assert done.texts == ["Mail [EMAIL] or call [PHONE]."]
    assert done.summary["steps"]["personal"]["changed"] == {"email": 1, "phone": 1}
    assert "jane" not in done.page and "900123" not in done.page


def test_pseudonyms_are_consistent_within_a_run_and_differ_by_salt(run: Any) -> None:
    rows = [TEXT, "Again JANE@lamp.example", "联系人：王秀英，13812345678", "王秀英女士，138-1234-5678"]
    step = {"mode": "pseudonymise", "kinds": ["email", "phone", "name"]}
    first, second = (run(rows, {"personal": {**step, "salt": salt}}).texts for salt in ("a", "b"))
    mail = re.search(r"[\w.]+@example\.\w+", first[0])
    assert mail and mail.group() in first[1] and "jane" not in first[1].lower()
    assert first[2].split("：")[1].split("，")[0] == first[3].split("女士")[0] != "王秀英"
    assert first[2].split("，")[1] == first[3].split("，")[1] != "13812345678"
    assert first != second


def test_rows_with_personal_data_are_rejected_or_only_reported(run: Any) -> None:
    rejected = run([TEXT, "nothing here"], {"personal": {"mode": "reject"}})
    assert rejected.texts == ["nothing here"]
    assert rejected.removed[0]["note"] == "email, phone" and "jane" not in rejected.page
    reported = run([TEXT], {"personal": {"mode": "report"}})
    assert reported.texts == [TEXT] and reported.summary["steps"]["personal"]["changed"] == {"email": 1, "phone": 1}


def test_the_default_chain_repairs_redacts_and_removes_duplicates(run: Any) -> None:
    done = run(
        ["Call  +44 7700 900123 now!", "call +44 7700 900456 now", "Ã¼ber uns"], "repair", "personal", "exact", "near"
    )
    assert done.texts == ["Call [PHONE] now!", "über uns"]


def test_every_field_is_searched_and_not_only_the_compared_text(run: Any) -> None:
    row = {"text": "hello", "id": "kim@lamp.example", "author": {"mail": "jane@lamp.example"}, "n": 5}
    (done,) = run([row], "personal").rows
    assert (done["id"], done["author"]) == ("[EMAIL]", {"mail": "[EMAIL]"})


def test_a_source_that_the_rows_had_themselves_is_searched(run: Any) -> None:
    (done,) = run([{"text": "hello", "source": "mail of jane@lamp.example"}], "personal").rows
    assert done["source"] == "mail of [EMAIL]" and done["prepared_source"]["line"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "Prices rose by 12.5% in 2024, and 3,400 lamps were sold at 19.99 each between 10 and 12.",
        "2024年5月3日下午3点，共36元",
        "We met at home (at noon) at 10:30, room B12.",
    ],
)
def test_ordinary_figures_end_the_search_at_its_first_pattern(text: str) -> None:
    assert not may_hold(text)


def test_a_spelled_address_is_found_in_capitals_too() -> None:
    assert [found.kind for found in find("Write to JANE (AT) LAMP (DOT) EXAMPLE today")] == ["email"]


def test_presidio_adds_what_its_analyzer_finds(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("presidio_analyzer")
    own = tmp_path / "analyzer.yaml"
    own.write_text(
        "nlp_configuration: {nlp_engine_name: no_op, models: [{lang_code: en, model_name: none}]}\n"
        "recognizer_registry:\n"
        "  supported_languages: [en]\n"
        "  recognizers:\n"
        "    - {name: Titled, type: custom, supported_entity: PERSON,"
        " patterns: [{name: titled, regex: 'Frau [A-Z]+', score: 0.9}]}\n",
        encoding="utf-8",
    )
    text = "Frau XQ has 110105199003070017, mail jane@lamp.example"
    step = {"engine": "presidio", "kinds": ["email", "cn_id", "name", "url"]}
    assert run([text], {"personal": step | {"kinds": ["cn_id"]}}).texts == [
        text.replace("110105199003070017", "[CN_ID]")
    ]
    found = run(["see https://lamp.com, jane@lamp.com"], {"personal": step}).texts
    assert found == ["see [URL], [EMAIL]"]
    step = step | {"kinds": ["email", "name"], "analyzer": "analyzer.yaml"}
    assert run([text], {"personal": step}).texts == ["[NAME] has 110105199003070017, mail [EMAIL]"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "spacy"}, "engine: 'spacy' is none of patterns, presidio"),
        ({"analyzer": "a.yaml"}, "analyzer: only Presidio has one"),
        ({"kinds": ["passport"]}, "kinds: 'passport' is none of"),
    ],
)
def test_a_wrong_option_is_reported(run: Any, options: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run(["a"], {"personal": options})


def test_pieces_of_two_finders_are_joined() -> None:
    text = "Ann Lee, 5551234"
    own = [Found("name", 0, 3, "Ann"), Found("phone", 9, 16, "5551234")]
    theirs = [Found("card", 9, 16, "5551234"), Found("name", 0, 7, "Ann Lee"), Found("ip", 7, 8, ",")]
    assert [(each.kind, each.text) for each in joined(text, own, theirs)] == [
        ("name", "Ann Lee"), ("ip", ","), ("phone", "5551234")
    ]  # fmt: skip
