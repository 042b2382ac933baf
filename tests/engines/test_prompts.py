"""Prompt files: strict, sandboxed, and blind to what the data says."""

from dataclasses import replace
from pathlib import Path

import pytest

from synthgen.engines.prompts import Prompts
from synthgen.errors import InputError
from synthgen.tasks.assets import root
from synthgen.tasks.task import Task

COMMON_JUDGE = root() / "prompts" / "common" / "judge.jinja"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "generate", "Write about {{ topic }}.")
    return tmp_path


def write(folder: Path, template: str, ask: str) -> Path:
    path = folder / f"{template}.jinja"
    path.write_text(f"{{% block ask %}}\n{ask}\n{{% endblock %}}\n", encoding="utf-8")
    return path


def refusal(folder: Path, ask: str, **variables: object) -> str:
    write(folder, "generate", ask)
    with pytest.raises(InputError) as caught:
        Prompts(folder).render("generate", "ask", **variables)
    return str(caught.value)


def test_a_block_is_rendered_without_surrounding_white_space(folder: Path) -> None:
    assert Prompts(folder).render("generate", "ask", topic="rain") == "Write about rain."


def test_a_folder_needs_a_generate_template(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"task\.prompts: .* has no generate\.jinja"):
        Prompts(tmp_path)


def test_a_missing_variable_names_the_file_the_block_and_the_variable(folder: Path) -> None:
    said = refusal(folder, "Write about {{ topic }} in {{ style }}.", topic="rain")
    assert said == f"{folder / 'generate.jinja'}, block 'ask': 'style' is undefined"


def test_a_missing_field_of_a_variable_is_named_too(folder: Path, news_task: Task) -> None:
    assert "has no attribute 'colour'" in refusal(folder, "{{ task.colour }}", task=news_task)


def test_a_missing_variable_in_a_condition_raises_too(folder: Path) -> None:
    assert "'style' is undefined" in refusal(folder, "{% if style %}In style.{% endif %}")


def test_a_syntax_error_gives_file_and_line(folder: Path) -> None:
    said = refusal(folder, "one\ntwo {{ topic }\nthree", topic="rain")
    assert said.startswith(f"{folder / 'generate.jinja'}:3: unexpected '}}'")


def test_a_syntax_error_in_an_included_file_names_that_file(folder: Path) -> None:
    part = write(folder, "part", "{% if %}")
    assert refusal(folder, "{% include 'part.jinja' %}").startswith(f"{part}:2: ")


def test_a_missing_block_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"generate\.jinja: the block 'system' is missing"):
        Prompts(folder).render("generate", "system")


@pytest.mark.parametrize(
    "ask", ["{{ topic + 1 }}", "{{ 1 / 0 }}", "{{ range(10**9) | list }}", "{{ topic.index('?') }}"]
)
def test_whatever_else_a_template_does_wrong_names_the_file(ask: str, folder: Path) -> None:
    assert refusal(folder, ask, topic="rain").startswith(f"{folder / 'generate.jinja'}, block 'ask': ")


@pytest.mark.parametrize(
    "escape",
    [
        "{{ topic.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ topic.format.__globals__ }}",
        "{{ '{0.__class__}'.format(topic) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ words.append('x') }}",
        "{{ task.seeds.read_text() }}",
        "{{ task.seeds.with_name('new').write_text('x') }}",
        "{{ task.prompts.parent }}",
        "{{ task.seeds | attr('read_text') }}",
        "{{ [task.seeds] | map(attribute='read_text') | join }}",
        "{{ (task.prompts / 'generate.jinja').read_text() }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'].popen('id') }}",
        "{{ task.problems.__func__.__globals__ }}",
        "{{ task.validator.__class__ }}",
        "{{ 'x' * 10**9 }}",
        "{{ 99 ** 99999 }}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(escape: str, folder: Path, news_task: Task) -> None:
    guarded = replace(news_task, seeds=folder / "seeds.jsonl", prompts=folder)
    guarded.seeds.write_text("{}")
    said = refusal(folder, escape, topic="rain", words=["a"], task=guarded)
    assert "unsafe" in said
    assert not (folder / "new").exists()


@pytest.mark.parametrize("name", ["/etc/passwd", "../../etc/passwd", "seeds.jsonl/../../x"])
@pytest.mark.parametrize("verb", ["include '{}'", "import '{}' as x", "extends '{}'"])
def test_no_file_outside_the_prompt_folders_is_read(verb: str, name: str, folder: Path) -> None:
    assert "root:" not in refusal(folder, "{% " + verb.format(name) + " %}")


def test_data_is_never_a_template(folder: Path) -> None:
    hostile = "{{ 7 * 7 }} {% for x in y %} {# gone #} {{ task.__class__ }}"
    assert Prompts(folder).render("generate", "ask", topic=hostile) == f"Write about {hostile}."


def test_data_is_rendered_without_escaping(folder: Path) -> None:
    assert Prompts(folder).render("generate", "ask", topic='<b> & "q"') == 'Write about <b> & "q".'


def test_a_template_that_the_folder_lacks_is_taken_from_the_common_ones(folder: Path) -> None:
    prompts = Prompts(folder)
    assert prompts.path("judge") == COMMON_JUDGE
    own = write(folder, "judge", "Well?")
    assert prompts.path("judge") == own
    assert prompts.render("judge", "ask") == "Well?"


def test_a_template_that_exists_nowhere_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"has no label\.jinja"):
        Prompts(folder).render("label", "ask")


def test_the_hash_changes_with_the_source_and_only_with_it(folder: Path) -> None:
    prompts = Prompts(folder)
    before = prompts.hash("generate")
    write(folder, "label", "Label?")
    assert prompts.hash("generate") == before
    write(folder, "generate", "Write about {{ topic }}!")
    assert prompts.hash("generate") != before
    assert len(before) == 16


def test_the_fingerprint_has_every_template_that_can_be_used(folder: Path) -> None:
    prompts = Prompts(folder)
    assert set(prompts.fingerprint()) == {"generate", *(path.stem for path in COMMON_JUDGE.parent.glob("*.jinja"))}
    before = prompts.fingerprint()
    write(folder, "judge", "Well?")
    assert prompts.fingerprint()["judge"] != before["judge"]
    assert prompts.fingerprint()["generate"] == before["generate"]


def test_the_shipped_prompts_say_what_each_label_means(news_task: Task) -> None:
    system = Prompts(news_task.prompts).render("generate", "system", task=news_task, items=1, label="sport")
    ask = Prompts(news_task.prompts).render("generate", "ask", task=news_task, items=1, label="sport")
    assert "sport: matches, athletes, teams and the running of competitions" in ask
    assert "Write in this language" not in system
    swiss = replace(news_task, language="de-CH")
    system = Prompts(news_task.prompts).render("generate", "system", task=swiss, items=1, label="sport")
    assert "Write in this language: de-CH." in system
