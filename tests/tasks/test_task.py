"""Tasks: every contradiction in a task config is named by its key; a good one says what is asked of whom."""

from pathlib import Path
from typing import Any

import pytest

from synthgen.errors import ConfigError, InputError
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import Task, TaskConfig, as_text

TEXT = {"type": "string", "minLength": 1, "maxLength": 80}
ENUM = "task.schema.properties.label.enum"


def classification(**changes: Any) -> TaskConfig:
    fields: dict[str, Any] = {
        "name": "mood",
        "kind": "classification",
        "schema": schema(),
        "input": ["text"],
        "target": ["label"],
        "labels": {"good": "pleased"},
        "prompts": "classification",
        "seeds": "examples/news_topic/seeds.jsonl",
    }
    return TaskConfig(**(fields | changes))


def schema(*labels: Any, **changes: Any) -> dict[str, Any]:
    properties = {"text": TEXT, "label": {"enum": list(labels or ("good", "bad"))}}
    return {"type": "object", "properties": properties, "required": ["text", "label"]} | changes


def generation(**changes: Any) -> TaskConfig:
    properties = {"question": TEXT, "answer": TEXT, "tags": {"type": "array", "items": {"type": "string"}}}
    fields: dict[str, Any] = {
        "kind": "generation",
        "schema": {"type": "object", "properties": properties, "required": ["question", "answer"]},
        "input": ["question"],
        "target": ["answer"],
        "labels": {},
        "prompts": "generation",
    }
    return classification(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"kind": "regression"},
            "task.kind: 'regression' is not one of classification, extraction, generation, dialogue",
        ),
        ({"name": "../up"}, "task.name: '../up' must be letters, digits, '-' and '_' only"),
        ({"name": ""}, "task.name: '' must be letters"),
        ({"schema": {"type": "array"}}, "task.schema: must be a JSON Schema of type object with at least one property"),
        ({"schema": {"type": "object", "properties": {}}}, "with at least one property"),
        (
            {"schema": schema(properties={"text": "string", "label": {"enum": ["a", "b"]}})},
            "task.schema.properties.text: must be a JSON Schema, such as {type: string}",
        ),
        ({"input": []}, "task.input: name at least one field of task.schema"),
        (
            {"input": ["txt"]},
            "task.input: 'txt' is not a property of task.schema (it has: text, label)",
        ),
        ({"target": ["labels"]}, "task.target: 'labels' is not a property of task.schema"),
        ({"target": ["text"]}, "task.target: 'text' is in task.input too"),
        ({"target": ["label", "label"]}, "task.target: classification has exactly one target field, the label"),
        ({"schema": schema("good")}, f"{ENUM}: classification needs a list of at least two labels"),
        (
            {"schema": schema(properties={"text": TEXT, "label": TEXT})},
            f"{ENUM}: classification needs a list of at least two labels",
        ),
        ({"schema": schema(True, False)}, f'{ENUM}: the label True is not text; put it in quotes ("True")'),
        ({"schema": schema("good", " ")}, f"{ENUM}: the label ' ' is not text"),
        ({"schema": schema("good", "bad", "good")}, f"{ENUM}: the same label is listed twice"),
        ({"labels": {"ugly": "no"}}, f"task.labels: 'ugly' is not one of the labels in {ENUM}"),
        (
            {"schema": schema(required=["text"])},
            "task.schema.required: must name 'label'; every sample needs its label",
        ),
        (
            {"schema": schema(properties={"text": {"type": "text"}, "label": {"enum": ["good", "bad"]}})},
            "task.schema: not a valid JSON Schema",
        ),
    ],
)
def test_a_contradiction_is_named_by_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_task(classification(**changes))
    assert message in str(caught.value)


def test_only_classification_has_labels() -> None:
    with pytest.raises(
        ConfigError, match=r"task\.labels: only classification has labels, and task\.kind is generation"
    ):
        load_task(generation(labels={"good": "pleased"}))


@pytest.mark.parametrize(("key", "what"), [("prompts", "task.prompts"), ("seeds", "task.seeds"), ("eval", "task.eval")])
def test_a_missing_file_is_named_with_the_places_looked_at(key: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_task(classification(**{key: "no/such/thing"}), [tmp_path])
    assert f"{what}: no such file or folder: no/such/thing" in str(caught.value)
    assert str(tmp_path / "no/such/thing") in str(caught.value)


def test_a_users_own_folder_goes_before_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "prompts" / "classification").mkdir(parents=True)
    task = load_task(classification(), [tmp_path])
    assert task.prompts == tmp_path / "prompts" / "classification"


def test_the_label_is_assigned_and_the_rest_is_free(news_task: Task) -> None:
    assert news_task.label_field == "label"
    assert news_task.free_fields == ("text",)
    assert news_task.free_schema == {
        "type": "object",
        "properties": {"text": {"type": "string", "minLength": 8, "maxLength": 180}},
        "required": ["text"],
        "additionalProperties": False,
    }


def test_the_generator_writes_no_other_fields_even_where_a_sample_may_have_them() -> None:
    open_schema = schema(additionalProperties=True)
    assert load_task(classification(schema=open_schema)).free_schema["additionalProperties"] is False


def test_without_a_label_every_field_is_free_in_schema_order() -> None:
    task = load_task(generation())
    assert task.label_field is None
    assert task.free_fields == ("question", "answer", "tags")
    assert task.free_schema["required"] == ["question", "answer"]
    assert task.label_of({"question": "?", "answer": "!"}) is None


def test_a_label_without_a_meaning_stays_in_schema_order() -> None:
    task = load_task(classification(schema=schema("bad", "good")))
    assert list(task.labels.items()) == [("bad", ""), ("good", "pleased")]


def test_a_samples_text_leaves_out_its_label_and_what_is_empty() -> None:
    news = load_task(classification())
    assert news.text({"text": "Fine day", "label": "good"}) == "Fine day"
    qa = load_task(generation())
    assert qa.text({"question": "Why?", "answer": "", "tags": ["é", "b"]}) == 'Why?\n["é", "b"]'


def test_the_student_is_shown_the_input_and_learns_the_target() -> None:
    row = {"question": "Why?", "answer": "Because.", "tags": []}
    task = load_task(generation())
    assert (task.input_text(row), task.target_text(row)) == ("Why?", "Because.")


def test_problems_say_where_and_what(news_task: Task) -> None:
    assert news_task.problems({"text": "Long enough.", "label": "sport"}) == []
    (found,) = news_task.problems({"text": "Long enough.", "label": "golf"})
    assert found.startswith('label: "golf" is not one of "business"')
    assert news_task.problems({"text": "short", "label": "sport"}) == ['text: "short" is shorter than 8 characters']
    assert news_task.problems([]) == ['sample: [] is not of type "object"']


def test_a_field_that_the_schema_does_not_name_is_a_problem_unless_it_says_otherwise() -> None:
    row = {"text": "x", "label": "good", "mood": 3}
    assert len(load_task(classification()).problems(row)) == 1
    assert load_task(classification(schema=schema(additionalProperties=True))).problems(row) == []


def test_the_definition_holds_no_file_locations(news_task: Task) -> None:
    definition = news_task.definition()
    assert definition["name"] == "news_topic"
    assert {"prompts", "seeds", "eval"}.isdisjoint(definition)


def test_as_text_returns_strings_unchanged() -> None:
    assert as_text('say "hi"') == 'say "hi"'
    assert as_text({"a": "é"}) == '{"a": "é"}'


def test_a_schema_is_not_fetched_from_elsewhere() -> None:
    schema = {
        "type": "object",
        "properties": {"text": {"$ref": "http://127.0.0.1:9/text.json"}, "out": {"type": "string"}},
    }
    with pytest.raises(ConfigError, match=r"text\.json is not fetched; put the schema it names into this one"):
        load_task(generation(schema=schema, input=["text"], target=["out"]))


def test_a_label_is_put_into_a_sample_in_schema_order() -> None:
    labels_first = {"type": "object", "properties": {"label": {"enum": ["good", "bad"]}, "text": TEXT}}
    task = load_task(classification(schema={**labels_first, "required": ["text", "label"]}))
    labelled = task.labelled({"mood": 1, "text": "Fine.", "label": "bad"}, "good")
    assert list(labelled.items()) == [("label", "good"), ("text", "Fine."), ("mood", 1)]


def test_a_task_without_labels_puts_none_into_a_sample() -> None:
    assert load_task(generation()).labelled({"answer": "Yes.", "question": "Is it?"}, None) == {
        "question": "Is it?", "answer": "Yes.",
    }  # fmt: skip
