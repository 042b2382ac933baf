"""Read rows of Hugging Face datasets: by name from the hub or its cache, or from a local dataset folder.

`datasets` loads them. Code inside a dataset is never run. A folder is loaded through a temporary cache. Every row is
checked in the same way as rows of a file.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthgen.errors import InputError
from synthgen.tasks.rows.columnar import BATCH, checked_names, table_rows
from synthgen.tasks.rows.columns import Columns
from synthgen.tasks.rows.located import Problems, Row
from synthgen.tasks.rows.source import HubDataset

_SAVED = ("dataset_dict.json", "state.json")  # files that `save_to_disk` writes


def is_dataset_folder(path: Path) -> bool:
    """Return True if a folder declares itself a dataset. Other folders are not searched for data files."""
    try:
        if is_saved(path) or (path / "dataset_info.json").is_file():
            return True
        return (path / "README.md").is_file() and (path / "README.md").read_bytes().startswith(b"---")
    except OSError:
        return False  # a folder that cannot be read is refused like any other folder


def hub_rows(source: HubDataset, columns: Columns, problems: Problems) -> Iterator[Row]:
    """Yield the rows of one split of a dataset on the hub. Raise InputError if it cannot be loaded."""

    def load() -> Any:
        import datasets

        builder = datasets.load_dataset_builder(source.name, source.config, revision=source.revision)
        return _built(builder, source.split, source, problems.file_bytes)

    yield from _rows(_loaded(load, source), columns, problems)


def hub_splits(source: HubDataset, problems: Problems) -> list[HubDataset]:
    """Return a source for each split of a dataset on the hub. Raise InputError if it cannot be loaded."""

    def load() -> list[str]:
        import datasets

        builder = datasets.load_dataset_builder(source.name, source.config, revision=source.revision)
        _check_size(builder, source, problems.file_bytes)
        builder.download_and_prepare()
        return list(builder.info.splits)

    return [replace(source, split=name) for name in _loaded(load, source)]


def pinned(source: HubDataset) -> HubDataset:
    """Return the source at the commit that its revision is now, so that all splits are read from one commit.

    Without a network (HF_HUB_OFFLINE) the commit is not known, and the source stays as it is. Raise InputError if the hub
    does not answer, or has no such dataset.
    """

    def commit() -> str | None:
        from huggingface_hub import HfApi, constants

        if constants.HF_HUB_OFFLINE:
            return source.revision
        found: str | None = HfApi().dataset_info(source.name, revision=source.revision).sha
        return found

    return replace(source, revision=_loaded(commit, source))


def folder_rows(path: Path, columns: Columns, problems: Problems) -> Iterator[Row]:
    """Yield the rows of the train split of a dataset folder, or of its only split."""

    with tempfile.TemporaryDirectory(prefix="synthgen-") as cache:

        def load() -> Any:
            import datasets

            if is_saved(path):
                found = datasets.load_from_disk(str(path))
                return found[_split(list(found), path)] if isinstance(found, datasets.DatasetDict) else found
            return _built(datasets.load_dataset_builder(str(path), cache_dir=cache), None, path, problems.file_bytes)

        yield from _rows(_loaded(load, path), columns, problems)


def is_saved(path: Path) -> bool:
    """Return True for a folder that `save_to_disk` of the datasets library wrote."""
    return any((path / name).is_file() for name in _SAVED)


def saved_rows(path: Path, columns: Columns, problems: Problems) -> Iterator[tuple[str, Row]]:
    """Yield the rows of all splits of a folder that `save_to_disk` wrote, each with its split; `train` for one without."""

    def load() -> Any:
        import datasets

        found = datasets.load_from_disk(str(path))
        return found if isinstance(found, datasets.DatasetDict) else {str(found.split or "train"): found}

    for split, dataset in _loaded(load, path).items():
        for row in _rows(dataset, columns, problems):
            yield split, row


def _check_size(builder: Any, source: object, most: int) -> None:
    size = builder.info.dataset_size or builder.info.download_size or 0
    if size > most:
        raise InputError(
            f"{source}: {size:,} bytes is more than the {most:,} that are read; name a file with part of it"
        )


def _built(builder: Any, split: str | None, source: object, most: int) -> Any:
    _check_size(builder, source, most)
    builder.download_and_prepare()
    return builder.as_dataset(split=split or _split(list(builder.info.splits), source))


def _split(names: list[str], source: object) -> str:
    if "train" in names:
        return "train"
    if len(names) == 1:
        return names[0]
    cure = "write one behind the name, as in hf:OWNER/NAME:SPLIT" if isinstance(source, HubDataset) else "name a file"
    raise InputError(f"{source}: no split is named train; it has {', '.join(names)}; {cure}")


def _rows(dataset: Any, columns: Columns, problems: Problems) -> Iterator[Row]:
    arrow = dataset.with_format("arrow")
    schema = dataset.features.arrow_schema
    names = checked_names(schema, dataset.num_rows, columns, problems)
    batches = arrow.select_columns(names).iter(batch_size=BATCH)
    yield from table_rows(schema, batches, columns, problems)


def _loaded(load: Callable[[], Any], source: object) -> Any:
    """Return the result of `load`. Turn every failure into an InputError with cause and cure."""
    try:
        with _quiet():
            return load()
    except InputError:
        raise
    except ConnectionError as error:
        raise InputError(_unreachable(error, source)) from error
    except Exception as error:  # `datasets` passes on all errors of its readers and of the hub's client
        cure = "check the name, or set HF_TOKEN if it is private" if _not_found(error) else "mend that, or name a file"
        raise InputError(f"{source}: cannot be loaded as a dataset ({_words(error)}); {cure}") from error


def _not_found(error: Exception) -> bool:
    from datasets.exceptions import DatasetNotFoundError

    return isinstance(error, DatasetNotFoundError)


def _unreachable(error: Exception, source: object) -> str:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return (
            f"{source}: HF_HUB_OFFLINE is set, and the dataset is not in the cache; unset it and run once with a"
            " network, or name a file"
        )
    return (
        f"{source}: the Hugging Face hub at {constants.ENDPOINT} cannot be reached ({_words(error)}); check the network"
        " and HF_ENDPOINT, or name a file"
    )


def _words(error: BaseException) -> str:
    """Return the first line of an error and of its cause."""
    lines = [str(error).strip().partition("\n")[0] or type(error).__name__]
    if error.__cause__ is not None and str(error.__cause__).strip():
        lines.append(str(error.__cause__).strip().partition("\n")[0])
    return ": ".join(dict.fromkeys(lines))


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide progress bars and retry messages on standard error, because our own message reports the error once."""
    import datasets
    from huggingface_hub.utils import logging as hub_logging

    bars = datasets.are_progress_bars_disabled()
    levels = datasets.logging.get_verbosity(), hub_logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    hub_logging.set_verbosity(datasets.logging.ERROR)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(levels[0])
        hub_logging.set_verbosity(levels[1])
        if not bars:
            datasets.enable_progress_bars()
