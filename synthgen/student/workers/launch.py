"""Start the workers of one training, and end when they have ended.

This is the program of a child process, which gets the job through its standard input. Its exit code is 0 if every worker
ended well; what it and the workers print goes to the log of the process that started it.
"""

import multiprocessing
import os
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

from synthgen.cluster.child import join
from synthgen.ledger.durable import write_json
from synthgen.student.workers.config import count_of
from synthgen.student.workers.job import FAILED, Job, run, spawned

_PRELOADED = ("torch", "transformers.trainer", "datasets", "synthgen.student.training", "synthgen.student.workers.job")


def in_processes(job: Job) -> None:
    """Train in processes of this machine, one per GPU if there are any. If one dies, the others are ended."""
    import torch
    from torch.multiprocessing.spawn import ProcessExitedException, start_processes

    gpus = torch.cuda.device_count()
    count = count_of(job.cfg.workers, job.batch, gpus)
    if gpus and count > gpus:
        raise SystemExit(f"student.workers: {count} workers need {count} GPUs, and {gpus} can be used here")
    if not gpus:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # The workers are forked from one process that has imported what takes seconds, and has neither threads nor a GPU.
    multiprocessing.set_forkserver_preload(list(_PRELOADED))
    with tempfile.TemporaryDirectory() as folder:
        arguments = (job, count, str(Path(folder) / "rendezvous"), bool(gpus))
        try:
            start_processes(spawned, arguments, nprocs=count, start_method="forkserver")  # type: ignore[no-untyped-call]
        except ProcessExitedException as error:
            if error.signal_name:  # the errors of the other workers follow from it
                what = f"worker {error.error_index} was ended by {error.signal_name}"
                write_json(job.folder / FAILED, {"what": what})
            raise


def over_ray(job: Job) -> None:
    """Train on the machines of a Ray cluster, with Ray Train."""
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    settings = job.cfg.ray
    join(settings.address)
    in_cluster = ray.cluster_resources().get("GPU", 0)
    gpus = min(1, in_cluster) if settings.gpus is None else settings.gpus
    count = count_of(job.cfg.workers, job.batch, int(in_cluster // gpus) if gpus else 0)
    each = {"CPU": settings.cpus, **({"GPU": gpus} if gpus else {}), **settings.resources}
    with tempfile.TemporaryDirectory() as folder:
        trainer = TorchTrainer(
            _in_ray,
            train_loop_config={"job": job},
            torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
            scaling_config=ScalingConfig(num_workers=count, use_gpu=bool(gpus), resources_per_worker=each),
            run_config=RunConfig(name="student", storage_path=folder, failure_config=FailureConfig(max_failures=0)),
        )
        trainer.fit()


def _in_ray(given: dict[str, Any]) -> None:
    import ray.train

    job, here = given["job"], ray.train.get_context()
    if not job.folder.is_dir():
        raise FileNotFoundError(f"{job.folder} does not exist on this machine; the run folder must be on a shared disk")
    run(job, here.get_world_rank(), here.get_world_size(), here.get_local_world_size())


def main() -> None:
    job = pickle.load(sys.stdin.buffer)
    over_ray(job) if job.cfg.launcher == "ray" else in_processes(job)


if __name__ == "__main__":
    main()
