"""The command line: python -m onepass_training COMMAND."""

import argparse
import sys
from collections.abc import Sequence

from . import command_line
from .commands import compare, convert, device_graphs, leave_one_out, prepare, report, shape, throughput, train

COMMANDS = (train, prepare, convert, compare, report, leave_one_out, throughput, shape, device_graphs)
INTERRUPTED = {
    "train": "; the same command with --resume goes on from the last checkpoint, if there is one",
    "report": "; the same command goes on with what is not done",
}
"""What a command that was stopped by Ctrl-C can do."""


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    return command_line.parser(COMMANDS, "Trains the Onepass model and writes a release draft.")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; 0 if it went well, 1 for a failure, 2 for a bad argument, 130 where somebody pressed Ctrl-C."""
    arguments = parser().parse_args(argv)
    return command_line.run(arguments, INTERRUPTED.get(arguments.command, ""))


if __name__ == "__main__":
    sys.exit(main())
