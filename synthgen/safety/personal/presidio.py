"""Find personal data with an analyzer of Presidio (the optional package presidio-analyzer) and the models that it names.

The analyzer is described by Presidio's own YAML file. Without one it has Presidio's patterns and no model.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthgen.errors import ConfigError
from synthgen.safety.personal.finding import KINDS, Found

ENTITIES = {
    "email": "EMAIL_ADDRESS",
    "phone": "PHONE_NUMBER",
    "card": "CREDIT_CARD",
    "iban": "IBAN_CODE",
    "ip": "IP_ADDRESS",
    "us_ssn": "US_SSN",
    "name": "PERSON",
}
"""Presidio's entities for the kinds that it has. Any other entity is a kind by its own name in small letters."""


class Presidio:
    """Find the entities of `kinds`. Raise ConfigError for an analyzer that cannot be made, and for an unknown kind."""

    def __init__(self, kinds: Sequence[str], file: Path | None = None) -> None:
        self._analyzer = _analyzer(file)
        self._languages: list[str] = list(self._analyzer.supported_languages)
        known = {entity for code in self._languages for entity in self._analyzer.get_supported_entities(code)}
        self._kinds = {ENTITIES.get(kind, kind.upper()): kind for kind in kinds}
        for entity, kind in self._kinds.items():
            if kind not in KINDS and entity not in known:
                raise ConfigError(f"kinds: Presidio has no entity {entity}; it has {', '.join(sorted(known))}")
        self._asked = {
            code: sorted(self._kinds.keys() & set(self._analyzer.get_supported_entities(code)))
            for code in self._languages
        }

    def __call__(self, text: str) -> list[Found]:
        """Return the analyzer's findings in all its languages, the most certain first. Pieces may overlap."""
        found = [
            (-each.score, Found(self._kinds[each.entity_type], each.start, each.end, text[each.start : each.end]))
            for code, entities in self._asked.items()
            if entities
            for each in self._analyzer.analyze(text, code, entities=entities)
        ]
        return [each for _, each in sorted(found)]


def _analyzer(file: Path | None) -> Any:
    os.environ.setdefault("TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS", "")  # the package's own list, not one from the network
    try:
        import presidio_analyzer
    except ModuleNotFoundError as error:
        raise ConfigError(
            "engine: the package presidio-analyzer is missing; run: pip install 'synthgen[presidio]'"
        ) from error
    if file is not None and not file.is_file():
        raise ConfigError(f"analyzer: the file {file} does not exist; name an analyzer file of Presidio")
    plain = Path(presidio_analyzer.__file__).parent / "conf" / "no_op.yaml"
    try:
        provider = presidio_analyzer.AnalyzerEngineProvider(
            analyzer_engine_conf_file=file, nlp_engine_conf_file=None if file else plain
        )
        return provider.create_engine()
    except (Exception, SystemExit) as error:  # the parts of an analyzer raise whatever they like; spaCy exits
        words = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(
            f"analyzer: Presidio cannot make it: {words}; correct {file or 'the installation'}"
        ) from error
