"""Generation: LoRA on chats, merged, saved as a plain transformers model, scored, and asked again."""

import json
import math

import pytest
from shipped_tasks import shipped

from synthgen import student
from synthgen.engines.bundled import GENERATOR, resolve
from synthgen.errors import ConfigError
from synthgen.student import GeneratorConfig, StudentConfig, TrainingConfig
from synthgen.student.chat import Chat
from synthgen.student.generator import Generator, answer_tokens, read_target, write_target
from synthgen.student.turns import ASSISTANT, USER, Turn, expected
from synthgen.tasks.seeds import read_samples


def _config(model, **knobs):
    small = {"model": str(model), "min_steps": 4, "epochs": 0.1, "batch_size": 4, "rank": 4, "generate_rows": 4}
    model = GeneratorConfig(**(small | {"max_new_tokens": 8} | knobs))
    return StudentConfig(bootstrap=100, training=TrainingConfig(early_stopping=False), generator=model)


@pytest.fixture(scope="session")
def chat():
    from transformers import AutoTokenizer

    return Chat(AutoTokenizer.from_pretrained(resolve(GENERATOR)), 128)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_generator, instruction_task, instruction_rows):
    """A student of the tiny model on the instruction seeds, and its metrics."""
    out = tmp_path_factory.mktemp("run") / "student"
    config = _config(tiny_generator, min_steps=15, learning_rate=0.02)
    rows = instruction_rows
    metrics = student.train(instruction_task, config, rows[:8], rows[8:16], rows[16:], out, 3, lambda _: None)
    return out, config, metrics


@pytest.mark.slow
def test_the_metrics_hold_rouge_loss_and_perplexity_of_both_arms(trained):
    _, _, metrics = trained
    assert metrics["metric"] == "rougeL"
    assert metrics["higher_is_better"] is True
    for arm in ("seeds_only", "synthetic"):
        figures = metrics[arm]["figures"]
        assert figures["perplexity"]["mean"] == pytest.approx(math.exp(figures["loss"]["mean"]))
        assert 0 <= figures["rougeL"]["low"] <= figures["rougeL"]["mean"] <= figures["rougeL"]["high"] <= 1
        assert metrics[arm]["answered_rows"] == 4
    assert metrics["gain"]["figures"]["loss"]["mean"] == pytest.approx(
        metrics["seeds_only"]["figures"]["loss"]["mean"] - metrics["synthetic"]["figures"]["loss"]["mean"]
    )


@pytest.mark.slow
def test_training_lowers_the_loss_of_what_it_is_trained_on(trained, tiny_generator, instruction_task, instruction_rows):
    out, config, _ = trained
    before = student.evaluate(instruction_task, config, tiny_generator, instruction_rows[:16])
    after = student.evaluate(instruction_task, config, out, instruction_rows[:16])
    assert after["figures"]["loss"]["mean"] < before["figures"]["loss"]["mean"] - 1


@pytest.mark.slow
def test_evaluate_finds_what_training_reported_for_the_saved_model(trained, instruction_task, instruction_rows):
    out, config, metrics = trained
    again = student.evaluate(instruction_task, config, out, instruction_rows[16:])
    for name in ("loss", "rougeL"):
        assert again["figures"][name]["mean"] == pytest.approx(metrics["synthetic"]["figures"][name]["mean"], abs=1e-4)


@pytest.mark.slow
def test_the_saved_folder_is_a_whole_model_without_an_adapter(trained, instruction_task, instruction_rows):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out, config, _ = trained
    names = {path.name for path in out.iterdir()}
    assert {"model.safetensors", "config.json", "chat_template.jinja", "tokenizer.json", "metrics.json"} <= names
    assert not any(name.startswith("adapter") for name in names)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out).eval(), AutoTokenizer.from_pretrained(out)
    rows = [{name: row[name] for name in instruction_task.input} for row in instruction_rows[:5]]
    ours = student.predict(instruction_task, config, out, rows)
    for row, answer in zip(rows, ours, strict=True):
        turns = [{"role": "user", "content": instruction_task.input_text(row)}]
        prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        written = model.generate(**prompt, do_sample=False, max_new_tokens=8)[0, prompt["input_ids"].shape[1] :]
        assert answer == {"output": tokenizer.decode(written, skip_special_tokens=True).strip()}


def test_the_held_out_loss_is_that_of_the_answers_tokens_alone(tiny_generator, instruction_task, instruction_rows):
    import torch

    config = GeneratorConfig(model=str(tiny_generator), generate_rows=1, max_new_tokens=1)
    learner = Generator(instruction_task, config, lambda _: None)
    loaded = learner.load(tiny_generator)
    losses, tokens, *_ = learner.score(loaded, instruction_rows[:3])
    for row, loss, count in zip(instruction_rows[:3], losses, tokens, strict=True):
        tokenizer = loaded.chat.tokenizer
        question = [{"role": "user", "content": instruction_task.input_text(row)}]
        prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_dict=False)
        answer = tokenizer(row["output"] + "<|im_end|>", add_special_tokens=False)["input_ids"]
        ids = torch.tensor([prompt + answer])
        labels = torch.tensor([[-100] * len(prompt) + answer])
        with torch.inference_mode():
            expected = loaded.model(input_ids=ids, labels=labels).loss.item()
        assert count == len(answer)
        assert loss / count == pytest.approx(expected, rel=1e-4)


def test_answers_may_be_as_long_as_the_longest_target_of_the_schema(chat, dialogue_task, list_task):
    def most(task):
        return answer_tokens(task, chat.tokenizer, 512)

    assert most(shipped("word_sums")) == 15  # 12 characters in quotes, and the end
    assert most(shipped("code_tests")) == 503
    assert most(dialogue_task) == 163  # a turn, not all of them
    assert most(list_task) == 512  # no bound
    assert most(shipped("zh_summary")) > 2 * 50  # the tokenizer knows few Chinese characters
    for task in map(shipped, ("code_completion", "entities", "relations", "zh_entities")):
        rows = read_samples(task.seeds, task, "seed")
        assert most(task) > max(len(chat.tokenizer(expected(task, row))["input_ids"]) for row in rows)


def test_the_limit_that_the_config_sets_comes_first(tiny_generator, instruction_task):
    def written(**knobs):
        learner = Generator(instruction_task, GeneratorConfig(model=str(tiny_generator), **knobs), print)
        loaded = learner.load(tiny_generator)
        loaded.model.generation_config.eos_token_id = None  # so that only the limit ends an answer
        loaded.chat.tokenizer.eos_token = None
        [answer] = learner.predict(loaded, [{"instruction": "Say it.", "input": ""}])
        return len(loaded.chat.tokenizer(answer["output"])["input_ids"])

    assert written(max_new_tokens=8) < 20 < written()


def _asked(question):
    return [Turn(USER, question)]


def _encoded(chat, question, answer):
    """The ids of a chat, and where the answer starts: everything from there on is learnt."""
    ids, learnt = chat.encode([*_asked(question), Turn(ASSISTANT, answer, learnt=True)])
    start = learnt.index(True)
    assert all(learnt[start:])
    return ids, start


def test_an_answer_ends_with_the_token_that_ends_the_turn(chat):
    ids, start = _encoded(chat, "Name a fruit.", "Plum")
    assert chat.tokenizer.decode(ids[start:]) == "Plum<|im_end|>"
    assert chat.tokenizer.decode(ids[:start]).endswith("<|im_start|>assistant\n")


def test_a_long_question_is_cut_and_its_answer_kept(chat):
    ids, start = _encoded(chat, "word " * 500, "This is the answer.")
    assert len(ids) <= chat.max_length
    assert chat.tokenizer.decode(ids[start:]) == "This is the answer.<|im_end|>"
    assert len(chat.prompt(_asked("word " * 500))) <= chat.max_length


def test_a_long_answer_is_cut_and_leaves_a_part_of_its_question(chat):
    ids, start = _encoded(chat, "Count these words: " + "one two " * 100, "three " * 500)
    assert len(ids) == chat.max_length
    text = chat.tokenizer.decode(ids)
    assert "Count these words" in text
    assert "three" in chat.tokenizer.decode(ids[start:])


def test_a_short_chat_is_left_as_it_is(chat):
    turns = [{"role": "user", "content": "Name a fruit."}, {"role": "assistant", "content": "Plum"}]
    expected = chat.tokenizer.apply_chat_template(turns, return_dict=False)
    ids, _ = _encoded(chat, "Name a fruit.", "Plum")
    assert ids == expected[: len(ids)]
    assert chat.tokenizer.decode(expected[len(ids) :]) == "\n"


def test_one_target_field_is_prose_and_several_are_an_object(instruction_task, pairs_task, list_task):
    assert write_target(instruction_task, {"instruction": "a", "input": "", "output": "b"}) == "b"
    assert write_target(list_task, {"text": "a", "tags": ["x", "é"]}) == '["x", "é"]'
    assert write_target(pairs_task, {"text": "a", "who": "b", "tags": ["c"]}) == '{"who": "b", "tags": ["c"]}'


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        ('{"who": "b", "tags": ["c"]}', {"who": "b", "tags": ["c"]}),
        ('{"tags": [], "more": 1}', {"who": None, "tags": []}),
        ("no object", {"who": None, "tags": None, "unreadable": "no object"}),
        ("[1]", {"who": None, "tags": None, "unreadable": "[1]"}),
    ],
)
def test_several_target_fields_are_read_back_from_the_answer(pairs_task, answer, fields):
    assert read_target(pairs_task, answer) == fields


def test_one_target_field_is_read_back_by_its_type(instruction_task, list_task):
    assert read_target(instruction_task, '["a"]') == {"output": '["a"]'}
    assert read_target(list_task, '["a"]') == {"tags": ["a"]}
    assert read_target(list_task, "a, b") == {"tags": "a, b"}


def test_a_model_without_a_chat_template_is_refused(tiny_encoders, instruction_task, instruction_rows, tmp_path):
    config = _config(tiny_encoders["bert"])
    with pytest.raises(ConfigError, match=r"student\.generator\.model: .* has no chat template"):
        student.train(instruction_task, config, instruction_rows, [], [], tmp_path / "out", 0, lambda _: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_answers_come_in_the_order_of_the_rows(trained, instruction_task, instruction_rows):
    out, config, _ = trained
    rows = [{name: row[name] for name in instruction_task.input} for row in instruction_rows]
    together = student.predict(instruction_task, config, out, rows)
    alone = [student.predict(instruction_task, config, out, [row])[0] for row in rows[:3]]
    assert together[:3] == alone
    assert student.predict(instruction_task, config, out, []) == []


@pytest.mark.slow
def test_without_eval_rows_the_figures_are_null(tiny_generator, tmp_path, instruction_task, instruction_rows):
    config = _config(tiny_generator)
    metrics = student.train(instruction_task, config, instruction_rows, [], [], tmp_path / "out", 0, lambda _: None)
    assert (metrics["eval_rows"], metrics["synthetic"]["mean"], metrics["is_gain"]) == (0, None, None)
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == metrics


@pytest.mark.slow
def test_training_prints_nothing(tiny_generator, tmp_path, instruction_task, instruction_rows, capfd, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    student.train(
        instruction_task, _config(tiny_generator), instruction_rows, [], [], tmp_path / "out", 0, lambda _: None
    )
    assert list(here.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_the_bundled_model_learns_from_seeds_and_answers(tmp_path, instruction_task, instruction_rows):
    config = _config(GENERATOR, min_steps=4, rank=8, max_new_tokens=8, generate_rows=1)
    out = tmp_path / "out"
    student.train(instruction_task, config, instruction_rows[:6], [], [], out, 0, lambda _: None)
    held = instruction_rows[16:18]
    before = student.evaluate(instruction_task, config, resolve_path(GENERATOR), held)
    after = student.evaluate(instruction_task, config, out, held)
    assert after["figures"]["loss"]["mean"] < before["figures"]["loss"]["mean"]
    [answer] = student.predict(instruction_task, config, out, [{"instruction": "Name a fruit.", "input": ""}])
    assert answer["output"]


def resolve_path(name):
    from pathlib import Path

    return Path(resolve(name))


@pytest.mark.slow
def test_rows_of_any_length_are_scored(trained, instruction_task):
    out, config, _ = trained
    lengths = ["", "Say it again. " * 1_000]
    rows = [{"instruction": question, "input": "", "output": answer} for question in lengths for answer in lengths]
    found = student.evaluate(instruction_task, config, out, rows)
    assert found["eval_rows"] == 4
    assert found["figures"]["loss"]["mean"] > 0


@pytest.mark.slow
def test_a_student_of_dialogues_answers_the_turns_so_far(tiny_generator, tmp_path, dialogue_task):
    turns = [{"role": "user", "text": "Hello?"}, {"role": "assistant", "text": "Good morning."}]
    rows = [{"persona": "A baker.", "turns": turns}, {"persona": "A tailor.", "turns": [*turns, *turns]}]
    config, out = _config(tiny_generator), tmp_path / "out"
    metrics = student.train(dialogue_task, config, rows, [], rows, out, 0, lambda _: None)
    assert (metrics["metric"], metrics["higher_is_better"]) == ("perplexity", False)
    assert list(metrics["synthetic"]["metrics_left_out"]) == ["win_rate"]
    figures = metrics["synthetic"]["figures"]
    assert set(figures) == {"loss", "perplexity"}
    found = student.evaluate(dialogue_task, config, out, rows, worst=5)
    assert found["mean"] == pytest.approx(figures["perplexity"]["mean"], rel=1e-3)
    assert [row["score"] for row in found["worst"]] == sorted((row["score"] for row in found["worst"]), reverse=True)
    asked = [{"persona": "A baker."}, {"persona": "A baker.", "turns": turns[:1]}]
    answers = [answer["turns"] for answer in student.predict(dialogue_task, config, out, asked)]
    assert [len(answer) for answer in answers] == [1, 2]
    assert all(answer[-1]["role"] == "assistant" for answer in answers)
    base = student.rivals(dialogue_task, config, out, rows)
    assert [(first["turns"][:-1], second["turns"][:-1]) for first, second in base] == [
        (turns[:1], turns[:1]),
        (turns + turns[:1], turns + turns[:1]),
    ]
