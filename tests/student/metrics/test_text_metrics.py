"""ROUGE, chrF, BLEU and SQuAD's rule, held to the libraries' own figures and to figures worked out by hand."""

import numpy as np
import pytest
import yaml

from synthgen.student.metrics import squad
from synthgen.student.metrics.choice import chosen
from synthgen.student.metrics.overlap import CorpusMetric, rouge_mean
from synthgen.student.metrics.words import words
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import TaskConfig


def shipped(task, /, **changes):
    fields = yaml.safe_load((root() / f"conf/task/{task}.yaml").read_text("utf-8"))
    return load_task(TaskConfig(**(fields | changes)))


REFERENCES = ["The museum opens at ten on Sundays.", "Two trains were late.", "Nobody knows why."]
ANSWERS = ["The museum opens at nine on Sundays.", "Two buses were very late.", ""]


@pytest.fixture(scope="module")
def summaries():
    return shipped("summary", metrics=["rougeL", "rouge1", "rouge2", "chrf", "bleu"])


def _rows(references):
    return [{"text": "", "summary": reference} for reference in references]


def _figure(metric, references, answers):
    return metric.figure(metric.measure(_rows(references), answers))


def test_chrf_and_bleu_are_sacrebleus_own_corpus_figures(summaries):
    from sacrebleu.metrics import BLEU, CHRF

    chrf = CHRF().corpus_score(ANSWERS, [REFERENCES]).score / 100
    bleu = BLEU().corpus_score(ANSWERS, [REFERENCES]).score / 100
    assert 0 < bleu < chrf < 1
    assert _figure(CorpusMetric(summaries, "chrf"), REFERENCES, ANSWERS) == pytest.approx(chrf)
    assert _figure(CorpusMetric(summaries, "bleu"), REFERENCES, ANSWERS) == pytest.approx(bleu)


def test_a_row_alone_has_sacrebleus_sentence_score(summaries):
    from sacrebleu.metrics import BLEU

    metric = CorpusMetric(summaries, "bleu")
    stats = metric.measure(_rows(REFERENCES), ANSWERS)
    expected = BLEU(effective_order=True).sentence_score(ANSWERS[1], [REFERENCES[1]]).score / 100
    assert metric.of_row(stats[:, 1]) == pytest.approx(expected)


def test_bleu_of_chinese_is_that_of_sacrebleus_chinese_tokenizer(summaries):
    from sacrebleu.metrics import BLEU

    references, answers = ["博物馆星期天十点开门。", "两趟火车晚点了。"], ["博物馆星期天九点开门。", "两趟汽车晚点了。"]
    expected = BLEU(tokenize="zh").corpus_score(answers, [references]).score / 100
    assert _figure(CorpusMetric(summaries, "bleu"), references, answers) == pytest.approx(expected)
    assert expected > 0.3


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_rouge_is_the_mean_of_rouge_scores_figures(summaries, name):
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([name])
    expected = [scorer.score(*pair)[name].fmeasure for pair in zip(REFERENCES, ANSWERS, strict=True)]
    assert _figure(rouge_mean(summaries, name), REFERENCES, ANSWERS) == pytest.approx(np.mean(expected))


def test_rouge_l_is_the_longest_common_subsequence_over_words(summaries):
    found = _figure(rouge_mean(summaries, "rougeL"), ["the cat sat on the mat"], ["the cat lay on a mat"])
    assert found == pytest.approx(4 / 6)


def test_rouge_l_sees_chinese_that_the_library_alone_would_score_zero(summaries):
    found = _figure(rouge_mean(summaries, "rougeL"), ["今天天气很好"], ["今天很好"])
    assert found == pytest.approx(2 * (4 / 4) * (4 / 6) / (4 / 4 + 4 / 6))


def test_rouge_l_of_an_answer_without_words_is_right_only_when_it_is_the_same(summaries):
    stats = rouge_mean(summaries, "rougeL").measure(_rows(["😀", "😀", "yes"]), ["😀", "no", ""])
    assert stats.tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("reference", "answer", "exact", "f1"),
    [
        ("the Eiffel Tower", "Eiffel tower.", 1, 1),
        ("Rome", "in Rome, Italy", 0, 2 * 1 * (1 / 3) / (1 + 1 / 3)),
        ("two red cars", "red cars red", 0, 2 / 3),
        ("", "", 1, 1),
        ("", "Rome", 0, 0),
        ("Rome", "", 0, 0),
        ("The", "a", 1, 1),  # articles alone are an empty text
        ("1,200", "1200", 1, 1),
        ("480", "4.80", 0, 1),  # SQuAD's rule alone would take it for the same
        ("5", "-5", 0, 1),
        ("480", "480.0", 1, 0),
        ("480", "480 euros", 0, 2 / 3),
        ("北京大学", "北京大学。", 1, 1),
        ("北京大学", "在北京", 0, 2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4)),
        ("2008年8月", "2008 年 8 月", 1, 1),
    ],
)
def test_exact_match_and_f1_by_squads_rule(reference, answer, exact, f1):
    assert squad.exact_match(reference, answer) == exact
    assert squad.f1(reference, answer) == pytest.approx(f1)


def test_metrics_are_those_of_the_task_and_else_of_its_kind():
    def names(task, **changes):
        choice = chosen(shipped(task, **changes))
        return choice.headline, [metric.name for metric in choice.metrics], list(choice.left_out)

    assert names("translation") == ("chrf", ["chrf", "bleu"], [])
    assert names("instruction") == ("rougeL", ["rougeL"], [])
    assert names("relations", metrics=[]) == ("set_f1", ["set_f1"], [])
    assert names("dialogue", metrics=[]) == ("perplexity", [], [])
    assert names("dialogue") == ("perplexity", [], ["win_rate"])
    assert names("summary", metrics=["span_f1", "trigger_f1"]) == ("rougeL", ["rougeL"], ["span_f1", "trigger_f1"])


def test_a_metric_that_no_judge_can_give_says_how_to_get_it():
    assert "synthgen evaluate RUN --judge" in chosen(shipped("dialogue")).left_out["win_rate"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The cat's 2 mats.", ["the", "cat", "s", "2", "mats"]),
        ("我爱北京", ["我", "爱", "北", "京"]),
        ("用GPU训练模型3次", ["用", "gpu", "训", "练", "模", "型", "3", "次"]),
        ("カタカナとABC", ["カ", "タ", "カ", "ナ", "と", "abc"]),
        ("Straße naïve Ünal", ["strasse", "naïve", "ünal"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("Cafe\u0301 olé", ["café", "olé"]),
        ("😀 — !", []),
    ],
)
def test_words_of_many_scripts(text, tokens):
    assert words(text) == tokens
