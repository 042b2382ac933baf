"""Make `python -m synthgen` run the `synthgen` command.

Install the signal handlers before the slow imports, so that Ctrl-C during the start ends the program cleanly.
"""

from typing import NoReturn

from synthgen.run.runtime.signals import exit_with


def main() -> NoReturn:
    exit_with(_work)


def _work() -> int:
    from synthgen import cli

    return cli.main()


if __name__ == "__main__":
    main()
