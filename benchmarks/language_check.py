"""Count the texts that the declared check `language` rejects, in files whose language is known.

    python benchmarks/language_check.py FILE.jsonl ... --language en --out language_check.json
    python benchmarks/language_check.py /usr/share/locale/de/LC_MESSAGES/*.mo --language de

Print a line for each file: the numbers of its texts, of those with enough letters for a decision, and of those rejected.
--show prints the first rejected ones.
A JSON Lines file gives the strings of the --field of its rows (by default `text`), a gettext catalogue (.mo) its translations.
"""

import argparse
import gettext
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, print_table, write_figures
from synthgen.filters.declared.language import Language, LanguageConfig, enough_letters
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import TaskConfig

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}, "answer": {"type": "string"}}}


def texts_of(file: Path, field: str) -> list[str]:
    if file.suffix != ".mo":
        rows = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
        return [row[field] for row in rows if isinstance(row.get(field), str)]
    with file.open("rb") as opened:
        try:
            catalogue: dict[object, str] = vars(gettext.GNUTranslations(opened))["_catalog"]
        except (UnicodeDecodeError, OSError) as error:
            print(f"{file}: left out, not readable as a catalogue: {error}")
            return []
    return sorted({text.strip() for source, text in catalogue.items() if source and text != source and "%" not in text})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--language", default="en", help="the language that the texts must be in (default: en)")
    parser.add_argument("--field", default="text", help="the field of JSON Lines files (default: text)")
    parser.add_argument("--show", type=int, default=0, help="number of rejected texts of each file to print")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    task = load_task(
        TaskConfig(
            name="texts", kind="generation", schema=SCHEMA, input=["text"], target=["answer"], prompts="generation",
            seeds="examples/instruction/seeds.jsonl", language=options.language,
        )
    )  # fmt: skip
    check, figures, rows = Language(LanguageConfig("text"), task), dict[str, int](), []
    for file in options.files:
        texts = texts_of(file, options.field)
        judged = [text for text in texts if enough_letters(text)]
        rejected = [text for text in judged if any(check.faults({"text": text}))]
        name = f"{file.parent.name}/{file.name}"
        rows.append([name, len(texts), len(judged), len(rejected)])
        figures |= {f"{name}.texts": len(texts), f"{name}.judged": len(judged), f"{name}.rejected": len(rejected)}
        for text in rejected[: options.show]:
            print(f"{name}: {text[:100]!r}")
    print_table(f"language={options.language}; {machine()}", ["file", "texts", "judged", "rejected"], rows)
    write_figures(options.out, figures)


if __name__ == "__main__":
    main()
