"""What the command lines of this package have in common: sentences for errors, and exit codes."""

import argparse
import sys
from collections.abc import Sequence
from errno import ENOSPC
from types import ModuleType


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> None:
        """Exit code 2."""
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def parser(commands: Sequence[ModuleType], description: str) -> argparse.ArgumentParser:
    """All commands and options."""
    top = Parser(prog="onepass_training", description=description)
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for command in commands:
        command.add(subparsers).set_defaults(run=command.run)
    return top


def _sentence(error: Exception, out: object) -> str:
    """What went wrong. The system's own errors have numbers, and their file last; a full disk has none: it is that of `out`."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    where = error.filename if error.filename is not None else out if error.errno == ENOSPC else None
    return str(error) if where is None else f"{where}: {error.strerror}"


def run(arguments: argparse.Namespace, interrupted: str = "") -> int:
    """Runs a command; 0 if it went well, 1 for a failure, 130 where somebody pressed Ctrl-C: then `interrupted` is said."""
    try:
        arguments.run(arguments)
    except (OSError, ValueError, FloatingPointError) as error:
        print(f"onepass_training: {_sentence(error, getattr(arguments, 'out', None))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nonepass_training: stopped{interrupted}", file=sys.stderr)
        return 130
    return 0
