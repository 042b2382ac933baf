"""Plant the known generator's faults: their shares, and how a text is paraphrased or cut off.

Word lists are English. A text in a script without spaces between words is paraphrased only by swaps.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, fields

from synthgen.errors import ConfigError
from synthgen.generate.edits import join, split

GOOD, WRONG, NEAR, COPY = "good", "wrong_label", "near_duplicate", "copy"
OFF_TASK, CUT_OFF, RUN_OUT = "off_task", "cut_off", "run_out"
KINDS = (GOOD, WRONG, NEAR, COPY, OFF_TASK, CUT_OFF)

_BEFORE = ("please", "hi,", "hello,", "hey,", "could you please", "kindly", "okay,", "so,")
_AFTER = ("please", "thanks", "thank you", "now", "if you can", "for me")
_SYNONYMS = {
    "a": "one", "an": "one", "the": "this", "this": "the", "that": "this", "my": "the", "your": "the", "i": "we",
    "can": "could", "could": "can", "will": "would", "would": "will", "want": "wish", "need": "want", "like": "want",
    "get": "obtain", "give": "hand", "show": "present", "find": "locate", "tell": "inform", "how": "in what way",
    "what": "which", "what's": "what is", "i'm": "i am", "don't": "do not", "can't": "cannot", "it's": "it is",
    "is": "was", "are": "were", "in": "within", "on": "upon", "for": "about", "to": "towards", "with": "using",
    "and": "plus", "but": "yet", "or": "and", "when": "while", "why": "for what reason", "not": "never",
    "new": "recent", "big": "large", "good": "nice", "best": "finest", "some": "a few", "many": "several",
    "help": "assist", "use": "employ", "using": "with", "make": "create", "start": "begin", "stop": "end",
    "play": "put on", "add": "put", "book": "reserve", "buy": "purchase", "money": "cash", "problem": "issue",
    "error": "fault", "please": "kindly", "there": "here", "from": "out of", "me": "us", "by": "through",
}  # fmt: skip
_DROPPED = frozenset("a an the please to of for in on at my me is are do does i you can could that it with".split())  # noqa: SIM905
_OPEN = frozenset("a an the and or but of to for with in on at by from my your".split())  # noqa: SIM905
_TRIES = 20


@dataclass(frozen=True)
class Faults:
    """Hold the shares of planted faults, from 0 to 1."""

    fidelity: float = 0.9
    """Share of new, whole rows that have the label asked for."""
    confusable: float = 0.5
    """Share of wrong labels that are the confusable label. The rest are any other label."""
    duplicates: float = 0.1
    """Share of all replies that paraphrase a row served before."""
    copies: float = 0.05
    """Share of all replies that repeat an earlier reply word for word."""
    off_task: float = 0.0
    """Share of all replies that are rows of another file."""
    cut_off: float = 0.05
    """Share of all replies that are cut off; half of them end as JSON, with finish_reason `stop`."""

    def __post_init__(self) -> None:
        for each in fields(self):
            option = "off-task-share" if each.name == "off_task" else each.name.replace("_", "-")
            check_share(option, getattr(self, each.name))
        if self.duplicates + self.copies + self.off_task + self.cut_off > 1:
            raise ConfigError("--duplicates, --copies, --off-task-share and --cut-off: must not be above 1 in sum")

    def fault(self, rng: random.Random) -> str | None:
        """Draw the fault of one reply, except for wrong labels; None for no fault."""
        drawn = rng.random()
        for kind, share in ((NEAR, self.duplicates), (COPY, self.copies), (OFF_TASK, self.off_task),
                            (CUT_OFF, self.cut_off)):  # fmt: skip
            if drawn < share:
                return kind
            drawn -= share
        return None


def check_share(option: str, value: float) -> None:
    """Raise ConfigError for an option's value that is not from 0 to 1."""
    if not 0 <= value <= 1:
        raise ConfigError(f"--{option}: must be from 0 to 1, got {value:g}")


def paraphrase(text: str, rng: random.Random, fits: Callable[[str], bool]) -> str | None:
    """Return `text` after one or two changes of words; None where no change fits the task."""
    for _ in range(_TRIES):
        words, glue = split(text)
        operations = (_swap,) if not glue else (_swap, _drop, _replace, _polite, _recase)
        for operation in rng.sample(operations, min(len(operations), rng.randint(1, 2))):
            words = operation(words, rng)
        changed = join(words, glue)
        if changed != text and fits(changed):
            return changed
    return None


def cut(text: str, rng: random.Random, fits: Callable[[str], bool]) -> str | None:
    """Return the beginning of `text`, up to an open word, a comma or the middle of a word; None where none fits."""
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    half = len(text) * 0.4
    after = [end for end, word in zip(ends[:-1], text.split(), strict=False) if _leaves_open(word) and end >= half]
    within = [end - rng.randint(2, 3) for end, word in zip(ends, text.split(), strict=True)
              if len(word) >= 6 and word.isalpha() and end - 3 >= half]  # fmt: skip
    places = [after, within] if rng.random() < 0.5 else [within, after]
    found = [place for listed in places for place in rng.sample(listed, len(listed))]
    return next((text[:place] for place in found if fits(text[:place])), None)


def _leaves_open(word: str) -> bool:
    return word.endswith(",") or word.lower() in _OPEN


def _swap(words: list[str], rng: random.Random) -> list[str]:
    if len(words) < 2:
        return words
    place = rng.randrange(len(words) - 1)
    return [*words[:place], words[place + 1], words[place], *words[place + 2 :]]


def _drop(words: list[str], rng: random.Random) -> list[str]:
    """Drop one or two function words, never all words."""
    places = [place for place, word in enumerate(words) if word.lower() in _DROPPED]
    gone = set(rng.sample(places, min(len(places), rng.randint(1, 2))))
    return [word for place, word in enumerate(words) if place not in gone] or words


def _replace(words: list[str], rng: random.Random) -> list[str]:
    places = [place for place, word in enumerate(words) if word.lower() in _SYNONYMS]
    chosen = set(rng.sample(places, min(len(places), rng.randint(1, 2))))
    return [_SYNONYMS[word.lower()] if place in chosen else word for place, word in enumerate(words)]


def _polite(words: list[str], rng: random.Random) -> list[str]:
    return [rng.choice(_BEFORE), *words] if rng.random() < 0.5 else [*words, rng.choice(_AFTER)]


def _recase(words: list[str], rng: random.Random) -> list[str]:
    """Change the case of the text, or how it ends."""
    match rng.randrange(4):
        case 0:
            return [word.lower() for word in words]
        case 1:
            return [word.capitalize() for word in words]
        case 2:
            return [*words[:-1], words[-1].rstrip(".!?") + rng.choice((".", "!", "?", "..."))]
        case _:
            return [word.upper() for word in words]
