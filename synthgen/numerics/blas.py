"""Run linear algebra on one core, because matrices here are small and the engine needs the other cores.

BLAS on several threads waits for the slowest thread. Beside a busy engine, that took 40 times as long as one thread.
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
    """Find the loaded BLAS libraries once, because finding them takes milliseconds.

    NumPy and SciPy each bring their own library. Both are imported first, because a library that is loaded later would
    not be limited.
    """
    import numpy  # noqa: F401
    import scipy.optimize  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
