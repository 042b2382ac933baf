"""Build the filter of system calls that a sandbox needs beside its namespaces: it forbids new processes.

Limits such as RLIMIT_NPROC do not bind a sandbox that root starts, so a fork bomb would stop the machine. Threads stay
possible; the limit on memory bounds their number.
"""

import errno
import platform
import struct

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Operations of classic BPF: load a word, jump if equal, if at least, if a bit is set, return."""
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in the data that the kernel gives a filter."""
_KILL, _ERROR, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000
_CLONE3 = 435
_MACHINES = {  # the kernel's name of the architecture, clone, and the calls that are forbidden
    "x86_64": (0xC000003E, 56, (57, 58, 272, 308)),  # fork, vfork, unshare, setns
    "aarch64": (0xC00000B7, 220, (97, 268)),  # unshare, setns
}


def supported() -> bool:
    """Return True when a filter can be built for this machine."""
    return platform.machine() in _MACHINES


def program() -> bytes:
    """Return the filter as the kernel takes it. `clone3` fails as if it did not exist, so that C libraries use `clone`."""
    architecture, clone, forbidden = _MACHINES[platform.machine()]
    code = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    code += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    for number in forbidden:
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERROR | errno.EPERM)]
    code += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERROR | errno.ENOSYS)]
    code += [(_EQUAL, 1, 0, clone), (_RETURN, 0, 0, _ALLOW), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
    code += [(_ANY_BIT, 1, 0, _CLONE_THREAD), (_RETURN, 0, 0, _ERROR | errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
