"""The command line: python -m onepass_training COMMAND."""

import argparse
import sys
from collections.abc import Sequence
from errno import ENOSPC

from .commands import compare, convert, device_graphs, leave_one_out, prepare, report, shape, throughput, train

COMMANDS = (train, prepare, convert, compare, report, leave_one_out, throughput, shape, device_graphs)
INTERRUPTED = {
    "train": "; the same command with --resume goes on from the last checkpoint, if there is one",
    "report": "; the same command goes on with what is not done",
}
"""What a command that was stopped by Ctrl-C can do."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> None:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    top = _Parser(prog="onepass_training", description="Trains the Onepass model and writes a release draft.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for command in COMMANDS:
        command.add(commands).set_defaults(run=command.run)
    return top


def _sentence(error: Exception, out: object) -> str:
    """What went wrong. The system's own errors have numbers, and their file last; a full disk has none: it is that of `out`."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    where = error.filename if error.filename is not None else out if error.errno == ENOSPC else None
    return str(error) if where is None else f"{where}: {error.strerror}"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; 0 if it went well, 1 for a failure, 2 for a bad argument, 130 where somebody pressed Ctrl-C."""
    arguments = parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (OSError, ValueError, FloatingPointError) as error:
        print(f"onepass_training: {_sentence(error, getattr(arguments, 'out', None))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nonepass_training: stopped{INTERRUPTED.get(arguments.command, '')}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
