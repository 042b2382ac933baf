"""Read files from stores that fsspec reaches: S3, Google Cloud Storage, Azure, HTTP and others.

A file is copied into a cache whose path shows its address, so that messages about its rows name it. `synthgen.publish`
writes to the same stores.
"""

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthgen.errors import InputError, UserError
from synthgen.records import Json
from synthgen.safety.secrets import mask

LATEST = "latest.json"
"""The file in which `synthgen push` names the folder of the newest version."""
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.A)
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs",
             "adl": "adlfs", "oss": "ossfs", "http": "aiohttp", "https": "aiohttp", "sftp": "paramiko", "ssh": "paramiko",
             "smb": "smbprotocol", "dropbox": "dropboxdrivefs", "gdrive": "gdrivefs", "webhdfs": "requests"}  # fmt: skip
"""The package that each kind of store needs."""
_OF_OBJECTS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "memory"}
_ENDPOINTS = dict.fromkeys(
    ("s3", "s3a"), ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "FSSPEC_S3_ENDPOINT_URL")
) | dict.fromkeys(("gs", "gcs"), ("STORAGE_EMULATOR_HOST",))
"""Environment variables with the endpoint of a store, the usual one first."""
_CREDENTIALS = {
    **dict.fromkeys(("s3", "s3a"), "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile in AWS_PROFILE"),
    **dict.fromkeys(("gs", "gcs"), "GOOGLE_APPLICATION_CREDENTIALS"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"),
}
_NO_BUCKET = re.compile(r"NoSuchBucket|bucket does not exist|ContainerNotFound", re.I)
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "InvalidAccessKeyId",
                   "SignatureDoesNotMatch")  # fmt: skip
_UNREACHED = re.compile(
    r"EndpointConnectionError|ClientConnectorError|ConnectTimeoutError|ConnectionRefused|Could not connect", re.I
)
_LASTING = (PermissionError, FileNotFoundError, NotImplementedError, ValueError, TypeError)
_MOST_CAUSES = 8


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
        store, path = fsspec.core.url_to_fs(url)
        store.invalidate_cache()  # a store remembers what it listed before, and others write to it too
        return store, str(path)
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
        if kind_of(store, path) != "file":
            found = _newest(store, path)
            if found is None:
                raise InputError(f"{what}: {mask(url)}: no such file in the store; check the address")
            folder, files = found
            train = next((name for name in files if name.startswith("train.")), None)
            if train is None:
                raise InputError(f"{what}: {mask(url)}: what was pushed there has no train file; name a file")
            path = f"{folder}/{train}"
        return _copied(store, path, _cache(url) / Path(path).name)


def fetched_dataset(url: str, what: str, work: Path) -> Path:
    """Copy a file, or a folder with its files, from a store into a new folder in `work`, and return the copy.

    For the folder of a pushed dataset, this is its newest version; a version's own folder is read as any other folder.
    Raise InputError where there is nothing at the address, where the store refuses, and for a file that is not the one that
    was pushed.
    """
    store, path = store_of(url, what)
    with reached(url, what):
        kind = kind_of(store, path)
        if kind is None:
            raise InputError(f"{what}: {mask(url)}: no such file or folder in the store; check the address")
        place = Path(tempfile.mkdtemp(dir=work)) / Path(path).name
        if kind == "file":
            return _copied(store, path, place)
        folder, files = _newest(store, path) or (path.rstrip("/"), _listed(store, path))
        place.mkdir()
        for name, entry in files.items():
            copy = _copied(store, f"{folder}/{name}", place / name)
            if entry and hashlib.sha256(copy.read_bytes()).hexdigest() != entry.get("sha256"):
                raise InputError(f"{what}: {mask(url)}: {name} is not the file that was pushed; push it again")
    return place


def kind_of(store: Any, path: str) -> str | None:
    """Return `file` or `directory`; None where there is nothing.

    Unlike `isfile`, raise the error of a store that cannot answer.
    """
    try:
        return str(store.info(path)["type"])
    except FileNotFoundError as error:
        if _NO_BUCKET.search(_codes(error)):
            raise
        return None


def has_folders(store: Any) -> bool:
    """Return True for a store whose folders must be made. In the others, making one may make a bucket."""
    kinds = store.protocol if isinstance(store.protocol, tuple) else (store.protocol,)
    return not _OF_OBJECTS & set(kinds)


@contextlib.contextmanager
def reached(url: str, what: str) -> Iterator[None]:
    """Turn the errors of a store into an InputError that names the address, the cause and the cure."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # the packages for stores pass on errors of their own
        raise InputError(f"{what}: {mask(url)}: {explained(url, error)}") from error


def is_lasting(error: BaseException) -> bool:
    """Return True for an error that a repetition cannot overcome."""
    return isinstance(error, _LASTING) or any(each in _codes(error) for each in _NO_CREDENTIALS)


def explained(url: str, error: BaseException) -> str:
    """Return cause and cure of a store's error. A bucket that is missing, and an endpoint that is down, are named."""
    protocol, _, rest = url.partition("://")
    bucket, codes = rest.partition("/")[0].rpartition("@")[2], _codes(error)
    at = _endpoint(protocol)
    if _NO_BUCKET.search(codes):
        return f"there is no bucket '{bucket}'{f' at {at}' if at else ''}; create it, or correct the address"
    if isinstance(error, PermissionError) or any(each in codes for each in _NO_CREDENTIALS):
        named = _CREDENTIALS.get(protocol, "the credentials in the environment")
        return f"the store refuses access to '{bucket}' ({_words(error)}); check {named}, and what they may do there"
    if _UNREACHED.search(codes):
        where = f"the endpoint {at}" if at else "the store"
        cure = f"check the network{f', and {_ENDPOINTS[protocol][0]}' if protocol in _ENDPOINTS else ''}"
        return f"{where} cannot be reached ({_words(error)}); {cure}"
    return f"{_words(error)}; check the address, the credentials in the environment and the network"


def _endpoint(protocol: str) -> str:
    """Return the endpoint that the environment names for a kind of store; empty for the store's own."""
    return next((value for name in _ENDPOINTS.get(protocol, ()) if (value := os.environ.get(name))), "")


def _codes(error: BaseException) -> str:
    """Return the names and texts of an error and of its causes, in which the errors of all packages are recognised."""
    found: list[str] = []
    current: BaseException | None = error
    while current is not None and len(found) < _MOST_CAUSES:
        found.append(f"{type(current).__name__} {current}")
        current = current.__cause__ or current.__context__
    return "\n".join(found)


def _newest(store: Any, path: str) -> tuple[str, dict[str, Json]] | None:
    """Return the folder and the files of the newest version in a folder that was pushed; None for any other folder."""
    pointer = f"{path.rstrip('/')}/{LATEST}"
    if kind_of(store, pointer) != "file":
        return None
    found = json.loads(store.cat_file(pointer))
    return f"{path.rstrip('/')}/{found['folder']}", {
        name: entry for name, entry in found["files"].items() if _is_inside(name)
    }


def _listed(store: Any, path: str) -> dict[str, Json]:
    """Return the files of a folder, by their names in it."""
    root = path.rstrip("/")
    found = [str(name) for name in store.find(root)]
    names = {name[name.index(root) + len(root) + 1 :]: Json() for name in found if root in name}
    return {name: entry for name, entry in names.items() if _is_inside(name)}


def _is_inside(name: str) -> bool:
    """Return True for a name that stays in its folder."""
    parts = name.split("/")
    return bool(name) and not name.startswith("/") and ".." not in parts and "" not in parts


def _copied(store: Any, path: str, place: Path) -> Path:
    """Copy a file to `place`, which then is the old copy or the whole new one."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        store.get_file(path, str(part))
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
    return place


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
