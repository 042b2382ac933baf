"""The rows that a student answers worst, and the table that `synthgen evaluate` prints of them."""

import numpy as np
import pytest
from shipped_tasks import shipped

from synthgen.report import evaluation
from synthgen.student import StudentConfig, win_rate
from synthgen.student.worst import worst_rows


class Labeller:
    """Answer with fixed labels and probabilities, as a classifier does."""

    headline = "accuracy"

    def predict(self, student, rows):
        return [{"label": label, "probability": share} for label, share in student]


class Writer:
    """Answer with fixed texts, with fixed grades."""

    def __init__(self, headline, grades):
        self.headline = headline
        self._grades = np.asarray(grades)

    def row_scores(self, scores):
        return self._grades

    def predict(self, student, rows):
        return [student[row["instruction"]] for row in rows]


def _news(*labels):
    return [{"text": f"Item {number}.", "label": label} for number, label in enumerate(labels)]


def test_wrong_labels_come_first_and_the_most_probable_of_them_before_the_others(news_task):
    answers = [("sport", 0.6), ("world", 0.9), ("sport", 0.99), ("sport", 0.8)]
    found = worst_rows(news_task, Labeller(), answers, _news("world", "sport", "sport", "world"), np.zeros(4), 2)
    assert [row["input"]["text"] for row in found] == ["Item 1.", "Item 3."]
    assert found[0] == {
        "input": {"text": "Item 1."}, "expected": {"label": "sport"}, "answer": {"label": "world"}, "score": 0.0,
        "probability": 0.9,
    }  # fmt: skip


def test_labels_in_another_order_and_absent_fields_are_right():
    class Fixed(Labeller):
        def predict(self, student, rows):
            return student

    reviews, requests = shipped("review_aspects"), shipped("intent_slots")
    both, answer = {"text": "Both.", "aspects": ["service", "food"]}, {"aspects": ["food", "service"]}
    assert worst_rows(reviews, Fixed(), [answer, {"aspects": ["food"]}], [both, both], np.zeros(2), 9) == [
        {
            "input": {"text": "Both."},
            "expected": {"aspects": both["aspects"]},
            "answer": {"aspects": ["food"]},
            "score": 0,
        }
    ]
    bare, answer = {"text": "Play it.", "intent": "play_music"}, {"intent": "play_music", "slots": []}
    assert worst_rows(requests, Fixed(), [answer], [bare], np.zeros(1), 9) == []


def _asked(*outputs):
    return [{"instruction": str(number), "input": "", "output": output} for number, output in enumerate(outputs)]


@pytest.mark.parametrize(
    ("headline", "grades", "order"),
    [("rougeL", [0.5, 1.0, 0.1, np.nan], ["2", "0"]), ("perplexity", [3.0, 9.0, 1.5, 4.0], ["1", "3", "0", "2"])],
)
def test_written_answers_are_ordered_by_the_headline(instruction_task, headline, grades, order):
    rows = _asked("a", "b", "c", "d")
    answers = {row["instruction"]: {"output": "x"} for row in rows}
    found = worst_rows(instruction_task, Writer(headline, grades), answers, rows, np.zeros(4), 9)
    assert [row["input"]["instruction"] for row in found] == order


def test_a_dialogue_shows_its_last_turn_beside_the_answer(dialogue_task):
    turns = [{"role": "user", "text": "Hello?"}, {"role": "assistant", "text": "Good morning."}]
    row = {"persona": "A baker.", "turns": turns}

    class Silent(Writer):
        def predict(self, student, rows):
            return [{"turns": [turns[0], {"role": "assistant", "text": "Bread."}]} for _ in rows]

    [found] = worst_rows(dialogue_task, Silent("perplexity", [2.0]), None, [row], np.zeros(1), 1)
    assert found["input"] == {"persona": "A baker.", "turns": turns[:1]}
    assert (found["expected"]["turns"][0]["text"], found["answer"]["turns"][0]["text"]) == ("Good morning.", "Bread.")


def test_the_table_has_each_metric_with_its_interval_and_the_rows():
    known, unknown = {"mean": 0.25, "low": 0.125, "high": 0.5}, {"mean": None, "low": None, "high": None}
    row = {"input": {"text": "How\nlate?"}, "expected": {"label": "time"}, "answer": {"label": "place"}, "score": 0.0}
    metrics = {
        "metric": "accuracy", "eval_rows": 4, "confidence": 0.95, "figures": {"accuracy": known, "supported": unknown},
        "metrics_left_out": {"win_rate": "no judge runs"}, "worst": [{**row, "probability": 0.875}],
    }  # fmt: skip
    assert list(evaluation.lines(metrics)) == [
        "4 rows, 95 % intervals:",
        "  accuracy   0.250 (0.125 to 0.500)",
        "  supported  –",
        "  win_rate   left out: no judge runs",
        "1 worst row by accuracy:",
        "  1. score 0.000, probability 0.88",
        "     input     How late?",
        "     expected  time",
        "     answer    place",
    ]


def test_the_win_rate_is_the_mean_chance_of_the_rows_that_were_judged():
    found = win_rate([0.75, 0.25, None, 0.5], StudentConfig(bootstrap=100))
    assert (found["mean"], found["judged"], found["unscored"]) == (0.5, 3, 1)
    assert found["low"] <= 0.5 <= found["high"]
    assert win_rate([None], StudentConfig())["mean"] is None
