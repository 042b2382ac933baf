"""Token masks: the loss is on the assistant's turns and the tokens that end them, with any chat template."""

from itertools import groupby

import pytest

from synthgen.engines.bundled import GENERATOR, resolve
from synthgen.errors import ConfigError
from synthgen.student.chat import Chat
from synthgen.student.turns import Turn, asked, complete, conversation, expected

CHATML = """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
NO_SYSTEM = """{% if messages[0].role != 'user' %}{{ raise_exception('The first turn must be of the user') }}{% endif %}\
{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}\
{% endif %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}
{{ m.content | trim }}<end_of_turn>
{% endfor %}{% if add_generation_prompt %}<start_of_turn>model
{% endif %}"""
BRACKETS = """{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}<<SYS>>{{ m.content }}<</SYS>>\
{% elif m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"""


@pytest.fixture(scope="module")
def chats():
    """A chat by the name of its template; the last one pads with EOS."""
    return {
        "chatml": _chat(CHATML, "<|im_end|>", "<pad>"),
        "no system": _chat(NO_SYSTEM, "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>"),
        "pad is eos": _chat(BRACKETS, "</s>", "</s>"),
    }


def _chat(template, eos, pad, *more):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve(GENERATOR))
    tokenizer.add_special_tokens({"eos_token": eos, "pad_token": pad, "additional_special_tokens": list(more)})
    tokenizer.chat_template = template
    return Chat(tokenizer, 200)


PERSONA = Turn("system", "A tailor.")
TURNS = [
    Turn("user", "Can you take this in?"),
    Turn("assistant", "At the waist, yes.", learnt=True),
    Turn("user", "How long? No."),
    Turn("assistant", "Thursday.", learnt=True),
]


def _learnt(chat, turns):
    """The texts that are learnt, one for each run of marked tokens."""
    ids, mask = chat.encode(turns)
    parts = [[one for one, _ in run] for on, run in groupby(zip(ids, mask, strict=True), lambda pair: pair[1]) if on]
    return [chat.tokenizer.decode(part) for part in parts]


ENDS = {"chatml": "<|im_end|>", "no system": "<end_of_turn>", "pad is eos": "</s>"}


@pytest.mark.parametrize("name", list(ENDS))
def test_all_turns_of_the_assistant_are_learnt_with_their_end_and_nothing_else(chats, name):
    found = _learnt(chats[name], [PERSONA, *TURNS])
    assert [text.strip() for text in found] == [f"At the waist, yes.{ENDS[name]}", f"Thursday.{ENDS[name]}"]


@pytest.mark.parametrize("name", list(ENDS))
def test_the_labels_that_the_trainer_gets_hold_the_end_of_every_turn(chats, name):
    """Padding must not hide it, also where the pad token is the same as EOS."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    chat = chats[name]
    rows = [chat.encode(turns) for turns in ([PERSONA, *TURNS], TURNS[:2])]
    data = [
        {"input_ids": ids, "labels": [one if on else -100 for one, on in zip(ids, mask, strict=True)]}
        for ids, mask in rows
    ]
    batch = DataCollatorForLanguageModeling(pad_token_id=chat.tokenizer.pad_token_id)(data)
    assert (batch["labels"] == chat.end).sum(1).tolist() == [2, 1]
    padding = batch["attention_mask"][1] == 0
    assert padding.any()
    assert (batch["labels"][1][padding] == -100).all()


@pytest.mark.parametrize("name", list(ENDS))
def test_a_prompt_is_the_beginning_of_the_chat_that_is_trained_on(chats, name):
    turns = [PERSONA, *TURNS]
    ids, mask = chats[name].encode(turns)
    prompt = chats[name].prompt(asked(turns))
    last = len(mask) - mask[::-1].index(False)
    assert ids[: len(prompt)] == prompt
    assert len(prompt) == last


def test_the_persona_is_the_system_turn_or_begins_the_first_user_turn(chats):
    text = {name: chat.tokenizer.decode(chat.prompt([PERSONA, *TURNS[:1]])) for name, chat in chats.items()}
    assert "<|im_start|>system\nA tailor.<|im_end|>" in text["chatml"]
    assert "<<SYS>>A tailor.<</SYS>>" in text["pad is eos"]
    assert "<start_of_turn>user\nA tailor.\n\nCan you take this in?<end_of_turn>" in text["no system"]


def test_a_dialogue_that_the_assistant_begins_gets_its_persona_as_the_first_user_turn(chats):
    turns = [PERSONA, Turn("assistant", "Good morning.", learnt=True), *TURNS[:2]]
    assert "<start_of_turn>user\nA tailor.<end_of_turn>" in chats["no system"].tokenizer.decode(
        chats["no system"].encode(turns)[0]
    )
    assert len(_learnt(chats["no system"], turns)) == 2


def test_a_chat_that_the_template_refuses_is_a_fault_of_the_config(chats):
    with pytest.raises(ConfigError, match="its chat template refuses a chat with the turns assistant, user"):
        chats["no system"].encode([TURNS[1], TURNS[0], TURNS[3]])


def test_a_template_without_an_end_of_turn_learns_eos_after_the_last_answer():
    chat = _chat("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}"
                 "assistant: {% endif %}", "<eos>", "<eos>")  # fmt: skip
    first, last = _learnt(chat, TURNS)
    assert (first.strip(), last.strip()) == ("At the waist, yes.", "Thursday.<eos>")


def test_a_dialogue_that_is_too_long_loses_its_oldest_turns_and_keeps_its_persona(chats):
    chat = Chat(chats["chatml"].tokenizer, 60)
    old = [Turn("user", "Well, " * 30), Turn("assistant", "I see. " * 10, learnt=True)]
    ids, _ = chat.encode([PERSONA, *old, *TURNS[2:]])
    text = chat.tokenizer.decode(ids)
    assert len(ids) <= 60
    assert "A tailor." in text
    assert "How long?" in text
    assert "Well" not in text
    assert _learnt(chat, [PERSONA, *old, *TURNS[2:]]) == ["Thursday.<|im_end|>"]


def test_samples_of_dialogues_become_turns(dialogue_task, call_task):
    talk = {"persona": "A tailor.", "turns": [{"role": turn.role, "text": turn.text} for turn in TURNS]}
    assert conversation(dialogue_task, talk) == [PERSONA, *TURNS]
    call = {"turns": talk["turns"][:3], "tool": "set_timer", "arguments": '{"minutes": 5}'}
    said = conversation(call_task, call)
    assert said[:3] == TURNS[:3]
    assert said[3] == Turn("assistant", '{"tool": "set_timer", "arguments": "{\\"minutes\\": 5}"}', learnt=True)


def test_two_turns_of_the_same_role_become_one(dialogue_task):
    turns = [
        {"role": "user", "text": "Hello?"},
        {"role": "user", "text": "Anyone?"},
        {"role": "assistant", "text": "Yes."},
    ]
    said = conversation(dialogue_task, {"persona": "", "turns": turns})
    assert [turn.text for turn in said] == ["Hello?\nAnyone?", "Yes."]


def test_a_student_is_asked_to_answer_the_last_turn_and_scored_on_the_last_answer(dialogue_task):
    turns = [{"role": turn.role, "text": turn.text} for turn in TURNS]
    row = {"persona": "A tailor.", "turns": turns[:3]}
    assert asked(conversation(dialogue_task, row)) == [PERSONA, *TURNS[:3]]
    assert asked(conversation(dialogue_task, {**row, "turns": turns})) == [PERSONA, *TURNS[:3]]
    scored = complete(dialogue_task, row)
    assert asked(conversation(dialogue_task, scored)) == [PERSONA, *TURNS[:1]]
    assert expected(dialogue_task, scored) == TURNS[1].text
