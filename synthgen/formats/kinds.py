"""List the export formats by name."""

from synthgen.errors import ConfigError
from synthgen.formats.annotated import BRAT, DOCCANO
from synthgen.formats.arrow import DATASETS
from synthgen.formats.chat import ALPACA, SHAREGPT, TRL_MESSAGES, TRL_PROMPT_COMPLETION
from synthgen.formats.fields import ExportFields
from synthgen.formats.format import Format
from synthgen.formats.openai import OPENAI
from synthgen.formats.parallel import WMT
from synthgen.formats.preferences import DPO, KTO
from synthgen.formats.squad import SQUAD
from synthgen.formats.tagged import BIO, CONLL
from synthgen.formats.workbook import XLSX
from synthgen.report.tables import FORMATS
from synthgen.tasks.exporting import PARTS

KINDS: dict[str, Format] = {
    "xlsx": XLSX,
    "datasets": DATASETS,
    "alpaca": ALPACA,
    "sharegpt": SHAREGPT,
    "openai": OPENAI,
    "trl-messages": TRL_MESSAGES,
    "trl-prompt-completion": TRL_PROMPT_COMPLETION,
    "dpo": DPO,
    "kto": KTO,
    "bio": BIO,
    "conll": CONLL,
    "brat": BRAT,
    "doccano": DOCCANO,
    "squad": SQUAD,
    "wmt": WMT,
}
"""The formats that are made from the parts of a sample. `report.tables` has those of the run's own dataset."""


def check_fits(name: str, fields: ExportFields) -> None:
    """Raise ConfigError if a task's samples lack the parts that a format needs."""
    kind = KINDS[name]
    if kind.fits(fields):
        return
    task = fields.task
    lacking = sorted(([part for part in parts if not fields.has(part)] for parts in kind.needs), key=len)
    roles = {**dict.fromkeys(task.input, " (input)"), **dict.fromkeys(task.target, " (target)")}
    shown = ", ".join(f"{field}{roles.get(field, '')}" for field in task.schema.get("properties", {}))
    fitting = [*FORMATS, *(other for other, each in KINDS.items() if each.fits(fields))]
    example = ", ".join(f"{part}: FIELD" for part in lacking[0])
    meanings = "; ".join(f"{part}: {PARTS[part]}" for part in lacking[0])
    raise ConfigError(
        f"--format {name}: the samples of task '{task.name}' have no {' and no '.join(lacking[0])}. Its fields are {shown}. "
        f"Formats that fit: {', '.join(fitting)}. If a field has that part, say so in the task file: "
        f"export: {{{example}}}. Meanings: {meanings}"
    )
