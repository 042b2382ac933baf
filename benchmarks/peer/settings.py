"""List the compared clients and their settings."""

from dataclasses import dataclass, field

from synthgen.records import Json


@dataclass(frozen=True)
class Setting:
    """Hold one line of the table."""

    key: str
    """Its name in the figures."""
    client: str
    """bare, synthgen, distilabel or data_designer."""
    label: str
    """Its name in the table, with what was tuned."""
    knobs: Json = field(default_factory=dict)
    """The settings of the client's program; empty for its own defaults."""
    judge: bool = False
    """True when the label of every row is checked, with one more request per row."""


def distilabel(batch: int, replicas: int) -> Json:
    """Return a setting of distilabel.

    A batch waits for its slowest answer. Each replica of the step is a process with one batch at a time.
    """
    return {
        "rows": {"batch_size": replicas * batch},
        "task": {"input_batch_size": batch, "add_raw_input": False, "add_raw_output": False},
        "replicas": replicas,
    }


def data_designer(in_flight: int, row_group: int = 1000) -> Json:
    return {
        "inference": {"max_parallel_requests": in_flight},
        "run": {"jinja_rendering_engine": "native", "otel_metrics_port": None, "buffer_size": row_group},
    }


def synthgen(in_flight: int, shards: int = 1) -> Json:
    """Return a setting of synthgen. The time of several shards is taken from their first request to the end of their merge."""
    return {"in_flight": in_flight, "shards": shards, "from_first_request": shards > 1}


_TIMES, _SHARDS = 4, 2
"""Tuned synthgen has so many times the requests in flight, and so many shards."""
_BATCH, _REPLICAS, _PLACES = 125, 3, 64  # the best of `sweep`
_DISTILABEL, _DATA_DESIGNER = distilabel(_BATCH, _REPLICAS), data_designer(_PLACES)


def settings(in_flight: int, judge: bool) -> list[Setting]:
    """Return all lines in the order in which they run; `in_flight` is for synthgen and the bare client."""
    own: Json = {"in_flight": in_flight}
    more = _TIMES * in_flight
    lines = [
        Setting("bare", "bare", f"bare client, {in_flight} in flight", own),
        Setting("synthgen", "synthgen", f"synthgen, {in_flight} in flight", own),
        Setting("synthgen.tuned", "synthgen", f"synthgen, {more:,} in flight", synthgen(more)),
        Setting(
            "synthgen.shards", "synthgen", f"synthgen, {more:,} in flight, {_SHARDS} shards", synthgen(more, _SHARDS)
        ),
        Setting("distilabel.default", "distilabel", "distilabel, defaults (batches of 50)"),
        Setting(
            "distilabel.tuned", "distilabel", f"distilabel, batches of {_BATCH}, {_REPLICAS} replicas", _DISTILABEL
        ),
        Setting("data_designer.default", "data_designer", "Data Designer, defaults (4 in flight)"),
        Setting("data_designer.tuned", "data_designer", f"Data Designer, {_PLACES} in flight", _DATA_DESIGNER),
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


def sweep(in_flight: int) -> list[Setting]:
    """Return the tunings from which `settings` takes the best, next to synthgen and the bare client."""
    lines = settings(in_flight, judge=False)[:2]
    for times, shards in ((2, 1), (4, 1), (8, 1), (1, 2), (4, 2)):
        places = times * in_flight
        label = f"synthgen, {places} in flight, shards: {shards}"
        lines.append(Setting(f"synthgen.{places}.{shards}", "synthgen", label, synthgen(places, shards)))
    for batch, replicas in ((125, 2), (125, 3), (250, 1), (250, 2), (250, 3), (250, 4), (500, 2), (1000, 2)):
        label = f"distilabel, batches of {batch}, replicas: {replicas}"
        lines.append(Setting(f"distilabel.{batch}.{replicas}", "distilabel", label, distilabel(batch, replicas)))
    for places, group in ((16, 1000), (32, 1000), (64, 1000), (128, 1000), (256, 250), (256, 1000), (512, 1000)):
        label = f"Data Designer, {places} in flight, row groups of {group}"
        lines.append(Setting(f"data_designer.{places}.{group}", "data_designer", label, data_designer(places, group)))
    return lines
