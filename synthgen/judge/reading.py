"""Read a distribution over the options from the logprobs of a constrained answer, usually of one token."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from synthgen.records import Completion

_LEAST_PRIOR = 4
_BEGINNINGS = " \t\n\r\u2581\u0120\u010a"  # white space, also in the notation of SentencePiece and byte-level BPE
_AROUND = " \t\n\r\"'`*.:;,!()[]"


def option_probabilities(completion: Completion, options: Sequence[str]) -> dict[str, float] | None:
    """Return probabilities over `options`, as `_exact_probabilities` does.

    When the answer matches no option exactly, such as " business" or "Business", ignore white space, its notation by
    tokenizers, and case.
    """
    written = completion.text
    if not written or any(option.startswith(written) or written.startswith(option) for option in options):
        return _exact_probabilities(completion, options)
    folded = {_fold(option): option for option in options}
    if len(folded) < len(options):  # two options differ in case only
        folded = {option: option for option in options}
    places = list(completion.logprobs)
    while len(places) > 1 and not _fold(max(places[0], key=lambda token: places[0][token], default="")):
        places.pop(0)  # drops a token that is only white space
    first = [_merged(place, strip=number == 0) for number, place in enumerate(places)]
    plain = completion.model_copy(update={"text": _fold(written), "logprobs": tuple(first)})
    found = _exact_probabilities(plain, list(folded))
    return None if found is None else {option: found[name] for name, option in folded.items()}


def named(text: str, options: Sequence[str]) -> str | None:
    """Return the option that an answer names, ignoring case: the answer equals it, or contains it and no other option.

    An option that is part of another contained option does not count. Return None when no single option is left.
    """
    plain = _fold(text.strip(_AROUND))
    same = [option for option in options if _fold(option) == plain]
    if len(same) == 1:
        return same[0]
    said = [option for option in options if re.search(rf"(?<!\w){re.escape(_fold(option))}(?!\w)", plain)]
    longest = [
        option for option in said if not any(option != other and _fold(option) in _fold(other) for other in said)
    ]
    return longest[0] if len(longest) == 1 else None


def _fold(text: str) -> str:
    return text.lstrip(_BEGINNINGS).casefold()


def _merged(place: Mapping[str, float], strip: bool) -> dict[str, float]:
    """Return the alternatives of a token with case folded. Add the probabilities of alternatives that become equal."""
    shares: dict[str, list[float]] = {}
    for token, logprob in place.items():
        shares.setdefault(_fold(token) if strip else token.casefold(), []).append(logprob)
    return {
        token: parts[0]
        if len(parts) == 1 or any(map(math.isnan, parts))
        else math.log(sum(map(math.exp, parts)) or 1e-300)
        for token, parts in shares.items()
    }


def _exact_probabilities(completion: Completion, options: Sequence[str]) -> dict[str, float] | None:
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
    said, left, known = "", 1.0, tuple(options)
    for place in completion.logprobs:
        if any(map(math.isnan, place.values())):
            return None
        shares = {token: left * math.exp(min(logprob, 0.0)) for token, logprob in place.items() if token}
        begun = {token: _begun(known, said + token) for token in shares}
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
    first, known = completion.logprobs[0] if completion.logprobs else {}, tuple(options)
    return sum(math.exp(logprob) for token, logprob in first.items() if token and len(_begun(known, token)) > 1)


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
