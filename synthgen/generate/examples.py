"""What a generator's adapter is trained on: the few-shot prompts that a run sends, answered with seeds they do not show."""

import random
from collections import defaultdict
from collections.abc import Sequence

from synthgen.generate.fewshot import FewShot
from synthgen.generate.foils import foils
from synthgen.records import Exchange, Sample

GENERATE = "generate"


def exchanges(
    strategy: FewShot, seeds: Sequence[Sample], held_out: Sequence[Sample], prompts: int, items: int, seed: int
) -> list[Exchange]:
    """Return `prompts` conversations for every seed, each with other demonstrations; one for each of `held_out`.

    Demonstrations are seeds that are trained on, as a run's first prompts have them. A seed that is the only one of its
    label has none to be shown with, and is not asked for. A reply of several items has further seeds of the label.
    Seeds of other labels stand before them, as in a run.
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
                Exchange(
                    kind=GENERATE,
                    row=target.id,
                    messages=strategy.prompting.messages(target.label, shown),
                    answer=strategy.prompting.reply([target, *more]),
                    stratum=target.label or "",
                )
            )
    return found
