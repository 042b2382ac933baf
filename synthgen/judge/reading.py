"""From the logprobs of a constrained one-token answer to a distribution over its options."""

import math
from collections.abc import Mapping, Sequence

from synthgen.records import Completion


def option_probabilities(completion: Completion, options: Sequence[str]) -> dict[str, float] | None:
    """Probabilities over `options` from the first token's alternatives, summing to 1.

    A token counts for the options that it begins. Where it begins several, its mass goes to the
    one that the whole answer named, or else is shared. Where no first token can be read, because
    tokens are parts of characters, the path of the whole answer counts. None when nothing can be
    read: no logprobs, NaN, or no mass on any option.
    """
    if not completion.logprobs:
        return None
    mass = dict.fromkeys(options, 0.0)
    for token, logprob in completion.logprobs[0].items():
        if math.isnan(logprob):
            return None
        begun = [option for option in options if token and option.startswith(token)]
        if len(begun) > 1 and completion.text in begun:
            begun = [completion.text]
        for option in begun:
            mass[option] += math.exp(min(logprob, 0.0)) / len(begun)
    total = sum(mass.values())
    if total > 1e-6:
        return {option: share / total for option, share in mass.items()}
    return _path_probabilities(completion, options)


def _path_probabilities(completion: Completion, options: Sequence[str]) -> dict[str, float] | None:
    """From a greedy answer that names an option: its path's probability, the rest shared by the others."""
    if completion.text not in options or not all(completion.logprobs):
        return None
    if any(math.isnan(logprob) for place in completion.logprobs for logprob in place.values()):
        return None
    path = math.exp(sum(min(max(place.values()), 0.0) for place in completion.logprobs))
    rest = (1 - path) / max(1, len(options) - 1)
    return {option: path if option == completion.text else rest for option in options}


def ambiguous_mass(completion: Completion, options: Sequence[str]) -> float:
    """How much probability lies on first tokens that begin more than one option."""
    first = completion.logprobs[0] if completion.logprobs else {}
    return sum(
        math.exp(logprob)
        for token, logprob in first.items()
        if token and sum(option.startswith(token) for option in options) > 1
    )


def calibrated(probabilities: Mapping[str, float], prior: Mapping[str, float]) -> dict[str, float]:
    """Contextual calibration (Zhao et al. 2021): divided by the answer to a text without content."""
    raw = {option: share / max(prior[option], 1e-6) for option, share in probabilities.items()}
    total = sum(raw.values())
    return {option: share / total for option, share in raw.items()}


def expectation(probabilities: Mapping[str, float]) -> float:
    """The mean of numeric options."""
    return sum(float(option) * share for option, share in probabilities.items())
