"""Divide the GPUs, or the CPU cores, of a machine among replicas."""

import os
from typing import Any

import pytest

from synthgen.engines.vllm import devices
from synthgen.engines.vllm.config import VllmConfig
from synthgen.engines.vllm.devices import replica_count, shares
from synthgen.errors import ConfigError


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7")
    monkeypatch.setattr(devices, "vllm_build", lambda: "gpu")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 1, 2, 0, 4})


def cfg(**knobs: Any) -> VllmConfig:
    return VllmConfig(**knobs)


def test_auto_is_one_replica_for_each_gpu_or_group_of_gpus() -> None:
    assert replica_count(cfg(replicas="auto")) == 8
    assert replica_count(cfg(replicas="auto", flags={"tensor_parallel_size": 2})) == 4
    assert replica_count(cfg(replicas="auto", flags={"tensor-parallel-size": 2, "pipeline-parallel-size": 2})) == 2
    assert replica_count(cfg(replicas="auto", env={"CUDA_VISIBLE_DEVICES": "5,6"})) == 2
    assert replica_count(cfg(replicas="3")) == 3


def test_auto_is_one_replica_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "vllm_build", lambda: "cpu")
    assert replica_count(cfg(replicas="auto")) == 1


def test_each_replica_sees_its_own_gpus() -> None:
    found = shares(cfg(flags={"tensor-parallel-size": 2}), 3, "gpu")
    assert [share["CUDA_VISIBLE_DEVICES"] for share in found] == ["0,1", "2,3", "4,5"]


def test_each_replica_on_a_cpu_is_bound_to_its_own_cores() -> None:
    found = shares(cfg(), 2, "cpu")
    assert [share["VLLM_CPU_OMP_THREADS_BIND"] for share in found] == ["0,1", "2,3,4"]


def test_a_single_server_is_left_as_it_was() -> None:
    assert shares(cfg(), 1, "cpu") == shares(cfg(), 1, "gpu") == [{}]


@pytest.mark.parametrize(
    ("knobs", "count", "build", "message"),
    [
        ({"flags": {"tensor-parallel-size": 4}}, 3, "gpu", "3 replicas of 4 GPUs need 12 GPUs, and 8 can be used here"),
        ({}, 6, "cpu", "6 replicas need 6 CPU cores, and 5 can be used here"),
        ({"env": {"VLLM_CPU_OMP_THREADS_BIND": "0"}}, 2, "cpu", "leave out VLLM_CPU_OMP_THREADS_BIND"),
    ],
)
def test_a_machine_that_is_too_small_is_named(knobs: Any, count: int, build: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shares(cfg(**knobs), count, build)


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_a_number_of_replicas_that_makes_no_sense_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"engine.replicas: must be auto, or a number of 1 or more, got"):
        cfg(replicas=value)


def test_the_number_in_flight_is_that_of_all_replicas() -> None:
    assert cfg(replicas="3", in_flight=10).capabilities.in_flight == 30
    assert cfg(in_flight=10).capabilities.in_flight == 10
    assert cfg().capabilities.restarts_per_hour == 4
