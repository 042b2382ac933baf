"""Send a plan's requests to a server with distilabel: `python with_distilabel.py PLAN.json RESULT.json`.

Runs in distilabel's own environment. Rows go through `ChatGeneration`, and where there is a judge through a second
task of a few lines. Writes how many rows came back, how many the judge accepted, and the seconds from the first batch
to the last row of the last step: starting and ending the pipeline's processes, and writing its dataset, are left out.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts, StepInput, StepResources
from distilabel.steps.tasks import ChatGeneration, Task
from distilabel.typing import StepOutput

STAMPS = Path("stamps.txt")  # monotonic seconds, one a line; a file, because the steps run in their own processes


def stamp() -> None:
    with STAMPS.open("a") as file:
        file.write(f"{time.monotonic()}\n")


class Rows(LoadDataFromDicts):
    """Yield the plan's rows, and note the time of the first."""

    def process(self, offset: int = 0) -> Any:
        stamp()
        yield from super().process(offset)


class Generate(ChatGeneration):
    """distilabel's own task; says when a batch is done."""

    def process(self, inputs: StepInput) -> StepOutput:
        for outputs in super().process(inputs):
            stamp()
            yield outputs


class Judge(Task):
    """Request the label of each generated text."""

    messages: list[dict[str, str]]
    placeholder: str

    @property
    def inputs(self) -> list[str]:
        return ["generation"]

    @property
    def outputs(self) -> list[str]:
        return ["answer"]

    def format_input(self, input: dict[str, Any]) -> list[dict[str, str]]:
        *head, question = self.messages
        content = question["content"].replace(self.placeholder, text_of(input["generation"]))
        return [*head, {"role": "user", "content": content}]

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> dict[str, Any]:  # noqa: ARG002
        return {"answer": output}

    def process(self, inputs: StepInput) -> StepOutput:
        for outputs in super().process(inputs):
            stamp()
            yield outputs


def text_of(generation: str | None) -> str:
    try:
        return str(json.loads(generation or "")["text"])
    except (ValueError, LookupError, TypeError):
        return generation or ""


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    knobs, judge = plan["knobs"], plan["judge"]
    with Pipeline(cache_dir=tempfile.mkdtemp(dir=".")) as pipeline:
        rows = Rows(data=plan["rows"], **knobs.get("rows", {}))
        resources = StepResources(replicas=knobs.get("replicas", 1))
        generate = Generate(llm=model(plan, plan), resources=resources, **knobs.get("task", {}))
        rows >> generate
        if judge:
            ask = Judge(
                llm=model(plan, judge), messages=judge["messages"], placeholder=judge["placeholder"],
                resources=resources, **knobs.get("task", {}),
            )  # fmt: skip
            generate >> ask
    dataset = pipeline.run(use_cache=False)["default"]["train"]
    done = [row for row in dataset if row["generation"] is not None]
    stamps = [float(line) for line in STAMPS.read_text().split()]
    accepted = sum(row["answer"] == row["label"] for row in done) if judge else len(done)
    result = {"rows": len(done), "accepted": accepted, "seconds": max(stamps) - min(stamps)}
    Path(sys.argv[2]).write_text(json.dumps(result))


def model(plan: dict[str, Any], request: dict[str, Any]) -> OpenAILLM:
    sampling = dict(request["sampling"])
    return OpenAILLM(
        model=plan["model"],
        base_url=plan["url"],
        api_key=plan["key"],
        generation_kwargs={
            "temperature": sampling.pop("temperature"),
            "max_new_tokens": sampling.pop("max_tokens"),
            "extra_body": {**sampling, "structured_outputs": request["grammar"]},
        },
    )


if __name__ == "__main__":
    main()
