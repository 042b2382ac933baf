"""Channel scoring: how likely the text is where each label is asked for, not how likely the label is where the text is shown.

Min et al., "Noisy Channel Language Model Prompting for Few-Shot Text Classification", ACL 2022. Each label has a conversation
that asks for a text of it, with its seeds as examples; the engine says how likely the text is as the next one. How likely
a text without content is there is taken off, and with it whatever the conversations themselves differ in.

A source of labels (`synthgen.labels`), asked where the others leave a doubt. It needs an engine that gives the log
probabilities of a prompt's tokens, and reads the whole prompt anew for every label it asks about.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError, EngineDeadError, FatalRequestError, RetryableError
from synthgen.records import SCORE, Candidate, Engine, Message, Request, Sample, Sampling, Verdict
from synthgen.tasks.task import Task

_REFERENCE = "N/A"
_SCALE = 0.3
"""Of the sum over a text's tokens, which are far from independent."""
_SAMPLING = Sampling(temperature=0.0, max_tokens=1)

Likely = Callable[[Candidate, int], Awaitable[Sequence[str] | None]]
"""The likeliest labels of a candidate, at most so many; None where there is no doubt about it."""


@dataclass
class ChannelConfig:
    enabled: bool = False
    """Ask how likely a text is where each of its likeliest labels is asked for, as one more source of labels. A prompt a
    label, read whole; engine=vllm, vllm_inprocess or transformers, or endpoints that give prompt_logprobs."""
    labels: int = 4
    """How many of a text's likeliest labels are asked about."""
    shots: int = 2
    """Seeds of the label shown before the text."""

    def __post_init__(self) -> None:
        if self.labels < 2:
            raise ConfigError(f"judge.channel.labels: must be 2 or more, got {self.labels}")
        if self.shots < 0:
            raise ConfigError(f"judge.channel.shots: must be 0 or more, got {self.shots}")


class ChannelCheck:
    """Rejects nothing; its verdict's details are the probabilities of the labels that were asked about.

    Call `ready` before the first candidate.
    """

    name = "channel"

    def __init__(
        self,
        task: Task,
        cfg: ChannelConfig,
        prompts: Prompts,
        seeds: Sequence[Sample],
        engine: Engine,
        likely: Likely,
        adapter: str | None = None,
    ) -> None:
        self._task = task
        self._cfg = cfg
        self._engine = engine
        self._likely = likely
        self._adapter = adapter
        self._heads = {label: self._head(prompts, seeds, label) for label in task.labels}
        self._known: Mapping[str, float] = {}

    async def ready(self) -> None:
        """Asks each label about a text without content. Raises EngineDeadError where the engine does not say."""
        labels = list(self._heads)
        found = await asyncio.gather(
            *(self._ask(f"-1/channel/{i}", label, _REFERENCE) for i, label in enumerate(labels))
        )
        if any(score is None for score in found):
            raise EngineDeadError(
                "judge.channel: the engine gives no log probabilities of a prompt; have the endpoint answer prompt_logprobs, "
                "or set judge.channel.enabled=false"
            )
        self._known = {label: score for label, score in zip(labels, found, strict=True) if score is not None}

    async def __call__(self, candidate: Candidate) -> Verdict:
        labels = await self._likely(candidate, self._cfg.labels)
        if labels is None:
            return Verdict(check=self.name)
        text, place = self._task.input_text(candidate.data or {}), f"{candidate.slot}.{candidate.item}/channel"
        index = {label: number for number, label in enumerate(self._heads)}
        found = await asyncio.gather(*(self._ask(f"{place}/{index[label]}", label, text) for label in labels))
        if any(score is None for score in found):
            return Verdict(check=self.name, outcome="unscored", reason="unscored")
        logits = [
            _SCALE * (score - self._known[label])
            for label, score in zip(labels, found, strict=True)
            if score is not None
        ]
        powers = [math.exp(logit - max(logits)) for logit in logits]
        shares = {label: round(power / sum(powers), 4) for label, power in zip(labels, powers, strict=True)}
        details = {"probabilities": shares, "answer": max(shares, key=lambda label: shares[label])}
        return Verdict(check=self.name, score=shares.get(candidate.label or ""), details=details)

    async def _ask(self, request_id: str, label: str, text: str) -> float | None:
        """The log probability of the label's conversation with `text` as its end; None where there is no answer."""
        messages = (*self._heads[label], Message(role="assistant", content=text))
        request = Request(id=request_id, messages=messages, sampling=_SAMPLING, adapter=self._adapter, scored=True)
        try:
            completion = await self._engine.complete(request)
        except (FatalRequestError, RetryableError):
            return None
        score = completion.logprobs[0].get(SCORE) if completion.logprobs else None
        return score if score is not None and math.isfinite(score) else None

    def _head(self, prompts: Prompts, seeds: Sequence[Sample], label: str) -> tuple[Message, ...]:
        ask = Message(role="user", content=prompts.render("label", "channel_ask", task=self._task, label=label))
        messages = [Message(role="system", content=prompts.render("label", "channel_system", task=self._task)), ask]
        for seed in [seed for seed in seeds if seed.label == label][: self._cfg.shots]:
            messages += [Message(role="assistant", content=self._task.input_text(seed.data)), ask]
        return tuple(messages)
