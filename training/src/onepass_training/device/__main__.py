"""python -m onepass_training.device device-graphs: the one command that needs no PyTorch, for machines without."""

import sys
from collections.abc import Sequence

from .. import command_line
from ..commands import device_graphs


def main(argv: Sequence[str] | None = None) -> int:
    """As onepass_training's own."""
    return command_line.run(command_line.parser((device_graphs,), "Writes device graphs.").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
