"""Write docs/cli.md and the tables of verbs in README.md and README.zh.md from the program's help.

Each table is between two HTML comments. A test fails when a page is out of date.
"""

from pathlib import Path

import click

from synthgen.cli.program import SETTINGS, VERBS, program
from synthgen.cli.verb import WIDTH
from synthgen.errors import ExitCode

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cli.md"
START, END = "<!-- verbs: made by scripts/document_cli.py -->", "<!-- /verbs -->"
HEAD = """# The command line

Made by `python scripts/document_cli.py`; do not edit.

The Tab key completes verbs, options and overrides once your shell's start-up file has this line:

```
echo 'eval "$(_SYNTHGEN_COMPLETE=bash_source synthgen)"' >> ~/.bashrc
echo 'eval "$(_SYNTHGEN_COMPLETE=zsh_source synthgen)"' >> ~/.zshrc
echo '_SYNTHGEN_COMPLETE=fish_source synthgen | source' >> ~/.config/fish/config.fish
```
"""
CHINESE = {
    "run": "生成样本，直到达到目标或预算用完，然后训练学生模型并写出报告",
    "resume": "从上次停止的地方继续，或以已接受的样本开始新的运行",
    "validate": "检查配置、任务、提示词、语法和种子，不启动引擎",
    "preview": "实际生成少量候选样本，显示提示词、各项检查和预计用时",
    "taxonomy": "让模型写出策略 taxonomy 的主题树，或显示一次运行的主题树",
    "status": "显示一次运行的状态，运行中也可查看",
    "runs": "用一张表比较多次运行，例如一次参数扫描",
    "doctor": "显示本机具备和缺少的东西，并给出解决办法",
    "prepare": "清洗任意文件中的数据：修复文本、处理个人信息、去重、去除异常、划分数据集",
    "adapt": "用评分样本和种子训练 LoRA 适配器，供 judge.adapter 或 generate.adapter 使用",
    "label": "请人标注最有训练价值的样本：在终端、网页或文件中",
    "guide": "写出任务的标注指南：样本、标签、例子和拿不准时的做法",
    "review": "请多人标注：分配样本、提问、衡量一致程度、裁定分歧，也可经由 Label Studio",
    "train": "用人工答案重新训练并评测学生模型；可接着做中断的训练",
    "evaluate": "在任务的评测文件或 FILE 上评测学生模型，以 JSON 输出结果",
    "predict": "输出学生模型的预测，FILE 的每行对应一行 JSON",
    "report": "根据账本重新写出 summary.json、report.html 和 events.jsonl",
    "export": "根据账本重新写出 dataset/，或导出为训练、标注工具和表格的格式",
    "version": "把数据集冻结为一个版本，或把某个版本的数据写到文件夹",
    "log": "列出版本，最新的在前，或显示其中一个版本",
    "diff": "比较两个数据集：行、划分、标签、长度和学生模型",
    "merge": "把多个数据集合并为一个，去除重复，并记录每一行的来源",
    "push": "发布数据集或学生模型：到 Hugging Face Hub，或 S3、GCS 等存储",
}
CHINESE_CODES = {
    ExitCode.OK: "完成（运行：已达到目标）",
    ExitCode.BUG: "synthgen 的缺陷",
    ExitCode.BAD_INPUT: "参数、配置或输入文件有误",
    ExitCode.STOPPED: "预算用完、磁盘已满或警报，运行在达到目标之前停止",
    ExitCode.ENGINE_FAILED: "引擎或学生模型的训练进程彻底失败",
    ExitCode.INTERRUPTED: "被中断（Ctrl-C 或 SIGTERM），可以继续",
}


def context(command: click.Command, path: str) -> click.Context:
    return click.Context(command, info_name=path, **{**SETTINGS, "terminal_width": WIDTH})


def usage(verb: click.Command) -> str:
    """Return a verb with its arguments, without options."""
    words = [word for word in verb.collect_usage_pieces(context(verb, verb.name or "")) if word != "[OPTIONS]"]
    return " ".join([verb.name or "", *words])


def page() -> str:
    """Return docs/cli.md: the help of the program and of every verb."""
    parts = [HEAD, f"```\n{program.get_help(context(program, 'synthgen'))}\n```\n"]
    for verb in VERBS:
        parts.append(f"## synthgen {verb.name}\n\n```\n{verb.get_help(context(verb, f'synthgen {verb.name}'))}\n```\n")
    return "\n".join(parts)


def table(chinese: bool = False) -> str:
    """Return the table of verbs and the line about exit codes."""
    head = "| `synthgen ...` | 作用 |" if chinese else "| `synthgen ...` | does |"
    rows = []
    for verb in VERBS:
        words = CHINESE[verb.name or ""] if chinese else verb.get_short_help_str(WIDTH)
        escaped = usage(verb).replace("|", r"\|")  # a bare | ends the cell of a table
        rows.append(f"| `{escaped}` | {words} |")
    codes = [(int(code), CHINESE_CODES[code] if chinese else code.meaning) for code in ExitCode]
    title, mark = ("退出码", "；") if chinese else ("Exit codes", "; ")
    said = mark.join(f"`{code}` {words}" for code, words in codes)
    return "\n".join(
        [head, "|---|---|", *rows, "", f"{title}{'：' if chinese else ': '}{said}{'。' if chinese else '.'}"]
    )


def filled(text: str, chinese: bool = False) -> str:
    """Return a page with the table between its two comments. Raise ValueError where a comment is missing."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"the page lacks {START} and {END}")
    return f"{before}{START}\n{table(chinese)}\n{END}{after}"


def readmes() -> dict[Path, bool]:
    """Return the READMEs by path, each with True if it is in Chinese."""
    return {path: path.name == "README.zh.md" for path in sorted(ROOT.glob("README*.md"))}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    for readme, chinese in readmes().items():
        readme.write_text(filled(readme.read_text(encoding="utf-8"), chinese), encoding="utf-8")
    print(f"wrote {PAGE} and the tables of {', '.join(path.name for path in readmes())}")
