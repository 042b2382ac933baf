"""Train the student of tasks other than classification and span extraction: an instruct model with LoRA (TRL and PEFT).

A sample becomes one chat, with the input fields as the user's turn and the target fields as the assistant's turn. The
adapter is merged before the model is scored and saved, so that the scored model is the saved one.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.engines.bundled import resolve
from synthgen.records import Json
from synthgen.student import causal, training
from synthgen.student.chat import Chat
from synthgen.student.config import GeneratorConfig, planned_steps
from synthgen.student.plan import Place, Plan, Probe
from synthgen.student.rows import TrainingRow
from synthgen.student.scores import Figures, Floats, rouge_l, text_figures
from synthgen.tasks.task import Task

_ANSWER_BATCH = 16


@dataclass
class Student:
    """Hold a causal language model with its chat."""

    model: Any
    chat: Chat


class Generator:
    """Fit, save, load and query instruct models for one task."""

    headline = "rougeL"

    def __init__(self, task: Task, cfg: GeneratorConfig, say: Callable[[str], None]) -> None:
        self.cfg = cfg
        self._task = task
        self._say = say

    def steps(self, rows: int) -> int:
        return planned_steps(rows, self.cfg)

    def stratum(self, row: TrainingRow) -> str:  # noqa: ARG002
        return ""

    def fit(self, rows: Sequence[TrainingRow], plan: Plan, place: Place, probe: Probe | None = None) -> Student:
        """Load the model, train an adapter as planned, and merge the adapter.

        A row is used in proportion to its weight, because TRL's loss has no weights.
        """
        from datasets import Dataset
        from transformers import set_seed
        from trl import SFTConfig, SFTTrainer

        set_seed(plan.seed)
        path = resolve(self.cfg.model, self._say)
        with training.loading("student.generator.model", path):
            student = self.load(Path(path))
        arguments = training.arguments(self.cfg, plan, place)
        pairs = [student.chat.pair(*self._turns(row.data)) for row in rows]
        order = plan.order(rows, self.cfg.batch_size, weighted=True)
        trainer = SFTTrainer(
            model=student.model,
            args=SFTConfig(**arguments, max_length=self.cfg.max_length, completion_only_loss=True),
            train_dataset=Dataset.from_list([pairs[index] for index in order]),
            processing_class=student.chat.tokenizer,
            peft_config=causal.lora(self.cfg),
        )
        adapted = Student(trainer.model, student.chat)
        training.run(trainer, place, self._say, probe, lambda: self._held_out(adapted, probe.rows if probe else ()))
        merged: Any = trainer.model
        return Student(merged.merge_and_unload(), student.chat)

    def save(self, student: Student, folder: Path) -> None:
        student.model.save_pretrained(folder)
        student.chat.tokenizer.save_pretrained(folder)

    def load(self, folder: Path) -> Student:
        """Load a student. Raise ConfigError for a model without a chat template."""
        model, tokenizer = causal.load(folder, "student.generator.model")
        return Student(model, Chat(tokenizer, self.cfg.max_length))

    def score(self, student: Student, rows: Sequence[Json]) -> Floats:
        """Return scores of shape (3, rows): summed loss of the target's tokens, their number, and ROUGE-L.

        ROUGE-L is NaN for a row without an answer.
        """
        turns = [self._turns(row) for row in rows]
        losses, tokens = self._losses(student, turns)
        rouge = np.full(len(rows), np.nan)
        asked = turns[: self.cfg.generate_rows]
        answers = self._answers(student, [user for user, _ in asked])
        rouge[: len(asked)] = rouge_l([target for _, target in asked], answers)
        return np.stack([losses, tokens, rouge])

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:  # noqa: ARG002
        losses, tokens, rouge = np.stack(scores, axis=1)
        return text_figures(losses, tokens[0], rouge)

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:
        return {
            "target_tokens": int(scores[1].sum()),
            "answered_rows": min(len(rows), self.cfg.generate_rows),
        }

    def predict(self, student: Student, rows: Sequence[Json]) -> list[Json]:
        """Return the target fields of every row, as the student writes them."""
        answers = self._answers(student, [self._task.input_text(row) for row in rows])
        return [read_target(self._task, answer) for answer in answers]

    def _turns(self, row: Json) -> tuple[str, str]:
        return self._task.input_text(row), write_target(self._task, row)

    def _held_out(self, student: Student, rows: Sequence[TrainingRow]) -> Floats:
        """Return the loss per target token of each held-out row."""
        losses, tokens = self._losses(student, [self._turns(row.data) for row in rows])
        return np.asarray(losses / np.maximum(tokens, 1), dtype=np.float64)

    def _losses(self, student: Student, turns: Sequence[tuple[str, str]]) -> tuple[Floats, Floats]:
        return causal.losses(student.model, student.chat.tokenizer, [student.chat.encode(*turn) for turn in turns])

    def _answers(self, student: Student, users: Sequence[str]) -> list[str]:
        import torch
        from transformers import GenerationConfig

        tokenizer = student.chat.tokenizer
        greedy = GenerationConfig(
            do_sample=False,
            max_new_tokens=self.cfg.max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=student.model.generation_config.eos_token_id or tokenizer.eos_token_id,
        )
        answers = [""] * len(users)
        prompts = [student.chat.prompt(user) for user in users]
        student.model.eval()
        for batch in training.batches([len(ids) for ids in prompts], _ANSWER_BATCH):
            padded = student.chat.pad([prompts[index] for index in batch], "left").to(student.model.device)
            with torch.inference_mode():
                output = student.model.generate(**padded, generation_config=greedy)
            written = output[:, padded["input_ids"].shape[1] :]
            for index, text in zip(batch, tokenizer.batch_decode(written, skip_special_tokens=True), strict=True):
                answers[index] = text.strip()
        return answers


def write_target(task: Task, row: Json) -> str:
    """Return the assistant's turn: one target field as text, several as a JSON object. `read_target` reverses it."""
    if len(task.target) == 1:
        return task.target_text(row)
    return json.dumps({name: row[name] for name in task.target if name in row}, ensure_ascii=False)


def read_target(task: Task, answer: str) -> Json:
    """Read the target fields from an answer. An answer that cannot be parsed stays text; missing fields are None."""
    if len(task.target) == 1:
        [name] = task.target
        if task.schema["properties"][name].get("type", "string") == "string":
            return {name: answer}
        try:
            return {name: json.loads(answer)}
        except json.JSONDecodeError:
            return {name: answer}
    try:
        fields = json.loads(answer)
    except json.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        return {**dict.fromkeys(task.target), "unreadable": answer}
    return {name: fields.get(name) for name in task.target}
