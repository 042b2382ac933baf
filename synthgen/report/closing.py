"""Write the lines that a run prints when it ends, as plain text without colours or terminal escapes."""

import shlex
import time
from pathlib import Path

from synthgen.engines.batch.records import waiting_figures
from synthgen.records import THINKING_ONLY, Json
from synthgen.report import asked, borrowing, cost, judging, plain, shares, strategies, trends, worth
from synthgen.run.continuation import relative


def last_lines(summary: Json, folder: Path) -> list[str]:
    """Return the closing lines: result, rejections and their reasons, cost, the student's result, and paths."""
    counts, tokens = summary["counts"], summary["tokens"]
    name = summary["run"]["name"]
    lines = [
        f"{plain.one_line(name) if name else 'The run'} {plain.outcome(summary)}.",
        f"accepted    {plain.reached(summary)}, {plain.percent(summary['rate']['acceptance'])} of "
        f"{plain.count(counts['candidates'])} candidates",
    ]
    if counts["rejected"]:
        lines.append(f"rejected    {plain.top_reasons(counts['rejected'])}")
    if thought := counts["rejected"].get(THINKING_ONLY):
        lines.append(
            f"thinking    {plain.count(thought)} candidates ended in thinking without an answer: raise model.thinking_tokens"
        )
    if summary["engine"]["name"] == "replay" and counts["candidates"] and not counts["accepted"]:
        lines.append(
            "engine      replay without a recording invents words, which fail checks such as spans, offsets and code: "
            "write replies for engine.recording=FILE (docs/tasks.md), or use a model"
        )
    lines += [f"unfilled    {sentence}" for sentence in shares.unfilled(summary)]
    if counts["fed_back"]:
        own = counts["accepted"] - counts["inherited"]
        lines.append(
            f"feedback    {plain.count(counts['fed_back'])} of {plain.count(own)} samples came from prompts that "
            "showed accepted samples"
        )
    lines += [f"strategies  {line}" for line in strategies.lines(summary["strategies"], summary["strategy_weights"])]
    if covered := asked.attribute_sentence(summary["attributes"]):
        lines.append(f"attributes  {covered}")
    if covered := asked.taxonomy_sentence(summary["taxonomy"]):
        lines.append(f"topics      {covered}")
    lines += [f"models      {line}" for line in strategies.lines(summary["models"], [])]
    if said := summary["answers"]:
        agreed = f"; agreement of {plain.one_line(said['in_words'])}" if said["in_words"] else ""
        lines.append(f"answers     people answered {plain.count(said['samples'])} of them{agreed}")
    if (chosen := summary["selection"])["method"] != "none":
        lines.append(f"selected    {plain.selected(chosen)}, for the dataset and the student")
    lines.append(f"tokens      {_token_line(tokens)}")
    lines += [f"replicas    {line}" for line in plain.replicas(tokens["replicas"])]
    if spent := cost.sentence(summary["cost"]):
        lines.append(f"cost        {spent}")
    lines.append(f"time        {plain.duration(summary['seconds']['total'])}")
    lines += [f"judge       {sentence}" for sentence in judging.sentences(summary["judge"])]
    lines += [f"alarm       {trends.sentence(alarm)}" for alarm in summary["diversity"].get("alarms", ())]
    if batches := waiting_figures(folder, time.time()):
        lines.append(f"batches     {plain.batches(batches)}; a resume uses their answers")
    if borrowed := borrowing.sentence(summary):
        lines.append(f"label words {borrowed}")
    return lines + student_lines(summary, folder)


def student_lines(summary: Json, folder: Path) -> list[str]:
    """Return the lines about the student's result, the labels and the paths, which end a training too."""
    command = f"synthgen label {plain.one_line(shlex.quote(relative(folder)))}"
    lines = [f"{what:<11} {sentence}" for what, sentence in worth.lines(summary, command)]
    for what, path in (("dataset", "dataset"), ("model", "student"), ("report", "report.html")):
        if (folder / path).exists():
            lines.append(f"{what:<11} {plain.one_line(str(folder / path))}")
    return lines


def _token_line(tokens: Json) -> str:
    parts = ", ".join(
        f"{name} {plain.count(per['prefill'])} prefill and {plain.count(per['decode'])} decode"
        for name in ("generator", "judge")
        if (per := tokens[name]["per_accepted"])["prefill"]
    )
    line = f"{plain.count(tokens['per_accepted'])} computed per accepted sample{f' ({parts})' if parts else ''}"
    share = tokens["cached_share"]
    if share:
        line += f"; {plain.percent(share)} of the prompt tokens were cached"
    elif share is not None:  # many servers do not report cached tokens, so 0 is no measurement
        line += "; the engine reported no cached prompt tokens"
    return (
        line if not tokens["unused"] else f"{line}, {plain.percent(tokens['unused_share'])} of the output was not used"
    )
