"""Find personal data in the texts of rows, and redact, pseudonymise, reject or report it."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from synthgen.errors import ConfigError
from synthgen.prepare.item import Item, changed, strings
from synthgen.prepare.log import StepLog
from synthgen.prepare.step import Context, StepReason, StepSpec
from synthgen.records import Json
from synthgen.safety.personal import FORMATTED, KINDS, Found, Pseudonyms, find, joined, masked, redacted, replaced
from synthgen.safety.personal.presidio import Presidio

PRESIDIO = "presidio"
ENGINES = ("patterns", PRESIDIO)
MODES = ("redact", "pseudonymise", "reject", "report")


@dataclass
class PersonalConfig:
    mode: str = "redact"
    """`redact` writes a placeholder such as [EMAIL]. `pseudonymise` writes an invented value, the same one for the same
    original. `reject` removes the row. `report` only counts."""
    kinds: list[str] = field(default_factory=lambda: list(FORMATTED))
    """Kinds to find: email, phone, card, iban, ip, cn_id, us_ssn, and, by lists and context, name and address."""
    engine: str = "patterns"
    """`patterns`, or `presidio` to ask Presidio besides: what either finds counts. `kinds` may then name its other
    entities too, such as us_passport. Needs the package presidio-analyzer."""
    analyzer: str = ""
    """Presidio's own YAML file, with its models and recognizers. Empty: its patterns, without a model."""
    salt: str = ""
    """Secret that the pseudonyms depend on, so that two preparations give the same ones. Empty: a new one each time."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"mode: '{self.mode}' is none of {', '.join(MODES)}")
        if self.engine not in ENGINES:
            raise ConfigError(f"engine: '{self.engine}' is none of {', '.join(ENGINES)}")
        if self.analyzer and self.engine != PRESIDIO:
            raise ConfigError("analyzer: only Presidio has one; set `engine: presidio`")
        if self.engine != PRESIDIO and (unknown := [kind for kind in self.kinds if kind not in KINDS]):
            raise ConfigError(f"kinds: '{unknown[0]}' is none of {', '.join(KINDS)}")


class Personal:
    """Process personal data in the texts of rows. The report shows the findings with letters and digits hidden."""

    spec = StepSpec(
        "personal",
        "Finds personal data by patterns, check digits, numbering plans and lists of names.",
        (
            *(StepReason(kind, f"held personal data ({kind})") for kind in KINDS),
            StepReason("personal_data", "holds personal data"),
        ),
    )

    def __init__(self, cfg: PersonalConfig, context: Context) -> None:
        self._cfg, self._fields = cfg, context.fields
        self._presidio = _presidio(cfg, context.bases) if cfg.engine == PRESIDIO else None
        self._instead: Callable[[Found], str] = redacted
        if cfg.mode == "pseudonymise":
            self._instead = Pseudonyms(cfg.salt or secrets.token_hex(16))

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        for item in rows:
            found = {name: each for name, value in self._read(item).items() if (each := self._kinds(value))}
            if not found:
                yield item
                continue
            kinds = list(dict.fromkeys(chain.from_iterable(found.values())))
            hidden = _shown(self._with(item, lambda found: masked(found.text)), found)
            if self._cfg.mode == "reject":
                log.remove(item, "personal_data", hidden, note=", ".join(kinds))
            elif self._cfg.mode == "report":
                for kind in kinds:
                    log.note(item, kind, hidden)
                yield item
            else:
                after = self._with(item, self._instead)
                for kind in kinds:
                    log.change(item, kind, hidden, _shown(after, found))
                yield after

    def _with(self, item: Item, instead: Callable[[Found], str]) -> Item:
        data = changed(self._read(item), lambda text: replaced(text, self._found(text), instead))
        return item.with_data({**item.data, **data})

    def _read(self, item: Item) -> Json:
        return {name: item.data[name] for name in self._fields.readable(item.data)}

    def _kinds(self, value: Any) -> list[str]:
        return [found.kind for text in strings(value) for found in self._found(text)]

    def _found(self, text: str) -> list[Found]:
        found = find(text, self._cfg.kinds)
        return joined(text, found, self._presidio(text)) if self._presidio else found


def _shown(item: Item, names: Iterable[str]) -> str:
    return "\n".join(part for name in names for part in strings(item.data[name]))


def _presidio(cfg: PersonalConfig, bases: Sequence[Path]) -> Presidio:
    """Return the finder with the analyzer file, which is looked for in `bases` first."""
    file = Path(cfg.analyzer)
    places = [base / file for base in bases] if cfg.analyzer else []
    return Presidio(cfg.kinds, next((each for each in places if each.is_file()), file) if cfg.analyzer else None)
