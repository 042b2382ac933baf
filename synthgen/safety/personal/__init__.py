"""Find personal data in texts, and replace it: e-mail addresses, phone and card numbers, identity numbers, names.

The callers decide about a text with personal data.
"""

from synthgen.safety.personal.finding import FORMATTED, FREE, KINDS, Found, find, joined, masked
from synthgen.safety.personal.replacing import Pseudonyms, redacted, replaced

__all__ = ["FORMATTED", "FREE", "KINDS", "Found", "Pseudonyms", "find", "joined", "masked", "redacted", "replaced"]
