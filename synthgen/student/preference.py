"""Train the student of a preference task: an instruct model with LoRA and DPO (Rafailov et al., 2023; TRL and PEFT).

Each row is a question with a better and a worse answer. The reference model is the model without the adapter. The
adapter is merged before the model is scored and saved.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.engines.bundled import resolve
from synthgen.errors import ConfigError
from synthgen.records import Json, content_id
from synthgen.student import causal, training
from synthgen.student.chat import Chat
from synthgen.student.config import GeneratorConfig, planned_steps
from synthgen.student.generator import Generator, Student
from synthgen.student.metrics import NO_JUDGE, WIN_RATE
from synthgen.student.named import PreferenceConfig
from synthgen.student.plan import Plan, Probe, TrainingFolders
from synthgen.student.rows import TrainingRow
from synthgen.student.scores import Figures, Floats, Ints
from synthgen.student.turns import ASSISTANT, Turn, asked, conversation
from synthgen.tasks.learning import student_metrics
from synthgen.tasks.task import Task

ACCURACY, MARGIN = "reward_accuracy", "reward_margin"
_PLACEHOLDER = {
    "prompt": [{"role": "user", "content": "question"}],
    "chosen": [{"role": "assistant", "content": "better"}],
    "rejected": [{"role": "assistant", "content": "worse"}],
}
"""A row for the trainer's constructor, which tokenizes what it is given."""

Encoded = tuple[list[int], list[int], list[int]]
"""Token ids of a question, of its better answer and of its worse answer."""


class PreferenceLearner:
    """Fit, save, load and query students of preferences for one task. Raise ConfigError for a task without them."""

    headline = ACCURACY

    def __init__(self, task: Task, cfg: PreferenceConfig, say: Callable[[str], None], spread: bool = False) -> None:
        self.cfg = cfg
        self._task = task
        self._say = say
        self._left_out = {name: NO_JUDGE for name in task.metrics if name == WIN_RATE}
        student_metrics([name for name in task.metrics if name != WIN_RATE], (ACCURACY,), "preference student")
        if cfg.rejected in task.target or cfg.rejected not in task.schema.get("required", ()):
            raise ConfigError(
                f"student.preference.rejected: '{cfg.rejected}' must be a required field of task {task.name} beside its "
                f"target; it has the worse answer, and {task.target[0]} the better one"
            )
        written = GeneratorConfig(model=cfg.model, max_length=cfg.max_length, max_new_tokens=cfg.max_new_tokens)
        self._writer = Generator(replace(task, metrics=()), written, say, "student.preference.model", spread)
        self._references: dict[str, Floats] = {}

    def steps(self, rows: int) -> int:
        return planned_steps(rows, self.cfg)

    def stratum(self, row: TrainingRow) -> str:  # noqa: ARG002
        return ""

    def fit(
        self, rows: Sequence[TrainingRow], plan: Plan, place: TrainingFolders, probe: Probe | None = None
    ) -> Student:
        """Load the model, train an adapter as planned, and merge the adapter.

        A row is used in proportion to its weight. The tokens are those that `score` reads.
        """
        from datasets import Dataset
        from transformers import set_seed
        from trl import DPOConfig, DPOTrainer

        set_seed(plan.seed)
        student = self._untrained(causal.UNPLACED if place.workers.sharded else None)
        encoded = [self._encoded(student.chat, row.data) for row in rows]
        data = [dict(zip(("prompt_ids", "chosen_ids", "rejected_ids"), row, strict=True)) for row in encoded]
        trainer = DPOTrainer(
            model=student.model,
            args=DPOConfig(
                **training.arguments(self.cfg, plan, place),
                beta=self.cfg.beta,
                max_length=self.cfg.max_length,
                disable_dropout=False,
            ),
            train_dataset=Dataset.from_list([_PLACEHOLDER]),
            processing_class=student.chat.tokenizer,
            peft_config=causal.lora(self.cfg),
        )
        # set only now, because the constructor would tokenize the rows and truncate answers instead of questions
        order = plan.order(rows, self.cfg.batch_size, weighted=True)
        trainer.train_dataset = Dataset.from_list([data[index] for index in order])
        adapted: Any = trainer.model
        held = [self._encoded(student.chat, row.data) for row in probe.mine] if probe else []
        policy = Student(adapted, student.chat)
        reference: list[Floats] = []

        def losses() -> Floats:
            if not reference:  # only now, because workers may have a part of the model each
                with adapted.disable_adapter():
                    reference.append(self._logprobs(policy, held))
            return self._losses(self._logprobs(policy, held) - reference[0])

        training.run(trainer, place, self._say, probe, losses)
        return Student(adapted.merge_and_unload(), student.chat)

    def save(self, student: Student, folder: Path) -> None:
        self._writer.save(student, folder)

    def load(self, folder: Path) -> Student:
        return self._writer.load(folder)

    def score(self, student: Student, rows: Sequence[Json]) -> Floats:
        """Return the implicit rewards of shape (rows, 2): of the better and of the worse answer of each row.

        A reward is beta times the log-ratio of the answer's probability to that under the untrained model.
        """
        encoded = [self._encoded(student.chat, row) for row in rows]
        key = content_id([list(row) for row in encoded])
        if key not in self._references:
            self._references[key] = self._logprobs(self._untrained(), encoded)
        return self.cfg.beta * (self._logprobs(student, encoded) - self._references[key])

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:  # noqa: ARG002
        """Return the share of rows whose better answer has the higher reward, and the mean difference of rewards."""
        margins = np.stack(scores)[:, :, 0] - np.stack(scores)[:, :, 1]

        def figures(chosen: Ints) -> dict[str, float]:
            found = margins[:, chosen]
            return {ACCURACY: float((found > 0).mean()), MARGIN: float(found.mean())}

        return figures

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:  # noqa: ARG002
        return {"metrics_left_out": dict(self._left_out)} if self._left_out else {}

    def row_scores(self, scores: Floats) -> Floats:
        """Return 1 for a row whose better answer has the higher reward, else 0."""
        return np.asarray(scores[:, 0] > scores[:, 1], dtype=np.float64)

    def predict(self, student: Student, rows: Sequence[Json]) -> list[Json]:
        """Return the target field of every row, as the student writes it."""
        return self._writer.predict(student, rows)

    def _untrained(self, where: str | None = None) -> Student:
        path = resolve(self.cfg.model, self._say)
        with training.loading("student.preference.model", path):
            return self._writer.load(Path(path), where)

    def _encoded(self, chat: Chat, row: Json) -> Encoded:
        """Return the tokens of a row. A question that is too long is shortened as the longer answer needs it."""
        question = asked(conversation(self._task, row))
        texts = self._task.target_text(row), str(row[self.cfg.rejected])
        parts = []
        for text in texts:
            ids, learnt = chat.encode([*question, Turn(ASSISTANT, text, learnt=True)])
            start = learnt.index(True) if True in learnt else len(ids)
            parts.append((ids[:start], ids[start:]))
        (first, better), (second, worse) = parts
        return min(first, second, key=len), better, worse

    def _logprobs(self, student: Student, encoded: Sequence[Encoded]) -> Floats:
        """Return the log-probabilities of both answers of each row, of shape (rows, 2)."""
        rows = [
            (prompt + answer, [False] * len(prompt) + [True] * len(answer))
            for prompt, *answers in encoded
            for answer in answers
        ]
        losses, _ = causal.masked_losses(student.model, student.chat.tokenizer, rows)
        return np.asarray(-losses.reshape(-1, 2), dtype=np.float64)

    def _losses(self, ratios: Floats) -> Floats:
        """Return DPO's loss of each row from its two log-ratios."""
        return np.asarray(np.logaddexp(0, -self.cfg.beta * (ratios[:, 0] - ratios[:, 1])), dtype=np.float64)
