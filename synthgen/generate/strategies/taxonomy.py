"""Ask for samples about the leaves of a tree of topics, which the model or a person wrote before the first slot.

`synthgen.generate.growing` asks the model for the tree; `synthgen.generate.topics` reads and writes it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from synthgen.errors import ConfigError
from synthgen.generate.growing import Grower
from synthgen.generate.part import WHOLE, ShardPart
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import check_shown
from synthgen.generate.strategy import Asking, Resources
from synthgen.generate.topics import DEEPEST, Leaf, Topics, from_json
from synthgen.records import Json, PlannedSlot, Sample

LEAF = "leaf"
"""Key of `given` that holds the topics from the top of the tree to the leaf that a slot asks for."""
_MOST_WIDTH, _MOST_LEAVES = 50, 5000
_KEPT_ORDERS = 256


@dataclass
class TaxonomyConfig:
    depth: int = 2
    """Levels of topics below each label, or below the task if it has no labels."""
    width: int = 5
    """Topics below each label and below each topic that is not a leaf. A tree has up to width ** depth leaves."""
    similarity: float = 0.85
    """Drop a topic whose embedding has this cosine or more to another topic of its label."""
    tree: str | None = None
    """YAML file with the topics, as `synthgen taxonomy --out FILE` writes it. null lets the model write them at the
    start of the run."""
    demonstrations: int = 4
    """Number of demonstrations in each prompt, as for `fewshot`. They may be about other topics."""
    foils: int = 3
    """Number of seeds of other labels, each of a different label, shown before the demonstrations as a contrast. Only
    for classification with one item per request."""

    def __post_init__(self) -> None:
        check_shown("generate.taxonomy", self.demonstrations, self.foils)
        if not 1 <= self.depth <= DEEPEST:
            raise ConfigError(f"generate.taxonomy.depth: must be from 1 to {DEEPEST}, got {self.depth}")
        if not 2 <= self.width <= _MOST_WIDTH:
            raise ConfigError(f"generate.taxonomy.width: must be from 2 to {_MOST_WIDTH}, got {self.width}")
        if (leaves := self.width**self.depth) > _MOST_LEAVES:
            raise ConfigError(
                f"generate.taxonomy: width {self.width} and depth {self.depth} give {leaves} leaves below each label, and at "
                f"most {_MOST_LEAVES} are possible; lower one of them"
            )
        if not 0 < self.similarity <= 1:
            raise ConfigError(f"generate.taxonomy.similarity: must be above 0 and at most 1, got {self.similarity}")


class Taxonomy:
    """Ask for the leaves of each label's tree in turn, and show samples as few-shot does.

    Slots of a group show the same samples and ask for different leaves, which stand at the end of the prompt.
    """

    name = "taxonomy"
    starts_without_seeds = True

    def __init__(
        self, cfg: TaxonomyConfig, prompting: Prompting, seed: int, tree: Topics | None = None, part: ShardPart = WHOLE
    ) -> None:
        """Prepare to ask for the leaves of `tree`; if it is None, `begin` asks the model for a tree."""
        self._prompting = prompting
        self._demonstrations = cfg.demonstrations
        self._foils = prompting.foils(cfg.foils)
        self._seed = seed
        self._part = part
        self._tree = tree
        self._grower = Grower(prompting, cfg.depth, cfg.width, cfg.similarity)
        self.grammars = (prompting.grammar,) if tree is not None else (prompting.grammar, self._grower.grammar)
        self._grower.messages(next(iter(prompting.task.labels), None), ())  # finds a faulty prompt file now
        labels: list[str | None] = [*prompting.task.labels] or [None]
        self._use(tree or Topics({label: [("topic",) * cfg.depth] for label in labels}))

    async def begin(self, resources: Resources) -> Json:
        tree = self._tree if self._tree is not None else await self._grower.grow(resources)
        return tree.to_json()

    async def restore(self, found: Json, resources: Resources) -> None:  # noqa: ARG002
        self._use(from_json(found))

    def _use(self, topics: Topics) -> None:
        self._topics = topics
        self._order = lru_cache(_KEPT_ORDERS)(self._shuffled)
        leaves = [leaf for found in topics.leaves.values() for leaf in found]
        self._longest = self._wish(max(leaves, key=lambda leaf: len("".join(leaf))))

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        shown = pool.draw(rng, self._demonstrations, group.label, group.horizon)
        foils = pool.foils(rng, self._foils, group.label)
        slots = self._prompting.slots(group, self.name, [*foils, *shown], wish=self._longest)
        return [
            slot.model_copy(update={"given": {LEAF: list(self._leaf(group.label, self._part.nth(number)))}})
            for number, slot in enumerate(slots, group.earlier)
        ]

    def _leaf(self, label: str | None, number: int) -> Leaf:
        """Return the leaf for slot `number`, counted from 0, of those that ask for `label`: all in turn, shuffled anew."""
        repetition, place = divmod(number, len(self._topics.of(label)))
        return self._order(label, repetition)[place]

    def _shuffled(self, label: str | None, repetition: int) -> list[Leaf]:
        leaves = self._topics.of(label)
        return random.Random(f"{self._seed}/taxonomy/{label}/{repetition}").sample(leaves, len(leaves))

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        completion = yield self._prompting.request(planned, shown, self._wish(planned.given[LEAF]))
        return self._prompting.candidates(planned, completion, shown)

    def _wish(self, leaf: Sequence[str]) -> str:
        """Return the line that asks for a leaf; an empty text for a label without topics."""
        return self._prompting.prompts.render(self.name, "wish", path=list(leaf)) if leaf else ""
