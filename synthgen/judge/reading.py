"""Read a distribution over the options from the logprobs of a constrained answer, usually of one token."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from synthgen.records import Completion

_LEAST_PRIOR = 4


def option_probabilities(completion: Completion, options: Sequence[str]) -> dict[str, float] | None:
    """Return probabilities over `options` from the alternatives of each token in a greedy answer. They sum to 1.

    A token's mass goes to the option that begins with it. When several options begin with it and the answer continued
    with this token, the alternatives of the next token distinguish them. When there is no next token, the mass goes to
    the option that the answer named, else it is shared. When no token matches an option, because tokens are parts of
    characters, the probability of the whole answer is used. Return None when nothing can be read: no logprobs, NaN, or
    no mass on any option.
    """
    if not completion.logprobs:
        return None
    mass = dict.fromkeys(options, 0.0)
    said, left = "", 1.0
    for place in completion.logprobs:
        if any(math.isnan(logprob) for logprob in place.values()):
            return None
        shares = {token: left * math.exp(min(logprob, 0.0)) for token, logprob in place.items() if token}
        begun = {token: _begun(tuple(options), f"{said}{token}") for token in shares}
        on = [token for token in shares if len(begun[token]) > 1 and completion.text.startswith(f"{said}{token}")]
        taken = max(on, key=lambda token: shares[token], default=None)
        for token, found in begun.items():
            for option in found if token != taken else ():
                mass[option] += shares[token] / len(found)
        if taken is None:
            left -= sum(shares[token] for token, found in begun.items() if found)
            ended = [said] if said == completion.text else []  # the answer, if it ends here
            break
        said, left = f"{said}{taken}", shares[taken]
    else:
        ahead = [option for option in options if option.startswith(said)]
        ended = [completion.text] if completion.text in ahead else ahead
    for option in ended:
        mass[option] = mass.get(option, 0.0) + max(0.0, left) / len(ended)
    total = sum(mass[option] for option in options)
    if total > 1e-6:
        return {option: mass[option] / total for option in options}
    return _path_probabilities(completion, options)


@lru_cache(4096)  # the same few answers recur
def _begun(options: tuple[str, ...], beginning: str) -> list[str]:
    return [option for option in options if option.startswith(beginning)]


def _path_probabilities(completion: Completion, options: Sequence[str]) -> dict[str, float] | None:
    """Return the probability of the whole answer for the option that it names. The other options share the rest."""
    if completion.text not in options or not all(completion.logprobs):
        return None
    if any(math.isnan(logprob) for place in completion.logprobs for logprob in place.values()):
        return None
    path = math.exp(sum(min(max(place.values()), 0.0) for place in completion.logprobs))
    rest = (1 - path) / max(1, len(options) - 1)
    return {option: path if option == completion.text else rest for option in options}


def ambiguous_mass(completion: Completion, options: Sequence[str]) -> float:
    """Return the probability of first tokens that begin more than one option."""
    first = completion.logprobs[0] if completion.logprobs else {}
    return sum(
        math.exp(logprob)
        for token, logprob in first.items()
        if token and sum(option.startswith(token) for option in options) > 1
    )


def calibrated(probabilities: Mapping[str, float], prior: Mapping[str, float]) -> dict[str, float]:
    """Calibrate in context (Zhao et al. 2021): divide the probabilities by `prior`, the answer to a text without content.

    Prior probabilities have a lower bound of a fourth of chance. Without it, the quotient of a very small prior would
    be noise, and that option would win every time.
    """
    least = 1 / (_LEAST_PRIOR * len(probabilities))
    raw = {option: share / max(prior[option], least) for option, share in probabilities.items()}
    total = sum(raw.values())
    return {option: share / total for option, share in raw.items()}


def expectation(probabilities: Mapping[str, float]) -> float:
    """Return the expected value of numeric options."""
    return sum(float(option) * share for option, share in probabilities.items())
