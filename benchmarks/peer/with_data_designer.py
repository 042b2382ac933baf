"""Send a plan's requests to a server with NeMo Data Designer: `python with_data_designer.py PLAN.json RESULT.json`.

It runs in Data Designer's own environment, with a column of text, and a second column if there is a judge. A column has
one system and one user prompt, so the turns of a conversation become paragraphs of one prompt. Writes how many rows came
back, how many the judge accepted, and the seconds from the start of generation to the last written group of rows;
checking the model's health before, and profiling the dataset after, are left out.
"""

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import data_designer.config as dd
import pandas as pd
from data_designer.interface import DataDesigner


class Begun(logging.Handler):
    """Note the time when Data Designer logs that it starts to generate."""

    def __init__(self) -> None:
        super().__init__()
        self.at: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if "async task-queue builder" in record.getMessage():
            self.at = time.monotonic()


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    knobs, judge, rows = plan["knobs"], plan["judge"], plan["rows"]
    provider = dd.ModelProvider(name="server", endpoint=plan["url"], provider_type="openai", api_key=plan["key"])
    models = [model("generator", plan, plan)] + ([model("judge", plan, judge)] if judge else [])
    config = dd.DataDesignerConfigBuilder(model_configs=models)
    frame = pd.DataFrame([{"label": row["label"], **prompt(row["messages"])} for row in rows])
    config.with_seed_dataset(dd.DataFrameSeedSource(df=frame))
    config.add_column(
        dd.LLMTextColumnConfig(name="item", model_alias="generator", system_prompt="{{ system }}", prompt="{{ user }}")
    )
    if judge:
        asked = prompt(judge["messages"])
        user = asked["user"].replace(judge["placeholder"], "{{ item.text }}")
        config.add_column(
            dd.LLMTextColumnConfig(name="answer", model_alias="judge", system_prompt=asked["system"], prompt=user)
        )
    designer = DataDesigner(artifact_path="artifacts", model_providers=[provider])
    designer.set_run_config(dd.RunConfig(**knobs.get("run", {})))
    begun, ended = Begun(), []
    logging.getLogger("data_designer").addHandler(begun)
    created = designer.create(config, num_records=len(rows), on_batch_complete=lambda _: ended.append(time.monotonic()))
    dataset = created.load_dataset()
    assert begun.at is not None, "Data Designer did not say when it began"
    done = dataset[dataset["item"].notna()]
    accepted = int((done["answer"] == done["label"]).sum()) if judge else len(done)
    result = {"rows": len(done), "accepted": accepted, "seconds": max(ended) - begun.at}
    Path(sys.argv[2]).write_text(json.dumps(result))


def model(alias: str, plan: dict[str, Any], request: dict[str, Any]) -> dd.ModelConfig:
    sampling = dict(request["sampling"])
    inference = dd.ChatCompletionInferenceParams(
        temperature=sampling.pop("temperature"),
        max_tokens=sampling.pop("max_tokens"),
        extra_body={**sampling, "structured_outputs": request["grammar"]},
        **plan["knobs"].get("inference", {}),
    )
    return dd.ModelConfig(alias=alias, model=plan["model"], provider="server", inference_parameters=inference)


def prompt(messages: list[dict[str, str]]) -> dict[str, str]:
    """Return a conversation as the two prompts of a column."""
    system, *turns = [message["content"] for message in messages]
    return {"system": system, "user": "\n\n".join(turns)}


if __name__ == "__main__":
    main()
