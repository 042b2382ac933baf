"""Assemble the program: list its verbs in the order of the help, and turn errors into messages and exit codes.

A UserError becomes one message and exit code 2.
"""

import difflib
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

import click
from click.shell_completion import shell_complete

from synthgen.cli import data, labels, machine, preparing, publishing, reviewing, runs, students, topics, versioning
from synthgen.cli.verb import WIDTH, Verb, complain, version_option
from synthgen.errors import ExitCode, UserError
from synthgen.safety.secrets import MaskedStream, mask
from synthgen.safety.streams import escape_unencodable, outliving
from synthgen.safety.untrusted import printable

COMPLETION = "_SYNTHGEN_COMPLETE"
"""Environment variable by which a shell asks for completions."""
SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": WIDTH}
VERBS: tuple[Verb, ...] = (
    runs.run,
    runs.resume,
    runs.validate,
    runs.preview,
    topics.taxonomy,
    runs.status,
    runs.runs,
    machine.doctor,
    preparing.prepare,
    students.adapt,
    labels.label,
    reviewing.guide,
    reviewing.review,
    students.train,
    students.evaluate,
    students.predict,
    data.report,
    data.export,
    versioning.version,
    versioning.log,
    versioning.diff,
    versioning.merge,
    publishing.push,
)


class _Program(click.Group):
    def list_commands(self, _: click.Context) -> list[str]:
        return list(self.commands)

    def collect_usage_pieces(self, _: click.Context) -> list[str]:
        return ["VERB", "[ARGUMENTS]"]

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.get_short_help_str(WIDTH)) for name, verb in self.commands.items()])

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), code.meaning) for code in ExitCode])
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text("`synthgen VERB --help` explains a verb, with examples.")


@click.group(cls=_Program, context_settings=SETTINGS, params=[version_option()])
def program() -> None:
    """Turn a handful of seed samples into a training set and a student model trained on it."""


for _verb in VERBS:
    program.add_command(_verb)


def main() -> int:
    """Run the command line of this process and return the exit code."""
    escape_unencodable(sys.stdout)
    sys.stdout = outliving(sys.stdout)
    sys.stderr = MaskedStream(outliving(sys.stderr))  # libraries print to it too
    if instruction := os.environ.get(COMPLETION):
        return shell_complete(program, {}, "synthgen", COMPLETION, instruction)
    return dispatch(sys.argv[1:])


def dispatch(arguments: Sequence[str]) -> int:
    """Run one verb and return the exit code."""
    words = list(arguments) or ["--help"]
    if words[0] == "help":
        words = [*words[1:], "--help"]
    try:
        with program.make_context("synthgen", words) as context:
            return int(program.invoke(context))
    except click.exceptions.Exit as done:  # after the help or the version
        return done.exit_code
    except click.ClickException as error:
        return complain(_in_words(error))
    except UserError as error:
        return complain(str(error))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception:
        print(printable(mask(traceback.format_exc()), keep_lines=True), end="", file=sys.stderr)
        print("synthgen: this is a bug in synthgen; the ledger of the run, if any, is undamaged", file=sys.stderr)
        return ExitCode.BUG


_GROUPS = ("task", "engine", "student", "judge", "model", "experiment", "generate", "diversity", "filters", "budget")
"""Groups of config keys that users write as if they were options."""


def _in_words(error: click.ClickException) -> str:
    """Return a message about a wrong command line: the fault, the nearest valid word, the usage, the help command."""
    match error:
        case click.NoSuchCommand():
            said = f"there is no verb '{error.command_name}'{_nearest(error.command_name, program.commands)}"
        case click.NoSuchOption():
            options = [name for param in error.ctx.command.params for name in param.opts] if error.ctx else []
            near = _nearest(error.option_name, [*options, "--help"])
            key = error.option_name.lstrip("-")
            if key in _GROUPS or "." in key:
                near = f"; write it without dashes, as {key}=VALUE"
            said = f"there is no option '{error.option_name}' here{near}"
        case click.BadOptionUsage():
            said = f"{error.option_name}: {'needs a value' if 'requires' in error.message else error.message}"
        case click.MissingParameter():
            said = f"{error.param.human_readable_name.split()[0] if error.param else 'an argument'} is missing"
        case click.BadParameter():
            said = f"{max(error.param.opts, key=len) if error.param else 'an argument'}: {error.message}"
        case _:
            said = error.message.replace("Got unexpected extra", "unexpected")
    context = getattr(error, "ctx", None)
    if context is None:
        return said
    usage = " ".join([context.command_path, *context.command.collect_usage_pieces(context)])
    return f"{said.rstrip('.')}\nusage: {usage}\nhelp:  {context.command_path} --help"


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
