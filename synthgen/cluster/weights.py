"""Find a model's weights on the machine of a replica."""

import hashlib
import os

from synthgen.engines import bundled


def local_weights(name: str) -> str:
    """Return a local folder, or a model hub id, for `model.name`.

    A bundled model is unpacked. An address that fsspec reads, such as s3://bucket/model, is copied to
    synthgen's cache folder once for each machine. Everything else is left as it is: a folder on a shared path, or a hub id.
    """
    if "://" not in name:
        return str(bundled.resolve(name, lambda _: None))
    import fsspec

    cache = bundled.cache_dir() / "weights"
    target = cache / hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = cache / f"{target.name}.{os.getpid()}"
        files, path = fsspec.core.url_to_fs(name)
        files.get(path.rstrip("/") + "/", str(unfinished) + "/", recursive=True)
        try:
            unfinished.rename(target)
        except OSError:  # another replica on this machine was faster
            assert target.exists()
    return str(target)
