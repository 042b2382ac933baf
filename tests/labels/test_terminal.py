"""Labelling in a terminal, as a person meets it: on a pseudo-terminal and through a pipe."""

import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import forks
import pytest
from forks import SYNTHGEN
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from synthgen.labels.terminal import matching
from synthgen.labels.wrapping import wrapped
from synthgen.records import PersonAnswer, Sample

Make = Callable[..., Path]
Answers = Callable[[Path], list[PersonAnswer]]
COMMAND = [*SYNTHGEN, "label", "run"]
PROMPT = "q quit > "
TOPICS = {
    "订票": "预订、修改或取消机票、火车票和酒店", "天气": "询问天气", "音乐": "播放歌曲", "导航": "路线", "闹钟": "叫醒",
    "新闻": "朗读新闻", "购物": "下单", "餐饮": "订座", "翻译": "译成另一种语言", "计算": "算数", "日程": "提醒", "闲聊": "",
}  # fmt: skip


def piped(lines: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forks.run([*COMMAND, *arguments], input=lines, capture_output=True, text=True)


class Terminal:
    """A person at a terminal of 80 by 24."""

    def __init__(self, *arguments: str) -> None:
        self.master, child = pty.openpty()
        self.before = termios.tcgetattr(child)
        self.slave = child
        os.environ["COLUMNS"], os.environ["LINES"] = "80", "24"
        self.process = forks.Popen([*COMMAND, *arguments], stdin=child, stdout=child, stderr=child)
        self.said = ""

    def until(self, words: str) -> str:
        """Return what is printed up to `words`."""
        deadline = time.monotonic() + 60
        while words not in self.said:
            if time.monotonic() > deadline:
                raise AssertionError(f"{words!r} never came: {self.said!r}")
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.said += os.read(self.master, 65536).decode()
                except OSError:
                    break
        found, _, self.said = self.said.partition(words)
        return found

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        return self.process.wait(60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def make(*arguments: str) -> Terminal:
        opened.append(Terminal(*arguments))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def said(answers: list[PersonAnswer]) -> list[str | None]:
    return [answer.answer for answer in sorted(answers, key=lambda answer: answer.at)]


@pytest.mark.slow
def test_single_keys_answer_skip_undo_and_quit(
    make_run: Make, answers_of: Answers, terminal: Callable[..., Terminal]
) -> None:
    folder = make_run()
    screen = terminal("--count", "10")
    assert "1 of 10  news, asked of anna" in screen.until(PROMPT)
    screen.type("3")
    assert "saved: sport" in screen.until(PROMPT)
    assert said(answers_of(folder)) == ["sport"], "in the ledger before the next question is shown"
    screen.type("n")
    assert "3 of 10" in screen.until(PROMPT)
    screen.type("s")
    assert "skipped" in screen.until(PROMPT)
    screen.type("\x1b[A")  # an arrow: no command
    screen.type("2")
    assert "4 of 10" in screen.until(PROMPT)
    assert said(answers_of(folder)) == ["sport", None, "science"]
    screen.type("u")
    assert "3 of 10" in screen.until(PROMPT)
    assert said(answers_of(folder)) == ["sport", None]
    screen.type("4")
    screen.until(PROMPT)
    screen.type("q")
    closing = screen.until("--count 7")
    assert "3 answers of anna, 1 skipped" in closing
    assert "synthgen export run" in closing
    assert screen.end() == 0
    assert said(answers_of(folder)) == ["sport", None, "world"]
    assert termios.tcgetattr(screen.slave)[3] == screen.before[3], "the terminal is as it was"


@pytest.mark.slow
def test_ctrl_c_is_exit_code_5_with_the_command_that_continues_it_and_the_terminal_as_it_was(
    make_run: Make, answers_of: Answers, terminal: Callable[..., Terminal]
) -> None:
    folder = make_run()
    screen = terminal("--annotator", "ben lee")
    screen.until(PROMPT)
    screen.type("1")
    screen.until(PROMPT)
    screen.process.send_signal(signal.SIGINT)
    assert screen.end() == 5
    screen.until("\r\nsynthgen label run --count 39 --annotator 'ben lee'\r\n")
    assert screen.said == "", "the command that goes on is the last line"
    assert termios.tcgetattr(screen.slave)[3] == screen.before[3]
    assert said(answers_of(folder)) == ["business"]


@pytest.mark.slow
def test_an_answer_survives_a_kill_and_is_not_asked_again(
    make_run: Make, answers_of: Answers, terminal: Callable[..., Terminal]
) -> None:
    folder = make_run(3)
    screen = terminal()
    screen.until(PROMPT)
    screen.type("1")
    screen.until(PROMPT)
    os.kill(screen.process.pid, signal.SIGKILL)
    screen.end()
    (kept,) = answers_of(folder)
    done = piped("2\n2\n2\n2\n")
    assert done.returncode == 0
    assert len(answers_of(folder)) == 3 and kept in answers_of(folder)
    assert "nothing left to ask anna about" in piped("").stdout


@pytest.mark.slow
def test_a_pipe_gives_lines_and_its_end_is_a_quit(make_run: Make, answers_of: Answers) -> None:
    folder = make_run()
    done = piped("1\n\nwor\nnonsense\n77\nu\nSCIENCE\nu\nu\nu\nn\n", "--count", "5")
    assert done.returncode == 0, done.stderr
    assert "no label begins with 'nonsense'" in done.stdout
    assert "there is no label 77" in done.stdout
    assert "there is nothing to undo" in done.stdout
    assert said(answers_of(folder)) == [None]
    assert done.stdout.splitlines()[-1] == "synthgen label run --count 4"


@pytest.mark.slow
def test_at_the_end_the_last_line_is_the_command_that_uses_the_answers(make_run: Make, answers_of: Answers) -> None:
    folder = make_run()
    done = piped("1\n2\n", "--count", "2")
    assert done.stdout.splitlines()[-1] == "synthgen export run"
    assert len(answers_of(folder)) == 2


@pytest.mark.slow
def test_chinese_fits_80_columns_and_the_likeliest_label_has_the_first_key(
    make_run: Make, answers_of: Answers, accepted_of: Callable[[Path], list[Sample]], terminal: Callable[..., Terminal]
) -> None:
    text = (
        "如果您想预订明天从上海虹桥到北京南站的高铁，请先登录您的帐户，然后在“我的订单”页面中选择日期与车次；再付款。"
        * 3
    )
    folder = make_run([f"{text}{number}" for number in range(24)], labels=TOPICS, language="zh")
    screen = terminal("--count", "3")
    shown = screen.until(PROMPT)
    assert max(cell_len(line) for line in shown.splitlines()) <= 80
    assert text in re.sub(r"\s", "", shown)
    assert "/  another of the 12 labels" in shown
    screen.type("/")
    screen.until("then Enter): ")
    screen.type("闲\n")
    assert "saved: 闲聊" in screen.until(PROMPT)
    screen.type("1")
    screen.until(PROMPT)
    screen.type("/")
    screen.until("then Enter): ")
    screen.type("程\n")
    screen.until("synthgen export run")
    first, likeliest, last = sorted(answers_of(folder), key=lambda answer: answer.at)
    own = {sample.id: sample.label for sample in accepted_of(folder)}
    assert (first.answer, last.answer) == ("闲聊", "日程")
    assert likeliest.answer == own[likeliest.sample_id]


@pytest.mark.slow
def test_a_long_text_is_shown_part_by_part(make_run: Make, terminal: Callable[..., Terminal]) -> None:
    make_run(["\n".join(f"line {line} of {number}" for line in range(40)) for number in range(2)])
    screen = terminal()
    first = screen.until(PROMPT)
    assert "line 0" in first and "line 39" not in first and re.search(r"m \d+ more lines", first)
    for _ in range(6):
        screen.type("m")
        if "line 39" in (more := screen.until(PROMPT)):
            break
    assert "line 39" in more and "more lines" not in more


@pytest.mark.slow
def test_generated_text_cannot_steer_the_terminal(make_run: Make) -> None:
    make_run(["\x1b]0;title\x07\x1b[2J hidden\r\u202e text"] * 1)
    done = piped("q\n")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.stdout)
    assert "‹U+001B›]0;title‹U+0007›" in done.stdout


@pytest.mark.slow
def test_a_task_without_labels_asks_whether_a_sample_is_good(make_run: Make, answers_of: Answers) -> None:
    folder = make_run(labels={})
    done = piped("y\nn\nsport\nq\n")
    assert "Is this a good sample?  y yes  n no" in done.stdout
    assert said(answers_of(folder)) == ["good", None]


@pytest.mark.slow
def test_people_share_every_fourth_question_agreement_is_said_and_disagreements_can_be_settled(
    make_run: Make, answers_of: Answers
) -> None:
    folder = make_run(24)
    piped("1\n" * 8, "--count", "8", "--annotator", "anna")
    done = piped("2\n" * 8, "--count", "8", "--annotator", "ben")
    by = {name: {a.sample_id for a in answers_of(folder) if a.annotator == name} for name in ("anna", "ben")}
    assert len(by["anna"] & by["ben"]) == 2
    assert "agreement of anna, ben: Krippendorff's alpha" in done.stdout
    assert "over 2 samples that several people answered; they differ on 2" in done.stdout
    assert "synthgen label run --disagreements" in done.stdout
    done = piped("1\n1\n", "--disagreements", "--annotator", "ben")
    assert "answered  anna: business" in done.stdout and "answered  ben: science" in done.stdout
    assert "the same answer to every sample" in done.stdout and "they differ on 0" in done.stdout
    assert "no disagreements to settle" in piped("", "--disagreements", "--annotator", "ben").stdout
    piped("2\nu\nq\n", "--disagreements")
    assert len(answers_of(folder)) == 16


@pytest.mark.slow
def test_undo_brings_back_the_answer_that_was_replaced(make_run: Make, answers_of: Answers) -> None:
    folder = make_run(24)
    piped("1\n" * 8, "--count", "8", "--annotator", "anna")
    piped("2\n" * 8, "--count", "8", "--annotator", "ben")
    before = answers_of(folder)
    assert "undone" in piped("3\nu\nq\n", "--disagreements", "--annotator", "ben").stdout
    assert answers_of(folder) == before


@pytest.mark.slow
def test_undo_at_the_beginning_takes_back_the_last_answer_of_the_session_before(
    make_run: Make, answers_of: Answers
) -> None:
    folder = make_run()
    piped("1\n2\n", "--count", "2")
    assert "undone" in piped("u\n3\nq\n").stdout
    assert said(answers_of(folder)) == ["business", "sport"]


def test_a_label_is_found_by_its_name_then_its_beginning_then_any_part() -> None:
    labels = ["card", "Card_lost", "lost_card", "top_up"]
    assert matching("card", labels) == ["card"]
    assert matching("CARD_", labels) == ["Card_lost"]
    assert matching("lost", labels) == ["lost_card"]
    assert matching("_lost", labels) == ["Card_lost"]
    assert matching("x", labels) == [] == matching(" ", labels)


@given(st.text(alphabet=st.sampled_from("ab 中文，。“”e\u0301\t\n\x1b👍"), max_size=200), st.integers(20, 80))
def test_wrapped_lines_fit_and_lose_nothing_but_space(text: str, width: int) -> None:
    from synthgen.safety.untrusted import clean

    lines = wrapped(text, width, "   ")
    assert all(cell_len(line) <= width for line in lines)
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", clean(text))


def test_closing_punctuation_does_not_begin_a_line() -> None:
    assert wrapped("一二三四五。六", 10) == ["一二三四", "五。六"]
    assert wrapped("一二三四五……六", 10) == ["一二三四", "五……六"]
    assert wrapped("アイウエノート", 10) == ["アイウエ", "ノート"]
    assert wrapped("ホームでもっと", 10) == ["ホームで", "もっと"]


def test_an_opening_bracket_does_not_end_a_line() -> None:
    assert wrapped("一二三四「五六」", 10) == ["一二三四", "「五六」"]
    assert wrapped("他说：“好的。”", 8) == ["他说：", "“好的。”"]


def test_a_thai_vowel_stays_with_its_consonant() -> None:
    lines = wrapped("น้ำแข็งเย็นมาก", 7)
    assert "".join(lines) == "น้ำแข็งเย็นมาก"
    assert not any(line[-1] in "เแโใไ" or line[0] in "ะาำ็่้๊๋์" for line in lines)
