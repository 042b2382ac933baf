"""Linear algebra on one core: matrices here are small, and the cores belong to the engine.

BLAS on several threads waits for each of them. Beside a busy engine that took 40 times as long.
"""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


def one_core() -> AbstractContextManager[Any]:
    """Limit BLAS and LAPACK of NumPy and SciPy to the calling thread inside this context."""
    limited: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limited


@cache
def _controller() -> Any:
    """Looking for the libraries takes milliseconds, so it is done once; NumPy's and SciPy's own, which are two, are loaded
    by then: one that is loaded later would not be limited."""
    import numpy  # noqa: F401
    import scipy.optimize  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
