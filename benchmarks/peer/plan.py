"""Write the plan that every client gets: synthgen's messages, grammars and sampling, with fixed demonstrations.

A plan is JSON, because most of the programs that read it run in environments without synthgen.
"""

from typing import Any

from omegaconf import OmegaConf

from synthgen.engines.grammar.schema import choice, to_vllm
from synthgen.engines.prompts import Prompts
from synthgen.generate.foils import foils
from synthgen.generate.mix import group_rng
from synthgen.generate.planner import Group
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import PromptingConfig, group_size
from synthgen.generate.strategies.fewshot import FewShot, FewShotConfig
from synthgen.records import Json, Message, Sample, content_id
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task, TaskConfig

TEXT = "<<TEXT>>"  # where the text to be judged belongs in the question
_MARK = "4f9c21d7"  # stands around that text; synthgen has another one for every text
_SHOTS = 2  # seeds of a label that the judge is shown, as by default
_LABEL_TOKENS = 8  # room for a whole label: who reads text needs it, where synthgen reads one token's logprobs


def plan(rows: int, judge: bool, first_group: int) -> Json:
    """Return `rows` generation requests for the news task, and how to request the label of each result.

    Plans whose numbers of `first_group` are far apart show demonstrations in other orders.
    """
    fields: Any = OmegaConf.to_container(OmegaConf.load(root() / "conf/task/news_topic.yaml"))
    task = load_task(TaskConfig(**fields), [root()])
    seeds = [
        Sample(id=content_id(row), data=row, origin="seed", label=task.label_of(row))
        for row in read_samples(task.seeds, task, "seed")
    ]
    return _generation(task, seeds, rows, first_group) | {"judge": _label_check(task, seeds) if judge else None}


def _generation(task: Task, seeds: list[Sample], count: int, first_group: int) -> Json:
    """Return requests in groups that share a prompt, as synthgen's do, each for the next label."""
    prompting, labels = Prompting(task, PromptingConfig(), Prompts(task.prompts), seed=0), list(task.labels)
    strategy, size = FewShot(FewShotConfig(), prompting), group_size(PromptingConfig(), len(labels))
    by_label: dict[str | None, list[Sample]] = {name: [s for s in seeds if s.label == name] for name in labels}
    rows: list[Json] = []
    for group in range(first_group, first_group + -(-count // size)):
        label = labels[group % len(labels)]
        rng = group_rng(0, group)
        shown = foils(rng, strategy.foils, by_label, label) + rng.sample(by_label[label], strategy.demonstrations)
        (planned,) = prompting.slots(Group(group, group * size, 1, label, 0), strategy.name, shown)
        request = prompting.request(planned, shown)
        messages = [message.model_dump() for message in request.messages]
        rows += [{"label": label, "messages": messages}] * size
    sampling = {name: getattr(request.sampling, name) for name in ("temperature", "min_p", "max_tokens")}
    return {"rows": rows[:count], "sampling": sampling, "grammar": to_vllm(prompting.grammar)}


def _label_check(task: Task, seeds: list[Sample]) -> Json:
    """Return the messages of the label check; the last one has TEXT in place of the text."""
    prompts = Prompts(task.prompts)

    def question(text: str) -> Message:
        return Message(role="user", content=prompts.render("label", "ask", task=task, text=text, mark=_MARK))

    messages = [Message(role="system", content=prompts.render("label", "system", task=task))]
    for turn in range(_SHOTS):
        for label in task.labels:
            seed = [seed for seed in seeds if seed.label == label][turn]
            messages += [question(task.input_text(seed.data)), Message(role="assistant", content=label)]
    return {
        "messages": [message.model_dump() for message in [*messages, question(TEXT)]],
        "placeholder": TEXT,
        "sampling": {"temperature": 0.0, "max_tokens": _LABEL_TOKENS},
        "grammar": to_vllm(choice(task.labels)),
    }
