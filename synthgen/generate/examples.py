"""Make the training data for a generator's adapter: few-shot prompts as a run sends them, answered with seeds not
shown."""

import random
from collections import defaultdict
from collections.abc import Sequence

from synthgen.generate.foils import foils
from synthgen.generate.strategies.fewshot import FewShot
from synthgen.records import AdapterExample, Sample

GENERATE = "generate"


def exchanges(
    strategy: FewShot, seeds: Sequence[Sample], held_out: Sequence[Sample], prompts: int, items: int, seed: int
) -> list[AdapterExample]:
    """Return `prompts` conversations for every seed, each with other demonstrations, and one for each of `held_out`.

    The demonstrations are training seeds, as in the first prompts of a run, and seeds of other labels precede them. A
    seed that is the only one of its label gets no conversation, because there are no demonstrations for it. A reply of
    several items contains further seeds of the label.
    """
    rng = random.Random(f"{seed}/adapter")
    by_label: dict[str | None, list[Sample]] = defaultdict(list)
    for sample in seeds:
        by_label[sample.label].append(sample)
    found = []
    for target, times in [*((sample, prompts) for sample in seeds), *((sample, 1) for sample in held_out)]:
        kin = [sample for sample in seeds if sample.label == target.label and sample.id != target.id]
        for _ in range(times if len(kin) >= items else 0):
            more = rng.sample(kin, items - 1)
            others = [sample for sample in kin if sample not in more]
            shown = foils(rng, strategy.foils, by_label, target.label)
            shown += rng.sample(others, min(strategy.demonstrations, len(others)))
            found.append(
                AdapterExample(
                    kind=GENERATE,
                    row=target.id,
                    messages=strategy.prompting.messages(target.label, shown),
                    answer=strategy.prompting.reply([target, *more]),
                    stratum=target.label or "",
                )
            )
    return found
