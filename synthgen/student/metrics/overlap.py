"""Compare answers with expected texts by their common words and characters: ROUGE, chrF and BLEU, from 0 to 1.

The figures are those of rouge-score and sacrebleu. sacrebleu prints chrF and BLEU from 0 to 100.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from synthgen.records import Json
from synthgen.student.metrics.base import Mean
from synthgen.student.metrics.words import spaceless_share, words
from synthgen.student.scores import Floats
from synthgen.student.turns import expected
from synthgen.tasks.task import Task

_JAPANESE_OR_THAI = range(0x0E00, 0x0E80), range(0x3040, 0x3100)


def rouge_mean(task: Task, name: str) -> Mean:
    """Return ROUGE-1, ROUGE-2 or ROUGE-L (Lin, 2004): the mean F-measure of the answers, in any script."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer: Any = RougeScorer([name], tokenizer=_Words())

    def score(row: Json, answer: str) -> float:
        reference = expected(task, row)
        same = reference.strip() == answer.strip()
        return 1.0 if same else float(scorer.score(reference, answer)[name].fmeasure)

    return Mean(name, score)


class _Words:
    """Wrap `words` in the tokenizer interface of rouge-score."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


class CorpusMetric:
    """Compute a metric of sacrebleu from the statistics of all rows, as its `corpus_score` does.

    `of_row` is the metric's sentence score.
    """

    def __init__(self, task: Task, name: str) -> None:
        self.name = name
        self.width = 18 if name == "chrf" else 10
        self._task = task
        self._scorer: Any = _scorer(name, "13a")
        self._row_scorer: Any = _scorer(name, "13a", sentence=True)

    def measure(self, rows: Sequence[Json], answers: Sequence[str]) -> Floats:
        references = [expected(self._task, row) for row in rows]
        scorer = _scorer(self.name, _tokenizer(references))
        # sacrebleu has no public way to the statistics of a sentence; a test compares the result with its figures
        stats = scorer._extract_corpus_statistics(list(answers), [references])
        return np.asarray(stats, dtype=float).reshape(-1, self.width).T

    def figure(self, stats: Floats) -> float:
        return self._score(self._scorer, stats.sum(1))

    def of_row(self, stats: Floats) -> float:
        return self._score(self._row_scorer, stats)

    def details(self, stats: Floats) -> Json:  # noqa: ARG002
        return {}

    @staticmethod
    def _score(scorer: Any, totals: Floats) -> float:
        return float(scorer._compute_score_from_stats([int(value) for value in totals]).score) / 100


def _scorer(name: str, tokenizer: str, sentence: bool = False) -> Any:
    from sacrebleu.metrics import BLEU, CHRF

    return CHRF() if name == "chrf" else BLEU(tokenize=tokenizer, effective_order=sentence)


def _tokenizer(references: Sequence[str]) -> str:
    """Return sacrebleu's tokenizer for these texts: `zh` for Chinese, `char` for other scripts without spaces."""
    text = "".join(references)
    if spaceless_share(text) < 0.5:
        return "13a"
    return "char" if any(ord(char) in part for part in _JAPANESE_OR_THAI for char in text) else "zh"
