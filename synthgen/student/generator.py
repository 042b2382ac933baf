"""Train the student of tasks other than classification and span extraction: an instruct model with LoRA (TRL and PEFT).

`turns` writes a sample as a chat. The loss is on the target alone, and in a dialogue on all turns of the assistant. The
adapter is merged before the model is scored and saved, so that the scored model is the saved one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.engines.bundled import resolve
from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.student import causal, training
from synthgen.student.chat import Chat, Masked
from synthgen.student.config import GeneratorConfig, planned_steps
from synthgen.student.metrics import Metric, chosen
from synthgen.student.metrics.grounded import tested
from synthgen.student.plan import Plan, Probe, TrainingFolders
from synthgen.student.rows import TrainingRow
from synthgen.student.scores import Figures, Floats, Ints, text_figures
from synthgen.student.turns import answered, asked, complete, conversation, longest_answer, read_target, write_target
from synthgen.tasks.task import Task

__all__ = ["Generator", "Student", "read_target", "write_target"]

_ANSWER_BATCH = 16
_MARGIN = 1.5
"""Factor by which an answer may have more tokens for each character than the task's description."""
_UNLEARNT = -100
"""The label of a token that the loss ignores."""


@dataclass
class Student:
    """Hold a causal language model with its chat."""

    model: Any
    chat: Chat
    written: dict[tuple[int, ...], str] = field(default_factory=dict)
    """The answers by prompt. Decoding is greedy, so a prompt that occurs again has the same answer."""


class Generator:
    """Fit, save, load and query instruct models for one task."""

    def __init__(
        self,
        task: Task,
        cfg: GeneratorConfig,
        say: Callable[[str], None],
        key: str = "student.generator.model",
        spread: bool = False,
    ) -> None:
        """Build a learner. Errors name the config's `key` of the model. `spread` puts it on all GPUs of this machine."""
        self.cfg = cfg
        self._where = causal.SPREAD if spread else causal.WHOLE
        self._key = key
        self._task = task
        self._say = say
        self._choice = chosen(task)
        self._code = tested(task) is not None
        for name, reason in self._choice.left_out.items():
            say(f"student: the metric {name} is left out: {reason}")

    @property
    def headline(self) -> str:
        return self._choice.headline

    def steps(self, rows: int) -> int:
        return planned_steps(rows, self.cfg)

    def stratum(self, row: TrainingRow) -> str:  # noqa: ARG002
        return ""

    def fit(
        self, rows: Sequence[TrainingRow], plan: Plan, place: TrainingFolders, probe: Probe | None = None
    ) -> Student:
        """Load the model, train an adapter as planned, and merge the adapter.

        A row is used in proportion to its weight, because TRL's loss has no weights.
        """
        from datasets import Dataset
        from transformers import set_seed
        from trl import SFTConfig, SFTTrainer

        set_seed(plan.seed)
        path = resolve(self.cfg.model, self._say)
        with training.loading(self._key, path):
            student = self.load(Path(path), causal.UNPLACED if place.workers.sharded else None)
        arguments = training.arguments(self.cfg, plan, place)
        rows, encoded = self._learnt(student, rows)
        data = [
            {"input_ids": ids, "labels": [one if on else _UNLEARNT for one, on in zip(ids, learnt, strict=True)]}
            for ids, learnt in encoded
        ]
        order = plan.order(rows, self.cfg.batch_size, weighted=True)
        trainer = SFTTrainer(
            model=student.model,
            args=SFTConfig(**arguments, max_length=self.cfg.max_length),
            train_dataset=Dataset.from_list([data[index] for index in order]),
            processing_class=student.chat.tokenizer,
            peft_config=causal.lora(self.cfg),
        )
        adapted = Student(trainer.model, student.chat)
        training.run(trainer, place, self._say, probe, lambda: self._held_out(adapted, probe.mine if probe else ()))
        merged: Any = trainer.model
        return self._ending(Student(merged.merge_and_unload(), student.chat))

    def save(self, student: Student, folder: Path) -> None:
        student.model.save_pretrained(folder)
        student.chat.tokenizer.save_pretrained(folder)

    def load(self, folder: Path, where: str | None = None) -> Student:
        """Load a student. Raise ConfigError for a model without a chat template."""
        model, tokenizer = causal.load(folder, self._key, where=where or self._where)
        return self._ending(Student(model, Chat(tokenizer, self.cfg.max_length, self._key)))

    def score(self, student: Student, rows: Sequence[Json]) -> Floats:
        """Return scores of shape (columns, rows): summed loss of the learnt tokens, their number, and the metrics' parts.

        These are NaN for a row without an answer.
        """
        losses, tokens = self._losses(student, rows)
        metrics = self._choice.metrics
        stats = np.full((sum(metric.width for metric in metrics), len(rows)), np.nan)
        few = [complete(self._task, row) for row in rows[: self.cfg.generate_rows]]
        if metrics and few:
            answers = self._answers(student, few)
            stats[:, : len(few)] = np.concatenate([metric.measure(few, answers) for metric in metrics])
        return np.concatenate([np.stack([losses, tokens]), stats])

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:  # noqa: ARG002
        table = np.stack(scores)
        parts = {metric.name: (metric, stats) for metric, stats in self._parts(table)}
        metrics = {name: _averaged(metric, stats) for name, (metric, stats) in parts.items()}
        return text_figures(table[:, 0], table[0, 1], metrics)

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:
        found: Json = {
            "target_tokens": int(scores[1].sum()),
            "answered_rows": min(len(rows), self.cfg.generate_rows) if self._choice.metrics else 0,
        }
        for metric, stats in self._parts(scores):
            if more := metric.details(stats[:, ~np.isnan(stats[0])]):
                found.setdefault("metric_details", {})[metric.name] = more
        if self._choice.left_out:
            found["metrics_left_out"] = dict(self._choice.left_out)
        return found

    def row_scores(self, scores: Floats) -> Floats:
        """Return the headline of every row by itself; NaN for a row without an answer."""
        for metric, stats in self._parts(scores):
            if metric.name == self.headline:
                return np.asarray([metric.of_row(row) if not np.isnan(row[0]) else np.nan for row in stats.T])
        return np.asarray(np.exp(scores[0] / np.maximum(scores[1], 1)))

    def predict(self, student: Student, rows: Sequence[Json]) -> list[Json]:
        """Return the target fields of every row, as the student writes them."""
        answers = self._answers(student, rows)
        return [answered(self._task, row, answer) for row, answer in zip(rows, answers, strict=True)]

    def _parts(self, scores: Floats) -> list[tuple[Metric, Floats]]:
        """Return each metric with its statistics, of shape (..., width, rows)."""
        widths = np.cumsum([2, *(metric.width for metric in self._choice.metrics)])
        return [
            (metric, scores[..., end - metric.width : end, :])
            for metric, end in zip(self._choice.metrics, widths[1:], strict=True)
        ]

    def _learnt(self, student: Student, rows: Sequence[TrainingRow]) -> tuple[list[TrainingRow], list[Masked]]:
        """Return the rows that have something to learn, with their tokens. Raise InputError if there are none."""
        pairs = [(row, student.chat.encode(conversation(self._task, row.data))) for row in rows]
        kept = [(row, encoded) for row, encoded in pairs if any(encoded[1][1:])]
        if not kept:
            raise InputError(f"task {self._task.name}: no row to train on has an answer of the assistant")
        return [row for row, _ in kept], [encoded for _, encoded in kept]

    @staticmethod
    def _ending(student: Student) -> Student:
        """Let the model's own generation end where an answer does, as the chat template writes it."""
        settings, end = student.model.generation_config, student.chat.end
        ends = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
        ends = [one for one in ends if one is not None] or [student.chat.tokenizer.eos_token_id]
        if end is not None and end not in ends:
            settings.eos_token_id = [end, *ends]
        return student

    def _held_out(self, student: Student, rows: Sequence[TrainingRow]) -> Floats:
        """Return the loss per learnt token of each held-out row."""
        losses, tokens = self._losses(student, [row.data for row in rows])
        return np.asarray(losses / np.maximum(tokens, 1), dtype=np.float64)

    def _losses(self, student: Student, rows: Sequence[Json]) -> tuple[Floats, Floats]:
        encoded = [student.chat.encode(conversation(self._task, row)) for row in rows]
        return causal.masked_losses(student.model, student.chat.tokenizer, encoded)

    def _answers(self, student: Student, rows: Sequence[Json]) -> list[str]:
        """Return the student's answer to every row, as text."""
        prompts = [tuple(student.chat.prompt(asked(conversation(self._task, row)))) for row in rows]
        missing = list(dict.fromkeys(prompt for prompt in prompts if prompt not in student.written))
        student.written |= dict(zip(missing, self._write(student, missing), strict=True))
        return [student.written[prompt] for prompt in prompts]

    def _write(self, student: Student, prompts: Sequence[tuple[int, ...]]) -> list[str]:
        import torch
        from transformers import GenerationConfig

        tokenizer = student.chat.tokenizer
        greedy = GenerationConfig(
            do_sample=False,
            max_new_tokens=self.cfg.max_new_tokens or answer_tokens(self._task, tokenizer, self.cfg.max_length),
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=student.model.generation_config.eos_token_id or tokenizer.eos_token_id,
        )
        answers = [""] * len(prompts)
        student.model.eval()
        for batch in training.batches([len(ids) for ids in prompts], _ANSWER_BATCH):
            padded = causal.padded(tokenizer, [list(prompts[index]) for index in batch], "left")
            padded = padded.to(student.model.device)
            with torch.inference_mode():
                output = student.model.generate(**padded, generation_config=greedy)
            written = output[:, padded["input_ids"].shape[1] :]
            for index, text in zip(batch, tokenizer.batch_decode(written, skip_special_tokens=True), strict=True):
                # the first line of code may be indented
                answers[index] = text.rstrip().lstrip("\n") if self._code else text.strip()
        return answers


def answer_tokens(task: Task, tokenizer: Any, most: int) -> int:
    """Return the most tokens of an answer that the task's schema allows, and at most `most`.

    A character takes one token at most in most texts, but more where the tokenizer knows few of the language's words.
    The task's description shows that.
    """
    text = task.description
    shown = len(tokenizer(text, add_special_tokens=False)["input_ids"]) / max(len(text), 1)
    return int(min(most, longest_answer(task) * max(1.0, _MARGIN * shown) + 1))  # and the token that ends it


def _averaged(metric: Metric, stats: Floats) -> Callable[[Ints], float]:
    """Return a function from row indices to the metric of the answered ones, averaged over the repeats."""
    is_answered = ~np.isnan(stats[0, 0])

    def figure(rows: Ints) -> float:
        picked = stats[:, :, rows[is_answered[rows]]]
        return float(np.mean([metric.figure(repeat) for repeat in picked])) if picked.shape[2] else float("nan")

    return figure
