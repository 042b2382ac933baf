"""Check that a model has rewritten a sample: the elimination rules of Evol-Instruct (Xu et al. 2023, WizardLM).

The wording of refusals and prompts is listed in English and Chinese. A rule does not apply where the sample that was
rewritten breaks it itself. Texts that only resemble that sample are left to the near-duplicate check.
"""

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from synthgen.filters.declared.base import KeyProblem
from synthgen.filters.declared.language import codes_of, other_than
from synthgen.records import LANGUAGE, PAIR, REWRITES, Candidate, CheckSpec, Json, Reason, Sample, Verdict
from synthgen.tasks.normal import normalise
from synthgen.tasks.scripts import UNSPACED
from synthgen.tasks.task import Task

_MOST_WORDS = 80
"""A refusal is shorter than this many words. In a script without spaces, each character is one."""
_REFUSAL = re.compile(
    r"\b(?:sorry|apologi[sz]e)\b.{0,60}\b(?:can't|cannot|can not|unable|not able|won't|not allowed)"
    r"|\b(?:can't|cannot|unable to) (?:help|assist|fulfil|comply|do that)"
    r"|\bas an? (?:ai|language model|assistant)\b"
    r"|(?:抱歉|对不起).{0,20}(?:不能|无法|没法|不可以)|作为一?[个名]?(?:AI|人工智能|语言模型)",
    re.I | re.S,
)
_PROMPT = re.compile(
    r"\b(?:given|rewritten|created|changed) (?:prompt|example|instruction)\b|\bnew example of\b"
    r"|\bchange (?:as few words of )?your example\b|\bkeep all other words\b|\bsay the same in\b"
    r"|(?:给定的?|改写后的?|修改后的?)(?:提示|样本|指令)|你的样本|其他字词保持不变",
    re.I,
)
_WORD = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")
_STOP_WORDS = frozenset(
    "a an and any are as at be been but by can could did do does for from had has have he her him his how i if in into is "  # noqa: SIM905
    "it its just me my of on one or our out shall she should so some than that the their them then there these they this "
    "those to too up very was we were what when where which who why will with would you your "
    "的 了 和 是 在 就 都 也 很 与 及 着 吗 呢 吧 啊 把 被 给 这 那 个".split()
)
"""Words without content. Words of negation are not among them, because they change what a text says."""


class Rewritten:
    """Reject a rewritten sample that is unchanged, is a refusal, or repeats the words of its prompt.

    Only candidates that a prompt rewrote are checked, and their language only if they were translated. `find` returns a
    sample by its id.
    """

    spec = CheckSpec(
        "rewritten",
        "A rewritten sample says something else than before, is no refusal, and does not repeat its prompt.",
        (
            Reason("unchanged", "has the same words as the sample that it rewrites"),
            Reason("refusal", "declines to rewrite a sample"),
            Reason("hollow", "has only punctuation and words without content"),
            Reason("prompt_words", "repeats words of the prompt that asked for it"),
            Reason("other_language", "is in another language than the task asks for"),
        ),
    )
    name = spec.name

    def __init__(self, task: Task, find: Callable[[str], Sample]) -> None:
        self._task = task
        self._find = find
        self._passed = Verdict(check=self.name)

    async def __call__(self, candidate: Candidate) -> Verdict:
        parent = candidate.given.get(REWRITES)
        if parent is None or not candidate.template:
            return self._passed
        data, before = candidate.data or {}, self._find(parent).data
        text, old = self._task.text(data), self._task.text(before)
        if PAIR not in candidate.given and _content(text) == _content(old):
            return self._no("unchanged", neighbour=parent)
        if not _content(self._task.input_text(data)):
            return self._no("hollow")
        if (
            LANGUAGE in candidate.given
            and self._languages
            and (found := other_than(self._languages, self._task.input_text(data)))
        ):
            return self._no("other_language", language=found, wanted=self._task.language)
        for name, value in self._written(data):
            if len(_words(value)) < _MOST_WORDS and (found := _new(_REFUSAL, value, old)):
                return self._no("refusal", field=name, phrase=found)
            if found := _new(_PROMPT, value, old):
                return self._no("prompt_words", field=name, phrase=found)
        return self._passed

    @cached_property
    def _languages(self) -> set[str]:
        """Return the codes of the task's language; empty where it cannot be identified."""
        try:
            return codes_of(self._task.language)
        except KeyProblem:
            return set()

    def _written(self, data: Json) -> Iterator[tuple[str, str]]:
        """Yield the name and the text of each field that is a non-empty string."""
        for name in self._task.free_fields:
            value: Any = data.get(name)
            if isinstance(value, str) and value.strip():
                yield name, value

    def _no(self, reason: str, **details: str) -> Verdict:
        return Verdict(check=self.name, outcome="reject", reason=reason, details=details)


def _new(pattern: re.Pattern[str], text: str, old: str) -> str:
    """Return the first match in `text`, unless the old text has one too; empty if there is none."""
    found = pattern.search(text)
    return found.group() if found is not None and pattern.search(old) is None else ""


def _content(text: str) -> list[str]:
    """Return the words of a text that carry content, in order."""
    return [word for word in _words(text) if word not in _STOP_WORDS]


def _words(text: str) -> list[str]:
    return _WORD.findall(normalise(text))
