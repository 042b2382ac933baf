"""Find samples by id: seeds and recently used samples in memory, all others in the ledger."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from synthgen.ledger.reader import Reader
from synthgen.ledger.writer import Ledger
from synthgen.records import Sample

_KEPT = 8_192


class Samples:
    """Find samples of one run by id. Call `add` for each accepted sample; earlier ones are read from the ledger.

    `elsewhere` are the ledgers of other runs, whose samples this run may show too. Use an instance only in the thread
    of the event loop.
    """

    def __init__(self, ledger: Ledger, elsewhere: Sequence[Path] = ()) -> None:
        self._ledger = ledger
        self._paths: list[Path] = [ledger.path, *elsewhere]
        self._readers: list[Reader] = []
        self._seeds: dict[str, Sample] = {}
        self._kept: OrderedDict[str, Sample] = OrderedDict()

    def add(self, sample: Sample) -> None:
        if sample.origin == "seed":
            self._seeds[sample.id] = sample
        else:
            self._keep(sample)

    def __getitem__(self, sample_id: str) -> Sample:
        """Return a sample. Raise KeyError where there is no sample with this id."""
        if (seed := self._seeds.get(sample_id)) is not None:
            return seed
        sample = self._kept.get(sample_id)
        if sample is not None:
            self._kept.move_to_end(sample_id)
            return sample
        sample = self._read(sample_id)
        self._keep(sample)
        return sample

    def close(self) -> None:
        for reader in self._readers:
            reader.close()

    def _keep(self, sample: Sample) -> None:
        self._kept[sample.id] = sample
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    def _read(self, sample_id: str) -> Sample:
        self._readers = self._readers or [Reader(path) for path in self._paths]
        for reader in self._readers:
            if (found := reader.sample(sample_id)) is not None:
                return found
        # not on disk yet: the disk is so slow that more than _KEPT samples are waiting for it
        self._ledger.wait_written()
        if (found := self._readers[0].sample(sample_id)) is None:
            raise KeyError(sample_id)
        return found
