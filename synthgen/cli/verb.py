"""Provide the parts to declare verbs with: help, options, and the handling of a run folder."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from synthgen import __version__
from synthgen.cli.completion import complete_keys
from synthgen.errors import ExitCode, UserError
from synthgen.safety.secrets import mask
from synthgen.safety.untrusted import printable

if TYPE_CHECKING:
    from synthgen.config import Config

WIDTH = 110
"""The most columns of the help, and of the pages that are made from it."""
Function = Callable[..., Any]


class Verb(click.Command):
    """Define a Click command whose help ends with notes, examples and exit codes."""

    def __init__(
        self,
        *arguments: Any,
        notes: Sequence[str] = (),
        examples: Sequence[str] = (),
        exits: Mapping[ExitCode, str],
        **more: Any,
    ) -> None:
        super().__init__(*arguments, **more)
        self.params.append(version_option())
        self.notes, self.examples, self.exits = notes, examples, exits

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = (
                error.ctx or ctx
            )  # Click omits the context for an option without its value, but the message needs the verb
            raise

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        options, *words = super().collect_usage_pieces(ctx)
        return [*words, options]

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        for note in self.notes:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(note)
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), self.exits[code]) for code in sorted(self.exits)])


def verb(
    examples: Sequence[str], exits: Mapping[ExitCode, str], notes: Sequence[str] = ()
) -> Callable[[Function], Verb]:
    """Return a decorator that declares a verb.

    The function's docstring is the help of the verb. Its first line is also in the list of verbs. `exits` gives the
    meanings of exit codes for this verb. Codes 0, 1 and 2 have their usual meanings unless given.
    """
    usual = {ExitCode.OK: "done", **meanings(ExitCode.BUG, ExitCode.BAD_INPUT)}

    def declare(function: Function) -> Verb:
        made = click.command(
            cls=Verb,
            notes=notes,
            examples=examples,
            exits={**usual, **exits},
            short_help=(function.__doc__ or "").partition("\n")[0],
        )(function)
        assert isinstance(made, Verb)
        return made

    return declare


def meanings(*codes: ExitCode) -> dict[ExitCode, str]:
    """Return the given exit codes with their usual meanings."""
    return {code: code.meaning for code in codes}


def version_option() -> click.Option:
    """Return the option --version, which every verb has."""

    def show(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted and not ctx.resilient_parsing:
            print(f"synthgen {__version__}")
            ctx.exit()

    return click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show, help="Show the version and exit."
    )


class TextValue(click.ParamType[str]):
    """Accept a value that does not begin with "-", so that an option without a value does not take the next option."""

    name = "text"

    def __init__(self, *, files: bool = False) -> None:
        self._files = files

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value or value.startswith("-"):
            self.fail("needs a value", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem[Any]]:
        return click.Path().shell_complete(ctx, param, incomplete) if self._files else []


class WholeNumber(click.ParamType[int]):
    """Accept a whole number from `least` to `most`."""

    name = "number"

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdecimal() and self._least <= int(text) <= self._most):
            self.fail(f"'{text}' is not a whole number from {self._least} to {self._most}", param, ctx)
        return int(text)


FOLDER = click.Path(file_okay=False)
run_folder = click.argument("run", metavar="RUN", type=FOLDER, help="The folder of a run, such as runs/NAME.")


def run_and_overrides(keys: str) -> Callable[[Function], Function]:
    """Return a decorator that adds a run folder and overrides, in any order. `keys` describes the overrides."""
    return click.argument(
        "words",
        nargs=-1,
        metavar="RUN [KEY=VALUE]...",
        required=True,
        shell_complete=complete_keys,
        help=f"The folder of a run, such as runs/NAME, and {keys}, in any order.",
    )


def parted(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the run folder, which is the one word that is not an override, and the overrides.

    The name of a run folder may contain "=".
    """
    overrides = [word for word in words if "=" in word and not (Path(word) / "ledger.sqlite").is_file()]
    rest = [word for word in words if word not in overrides]
    if not rest:
        wrong("RUN is missing; give the folder of a run")
    if len(rest) > 1:
        wrong(f"'{rest[1]}' is neither the one run folder nor an override; write overrides as KEY=VALUE")
    return rest[0], overrides


def selecting(words: Sequence[str], keys: tuple[str, ...] = ("select.",)) -> tuple[str, list[str]]:
    """Return the run folder and the overrides. Raise UserError for an override of other keys than `keys`."""
    run, overrides = parted(words)
    if other := [word for word in overrides if not word.startswith(keys)]:
        allowed = " and ".join(f"{key}*" for key in keys)
        raise UserError(f"'{other[0]}': only {allowed} keys can be set here, because the samples exist already")
    return run, overrides


def wrong(message: str) -> NoReturn:
    """Refuse the command line with a message, followed by the usage of the verb."""
    raise click.UsageError(message, click.get_current_context())


def folder_of(run: str) -> Path:
    """Return the absolute path of a run folder. Raise UserError where it is not a run folder."""
    folder = Path(run)
    if not (folder / "ledger.sqlite").is_file():
        cause = (
            "not a run folder, because it has no ledger.sqlite"
            if folder.exists()
            else "not a run folder: it does not exist"
        )
        raise UserError(f"{folder}: {cause}; give the folder of a run, such as runs/NAME")
    return folder.resolve()


def saved(folder: Path, overrides: Sequence[str] = ()) -> "Config":
    """Return the saved config of a run, changed by `overrides`. Find its files again if they were moved."""
    from synthgen.config import from_saved
    from synthgen.ledger import Reader
    from synthgen.run.moved import found_again

    with Reader(folder / "ledger.sqlite") as reader:
        config = from_saved(reader.meta("config"), list(overrides))
    config.run.dir = str(folder)
    return found_again(config, folder, note)


def note(text: str) -> None:
    """Print a message that is not a result, to standard error."""
    print(text, file=sys.stderr)


def complain(message: str) -> ExitCode:
    """Print the message of a user error, without secrets and control characters, and return its exit code."""
    print(f"synthgen: {printable(mask(message), keep_lines=True)}", file=sys.stderr)
    return ExitCode.BAD_INPUT
