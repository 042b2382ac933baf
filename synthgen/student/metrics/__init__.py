"""Score the answers of generators, one file for each family of metrics. `chosen` builds those that a task asks for.

A metric turns an answer into sufficient statistics that add up over rows, so that the bootstrap of `scores` can resample
corpus metrics such as BLEU too. Metrics of encoders are in `synthgen.student.scores`.
"""

from synthgen.student.metrics.base import Metric
from synthgen.student.metrics.choice import NO_JUDGE, WIN_RATE, ChosenMetrics, chosen

__all__ = ["NO_JUDGE", "WIN_RATE", "ChosenMetrics", "Metric", "chosen"]
