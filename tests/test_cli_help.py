"""Help, suggestions and shell completion of the command line."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import forks
import pytest
from click.shell_completion import get_completion_class

from synthgen.cli import dispatch
from synthgen.cli.program import COMPLETION, VERBS, program
from synthgen.cli.verb import Verb

NAMES = [verb.name or "" for verb in VERBS]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("verb", NAMES)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_verb_explains_itself_with_examples_and_exit_codes(
    verb: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch([verb, flag]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith(f"Usage: synthgen {verb}")
    examples = said.out.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert len(examples) == 2
    assert all(example.startswith(f"  synthgen {verb}") for example in examples)
    codes = [line.split()[0] for line in said.out.partition("Exit codes:\n")[2].splitlines() if line[2:3].isdigit()]
    assert codes == sorted(codes)
    assert {"0", "1", "2"} <= set(codes)


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_the_examples_are_command_lines_that_the_verb_understands(verb: Verb) -> None:
    for example in verb.examples:
        words = shlex.split(example.partition(" > ")[0].partition(" && ")[0])
        assert verb.make_context(verb.name, words[2:]).params


def test_help_after_a_verb_and_before_it_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["help", "resume"]) == dispatch(["resume", "--help"]) == 0
    first, second = capsys.readouterr().out.split("Usage: ")[1:]
    assert first == second


def test_help_of_run_names_hydras_flags_and_is_not_hydras(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["run", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(flag in said for flag in ("--config-dir DIR", "--multirun", "--cfg [job|hydra|all]", "--hydra-help"))
    assert "powered by Hydra" not in said


@pytest.mark.parametrize("words", [["--version"], ["run", "--version"], ["status", "--version"]])
def test_the_version_is_shown_everywhere(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(words) == 0
    assert capsys.readouterr().out.startswith("synthgen ")


def test_help_imports_nothing_that_takes_time() -> None:
    slow = "hydra omegaconf msgspec numpy rich yaml asyncio"
    code = (
        "import sys; from synthgen.cli import dispatch; dispatch(['run', '--help']);"
        f" print([name for name in '{slow}'.split() if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rum", "there is no verb 'rum'; did you mean 'run'?"),
        ("--hlp", "there is no option '--hlp' here; did you mean '--help'?"),
        ("run --multirum", "there is no option '--multirum' here; did you mean '--multirun'?"),
        ("label out --anotator me", "there is no option '--anotator' here; did you mean '--annotator'?"),
        ("run smoke", "'smoke' is not an override: write KEY=VALUE; did you mean experiment=smoke?"),
        ("run that", "'that' is not an override: write KEY=VALUE, such as budget.target=500"),
        ("run --cfg jobs", "--cfg: 'jobs' is not one of 'job', 'hydra', 'all'"),
        ("run --cfg job --info", "--cfg and --info exclude each other; give only one of them"),
        ("run -sc query=bash", "--shell-completion query=... is only for shells, which set COMP_LINE"),
        ("resume", "RUN is missing"),
        ("resume budget.target=5", "RUN is missing; give the folder of a run"),
        ("resume out --fork --web", "--fork: needs a value"),
        ("predict out", "FILE is missing"),
        ("label out --count", "--count: needs a value"),
        ("doctor me", "unexpected argument (me)"),
        ("label out --count many", "--count: 'many' is not a whole number from 1 to 1000000"),
        ("export out --format xls", "--format: 'xls' is not one of 'jsonl', 'csv', 'parquet'"),
    ],
)
def test_a_wrong_command_line_is_one_message_with_the_nearest_right_word(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(words.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"synthgen: {said}")
    assert "Traceback" not in captured.err
    assert captured.err.splitlines()[-1].endswith("--help")


def test_a_wrong_option_value_is_not_repeated_when_it_is_a_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "correct-horse-battery-staple")
    assert dispatch(["label", "out", "--count", "correct-horse-battery-staple"]) == 2
    assert "correct-horse" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ("run --hydra-help", "== Flags =="),
        ("validate --cfg job --package budget experiment=smoke", "target: 50"),
        ("preview --info defaults experiment=smoke", "Defaults List"),
        ("adapt generator -c job --resolve experiment=smoke", "kind: replay"),
    ],
)
def test_hydras_flags_print_and_start_nothing(words: str, printed: str) -> None:
    done = forks.run([*forks.SYNTHGEN, *words.split()], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert printed in done.stdout
    assert list(Path().iterdir()) == []


def completed(*words: str, shell: str = "zsh") -> list[str]:
    """Return what the shell offers for the last word."""
    kind = get_completion_class(shell)
    assert kind is not None
    return [
        str(item.value)
        for item in kind(program, {}, "synthgen", COMPLETION).get_completions(list(words[:-1]), words[-1])
    ]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["re"], ["resume", "review", "report"]),
        (["run", "--multi"], ["--multirun"]),
        (["label", "out", "--then", ""], ["train"]),
        (["run", "budget.tar"], ["budget.target="]),
        (["run", "task=voi"], ["task=voice_intent"]),
        (["run", "--config-dir", "mine", "task=reviews"], ["task=reviews"]),
        (["run", "task", "=", "voi"], ["voice_intent"]),  # Bash takes "=" for a word of its own
        (["resume", "out", "student=fro"], ["student=frozen"]),
    ],
)
def test_the_shell_is_offered_verbs_options_and_overrides(words: list[str], offered: list[str]) -> None:
    Path("mine/task").mkdir(parents=True)
    Path("mine/task/reviews.yaml").touch()
    assert completed(*words) == offered


def test_the_shells_script_is_printed_by_the_program() -> None:
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run(
            [sys.executable, "-m", "synthgen"],
            capture_output=True,
            text=True,
            env={**os.environ, COMPLETION: f"{shell}_source"},
        )
        assert done.returncode == 0
        assert f"{COMPLETION}={shell}_complete" in done.stdout
