"""Make a virtual environment for each peer from a full lock file, and keep it in the user's cache."""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from synthgen.engines.bundled import cache_dir

ROOT = Path(__file__).resolve().parents[2]
LOCKS = Path(__file__).with_name("locks")
_FINISHED = "finished"


def interpreter(peer: str) -> Path:
    """Return the Python that has `peer`; install it at first use. Exit with pip's message if that fails."""
    lock = LOCKS / f"{peer}.txt"
    mark = hashlib.blake2b(lock.read_bytes() + platform.python_version().encode(), digest_size=4).hexdigest()
    folder = cache_dir() / "peers" / f"{peer}-{mark}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / _FINISHED).is_file():
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted installation left
            print(f"installing {peer} into {folder} (once, about 600 MB and a minute or two) ...", flush=True)
            _install(folder, lock)
    return folder / "bin" / "python"


def _install(folder: Path, lock: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", str(lock)]
    done = subprocess.run(pip, env=_clean_environment(), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{lock}: cannot be installed into {folder}:\n{done.stderr[-2000:]}")
    (folder / _FINISHED).touch()


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def driver_environment() -> dict[str, str]:
    """Return the environment variables of the peers: without this project on their path, and without telemetry."""
    quiet = {"NEMO_TELEMETRY_ENABLED": "false", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return _clean_environment() | quiet
