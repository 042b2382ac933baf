"""Ask the questions of a session in a terminal. Read single keys from a terminal, and lines from other input."""

import os
import re
import shutil
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from synthgen.labels.answers import explained
from synthgen.labels.questions import KEYS, Asking, Question, edited
from synthgen.labels.wrapping import wrapped
from synthgen.records import GOOD
from synthgen.safety.untrusted import clean
from synthgen.tasks.task import as_text

_WIDTH = 80
_BELOW = 8  # lines that commands, progress and prompt need
_LEAST_LINES = 6
_ESCAPE = "\x1b"
_END = "\x04"  # Ctrl-D
_KEY = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|O.|)|.", re.S)
"""Match one key. An arrow key or a function key sends a sequence, whose letters must not count as commands."""


class Keys(Protocol):
    """Read the input of a person."""

    def key(self) -> str | None:
        """Return the next command, which is a key or a line; None at the end of the input."""

    def line(self) -> str | None:
        """Return a whole line; None at the end of the input."""

    def edit(self, text: str) -> str | None:
        """Return `text` as the person changed it; None at the end of the input."""


class _Lines:
    """Read lines, for pipes and files."""

    def key(self) -> str | None:
        return self.line()

    def line(self) -> str | None:
        line = sys.stdin.readline()
        return line.strip() if line else None

    def edit(self, text: str) -> str | None:
        """Return the next line, or `text` where the line is empty."""
        line = self.line()
        return None if line is None else line or text


class _Terminal:
    """Read single keys from a terminal that `_raw` has prepared."""

    def __init__(self, number: int, lines: list[Any]) -> None:
        self._number = number
        self._lines = lines
        """Terminal attributes for reading lines."""
        self._waiting = ""

    def key(self) -> str | None:
        while True:
            self._waiting = self._waiting or os.read(self._number, 64).decode("utf-8", "replace")
            if not self._waiting:
                return None
            key = _KEY.match(self._waiting)
            assert key is not None
            self._waiting = self._waiting[key.end() :]
            if key.group() == _END:
                return None
            if key.group()[0] != _ESCAPE and not key.group().isspace():
                return key.group()

    def line(self) -> str | None:
        known, end, rest = self._waiting.replace("\r", "\n").partition("\n")
        self._waiting = rest
        if end:
            return known.strip()
        keys = termios.tcgetattr(self._number)
        termios.tcsetattr(self._number, termios.TCSADRAIN, self._lines)
        try:
            typed = os.read(self._number, 4096).decode("utf-8", "replace")
            return (known + typed).strip() if typed else None
        finally:
            termios.tcsetattr(self._number, termios.TCSADRAIN, keys)

    def edit(self, text: str) -> str | None:
        """Let the person edit `text` in a line, with the keys of readline."""
        import readline

        keys = termios.tcgetattr(self._number)
        termios.tcsetattr(self._number, termios.TCSADRAIN, self._lines)
        readline.set_startup_hook(lambda: readline.insert_text(text))
        try:
            return input()
        except EOFError:
            return None
        finally:
            readline.set_startup_hook(None)
            termios.tcsetattr(self._number, termios.TCSADRAIN, keys)


@contextmanager
def keys() -> Iterator[Keys]:
    """Yield a reader of single keys for a terminal, or of lines for any other input. Restore the terminal's mode at the end."""
    if not sys.stdin.isatty():
        yield _Lines()
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number, termios.TCSADRAIN)  # keeps Ctrl-C a signal
        yield _Terminal(number, before)
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def ask(asking: Asking, typed: Keys) -> None:
    """Ask until the session is over or the person quits. Each answer is in the ledger before the next question."""
    while (question := asking.current) is not None:
        page = _Page(asking, question)
        page.show()
        if not _asked(asking, question, page, typed):
            return


def _asked(asking: Asking, question: Question, page: "_Page", typed: Keys) -> bool:
    """Read commands until the question is answered, skipped or undone. Return False when the person quits."""
    while (command := typed.key()) is not None:
        match command.lower():
            case "q":
                return False
            case "s":
                asking.skip()
                _say("skipped")
                return True
            case "u":
                if asking.undo():
                    _say("undone")
                    return True
                _say("there is nothing to undo")
            case "n":
                return _answered(asking, None)
            case "m" if page.rest:
                page.show_more()
            case "y" if not question.labels:
                return _answered(asking, GOOD)
            case "e" if asking.correctable:
                if _corrected(asking, question, typed):
                    return True
                page.prompt()
            case "?" | "":
                page.show()
            case _:
                label = _label(command, question, typed)
                if label is not None:
                    return _answered(asking, label)
                page.prompt()
    return False


def _answered(asking: Asking, answer: str | None) -> bool:
    asking.answer(answer)
    _say(f"saved: {explained(answer)}")
    return True


def _corrected(asking: Asking, question: Question, typed: Keys) -> bool:
    """Let the person edit one field of the sample. Return False when nothing was changed, or the result is no sample."""
    names = list(question.data)
    if len(names) > 1:
        _say(f"which field? {'  '.join(f'{number} {name}' for number, name in enumerate(names, start=1))} >", end=" ")
        wanted = typed.key() or ""
        by_number = wanted.isdigit() and 1 <= int(wanted) <= len(names)
        found = [names[int(wanted) - 1]] if by_number else matching(wanted, names)
        if len(found) != 1:
            _say("no field was chosen")
            return False
    else:
        found = names
    before = _one_line(as_text(question.data[found[0]]))
    _say(f"{found[0]} (Enter when it is right):")
    after = typed.edit(before)
    if after is None or after == before:
        _say("nothing was changed")
        return False
    label = None
    if question.labels:
        _say("label of the corrected sample:", end=" ")
        label = _label(typed.key() or "", question, typed)
        if label is None:
            _say("nothing was changed")
            return False
    try:
        asking.correct(edited(question.data, found[0], _lines_again(after)), label)
    except ValueError as error:
        _say(str(error))
        return False
    _say(f"saved: a corrected sample{f' ({label})' if label else ''}, whose parent is this one")
    return True


def _one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _lines_again(text: str) -> str:
    return re.sub(r"\\(n|\\)", lambda found: "\n" if found[1] == "n" else "\\", text)


def _label(command: str, question: Question, typed: Keys) -> str | None:
    """Return the label that a key, a typed name or a search selects. If it selects none, print why and return None."""
    labels = question.labels
    if command.isdigit():
        if 1 <= int(command) <= min(KEYS, len(labels)):
            return labels[int(command) - 1]
        _say(f"there is no label {command}")
        return None
    if not labels:
        _say(f"'{command}' is not a command here; type ? to show the question again")
        return None
    if command == "/":
        _say("label (its first letters, then Enter):", end=" ")
        wanted = typed.line()
        return None if wanted is None else _searched(wanted, question, typed)
    if len(command) > 1:  # a line, from a pipe
        return _searched(command.removeprefix("/"), question, typed)
    _say(f"'{command}' is not a command here; type ? to show the question again")
    return None


def _searched(wanted: str, question: Question, typed: Keys) -> str | None:
    found = matching(wanted, question.labels)
    if len(found) == 1:
        return found[0]
    if not found or len(found) > KEYS:
        how_many = "no label begins" if not found else f"{len(found)} labels begin"
        _say(f"{how_many} with '{wanted}'; type / and more of its name")
        return None
    for number, label in enumerate(found, start=1):
        _say(f"{number}  {label}")
    _say("which one?", end=" ")
    choice = typed.key() or ""
    if choice.isdigit() and 1 <= int(choice) <= len(found):
        return found[int(choice) - 1]
    _say("none was chosen")
    return None


def matching(wanted: str, labels: Sequence[str]) -> list[str]:
    """Return the label with this name, else the labels that begin with it, else those that contain it; ignore case."""
    name = wanted.strip().casefold()
    if not name:
        return []
    tests: list[Callable[[str], bool]] = [
        lambda label: label == wanted.strip(),
        lambda label: label.casefold() == name,
        lambda label: label.casefold().startswith(name),
        lambda label: name in label.casefold(),
    ]
    return next((found for test in tests if (found := [label for label in labels if test(label)])), [])


class _Page:
    """Lay out a question in lines of at most 80 columns. Show a long text in parts."""

    def __init__(self, asking: Asking, question: Question) -> None:
        self._asking = asking
        self._question = question
        size = shutil.get_terminal_size((_WIDTH, 0))
        self._width = max(20, min(_WIDTH, size.columns))
        self._offered = self._offers()
        self._room = size.lines - len(self._offered) - _BELOW if sys.stdin.isatty() and size.lines else None
        self.rest: list[str] = []
        """Lines of the text that are not shown yet."""

    def show(self) -> None:
        asking = self._asking
        number = min(asking.given + 1, asking.count)
        _say()
        self._print(f"{number} of {asking.count}  {asking.form.task}, asked of {asking.annotator}")
        _say("-" * self._width)
        self.rest = self._text()
        self.show_more()

    def show_more(self) -> None:
        """Print the next part of the text, and the possible answers below it."""
        room = len(self.rest) if self._room is None else max(self._room, _LEAST_LINES)
        if len(self.rest) <= room + 2:  # do not page for a line or two
            room = len(self.rest)
        for line in self.rest[:room]:
            _say(line)
        self.rest = self.rest[room:]
        _say("-" * self._width)
        for line in self._offered:
            _say(line)
        self.prompt()

    def prompt(self) -> None:
        more = f"m {len(self.rest)} more lines  " if self.rest else ""
        correct = "e edit  " if self._asking.correctable else ""
        _say(f"{more}{correct}s skip  u undo  n not a sample  q quit >", end=" ")

    def _text(self) -> list[str]:
        fields = self._question.fields
        lines: list[str] = []
        for name, text in fields:
            title = f"{name}: " if len(fields) > 1 else ""
            lines += wrapped(f"{title}{text}", self._width, "  " if title else "")
        return lines

    def _offers(self) -> list[str]:
        labels, meanings = self._question.labels, self._asking.form.labels
        lines = [line for said in self._question.said for line in wrapped(f"answered  {said}", self._width, "  ")]
        if not labels:
            return [*lines, "Is this a good sample?  y yes  n no"]
        for number, label in enumerate(labels[:KEYS], start=1):
            meaning = f": {meanings[label]}" if meanings.get(label) else ""
            lines += wrapped(f"{number}  {label}{meaning}", self._width, "   ")
        if len(labels) > KEYS:
            lines.append(f"/  another of the {len(labels)} labels, by the beginning of its name")
        return lines

    def _print(self, text: str) -> None:
        for line in wrapped(text, self._width):
            _say(line)


def _say(text: str = "", end: str = "\n") -> None:
    print(clean(text), end=end, flush=True)
