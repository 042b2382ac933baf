"""What makes a name last: a file that was renamed into a folder is there after a power cut once the folder is synced."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Puts a file, or the names in a folder, on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
