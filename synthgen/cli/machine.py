"""Define the verb that checks this machine, or an endpoint: doctor."""

import json
from pathlib import Path

import click

from synthgen.cli.verb import verb, wrong
from synthgen.errors import ExitCode
from synthgen.safety.untrusted import printable


@verb(
    examples=("synthgen doctor --json", "synthgen doctor --endpoint http://127.0.0.1:8000/v1"),
    exits={ExitCode.OK: "nothing is missing", ExitCode.BAD_INPUT: "something is missing, or an argument is bad"},
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--endpoint", "url", metavar="URL", help="Check this OpenAI-compatible server instead of this machine.")
@click.option("--model", metavar="NAME", help="With --endpoint: a model of the server. [default: the first it lists]")
def doctor(as_json: bool, url: str | None, model: str | None) -> int:
    """Check whether this machine has everything that runs need, and say how to fix what is missing.

    With --endpoint: check which parts of OpenAI's API a server supports. The key is read from $OPENAI_API_KEY.
    """
    if model is not None and url is None:
        wrong("--model: needs --endpoint URL")
    from synthgen.run import doctor as findings

    found = findings.doctor(Path("runs").resolve()) if url is None else findings.endpoint(url, model)
    if as_json:
        print(json.dumps(findings.as_json(found), ensure_ascii=False, indent=2))
    else:
        for line in findings.lines(found):
            print(printable(line))
    return ExitCode.BAD_INPUT if any(one.level == "lack" for one in found) else ExitCode.OK
