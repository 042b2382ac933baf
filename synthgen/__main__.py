"""`python -m synthgen` is `synthgen`. Takes over the signals before it imports what takes time."""

from typing import NoReturn

from synthgen.signals import exit_with


def main() -> NoReturn:
    exit_with(_work)


def _work() -> int:
    from synthgen import cli

    return cli.main()


if __name__ == "__main__":
    main()
