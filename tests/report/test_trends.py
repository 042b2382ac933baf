"""Test where the lines of a small chart go, and what an alarm says."""

from typing import Any

from synthgen.report.trends import FIGURES, Trend, sentence, trends


def rounds(*values: float | None, key: str = "vendi") -> list[dict[str, Any]]:
    nothing = dict.fromkeys(FIGURES)
    common = {**nothing, "rows": 64}
    return [{**common, "first": 10 * row, "last": 10 * row + 9, key: value} for row, value in enumerate(values)]


def one(found: list[Trend]) -> Trend:
    assert len(found) == 1
    return found[0]


def test_a_line_goes_from_edge_to_edge_and_up_is_more() -> None:
    trend = one(trends(rounds(10, 30, 20), []))
    assert trend.lines == ("0.0,94.0 50.0,6.0 100.0,50.0",)
    assert (trend.name, trend.first, trend.last, trend.low, trend.high) == ("Vendi score", "10", "20", "10", "30")
    assert (trend.bound, trend.alarms) == (None, ())


def test_an_unknown_value_breaks_the_line_and_a_single_point_is_a_dot() -> None:
    assert one(trends(rounds(1, 2, None, 1), [])).lines == ("0.0,94.0 33.33,6.0", "100.0,94.0 100.0,94.0")


def test_rounds_of_fewer_samples_are_left_out_where_their_number_matters() -> None:
    early = [{**each, "rows": 20} for each in rounds(9, 9)]
    assert one(trends([*early, *rounds(1, 2)], [])).lines == ("66.67,94.0 100.0,6.0",)
    early = [{**each, "rows": 20} for each in rounds(0.1, key="acceptance")]
    assert one(trends([*early, *rounds(0.2, key="acceptance")], [])).lines == ("0.0,94.0 100.0,6.0",)


def test_a_figure_that_does_not_change_lies_in_the_middle() -> None:
    assert one(trends(rounds(4, 4), [])).lines == ("0.0,50.0 100.0,50.0",)


def test_a_figure_of_a_single_round_has_no_chart() -> None:
    assert trends(rounds(None, 4, None), []) == []
    assert trends([], []) == []


def test_an_alarm_marks_its_round_and_its_bound_is_on_the_chart() -> None:
    alarm = {"alarm": "collapse", "figure": "vendi", "value": 10, "bound": 5, "slot": 25}
    trend = one(trends(rounds(30, 30, 10), [alarm]))
    assert trend.alarms == (100.0,)
    assert trend.bound == 94.0
    assert trend.lines == ("0.0,6.0 50.0,6.0 100.0,76.4",)


def test_an_alarm_on_labels_is_on_the_chart_of_all_labels_so_far() -> None:
    alarm = {"alarm": "collapse", "figure": "label_balance", "value": 0.5, "bound": 0.6, "slot": 15}
    assert one(trends(rounds(0.9, 0.5, key="label_entropy_so_far"), [alarm])).alarms == (100.0,)
    assert sentence(alarm) == "collapse at slot 15: label entropy so far 0.5, below 0.6"


def test_a_drift_alarm_says_that_the_figure_is_above_its_bound() -> None:
    alarm = {"alarm": "drift", "figure": "seed_distance", "value": 0.912, "bound": 0.85, "slot": 1023}
    assert sentence(alarm) == "drift at slot 1,023: distance to seeds 0.912, above 0.85"
