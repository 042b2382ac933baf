"""Define the verb that checks this machine: doctor."""

import json
from pathlib import Path

import click

from synthgen.cli.verb import verb
from synthgen.errors import ExitCode
from synthgen.safety.untrusted import printable


@verb(
    examples=("synthgen doctor", "synthgen doctor --json"),
    exits={ExitCode.OK: "nothing is missing", ExitCode.BAD_INPUT: "something is missing, or an argument is bad"},
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> int:
    """Check whether this machine has everything that runs need, and say how to fix what is missing."""
    from synthgen.run import doctor as findings

    found = findings.doctor(Path("runs").resolve())
    if as_json:
        print(json.dumps(findings.as_json(found), ensure_ascii=False, indent=2))
    else:
        for line in findings.lines(found):
            print(printable(line))
    return ExitCode.BAD_INPUT if any(one.level == "lack" for one in found) else ExitCode.OK
