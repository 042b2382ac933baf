"""The rule checks: what each one rejects, with its reason and score, and what it lets through."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.errors import ConfigError
from synthgen.filters.repetition import repetition
from synthgen.filters.rules import EvalOverlap, ExactDuplicate, FiltersConfig, FormCheck, TextRules
from synthgen.filters.seen import Seen
from synthgen.records import REWRITES, Candidate, Sample, content_id
from synthgen.tasks.task import Task

Make = Callable[..., Candidate]
SEED = "Two late penalties rescued a draw for the visitors."


def sample(text: str, label: str = "sport") -> Sample:
    data = {"text": text, "label": label}
    return Sample(id=content_id(data), data=data, origin="seed", label=label)


def text_rules(task: Task, *shown: Sample, **knobs: Any) -> TextRules:
    return TextRules(task, FiltersConfig(**knobs), {s.id: s for s in shown}.__getitem__, task.free_schema)


# -- form ------------------------------------------------------------------------------------------


async def test_a_whole_valid_sample_passes(candidate: Make, news_task: Task) -> None:
    verdict = await FormCheck(news_task)(candidate())
    assert (verdict.check, verdict.outcome, verdict.reason) == ("form", "pass", None)


async def test_a_reply_cut_at_max_tokens_is_rejected_for_that_even_if_it_is_valid(
    candidate: Make, news_task: Task
) -> None:
    for made in (candidate(finish_reason="length"), candidate(finish_reason="length", data=None)):
        verdict = await FormCheck(news_task)(made)
        assert (verdict.outcome, verdict.reason) == ("reject", "length")


async def test_a_reply_without_data_is_not_the_json_asked_for(candidate: Make, news_task: Task) -> None:
    verdict = await FormCheck(news_task)(candidate(data=None))
    assert (verdict.outcome, verdict.reason) == ("reject", "schema")
    assert verdict.details == {"problem": "not the JSON asked for"}


async def test_a_sample_that_violates_the_schema_says_where(candidate: Make, news_task: Task) -> None:
    verdict = await FormCheck(news_task)(candidate("Goal!"))
    assert (verdict.outcome, verdict.reason) == ("reject", "schema")
    assert verdict.details == {"problem": 'text: "Goal!" is shorter than 8 characters'}


@pytest.mark.parametrize("char", ["\x00", "\x1b[31m", "\x9b"])
async def test_a_control_character_is_a_reason_of_its_own(char: str, candidate: Make, news_task: Task) -> None:
    verdict = await FormCheck(news_task)(candidate(f"The striker {char} scored twice."))
    assert (verdict.outcome, verdict.reason) == ("reject", "control")
    assert verdict.details == {"character": f"U+{ord(char[0]):04X}"}


# -- text rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "The striker scored twice, and the crowd sang until the lights went out.",
        "中央银行周二宣布下调利率，市场普遍上涨。",
        "東京の株式市場は火曜日に下落した。",
        "हिन्दी में लिखी गई एक छोटी सी खबर",
        "Goal 🎉🎉🎉 what a night",
        "Rain",
        "雨天",
        "bye bye",
        "Row, row, row your boat",
        "It cost 1,000,000 dollars in 2000.",
        "Why? Because!!!!!!!!!!!!!!",
    ],
)
async def test_an_ordinary_text_passes(text: str, candidate: Make, news_task: Task) -> None:
    verdict = await text_rules(news_task)(candidate(text))
    assert (verdict.check, verdict.outcome) == ("text", "pass")


@pytest.mark.parametrize("text", ["", "  ", "?!", "🎉🎉🎉", "a", "猫"])
async def test_a_text_with_almost_no_letters_is_empty(text: str, candidate: Make, news_task: Task) -> None:
    verdict = await text_rules(news_task)(candidate(text))
    assert (verdict.outcome, verdict.reason) == ("reject", "empty")


async def test_the_least_number_of_letters_is_a_setting(candidate: Make, news_task: Task) -> None:
    assert (await text_rules(news_task, sample(SEED), min_chars=0)(candidate("🎉"))).outcome == "pass"
    shown = sample(SEED)
    lenient = text_rules(news_task, shown, min_chars=0)
    assert (await lenient(candidate("🎉", parents=(shown.id,)))).outcome == "pass"
    assert (await text_rules(news_task, min_chars=6)(candidate("Rainy"))).reason == "empty"


async def test_a_text_that_fills_its_field_was_cut_off(candidate: Make, news_task: Task) -> None:
    words = "The striker scored twice before the break and once more near the end of a match that nobody who saw it"
    full = f"{words}, at home or in the ground, will forget in a hurry, whatever comes on"
    full = full.ljust(180, "!")
    verdict = await text_rules(news_task)(candidate(full))
    assert (verdict.outcome, verdict.reason, verdict.details) == ("reject", "truncated", {"field": "text"})
    assert (await text_rules(news_task)(candidate(full[:-1]))).outcome == "pass"
    assert (await text_rules(news_task, truncation=False)(candidate(full))).outcome == "pass"


async def test_a_text_that_ends_in_the_middle_was_cut_off(candidate: Make, news_task: Task) -> None:
    open_ended = "Banks were hit by the international financial crisis, the "
    verdict = await text_rules(news_task)(candidate(open_ended))
    assert (verdict.outcome, verdict.reason) == ("reject", "truncated")
    assert verdict.details == {"field": "text", "ends_in": "the"}
    assert (await text_rules(news_task, truncation=False)(candidate(open_ended))).outcome == "pass"


@pytest.mark.parametrize("text", ["x" * 180, "Banks were hit by the international financial crisis, the "])
async def test_a_text_that_no_model_wrote_is_not_cut_off(candidate: Make, news_task: Task, text: str) -> None:
    check = TextRules(news_task, FiltersConfig(max_repetition=1.0), {}.__getitem__, news_task.free_schema)
    assert (await check(candidate(text))).reason == "truncated"
    assert (await check(candidate(text, given={"supplied": ["text"]}))).outcome == "pass"


async def test_an_ending_that_seeds_have_is_whole(candidate: Make, news_task: Task) -> None:
    seeds = [{"text": "What the minister said, word for word:", "label": "world"}]
    shown = TextRules(news_task, FiltersConfig(), {}.__getitem__, news_task.free_schema, seeds)
    text = "The verdict of the court, in full:"
    assert (await shown(candidate(text))).outcome == "pass"
    assert (await text_rules(news_task)(candidate(text))).reason == "truncated"


async def test_a_field_of_given_choices_is_not_cut_off(candidate: Make, news_task: Task) -> None:
    code = {"type": "string", "enum": ["the", "a"], "maxLength": 9}
    task = replace(
        news_task, schema={**news_task.schema, "properties": {"article": code, **news_task.schema["properties"]}}
    )
    data = {"article": "the", "text": "The striker scored twice.", "label": "sport"}
    assert (await text_rules(task)(candidate(data=data))).outcome == "pass"


async def test_a_field_of_one_length_only_is_not_cut_off(candidate: Make, news_task: Task) -> None:
    code = {"type": "string", "minLength": 2, "maxLength": 2}
    schema = {**news_task.schema, "properties": {"country": code, **news_task.schema["properties"]}}
    task = replace(news_task, schema=schema)
    data = {"country": "NL", "text": "The striker scored twice.", "label": "sport"}
    assert (await text_rules(task)(candidate(data=data))).outcome == "pass"


@pytest.mark.parametrize(
    "text",
    [
        "ha ha ha ha ha ha ha ha",
        "turn it up turn it up turn it up",
        "The match was good. The match was good. The match was good.",
        "aaaaaaaaaaaaaaaaaaaa",
        "hahahahahahahaha!",
        "好的好的好的好的好的好的",
        "的的的的的的的的",
    ],
)
async def test_a_text_that_repeats_itself_is_rejected(text: str, candidate: Make, news_task: Task) -> None:
    verdict = await text_rules(news_task)(candidate(text))
    assert (verdict.outcome, verdict.reason) == ("reject", "repetition")
    assert 0.3 < (verdict.score or 0) <= 1


def test_repetition_is_the_larger_of_repeated_word_pairs_and_character_runs() -> None:
    assert repetition("") == 0
    assert repetition("rain") == 0
    assert repetition("one two three four") == 0
    assert repetition("a b a b a") == 0.5  # two of four pairs stood there before
    assert repetition("xxxx y z") == 0.5  # four of eight characters
    assert repetition("a hahahaha b c") == pytest.approx(8 / 14)
    assert repetition("b xyzxyzxyzxyz") == pytest.approx(12 / 14)
    assert repetition("b wxyzwxyzwxyzwxyz") == pytest.approx(16 / 18)
    assert repetition("b wxyzwxyzwxyz") == 0  # three times is not yet a run


def fields(task: Task, **properties: Any) -> Task:
    """The task with these fields, all of them free."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return replace(task, kind="generation", schema=schema)


async def repeats(task: Task, candidate: Make, **data: Any) -> dict[str, Any] | None:
    """The details of a rejection for repetition; None for a candidate that passes."""
    verdict = await text_rules(task)(candidate(data=data))
    assert verdict.reason in (None, "repetition")
    return verdict.details if verdict.outcome == "reject" else None


STRING = {"type": "string"}


async def test_an_answer_may_quote_the_passage_that_it_is_about(candidate: Make, news_task: Task) -> None:
    task = fields(news_task, passage=STRING, answer=STRING)
    passage = "The striker scored twice, and the crowd sang until the lights went out."
    quoted = "The striker scored twice, and the crowd sang."
    assert await repeats(task, candidate, passage=passage, answer=quoted) is None


async def test_a_field_that_repeats_itself_is_not_diluted_by_another(candidate: Make, news_task: Task) -> None:
    task = fields(news_task, passage=STRING, answer=STRING)
    passage = "The striker scored twice, and the crowd sang until the lights went out over the old ground by the river."
    assert await repeats(task, candidate, passage=passage, answer="it is it is it is") == {"field": "answer"}


async def test_keys_and_choices_of_a_list_of_objects_are_no_repetition(candidate: Make, news_task: Task) -> None:
    entity = {"type": "object", "properties": {"text": STRING, "type": {"enum": ["a place", "a person"]}}}
    task = fields(news_task, text=STRING, entities={"type": "array", "items": entity})
    entities = [{"text": name, "type": "a place"} for name in ("Rome", "Oslo", "Lima", "Cairo", "Tunis")]
    assert await repeats(task, candidate, text="From Rome to Tunis in a week.", entities=entities) is None
    again = [{"text": "Rome by night", "type": "a place"}] * 4
    assert await repeats(task, candidate, text="Four nights.", entities=again) == {"field": "entities"}


async def test_a_phrase_is_no_leak_where_one_field_ends_and_another_begins(candidate: Make, news_task: Task) -> None:
    task = fields(news_task, question=STRING, answer=STRING)
    made = candidate(data={"question": "What is in the example", "answer": "Output of the mill."})
    assert (await text_rules(task, leaks=["example output"])(made)).outcome == "pass"


@given(st.text("ab你😀", min_size=1, max_size=24))
def test_a_common_run_of_characters_is_found_at_any_position(plain: str) -> None:
    runs = re.finditer(r"(.{1,4}?)\1{3,}", plain)
    assert repetition(plain) >= sum(len(run.group()) for run in runs) / len(plain)


async def test_a_copy_of_a_demonstration_names_it(candidate: Make, news_task: Task) -> None:
    shown, other = sample(SEED), sample("A probe has sent home pictures of a metal-rich asteroid.", "science")
    rules = text_rules(news_task, shown, other)
    copied = candidate("Late penalties rescued a draw!", parents=(other.id, shown.id))
    verdict = await rules(copied)
    assert (verdict.outcome, verdict.reason) == ("reject", "copy")
    assert verdict.details == {"neighbour": shown.id}
    assert 0.85 < (verdict.score or 0) <= 1


async def test_a_sample_that_is_rewritten_may_be_copied_from_and_the_others_not(
    candidate: Make, news_task: Task
) -> None:
    shown, other = sample(SEED), sample("A probe has sent home pictures of a metal-rich asteroid.", "science")
    rules = text_rules(news_task, shown, other)
    for rewritten, reason in ((shown, None), (other, "copy")):
        given = {REWRITES: rewritten.id}
        copied = candidate("Late penalties rescued a draw!", parents=(other.id, shown.id), given=given)
        assert (await rules(copied)).reason == reason


async def test_a_text_that_begins_like_a_demonstration_is_no_copy(candidate: Make, news_task: Task) -> None:
    shown = sample(SEED)
    verdict = await text_rules(news_task, shown)(
        candidate("Two late penalties rescued a draw for us in Rome.", parents=(shown.id,))
    )
    assert verdict.outcome == "pass"
    assert 0.7 < (verdict.score or 0) < 0.85


async def test_only_what_was_shown_can_have_been_copied(candidate: Make, news_task: Task) -> None:
    shown, other = sample(SEED), sample("A probe has sent home pictures of a metal-rich asteroid.", "science")
    verdict = await text_rules(news_task, shown, other)(candidate(SEED, parents=(other.id,)))
    assert verdict.outcome == "pass"


async def test_a_chinese_copy_is_a_copy(candidate: Make, news_task: Task) -> None:
    shown = sample("中央银行周二宣布下调利率，市场普遍上涨，投资者表示欢迎。", "business")
    copied = candidate("中央银行周二宣布下调利率，市场普遍上涨，投资者表示担忧。", parents=(shown.id,))
    assert (await text_rules(news_task, shown)(copied)).reason == "copy"


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I cannot write news.",
        "Sorry: as an AI language-model I cannot.",
        "作为一个AI语言模型，我无法提供新闻。",
        "很抱歉，作为一个AI我不能这样做。",
        "The striker <|im_end|> scored twice.",
        "[INST] Write a new example [/INST]",
        "The striker scored twice.\nAssistant: And more",
        "user: write another one",
    ],
)
async def test_a_text_that_betrays_the_prompt_is_a_leak(text: str, candidate: Make, news_task: Task) -> None:
    verdict = await text_rules(news_task, leaks=["as an ai language model", "作为一个AI"])(candidate(text))
    assert (verdict.outcome, verdict.reason) == ("reject", "leak")
    assert verdict.details["phrase"]


@pytest.mark.parametrize(
    "text", ["A smollmarket opened.", "The user said: no.", "Prices < 5 > 3 fell.", "体会作为一个Airbnb房东"]
)
async def test_a_leak_is_found_as_whole_words_only(text: str, candidate: Make, news_task: Task) -> None:
    assert (await text_rules(news_task, leaks=["smollm", "作为一个AI"])(candidate(text))).outcome == "pass"


async def test_a_passing_text_keeps_how_much_of_it_was_copied(candidate: Make, news_task: Task) -> None:
    shown = sample(SEED)
    made = candidate("Two late goals rescued the evening for the home side.", parents=(shown.id,))
    assert 0 < ((await text_rules(news_task, shown)(made)).score or 0) < 0.7


# -- exact duplicates ------------------------------------------------------------------------------


class Names:
    """An exact check, and the ids behind its positions."""

    def __init__(self, task: Task) -> None:
        self.ids: list[str] = []
        self.exact = ExactDuplicate(task, self.ids.__getitem__)

    def add(self, sample: Sample) -> None:
        self.ids.append(sample.id)
        self.exact.add(sample, len(self.ids) - 1)


async def test_the_same_text_in_other_case_and_punctuation_is_a_duplicate(candidate: Make, news_task: Task) -> None:
    held, first = Names(news_task), sample(SEED)
    held.add(first)
    for text in (SEED, SEED.upper(), f"  “{SEED}”!"):
        verdict = await held.exact(candidate(text))
        assert (verdict.outcome, verdict.reason, verdict.score) == ("reject", "duplicate", 1.0)
        assert verdict.details == {"neighbour": first.id}
    assert (await held.exact(candidate("Two late penalties rescued a win for the visitors."))).outcome == "pass"


async def test_the_same_text_with_another_label_is_a_duplicate_too(candidate: Make, news_task: Task) -> None:
    held = Names(news_task)
    held.add(sample(SEED, "sport"))
    assert (await held.exact(candidate(SEED, "world"))).reason == "duplicate"


async def test_the_first_of_two_equal_texts_stays_the_neighbour(candidate: Make, news_task: Task) -> None:
    held = Names(news_task)
    held.add(sample(SEED, "sport"))
    held.add(sample(SEED, "world"))
    assert (await held.exact(candidate(SEED))).details == {"neighbour": sample(SEED, "sport").id}


def test_among_very_many_texts_each_is_found_at_its_first_position(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthgen.filters.seen._RECENT", 16)
    seen = Seen()
    for position in range(1_000):
        seen.add(f"text {position % 700}", position)
    assert [seen.find(f"text {number}") for number in range(700)] == list(range(700))
    assert seen.find("text 700") is None


# -- eval overlap ----------------------------------------------------------------------------------

EVAL = [
    {"text": "Rugby captain banned for three matches over high tackle", "label": "sport"},
    {"text": "中央银行周二宣布下调利率，市场普遍上涨。", "label": "business"},
    {"text": "uv index", "label": "science"},
]


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("Rugby captain banned for three matches over a high tackle", 0),
        ("RUGBY CAPTAIN BANNED - for three matches!", 0),
        ("中央银行周二宣布下调利率，市场普遍下跌。", 1),
        ("UV index?", 2),
    ],
)
async def test_a_text_that_is_nearly_an_eval_row_is_rejected(
    text: str, row: int, candidate: Make, news_task: Task
) -> None:
    verdict = await EvalOverlap(news_task, FiltersConfig(max_eval_overlap=0.5), EVAL)(candidate(text))
    assert (verdict.outcome, verdict.reason, verdict.details) == ("reject", "eval_overlap", {"row": row})


async def test_an_original_text_passes_with_its_share_of_common_shingles(candidate: Make, news_task: Task) -> None:
    check = EvalOverlap(news_task, FiltersConfig(), EVAL)
    own = await check(candidate("Shares fell on Tuesday."))
    akin = await check(candidate("A rugby captain retired after twelve seasons at his first club."))
    assert (own.outcome, own.score) == ("pass", 0.0)
    assert akin.outcome == "pass"
    assert 0 < (akin.score or 0) < 0.5


async def test_without_eval_rows_nothing_is_rejected(candidate: Make, news_task: Task) -> None:
    assert (await EvalOverlap(news_task, FiltersConfig(), [])(candidate())).outcome == "pass"


# -- config ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"max_repetition": 0}, "filters.max_repetition: must be above 0 and at most 1, got 0"),
        ({"max_copy": 2}, "filters.max_copy: must be above 0 and at most 1, got 2"),
        ({"max_eval_overlap": -1}, "filters.max_eval_overlap: must be above 0 and at most 1, got -1"),
        ({"min_chars": -1}, "filters.min_chars: must be 0 or more, got -1"),
        (
            {"leaks": ["smollm", "###"]},
            "filters.leaks: '###' has no letter or digit to search for; remove it or add a word",
        ),
    ],
)
def test_a_setting_out_of_range_is_named(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FiltersConfig(**knobs)
    assert str(caught.value) == message


async def test_a_dialogue_may_have_role_lines_and_nothing_else_may(candidate: Make, news_task: Task) -> None:
    made = candidate("Well then.\nUser: how late is it?")
    assert (await text_rules(news_task)(made)).reason == "leak"
    assert (await text_rules(replace(news_task, kind="dialogue"))(made)).outcome == "pass"


async def test_a_text_that_fills_a_bound_added_for_the_grammar_was_cut_off(candidate: Make, news_task: Task) -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string", "maxLength": 10}}}
    check = TextRules(news_task, FiltersConfig(), {}.__getitem__, schema)
    assert (await check(candidate("ten chars!"))).reason == "truncated"
    assert (await check(candidate("fine rain"))).outcome == "pass"
