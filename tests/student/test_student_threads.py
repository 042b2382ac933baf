"""A student is made with all cores, whatever another library left behind."""

import os

import pytest

from synthgen.student.training import use_all_cores


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core is all there is")
def test_an_index_that_turned_openmp_down_does_not_slow_the_student(monkeypatch: pytest.MonkeyPatch) -> None:
    import faiss
    import torch

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    faiss.omp_set_num_threads(1)
    use_all_cores()
    assert torch.get_num_threads() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    use_all_cores()
    assert torch.get_num_threads() == 1
