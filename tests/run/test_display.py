"""Test what a person sees: a live panel on a terminal, plain lines elsewhere, never a model's escapes."""

import io
import time
from collections import Counter
from collections.abc import Callable

import pytest
from rich.console import Console

from synthgen.run.display import Display, clean, duration
from synthgen.run.progress import Progress


def progress(**changes: object) -> Progress:
    figures = Progress(target=200, accepted=50, candidates=125, rejected=Counter(label=60, copy=15), output_tokens=9000)
    figures.started = time.monotonic() - 65
    for name, value in changes.items():
        setattr(figures, name, value)
    return figures


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    screen = io.StringIO()
    return Console(file=screen, force_terminal=terminal, width=80, highlight=False), screen


def test_the_panel_shows_where_a_run_stands() -> None:
    shown, screen = console(terminal=True)
    display = Display("demo", 200, shown)
    display.progress(progress(accepted=40, output_tokens=3000))
    time.sleep(0.05)
    display.progress(progress())
    shown.print(display._panel())
    text = screen.getvalue()
    for part in ("50 / 200", "125", "40%", "label", "60", "copy", "15", "tokens/s", "1 min 05 s", "left"):
        assert part in text


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stops the monotonic clock; call it to move the clock on."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def on(seconds: float) -> None:
        now[0] += seconds

    return on


def test_a_line_of_progress_tells_output_tokens_and_the_time_left(clock: Callable[[float], None]) -> None:
    shown, screen = console(terminal=False)
    display = Display("demo", 200, shown)
    display.progress(progress(accepted=0, output_tokens=0))
    clock(40)
    display.progress(progress(accepted=10, output_tokens=1000))
    clock(20)
    display.progress(progress(accepted=20, output_tokens=3000))
    assert "20/200 accepted, 125 candidates, 16% accepted, 100 output tokens/s, 9 min 00 s left" in screen.getvalue()


def test_the_time_left_tells_the_loop_and_the_student_apart(clock: Callable[[float], None]) -> None:
    shown, screen = console(terminal=False)
    display = Display("demo", 200, shown)
    display.then("the student, about 4 min 10 s (9 fits, 1,240 steps at most)")
    display.progress(progress(accepted=0))
    clock(60)
    display.progress(progress(accepted=20))
    said = "loop 9 min 00 s left, then the student, about 4 min 10 s (9 fits, 1,240 steps at most)"
    assert said in screen.getvalue()


def test_the_time_left_holds_loop_and_student_where_the_students_is_known(clock: Callable[[float], None]) -> None:
    shown, screen = console(terminal=False)
    display = Display("demo", 200, shown)
    display.then("the student, about 4 min 10 s (9 fits)", 250.0)
    display.progress(progress(accepted=0))
    clock(60)
    display.progress(progress(accepted=20))
    assert "13 min 10 s left: loop 9 min 00 s, then the student, about 4 min 10 s (9 fits)" in screen.getvalue()
    on_terminal, panel = console(terminal=True)
    on_terminal.print(display._panel())
    assert "13 min 10 s" in panel.getvalue()
    assert "loop 9 min 00 s, then the student" in panel.getvalue()


def test_a_students_progress_is_a_line_now_and_then_on_a_plain_output(clock: Callable[[float], None]) -> None:
    shown, screen = console(terminal=False)
    display = Display("demo", 200, shown)
    display.say("training the student")
    for step in range(40):
        clock(1)
        display.student(f"student: step {step} of 400")
    assert screen.getvalue().splitlines() == [
        "training the student",
        "student: step 15 of 400",
        "student: step 31 of 400",
    ]


def test_a_students_progress_is_shown_at_once_in_the_panel() -> None:
    shown, screen = console(terminal=True)
    display = Display("demo", 200, shown)
    display.student("student: fit 2 of 3, step 120 of 400")
    shown.print(display._panel())
    assert "student: fit 2 of 3, step 120 of 400" in screen.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_without_a_target_neither_target_nor_time_left_is_shown(terminal: bool, clock: Callable[[float], None]) -> None:
    shown, screen = console(terminal)
    display = Display("demo", None, shown)
    display.progress(progress(accepted=0))
    clock(60)
    display.progress(progress(accepted=20))
    shown.print(display._panel())
    text = screen.getvalue()
    assert "20 accepted, 125 candidates" in text if not terminal else "20" in text
    assert "/" not in text.replace("tokens/s", "")
    assert "min 00 s left" not in text


@pytest.mark.parametrize(("accepted", "target"), [(1, 200), (4, 200), (50, 10_000_000)])
def test_no_time_is_promised_after_few_samples_or_for_a_target_far_off(
    accepted: int, target: int, clock: Callable[[float], None]
) -> None:
    shown, screen = console(terminal=False)
    display = Display("demo", target, shown)
    display.progress(progress(accepted=0))
    clock(20)
    display.progress(progress(accepted=accepted))
    assert f"{accepted}/{target} accepted" in screen.getvalue()
    assert "left" not in screen.getvalue()


def test_without_a_terminal_a_message_is_a_line_and_is_not_repeated_at_once() -> None:
    shown, screen = console(terminal=False)
    display = Display("demo", 200, shown)
    with display:
        display.say("starting vLLM: 0 s (its output: engine.log)")
        display.say("starting vLLM: 1 s (its output: engine.log)")
        display.say("training the student")
    assert screen.getvalue().splitlines() == ["starting vLLM: 0 s (its output: engine.log)", "training the student"]


def test_a_finished_run_always_prints_its_last_line() -> None:
    shown, screen = console(terminal=False)
    Display("demo", 200, shown).progress(progress(accepted=200))
    assert screen.getvalue().startswith("200/200 accepted, 125 candidates")


def test_the_command_that_continues_it_is_the_very_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display("demo", 200)
    display.close(["accepted 3"], "the engine died:\n  reason", "synthgen resume runs/demo")
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == "synthgen resume runs/demo"
    assert "the engine died:\n  reason" in captured.err


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "a\rb", "\x00"])
def test_control_characters_never_reach_the_terminal(hostile: str) -> None:
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in clean(f"text {hostile} text"))


def test_durations_are_printed_as_people_say_them() -> None:
    assert [duration(seconds) for seconds in (7, 65, 3725)] == ["7 s", "1 min 05 s", "1 h 02 min"]
