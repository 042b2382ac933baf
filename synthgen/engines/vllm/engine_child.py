"""Start a process of vLLM's engine core: `python -IS engine_child.py OUTPUT PYTHON ARGUMENTS`.

The process gets its own session, prints to OUTPUT, ends when the thread that started it ends, and then becomes PYTHON
ARGUMENTS. This file imports nothing of synthgen, because it is run by its path.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(output: str, command: list[str]) -> None:
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    target = os.open(output, os.O_WRONLY)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    os.environ["VLLM_CONFIGURE_LOGGING"] = "1"
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
