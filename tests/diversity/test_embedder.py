"""Embedding: unit vectors, and one call a batch however many ask at once."""

import asyncio
import pickle
import shutil
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthgen.diversity.batches import MicroBatches
from synthgen.diversity.embedder import DiversityConfig, Embedder, HashEncoder, ModelEncoder, Vectors, threads_of
from synthgen.engines import bundled
from synthgen.errors import ConfigError

Batches = MicroBatches[str, Vectors]


class Watched(HashEncoder):
    """The hashing encoder; keeps the batches, waits for `gate`, and fails while `error` is set."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(list(texts))
        assert self.gate.wait(5)
        if self.error:
            raise self.error
        return super().encode(texts)


@pytest.fixture
def encoder() -> Watched:
    return Watched()


@pytest.fixture
async def embedder(encoder: Watched) -> AsyncIterator[Embedder]:
    made = Embedder(encoder)
    yield made
    encoder.gate.set()
    made.close()


@pytest.fixture
def batches(embedder: Embedder) -> Batches:
    return MicroBatches(lambda texts: list(embedder.encode(texts)), embedder.thread, most=4)


def cosine(one: str, other: str) -> float:
    vectors = HashEncoder().encode([one, other])
    return float(vectors[0] @ vectors[1])


@pytest.mark.parametrize("text", ["The striker scored twice.", "a", "你好", "🎉", "\ud800"])
def test_a_hashed_text_is_a_unit_vector(text: str) -> None:
    vectors = HashEncoder().encode([text])
    assert vectors.shape == (1, 256)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-6)


def test_an_empty_text_is_near_nothing() -> None:
    assert not HashEncoder().encode([""]).any()
    assert cosine("", "The striker scored twice.") == 0


def test_texts_alike_in_letters_are_near_and_others_are_not() -> None:
    assert cosine("The striker scored twice.", "the STRIKER scored twice.") == pytest.approx(1)
    assert cosine("The striker scored twice.", "The striker scored thrice.") > 0.8
    assert cosine("The striker scored twice.", "Shares fell on Monday") < 0.3


def test_a_hashed_text_is_the_same_in_every_process() -> None:
    assert np.flatnonzero(HashEncoder().encode(["ab"])).tolist() == [96, 232]


def test_a_hashed_text_is_the_same_alone_and_among_others() -> None:
    texts = ["", "a", "The striker scored twice.", "", "你好"]
    together = HashEncoder().encode(texts)
    assert [row.tobytes() for row in together] == [HashEncoder().encode([text]).tobytes() for text in texts]
    assert HashEncoder().encode([]).shape == (0, 256)


async def test_texts_are_embedded_in_the_order_they_were_asked_for(embedder: Embedder, batches: Batches) -> None:
    texts = [f"text number {number}" for number in range(11)]
    vectors = await asyncio.gather(*(batches.ask(text) for text in texts))
    assert np.array_equal(np.stack(vectors), HashEncoder().encode(texts))
    assert np.array_equal(await embedder.embed_all(texts), HashEncoder().encode(texts))


async def test_texts_that_arrive_during_a_batch_form_the_next_one(batches: Batches, encoder: Watched) -> None:
    encoder.gate.clear()
    first = asyncio.create_task(batches.ask("first"))
    while not encoder.batches:
        await asyncio.sleep(0.001)
    others = [asyncio.create_task(batches.ask(f"{number}")) for number in range(6)]
    await asyncio.sleep(0)
    encoder.gate.set()
    await asyncio.gather(first, *others)
    assert encoder.batches == [["first"], ["0", "1", "2", "3"], ["4", "5"]]


async def test_embedding_does_not_hold_up_the_event_loop(batches: Batches, encoder: Watched) -> None:
    encoder.gate.clear()
    waiting = asyncio.create_task(batches.ask("x"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    encoder.gate.set()
    await waiting


async def test_a_failed_batch_fails_its_own_texts_and_no_others(batches: Batches, encoder: Watched) -> None:
    encoder.error = RuntimeError("out of memory")
    said = await asyncio.gather(batches.ask("a"), batches.ask("b"), return_exceptions=True)
    assert [str(error) for error in said] == ["out of memory"] * 2
    encoder.error = None
    assert (await batches.ask("c")).shape == (256,)


async def test_a_cancelled_embedding_does_not_affect_the_rest_of_its_batch(batches: Batches, encoder: Watched) -> None:
    encoder.gate.clear()
    impatient, patient = asyncio.create_task(batches.ask("a")), asyncio.create_task(batches.ask("b"))
    while not encoder.batches:
        await asyncio.sleep(0.001)
    impatient.cancel()
    encoder.gate.set()
    assert np.array_equal(await patient, HashEncoder().encode(["b"])[0])
    assert impatient.cancelled()


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"threshold": 0}, "diversity.threshold: must be above 0 and at most 1, got 0"),
        ({"eval_threshold": 1.1}, "diversity.eval_threshold: must be above 0 and at most 1, got 1.1"),
        ({"batch": 0}, "diversity.batch: must be 1 or more, got 0"),
        ({"device": "tpu"}, "diversity.device: must be auto, cpu or cuda, got tpu"),
        ({"threads": "0"}, "diversity.threads: must be auto, or a number of 1 or more, got 0"),
        ({"index": "ram"}, "diversity.index: must be auto, memory or disk, got ram"),
        (
            {"index": "disk", "exact": True},
            "diversity.index: disk cannot be combined with diversity.exact=true, which keeps all in memory",
        ),
    ],
)
def test_a_setting_out_of_range_is_named(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DiversityConfig(**knobs)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("threads", "cores_are_free", "cores", "expected"),
    [("auto", False, 64, 1), ("auto", True, 64, 8), ("auto", True, 6, 3), ("auto", True, 1, 1), ("5", False, 2, 5)],
)
def test_several_threads_are_for_cores_that_the_engine_leaves(
    threads: str, cores_are_free: bool, cores: int, expected: int
) -> None:
    assert threads_of(DiversityConfig(threads=threads), cores_are_free, cores) == expected


class Program:
    """Touch a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


@pytest.mark.slow
def test_pickled_weights_are_refused_and_not_opened(tmp_path: Path) -> None:
    bad = tmp_path / "model"
    shutil.copytree(bundled.resolve(bundled.EMBEDDER), bad)
    for weights in bad.rglob("*.safetensors"):
        weights.unlink()
    (bad / "pytorch_model.bin").write_bytes(pickle.dumps(Program(tmp_path / "ran")))
    with pytest.raises(ConfigError, match=r"diversity\.embedder: .*cannot load"):
        ModelEncoder(str(bad), 8)
    assert not (tmp_path / "ran").exists()
