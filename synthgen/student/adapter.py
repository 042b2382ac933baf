"""Train a LoRA adapter on conversations as a run sends them, with the loss on the answers' tokens only.

`judge.examples` and `generate.examples` write the conversations. The folder holds the adapter as PEFT saves it,
`metrics.json` and a model card. It is put in place as a whole; an interrupted training leaves no files.
"""

import hashlib
import json
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import __version__
from synthgen.engines.adapters import CONFIG, WEIGHTS
from synthgen.engines.bundled import resolve
from synthgen.errors import ConfigError, InputError
from synthgen.judge import calibration as maths
from synthgen.judge.examples import GOOD, LABEL, RUBRIC
from synthgen.ledger.durable import read_json, swap_in, sync_tree, training_into, write_json
from synthgen.records import AdapterExample, Json
from synthgen.student import causal, training
from synthgen.student.adapter_card import adapter_card
from synthgen.student.card import published_name
from synthgen.student.causal import Encoded
from synthgen.student.checkpoint import Checkpoints
from synthgen.student.clock import START, STEP, Clock, Fit, lines
from synthgen.student.config import AdaptConfig, planned_steps
from synthgen.student.plan import Plan, TrainingFolders
from synthgen.student.rows import TrainingRow

METRICS = "metrics.json"
_NEVER = 1e9  # seconds between checkpoints


def train(
    cfg: AdaptConfig, role: str, model: str, exchanges: Sequence[AdapterExample], held_out: Sequence[AdapterExample], out: Path,
    seed: int, say: Callable[[str], None], revision: str | None = None, trust_remote_code: bool = False,
) -> Json:  # fmt: skip
    """Train an adapter of `model` on `exchanges`, write it to `out` and return its metrics.

    The same arguments give the same adapter, byte for byte on a CPU with the same number of threads. Raise ConfigError
    for a model that cannot be loaded, and InputError if there is nothing to train on.
    """
    from transformers import set_seed

    training.use_all_cores()
    path = resolve(model, say)
    with training.quiet():
        with training.loading("model.name", path):
            loaded, tokenizer = causal.load(Path(path), "model.name", revision, trust_remote_code)
        commit = getattr(loaded.config, "_commit_hash", None)
        pieces = [[(one, encode(tokenizer, one)) for one in part] for part in (exchanges, held_out)]
        kept = [[pair for pair in part if len(pair[1][0]) <= cfg.max_length] for part in pieces]
        if not kept[0]:
            raise InputError(_nothing(cfg, len(exchanges)))
        set_seed(seed)
        plan = Plan(planned_steps(len(kept[0]), cfg), seed, cfg.schedule)
        say(f"training the {role}'s adapter: {len(kept[0])} conversations, {plan.steps} steps")
        with tempfile.TemporaryDirectory(prefix="synthgen-adapt-") as scratch:
            adapted = _fitted(cfg, loaded, tokenizer, [encoded for _, encoded in kept[0]], plan, Path(scratch), say)
        say(f"scoring {len(kept[1])} held-out conversations, with the adapter and without")
        with adapted.disable_adapter():
            before = _figures(adapted, tokenizer, kept[1])
        after = _figures(adapted, tokenizer, kept[1])
        metrics = {
            "role": role,
            "base_model": published_name(model),
            "base_hash": _content_hash(Path(path)) or commit,
            **_learnt([one for one, _ in kept[0]]),
            "conversations": {"trained": len(kept[0]), "held_out": len(kept[1])},
            "left_out": sum(map(len, pieces)) - sum(map(len, kept)),
            "before": before,
            "after": after,
            "steps": plan.steps,
            "settings": {name: value for name, value in asdict(cfg).items() if name != "dir"},
            "seed": seed,
            "versions": {"synthgen": __version__, **training.environment()["library versions"]},
        }
        with training_into(out):
            _save(adapted, metrics, out)
    return metrics


def _learnt(exchanges: Sequence[AdapterExample]) -> Json:
    """Count the conversations of each kind, and list the ids of their rows."""
    kinds = Counter(one.kind for one in exchanges)
    return {"kinds": dict(sorted(kinds.items())), "trained_rows": sorted({one.row for one in exchanges})}


def encode(tokenizer: Any, exchange: AdapterExample) -> Encoded:
    """Return the tokens of the prompt, as an engine makes them, followed by those of the answer.

    A free-text answer ends with the end-of-turn token. An answer that is chosen from options does not, because there
    the engine ends the answer.
    """
    turns = [{"role": message.role, "content": message.content} for message in exchange.messages]
    prompt = list(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=False))
    answer = tokenizer(exchange.answer, add_special_tokens=False)["input_ids"]
    return prompt + answer + ([] if exchange.options else [tokenizer.eos_token_id]), len(prompt)


def rows_trained_on(folder: Path) -> frozenset[str]:
    """Return the ids of the rows that an adapter of synthgen was trained on; an empty set for other adapters.

    Raise ConfigError if the adapter's metrics file is damaged, because the rows must not be guessed.
    """
    if not (folder / METRICS).is_file():
        return frozenset()
    found = read_json(folder / METRICS)
    if found is None:
        raise ConfigError(
            f"judge.adapter: {folder / METRICS} is not a JSON object; restore the file, or train the adapter again"
        )
    return frozenset(found.get("trained_rows", ()))


def _fitted(
    cfg: AdaptConfig, model: Any, tokenizer: Any, encoded: Sequence[Encoded], plan: Plan, scratch: Path,
    say: Callable[[str], None],
) -> Any:  # fmt: skip
    """Return the model with its adapter, trained as planned."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    clock = Clock(watch=lines(say, "adapter"))
    clock.plan([Fit("adapter", "adapter", {START: 1, STEP: plan.steps})])
    clock.begin("adapter")
    place = TrainingFolders(scratch / "logs", "none", Checkpoints(scratch / "checkpoints", _NEVER, say), clock)
    order = plan.order([TrainingRow({"row": number}) for number in range(len(encoded))], cfg.batch_size, weighted=False)
    rows = [
        {"input_ids": ids, "labels": [-100] * start + ids[start:]} for ids, start in (encoded[index] for index in order)
    ]
    arguments = training.arguments(cfg, plan, place)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**arguments, max_length=cfg.max_length),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=causal.lora(cfg),
    )
    training.run(trainer, place, say)
    return trainer.model


def _figures(model: Any, tokenizer: Any, pairs: Sequence[tuple[AdapterExample, Encoded]]) -> Json:
    """Return the loss per answer token and, for a judge, its label accuracy and AUC. A figure without rows is None."""
    losses, tokens = causal.losses(model, tokenizer, [encoded for _, encoded in pairs])
    found: Json = {"loss": float(losses.sum() / tokens.sum()) if len(pairs) else None}
    chosen = [(one, encoded) for one, encoded in pairs if one.options]
    firsts = [
        [tokenizer(option, add_special_tokens=False)["input_ids"][0] for option in one.options] for one, _ in chosen
    ]
    shares = causal.next_logprobs(model, tokenizer, [ids[:start] for _, (ids, start) in chosen], firsts)
    answers = [(one, np.exp(share)) for (one, _), share in zip(chosen, shares, strict=True)]
    labels = [_right(one, share) for one, share in answers if one.kind == LABEL]
    if labels:
        found["label_accuracy"] = float(np.mean(labels))
    grades: dict[tuple[str, bool], list[float]] = {}
    for one, share in answers:
        if one.kind == RUBRIC and one.stratum:
            grades.setdefault((one.row, one.stratum == GOOD), []).append(float(share @ np.asarray(one.options, float)))
    good = [is_good for _, is_good in grades]
    if 2 <= sum(good) <= len(good) - 2:
        found["auc"] = maths.auc([float(np.mean(means)) for means in grades.values()], good)._asdict()
    return found


def _right(one: AdapterExample, share: Any) -> bool:
    """Return True if the answer's first token is the most probable of the tokens that begin an option."""
    return bool(share[one.options.index(one.answer)] >= share.max() - 1e-9)


def _nothing(cfg: AdaptConfig, found: int) -> str:
    if found:
        return f"adapt.max_length: all {found} conversations are longer than {cfg.max_length} tokens; raise it"
    return "there is nothing to train on: at least two seeds of a label, or two seeds for a prompt, are needed"


def _save(model: Any, metrics: Json, out: Path) -> None:
    """Write a temporary folder beside `out`, and then move it to `out` as a whole."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        new = Path(scratch) / out.name
        model.save_pretrained(new, save_embedding_layers=False)
        settings = json.loads((new / CONFIG).read_text(encoding="utf-8"))
        settings |= {
            "base_model_name_or_path": metrics["base_model"],
            "target_modules": sorted(settings["target_modules"]),
        }
        write_json(new / CONFIG, dict(sorted(settings.items())))
        write_json(new / METRICS, metrics)
        (new / "README.md").write_text(adapter_card(metrics), encoding="utf-8")
        assert (new / WEIGHTS).is_file()
        sync_tree(new)
        swap_in(new, out)


def _content_hash(folder: Path) -> str | None:
    """Return the SHA-256 of the model's weights, or None if the model is not a local folder."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest() if files else None


def is_worse(metrics: Json) -> bool:
    """Return True if the held-out rows show that the model is better without the adapter."""
    before, after = metrics["before"], metrics["after"]
    values = [("loss", 1), ("label_accuracy", -1)]
    changes = [sign * (after[name] - before[name]) for name, sign in values if before.get(name) is not None]
    if "auc" in before:
        changes.append(before["auc"]["value"] - after["auc"]["value"])
    return any(change > 0 and not math.isclose(change, 0, abs_tol=1e-9) for change in changes)
