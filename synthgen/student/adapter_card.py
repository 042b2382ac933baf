"""Write the model card (README.md) of an adapter. It holds no local paths, because a card gets published."""

import yaml  # type: ignore[import-untyped]

from synthgen.records import Json
from synthgen.safety.untrusted import markdown, one_line

_WHAT = {"judge": "the judge", "generator": "the generator"}
_NAMES = {"loss": "loss per answer token", "label_accuracy": "label accuracy", "auc": "AUC of the mean grade"}


def adapter_card(metrics: Json) -> str:
    """Return the text of README.md for an adapter's metrics."""
    base = metrics["base_model"]
    front = {
        "base_model": one_line(base),
        "library_name": "peft",
        "license": "other",
        "tags": ["synthgen", "lora", f"synthgen-{metrics['role']}"],
    }
    key = {"judge": "judge.adapter", "generator": "generate.adapter"}[metrics["role"]]
    trained, held = metrics["conversations"]["trained"], metrics["conversations"]["held_out"]
    lines = [
        "---",
        yaml.safe_dump(front, allow_unicode=True, sort_keys=False).strip(),
        "---",
        "",
        f"# A LoRA adapter for {_WHAT[metrics['role']]} of a synthgen run",
        "",
        f"Trained on {trained} conversations, as a run sends them to {markdown(base)}, with the loss on the answers' "
        f"tokens only. {held} conversations were held out. Figures on these, without the adapter and with it:",
        "",
        "| | before | after |",
        "|---|---|---|",
        *(
            f"| {words} | {_shown(metrics['before'][name])} | {_shown(metrics['after'][name])} |"
            for name, words in _NAMES.items()
            if name in metrics["before"]
        ),
        "",
        f"To use it: `synthgen run {key}=FOLDER`, with the task and the prompts that it was trained for. Any engine "
        "that serves PEFT adapters can use it: `vllm serve MODEL --enable-lora --lora-modules NAME=FOLDER`.",
        "",
        "`metrics.json` has the settings, the versions and the ids of the rows that it was trained on.",
        "",
    ]
    return "\n".join(lines)


def _shown(value: Json | float | None) -> str:
    if isinstance(value, dict):
        return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
    return "–" if value is None else f"{value:.3f}"
