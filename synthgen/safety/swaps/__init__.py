"""Swap words about people in English and Chinese texts: pronouns, first names of women and men, names of other origins.

A text and its swapped copy differ only in whom they are about. A fair student answers both alike.
"""

from synthgen.safety.swaps.swapping import KINDS, Swap, about, swapped

__all__ = ["KINDS", "Swap", "about", "swapped"]
