"""Who is compared, each at which settings."""

from dataclasses import dataclass, field

from synthgen.records import Json


@dataclass(frozen=True)
class Setting:
    """One line of the table."""

    key: str
    """Its name in the figures."""
    client: str
    """bare, synthgen, distilabel or data_designer."""
    label: str
    """Its name in the table, with what was tuned."""
    knobs: Json = field(default_factory=dict)
    """What the client's program is told beside the plan; empty for its own defaults."""
    judge: bool = False
    """Whether the label of every row is checked, with one more request a row."""


_BATCH = 250  # a batch waits for its slowest answer, so few and large ones; each of the two processes has one
_DISTILABEL: Json = {
    "rows": {"batch_size": 2 * _BATCH},
    "task": {"input_batch_size": _BATCH, "add_raw_input": False, "add_raw_output": False},
    "replicas": 2,
}
_DATA_DESIGNER: Json = {
    "inference": {"max_parallel_requests": 256},
    "run": {"jinja_rendering_engine": "native", "otel_metrics_port": None},
}


def settings(in_flight: int, judge: bool) -> list[Setting]:
    """All lines, in the order in which they run; `in_flight` is for synthgen and the bare client."""
    own: Json = {"in_flight": in_flight}
    lines = [
        Setting("bare", "bare", f"bare client, {in_flight} in flight", own),
        Setting("synthgen", "synthgen", f"synthgen, {in_flight} in flight", own),
        Setting("distilabel.default", "distilabel", "distilabel, defaults (batches of 50)"),
        Setting("distilabel.tuned", "distilabel", f"distilabel, batches of {_BATCH}, 2 replicas", _DISTILABEL),
        Setting("data_designer.default", "data_designer", "Data Designer, defaults (4 in flight)"),
        Setting("data_designer.tuned", "data_designer", "Data Designer, 256 in flight", _DATA_DESIGNER),
    ]
    if judge:
        lines += [
            Setting("synthgen.judge", "synthgen", "synthgen, label check", own, judge=True),
            Setting("distilabel.judge", "distilabel", "distilabel, tuned, label check", _DISTILABEL, judge=True),
            Setting(
                "data_designer.judge", "data_designer", "Data Designer, tuned, label check", _DATA_DESIGNER, judge=True
            ),
        ]
    return lines
