"""Test how long a person waits for the first question: the label model is fitted on one core."""

from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_info

from synthgen.cli import dispatch
from synthgen.labels import model
from synthgen.labels import pool as label_pool
from synthgen.ledger import Reader
from synthgen.run.labelling.accepted import Accepted


@pytest.mark.slow
def test_questions_are_chosen_on_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    assert dispatch(["run", "experiment=smoke", "diversity=minilm", f"run.dir={folder}", "budget.target=12"]) == 0
    threads: list[int] = []
    fit = model.regression

    def watched(*arguments: Any) -> Any:
        numpys = [pool for pool in threadpool_info() if "numpy.libs" in pool["filepath"]]
        threads.extend(pool["num_threads"] for pool in numpys)
        return fit(*arguments)

    monkeypatch.setattr(model, "regression", watched)
    monkeypatch.setattr(label_pool, "_LATEST", {})  # the run itself has left its fit there
    with Reader(folder / "ledger.sqlite") as reader:
        Accepted.read(reader)
    assert set(threads) == {1}
