"""Clean rows of any files before they become seeds or training data: repair, personal data, duplicates, outliers, splits.

Each step is one file, and a chain of steps reads rows one by one. Reading formats is left to `synthgen.tasks.rows`.
"""

from synthgen.prepare.chain import Preparation, prepare
from synthgen.prepare.inside import Cleaned, cleaned
from synthgen.prepare.settings import Settings, load

__all__ = ["Cleaned", "Preparation", "Settings", "cleaned", "load", "prepare"]
