"""The verb that looks at this machine: doctor."""

import json
from pathlib import Path

import click

from synthgen.cli.verb import verb
from synthgen.errors import ExitCode
from synthgen.safety.untrusted import printable


@verb(
    examples=("synthgen doctor", "synthgen doctor --json"),
    exits={ExitCode.OK: "nothing is lacking", ExitCode.BAD_INPUT: "something is lacking, or a bad argument"},
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> int:
    """Show what this machine has and lacks, with a cure for each lack."""
    from synthgen.run import doctor as findings

    found = findings.doctor(Path("runs").resolve())
    if as_json:
        print(json.dumps(findings.as_json(found), ensure_ascii=False, indent=2))
    else:
        for line in findings.lines(found):
            print(printable(line))
    return ExitCode.BAD_INPUT if any(one.level == "lack" for one in found) else ExitCode.OK
