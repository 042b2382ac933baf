"""Find a model's weights on the machine of a replica."""

import hashlib
import os
import shutil

from synthgen.engines import bundled
from synthgen.errors import InputError
from synthgen.tasks.rows.remote import kind_of, reached, store_of


def local_weights(name: str) -> str:
    """Return a local folder, or a model hub id, for `model.name`.

    A bundled model is unpacked. An address that fsspec reads, such as s3://bucket/model, is copied to
    synthgen's cache folder once for each machine. Everything else is left as it is: a folder on a shared path, or a hub id.
    """
    if "://" not in name:
        return str(bundled.resolve(name, lambda _: None))
    cache = bundled.cache_dir() / "weights"
    target = cache / hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = cache / f"{target.name}.{os.getpid()}"
        store, path = store_of(name, "model.name")
        try:
            with reached(name, "model.name"):
                if kind_of(store, path) is None:
                    raise InputError(f"model.name: {name}: no such folder in the store; check the address")
                store.get(path.rstrip("/") + "/", str(unfinished) + "/", recursive=True)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        try:
            unfinished.rename(target)
        except OSError:  # another replica on this machine was faster
            assert target.exists()
    return str(target)
