"""Count wrong spans among the accepted samples of extraction tasks, when a generator gets a known share of spans wrong.

    python benchmarks/span_faults.py --work spans --out span_faults.json

For each task, replies are made from its seeds and eval rows: names and other strings are exchanged for those of other
rows, and texts without any are joined. Into --faults of the replies one fault is planted: a string is written
in another case, lacks a letter, has a letter too many, is of another row, has a word of its text too many, has another
form of a character, or the text is changed behind its strings. `synthgen run` gets the replies from a recording, with
the task's own checks, but without its eval rows; near-duplicates are allowed, because the replies are variants of few
rows. Then scripts/check_spans.py, which imports nothing of synthgen, searches every string of the dataset in its text.
Exits with 1 if one is not there.
"""

import argparse
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, print_table, write_figures

ROOT = Path(__file__).resolve().parents[1]
TASKS = ("entities", "events", "intent_slots", "relations", "zh_entities", "zh_intent_slots")
STRINGS = ("text", "trigger", "head", "tail")
KINDS = ("type", "role", "slot")
SPAN_REASONS = ("no_offset", "no_span", "no_member")
_TRIES = 40
_LETTERS = {"en": "aeioust", "zh": "的了一在有"}
_FORMS = {
    "'": "\u2019",
    "-": "\u2013",
    " ": "\u00a0",
    "e": "\u0435",
    "a": "\u0430",
    "o": "\u043e",
    "i": "\u0131",
    "1": "\uff11",
}


class Spans:
    """Make replies for one task from its rows, with and without faults."""

    def __init__(self, task: str, seed: int) -> None:
        fields = yaml.safe_load((ROOT / f"conf/task/{task}.yaml").read_text(encoding="utf-8"))
        files = (ROOT / fields["seeds"], ROOT / fields["eval"])
        self.rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
        self.most = fields["schema"]["properties"]["text"]["maxLength"]
        self.assigned = fields["assign"][0]
        self.language = fields["language"]
        self.random = random.Random(f"{task}/{seed}")
        self.by_kind: dict[str, list[str]] = {}
        for row in self.rows:
            for part in _objects(row):
                for kind in (part[key] for key in KINDS if key in part and "text" in part):
                    self.by_kind.setdefault(kind, []).append(part["text"])

    def sound(self) -> dict[str, Any]:
        """Return a row in which some strings are exchanged for strings of the same kind, in the text as well."""
        row = json.loads(json.dumps(self.random.choice(self.rows)))
        if not any(_objects(row)):  # nothing to exchange: join some of these texts instead
            texts = [other["text"] for other in self.rows if not any(_objects(other))]
            chosen = self.random.sample(texts, min(len(texts), self.random.randint(1, 5)))
            joined = ("" if self.language == "zh" else " ").join(chosen)
            return {**row, "text": joined if len(joined) <= self.most else row["text"]}
        for part in list(_objects(row)):
            kind = next((part[key] for key in KINDS if key in part and "text" in part), None)
            if kind is None or self.random.random() < 0.3:
                continue
            old, new = part["text"], self.random.choice(self.by_kind[kind])
            others = {text for other in _objects(row) for text in _strings(other)} - {old}
            if row["text"].count(old) != 1 or any(old in other or other in old or new in other for other in others):
                continue
            if new in row["text"] or len(row["text"]) - len(old) + len(new) > self.most:
                continue
            row["text"] = row["text"].replace(old, new)
            for other in _objects(row):
                other.update({key: new for key in STRINGS if other.get(key) == old})
        return row

    def faulty(self) -> dict[str, Any] | None:
        """Return a row of which one string does not stand in its text; None where no fault fits."""
        row = self.sound()
        parts = [(part, key) for part in _objects(row) for key in STRINGS if part.get(key)]
        if not parts:
            return None
        part, key = self.random.choice(parts)
        for _ in range(_TRIES):
            text, changed = row["text"], part[key]
            match self.random.choice(("case", "less", "more", "other", "longer", "form", "text")):
                case "case":
                    changed = changed.swapcase() if self.random.random() < 0.3 else changed.lower()
                case "less":
                    place = self.random.randrange(len(changed))
                    changed = changed[:place] + changed[place + 1 :]
                case "more":
                    place = self.random.randrange(len(changed) + 1)
                    letter = self.random.choice(_LETTERS[self.language])
                    changed = changed[:place] + letter + changed[place:]
                case "other":
                    changed = self.random.choice([text for texts in self.by_kind.values() for text in texts])
                case "longer":
                    words = text.split() if self.language != "zh" else list(text)
                    changed = f"{changed}{' ' if self.language != 'zh' else ''}{self.random.choice(words)}"
                case "form":
                    letter = self.random.choice(list(_FORMS))
                    changed = changed.replace(letter, _FORMS[letter], 1)
                case "text":
                    text = text.replace(
                        changed, self.random.choice(self.by_kind[self.random.choice(list(self.by_kind))])
                    )
            if changed and changed not in text and 8 <= len(text) <= self.most:
                row["text"] = text
                part[key] = changed
                return row
        return None

    def asked(self, row: dict[str, Any]) -> list[str]:
        """Return the value that a request must ask for to get this row: one that the row holds."""
        if self.assigned == "intent":
            return [row["intent"]]
        held = [
            part["type"]
            for part in _objects(row)
            if "type" in part and (self.assigned != "relations[].type | none" or "head" in part)
        ]
        return [self.random.choice(held)] if held else []


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects in the lists of a row, at any depth."""
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(part, dict):
            yield part
        yield from _objects(part)


def _strings(part: dict[str, Any]) -> list[str]:
    return [part[key] for key in STRINGS if key in part]


def measure(task: str, work: Path, share: float, target: int, seed: int, checked: bool) -> dict[str, Any]:
    """Run one task on a recording, and return the figures of its row."""
    spans, lines, bad = Spans(task, seed), [], 0
    for _ in range(8 * target):
        row = spans.faulty() if spans.random.random() < share else None
        bad += row is not None
        row = row or spans.sound()
        lines.append(json.dumps({"reply": row, "asked": spans.asked(row)}, ensure_ascii=False))
    work.mkdir(parents=True, exist_ok=True)
    recording, run = work / f"{task}.jsonl", work / task
    recording.write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = [
        f"task={task}", f"run.dir={run}", f"run.seed={seed}", "engine=replay", f"engine.recording={recording}", "student=none", "task.eval=null",
        "judge=none", "diversity=hash", "diversity.threshold=1", "diversity.restated.enabled=false",
        f"budget.target={target}", f"budget.candidates={8 * target}",
    ]  # fmt: skip
    if not checked:
        words.append("task.checks=[]")
    done = subprocess.run(
        [sys.executable, "-m", "synthgen", "run", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 3):
        sys.exit(f"synthgen run {' '.join(words)}\nended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
    counts = json.loads((run / "summary.json").read_text(encoding="utf-8"))["counts"]
    files = [str(run / "dataset" / f"{part}.jsonl") for part in ("train", "validation")]
    found = subprocess.run(
        [sys.executable, "scripts/check_spans.py", *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if found.returncode not in (0, 1):
        sys.exit(f"scripts/check_spans.py failed:\n{found.stderr[-2000:]}")
    print(found.stdout, end="", flush=True)
    samples, searched, wrong = (sum(column) for column in zip(*_counted(found.stdout), strict=True))
    rejected: dict[str, int] = counts["rejected"]
    return {
        "candidates": counts["candidates"], "accepted": counts["accepted"], "planted": bad / len(lines),
        "rejected_by_span_checks": sum(rejected.get(reason, 0) for reason in SPAN_REASONS) / counts["candidates"],
        "rows": samples, "strings": searched, "wrong": wrong, "rejected": rejected,
    }  # fmt: skip


def _counted(output: str) -> list[tuple[int, int, int]]:
    """Return the numbers of rows, of strings and of wrong strings of each file, from what check_spans.py printed."""
    pattern = re.compile(r": (\d+) samples, (\d+) strings, (\d+) not in their text$", re.MULTILINE)
    return [(int(rows), int(found), int(wrong)) for rows, found, wrong in pattern.findall(output)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--target", type=int, default=200, help="accepted samples of each task")
    parser.add_argument("--faults", type=float, default=0.4, help="share of the replies with a planted fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--without-checks", action="store_true", help="switch the checks of the tasks off, to see what they keep out"
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the recordings and runs")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    figures = {
        task: measure(
            task, options.work.absolute(), options.faults, options.target, options.seed, not options.without_checks
        )
        for task in options.tasks
    }
    table = [
        (task, f"{found['candidates']:,}", f"{found['accepted']:,}", f"{found['planted']:.2f}",
         f"{found['rejected_by_span_checks']:.2f}", f"{found['strings']:,}", f"{found['wrong']:,}")
        for task, found in figures.items()
    ]  # fmt: skip
    columns = ["", "candidates", "accepted", "faults planted", "rejected for spans", "strings in the dataset", "wrong"]
    print_table(f"{options.faults:.0%} of the replies with a wrong span", columns, table, 120)
    print(machine())
    if options.out is not None:
        write_figures(
            options.out, {f"{task}.{key}": value for task, found in figures.items() for key, value in found.items()}
        )
    return 1 if any(found["wrong"] for found in figures.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
