"""Find words of word lists and phrases of prompt injection in texts, and name the categories of harm.

Word lists and English injection patterns come from the package glin-profanity (MIT), where others keep them.
"""

from synthgen.safety.harm.categories import CATEGORIES
from synthgen.safety.harm.injection import SEVERITIES, InjectionFinder, may_order
from synthgen.safety.harm.words import LANGUAGES, WordFinder

__all__ = ["CATEGORIES", "LANGUAGES", "SEVERITIES", "InjectionFinder", "WordFinder", "may_order"]
