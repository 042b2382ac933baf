"""Check that every sample of a run cites a passage that is in the documents at the cited offsets.

    python scripts/check_passages.py RUN DOCUMENTS [--field passage]

It reads the run's dataset, and the text and Markdown files below the folder DOCUMENTS, by itself: it shares no code with
synthgen. With --field, that field of each sample must be the passage, character for character. The exit code is 1 where
a citation is wrong, and where there is none.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("documents", type=Path, help="the folder that the names of documents are relative to")
    parser.add_argument("--field", help="field of a sample that holds the passage")
    options = parser.parse_args()
    wrong: list[str] = []
    uses: Counter[str] = Counter()
    for sample, data in cited(options.run / "dataset"):
        passage = sample["given"]["passage"]
        text = text_of(options.documents / passage["document"])[passage["start"] : passage["end"]]
        where = f"{passage['document']}[{passage['start']}:{passage['end']}]"
        uses[where] += 1
        if not text.strip():
            wrong.append(f"{sample['id']}: nothing at {where}")
        elif options.field and data[options.field] != text:
            wrong.append(f"{sample['id']}: its {options.field} is not the text at {where}")
    print("\n".join(wrong), end="\n" if wrong else "")
    print(f"{sum(uses.values())} samples cite {len(uses)} passages; {len(wrong)} citations are wrong")
    return 1 if wrong or not uses else 0


def cited(dataset: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield lineage and content of every sample that cites a passage."""
    rows = {split: lines(dataset / f"{split}.jsonl") for split in ("train", "validation")}
    for sample in lines(dataset / "meta" / "lineage.jsonl"):
        if "passage" in sample.get("given", {}):
            yield sample, rows[sample["split"]][sample["row"]]


def lines(path: Path) -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        if path.exists()
        else []
    )


@cache
def text_of(path: Path) -> str:
    if path.suffix not in (".txt", ".md"):
        raise SystemExit(f"{path}: only .txt and .md files can be read here")
    return path.read_text(encoding="utf-8-sig")


if __name__ == "__main__":
    sys.exit(main())
