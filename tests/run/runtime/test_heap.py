"""The garbage collector in a run: seldom, and as before when the run is over."""

import gc

import pytest

from synthgen.run.runtime.heap import seldom_collected


def test_what_was_there_before_a_run_is_not_looked_at_in_it() -> None:
    before = gc.get_threshold()
    with seldom_collected():
        assert gc.get_freeze_count() > 1_000
        assert gc.get_threshold()[0] > before[0]
    assert (gc.get_freeze_count(), gc.get_threshold()) == (0, before)


def test_a_run_that_fails_leaves_the_collector_as_it_was() -> None:
    before = gc.get_threshold()
    with pytest.raises(RuntimeError), seldom_collected():
        raise RuntimeError
    assert (gc.get_freeze_count(), gc.get_threshold()) == (0, before)
