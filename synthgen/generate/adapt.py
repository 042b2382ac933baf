"""Move the weights of a run's strategies towards those whose candidates are accepted and novel per token.

A `Mix` uses it where `generate.adapt` is true. The run keeps the weights in the ledger.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from synthgen.records import Json

_DRAWS = 200  # draws from the posteriors for each round
_KEPT = 0.9  # share of the statistics that a round keeps of those of the round before
_LEAST_COST = 0.1  # least cost of a candidate, as a share of the mean cost of all strategies' candidates


class SettledSlot(NamedTuple):
    """Hold the result of one settled slot."""

    strategy: str
    novelties: Sequence[float]
    """Novelty of each candidate if it was accepted, 0 if it was rejected."""
    tokens: int
    """Output tokens of the generator's requests."""


@dataclass
class _Arm:
    reward: float = 0.0
    """Sum of the novelty of accepted candidates."""
    trials: float = 0.0
    """Number of candidates. A slot without candidates counts as one rejected candidate."""
    tokens: float = 0.0


class Bandit:
    """Decide the strategies' shares for each round of slots with budgeted Thompson sampling.

    The arms are the strategies. The reward of a candidate is its novelty if it is accepted, and 0 if it is rejected.
    Its cost is the number of tokens that the generator wrote for it. Output tokens are counted, not computed tokens,
    because cached prompt tokens depend on timing, and a resumed run must make the same choices. For each draw, a
    strategy's mean reward is drawn from its Beta posterior. The strategy with the highest reward per token wins the
    draw. Its share of the draws is the probability that it is the best one (Xia et al., "Thompson Sampling for Budgeted
    Multi-armed Bandits", IJCAI 2015, https://arxiv.org/abs/1505.00146). Two things differ from the paper. The posterior
    is updated with the reward itself instead of a Bernoulli trial, and the mean cost is not drawn, because it varies
    little. Older rounds count for less, because novelty falls as the samples grow in number (discounted Thompson
    sampling, Raj and Kalyani, 2017, https://arxiv.org/abs/1707.09727).

    A round has `round_slots` slots. The first round has the configured `shares`. Later, every strategy keeps at least
    `floor` times its configured share, and the rest is divided by these probabilities. A group uses the shares of the
    round in which its horizon lies. They depend only on the slots before that round, the settings and `seed`.
    """

    def __init__(self, shares: Mapping[str, float], floor: float, round_slots: int, seed: int) -> None:
        self._configured = dict(shares)
        self._floor = floor
        self._round_slots = round_slots
        self._seed = seed
        self._arms = {name: _Arm() for name in shares}
        self._slots = 0
        self._keep: Callable[[list[Json]], object] = lambda _: None
        self.rounds: list[Json] = [{"slot": 0, "shares": self._configured}]
        """The shares of each round so far, with the first slot that they apply to."""

    def restore(self, slots: Iterable[SettledSlot], keep: Callable[[list[Json]], object]) -> None:
        """Take over the slots that earlier sessions settled. Give `rounds` to `keep` now and after each new round."""
        for slot in slots:
            self.settled(slot)
        self._keep = keep
        keep(self.rounds)

    def settled(self, slot: SettledSlot) -> None:
        """Count the next slot. Decide the shares of the next round when this slot is the last one of a round."""
        arm = self._arms.get(slot.strategy)
        if arm is not None:  # an earlier version may have had other strategies
            arm.reward += sum(min(1.0, max(0.0, novelty)) for novelty in slot.novelties)
            arm.trials += max(1, len(slot.novelties))
            arm.tokens += slot.tokens
        self._slots += 1
        if self._slots % self._round_slots == 0:
            self.rounds.append({"slot": self._slots, "shares": self._decided()})
            for arm in self._arms.values():
                arm.reward, arm.trials, arm.tokens = _KEPT * arm.reward, _KEPT * arm.trials, _KEPT * arm.tokens
            self._keep(self.rounds)

    def shares(self, horizon: int) -> Mapping[str, float]:
        """Return the shares for a group whose prompt may show samples from slots before `horizon`."""
        found: Mapping[str, float] = self.rounds[horizon // self._round_slots]["shares"]
        return found

    def _decided(self) -> dict[str, float]:
        rng = random.Random(f"{self._seed}/adapt/{len(self.rounds)}")
        costs = self._costs()
        wins = dict.fromkeys(self._arms, 0)
        for _ in range(_DRAWS):
            wins[max(self._arms, key=lambda name: _drawn(rng, self._arms[name]) / costs[name])] += 1
        floors = {name: self._floor * share for name, share in self._configured.items()}
        rest = 1 - sum(floors.values())
        return {name: floors[name] + rest * wins[name] / _DRAWS for name in self._arms}

    def _costs(self) -> dict[str, float]:
        """Return the mean tokens of a candidate of each strategy, with one candidate of mean cost as prior.

        A strategy that needs no model would otherwise win by being free alone, however few of its samples are accepted.
        """
        arms = self._arms.values()
        mean = max(1.0, sum(arm.tokens for arm in arms) / max(1.0, sum(arm.trials for arm in arms)))
        return {
            name: max((arm.tokens + mean) / (arm.trials + 1), _LEAST_COST * mean) for name, arm in self._arms.items()
        }


def _drawn(rng: random.Random, arm: _Arm) -> float:
    """Draw a strategy's mean reward from its posterior under a uniform prior."""
    return rng.betavariate(1 + arm.reward, 1 + arm.trials - arm.reward)
