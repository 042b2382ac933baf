"""Store a run durably: one SQLite file with a single writing connection, in a folder that one process locks."""

from synthgen.ledger.folder import check_writable, free_lock, holder, network_warning, run_lock
from synthgen.ledger.reader import Reader, Vector
from synthgen.ledger.samples import Samples
from synthgen.ledger.schema import check, upgrade
from synthgen.ledger.writer import Ledger, Settled

__all__ = [
    "Ledger", "Reader", "Samples", "Settled", "Vector", "check", "check_writable", "free_lock", "holder", "network_warning", "run_lock",
    "upgrade",
]  # fmt: skip
