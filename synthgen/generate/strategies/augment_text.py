"""Change the words of a sample by rule, without a model; entities keep their places, or are replaced as a whole."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synthgen.errors import ConfigError
from synthgen.generate.edits import EDITS, Material, free_words, join, split, times
from synthgen.generate.entities import Entities
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting
from synthgen.generate.rewriting import rewriting_slots, spread
from synthgen.generate.spans import span_fields
from synthgen.generate.strategy import Asking, Resources
from synthgen.generate.thesaurus import Synonyms, read_thesaurus
from synthgen.records import Json, PlannedSlot, Sample

_ENTITY, _SYNONYM = "entity", "synonym"
_WHOLE = ("case", "spoken")  # changed once in a text, however long it is


@dataclass
class WeightsConfig:
    """Hold the weight of each operation. It is chosen in proportion to its weight; 0 leaves it out."""

    synonym: float = 2.0
    """Replace a word by a synonym. Needs `generate.augment_text.thesaurus`."""
    insert: float = 1.0
    """Insert a word of a seed with the same label."""
    delete: float = 1.0
    """Delete a word."""
    swap: float = 1.0
    """Swap two words."""
    replace: float = 1.0
    """Replace a word by one of a seed with the same label."""
    keyboard: float = 0.5
    """Mistype a word."""
    case: float = 0.5
    """Write the text in lower case, or one word in capitals."""
    spoken: float = 1.0
    """Write a number in words, and contract or expand verbs, such as `do not` (English)."""
    entity: float = 4.0
    """Replace an entity by one of the same type from another seed, in tasks with a check `spans` or `offsets`."""


@dataclass
class StrengthsConfig:
    """Hold the share of a text's words that an operation changes, from 0 to 1, at least one word."""

    synonym: float = 0.2
    """Share of words replaced by synonyms."""
    insert: float = 0.15
    """Inserted words as a share of the text's words."""
    delete: float = 0.15
    """Share of words deleted."""
    swap: float = 0.15
    """Share of words swapped."""
    replace: float = 0.15
    """Share of words replaced by others."""
    keyboard: float = 0.1
    """Share of words mistyped."""
    entity: float = 1.0
    """Share of entities replaced."""


@dataclass
class AugmentTextConfig:
    operations: int = 3
    """Number of different operations on each sample."""
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    """Weight with which each operation is chosen."""
    strengths: StrengthsConfig = field(default_factory=StrengthsConfig)
    """Share of the words that each operation changes."""
    thesaurus: str | None = None
    """Folder with WordNet's database files (Debian's package wordnet-base installs /usr/share/wordnet), or a text file
    with a group of synonyms in each line. null leaves synonyms out."""
    fields: list[str] = field(default_factory=list)
    """Text fields to change. Without it, the text fields of `task.input`, in classification and extraction."""

    def __post_init__(self) -> None:
        key = "generate.augment_text"
        if self.operations < 1:
            raise ConfigError(f"{key}.operations: must be 1 or more, got {self.operations}")
        for name, weight in vars(self.weights).items():
            if not 0 <= weight < float("inf"):
                raise ConfigError(f"{key}.weights.{name}: must be a number of 0 or more, got {weight}")
        for name, strength in vars(self.strengths).items():
            if not 0 < strength <= 1:
                raise ConfigError(f"{key}.strengths.{name}: must be above 0 and at most 1, got {strength}")


class AugmentText:
    """Change one sample in each slot. Its label and the other fields stay, so the changes must not alter the meaning."""

    name = "augment_text"
    grammars = ()

    def __init__(self, cfg: AugmentTextConfig, prompting: Prompting, seeds: Sequence[Sample], seed: int) -> None:
        self._cfg = cfg
        self._prompting = prompting
        self._task = task = prompting.task
        self._seed = seed
        self._fields = self._checked_fields()
        spans = span_fields(task)
        self._entities = Entities(spans, seeds)
        self._synonyms: Synonyms = lambda _: ()
        if cfg.thesaurus is not None:
            self._synonyms = read_thesaurus(Path(cfg.thesaurus), task.language)
        left_out = {_SYNONYM} if cfg.thesaurus is None else set()
        left_out |= set() if spans else {_ENTITY}
        self._weights = {name: w for name, w in vars(cfg.weights).items() if w and name not in left_out}
        if not self._weights:
            raise ConfigError(
                f"generate.augment_text.weights: no operation is left for task {task.name}; set a weight above 0, such as "
                "generate.augment_text.weights.swap=1"
            )
        self._vocabulary = self._vocabularies(seeds)
        """Words of the seeds by label and field."""

    def _checked_fields(self) -> list[str]:
        task, key = self._task, "generate.augment_text.fields"
        texts = [name for name, part in task.schema["properties"].items() if part.get("type") == "string"]
        texts = [name for name in texts if name in task.free_fields]
        for name in self._cfg.fields:
            if name not in texts:
                raise ConfigError(f"{key}: '{name}' is no text field of task {task.name} (it has: {', '.join(texts)})")
        if self._cfg.fields:
            return list(self._cfg.fields)
        if task.kind not in ("classification", "extraction"):
            raise ConfigError(
                f"{key}: task {task.name} is of kind {task.kind}, where another input may need another answer; name the "
                f"fields that may change ({', '.join(texts)}), or choose another strategy, such as generate=fewshot"
            )
        found = [name for name in task.input if name in texts]
        if not found:
            raise ConfigError(f"{key}: task.input of {task.name} has no text field; choose another strategy")
        return found

    async def begin(self, resources: Resources) -> Json:
        """Tell the user that synonyms are left out."""
        if self._cfg.thesaurus is None and self._cfg.weights.synonym:
            resources.say(
                "hint: augment_text replaces no words by synonyms, because it has no thesaurus; set "
                "generate.augment_text.thesaurus, such as to /usr/share/wordnet of Debian's package wordnet-base"
            )
        return {}

    async def restore(self, found: Json, resources: Resources) -> None:  # noqa: ARG002
        return None

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        drawn = pool.draw(rng, group.size, group.label, group.horizon)
        fitting = [
            one for one in drawn if group.label is None or self._task.asked_of(one.data, group.label) == group.label
        ]
        return rewriting_slots(group, self.name, spread(fitting, group.size))

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        yield from ()
        if not shown:  # no sample has the label
            return []
        rng = random.Random(f"{self._seed}/{self.name}/{planned.slot}")
        chosen = self._operations(rng)
        data, donors = shown[0].data, list[str]()
        if _ENTITY in chosen:
            data, donors = self._entities.replaced(data, self._cfg.strengths.entity, rng)
        for name in self._fields:
            if isinstance(data.get(name), str):
                data = self._edited(data, name, [one for one in chosen if one != _ENTITY], rng, planned.label)
        given = {"operations": chosen, **({"entities_from": sorted(set(donors))} if donors else {})}
        return [self._prompting.candidate(planned, shown, data, given=given, template="")]

    def _operations(self, rng: random.Random) -> list[str]:
        """Choose different operations by weight, in the order of the config."""
        left, chosen = dict(self._weights), list[str]()
        while left and len(chosen) < self._cfg.operations:
            (name,) = rng.choices(list(left), list(left.values()))
            chosen.append(name)
            del left[name]
        return [name for name in vars(self._cfg.weights) if name in chosen]

    def _edited(self, data: Json, name: str, chosen: Sequence[str], rng: random.Random, label: str | None) -> Json:
        """Return the sample with one text field changed."""
        words, glue = split(data[name], self._entities.locked(data, name))
        spans = set(self._entities.words(data))
        vocabulary = [word for word in self._vocabulary.get((label, name), ()) if word.lower() not in spans]
        material = Material(vocabulary, self._synonyms, self._task.language)
        for operation in chosen:
            strength = getattr(self._cfg.strengths, operation, None)
            for _ in range(1 if operation in _WHOLE or strength is None else times(strength, words)):
                words = EDITS[operation](words, material, rng)
        return {**data, name: join(words, glue)}

    def _vocabularies(self, seeds: Sequence[Sample]) -> dict[tuple[str | None, str], list[str]]:
        """Return the words of each label's seeds by field. A label without seeds gets the words of all seeds."""
        found = {}
        for label in self._task.asked or (None,):
            own = [one for one in seeds if label is None or self._task.asked_of(one.data, label) == label] or seeds
            for name in self._fields:
                found[label, name] = [word for one in own for word in self._free_words(one.data, name)]
        return found

    def _free_words(self, data: Json, name: str) -> list[str]:
        """Return the words of a text field that belong to no entity: another text would have them without a span."""
        return free_words(data[name], self._entities.locked(data, name)) if isinstance(data.get(name), str) else []
