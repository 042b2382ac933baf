"""Read files from stores that fsspec reaches: S3, Google Cloud Storage, Azure, HTTP and others.

A file is copied into a cache whose path shows its address, so that messages about its rows name it. `synthgen.publish`
writes to the same stores.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthgen.errors import InputError
from synthgen.safety.secrets import mask

LATEST = "latest.json"
"""The file in which `synthgen push` names the folder of the newest version."""
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.A)
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs",
             "adl": "adlfs", "oss": "ossfs", "http": "aiohttp", "https": "aiohttp", "sftp": "paramiko", "ssh": "paramiko",
             "smb": "smbprotocol", "dropbox": "dropboxdrivefs", "gdrive": "gdrivefs", "webhdfs": "requests"}  # fmt: skip
"""The package that each kind of store needs."""


def is_url(text: str) -> bool:
    """Return True for an address of a store, such as s3://bucket/file.jsonl."""
    return _URL.match(text) is not None


def store_of(url: str, what: str) -> tuple[Any, str]:
    """Return the fsspec file system of an address, and the path in it. Messages begin with `what`.

    Raise InputError for a kind of store that is not known, and where the package that reaches it is missing.
    """
    import fsspec

    protocol = url.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]
    except ImportError as error:
        package = _PACKAGES.get(protocol, f"a package for {protocol}")
        raise InputError(
            f"{what}: {mask(url)}: {protocol}:// needs the package {package}; install it with: pip install {package}"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{what}: '{protocol}://' is no kind of store that fsspec knows; use s3://, gs:// or another"
        ) from error
    except Exception as error:  # a store may refuse its own settings with any error
        raise InputError(f"{what}: {mask(url)}: the store cannot be used: {_words(error)}") from error


def fetched(url: str, what: str) -> Path:
    """Copy a file from a store into the cache, and return the copy. Replace an older copy.

    For the folder of a pushed dataset, this is the train file of its newest version.
    Raise InputError where the file is missing or the store refuses.
    """
    store, path = store_of(url, what)
    with reached(url, what):
        path = _file_of(store, path)
        if not store.isfile(path):
            raise InputError(f"{what}: {mask(url)}: no such file in the store; check the address")
        place = _cache(url) / Path(path).name
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}.{os.getpid()}")
        try:
            store.get_file(path, str(part))
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
    return place


@contextlib.contextmanager
def reached(url: str, what: str) -> Iterator[None]:
    """Turn the errors of a store into an InputError that names the address."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # the packages for stores pass on errors of their own
        cure = "check the address, the credentials in the environment and the network"
        raise InputError(f"{what}: {mask(url)}: {_words(error)}; {cure}") from error


def _file_of(store: Any, path: str) -> str:
    """Return the path of a file, or of the train file of the newest version in a folder that was pushed."""
    pointer = f"{path.rstrip('/')}/{LATEST}"
    if store.isfile(path) or not store.isfile(pointer):
        return path
    found = json.loads(store.cat_file(pointer))
    train = next(name for name in found["files"] if name.startswith("train."))
    return f"{path.rstrip('/')}/{found['folder']}/{train}"


def _cache(url: str) -> Path:
    """Return the folder of a file's copy. It shows the address without its query, which may hold a key."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(url.encode()).hexdigest()[:12]
    parts = [
        part for part in re.split(r"[/:?]+", url.partition("?")[0].rpartition("@")[2]) if part not in ("", ".", "..")
    ]
    return home.joinpath("synthgen", "stores", key, *parts[:-1])


def _words(error: BaseException) -> str:
    return mask(str(error).strip().partition("\n")[0] or type(error).__name__)[:300]
