"""python -m onepass_training.peer.ahead: compiles what the bench will ask the peer for, while nobody waits.

PyTorch keeps what it compiled on disk, by the graph: the bench's own processes find it there. A pass that cannot be compiled is
told in a line; the others go on.
"""

import argparse
import sys
import time
from collections.abc import Sequence

import torch

from .. import command_line
from ..arguments import positive
from ..config import usual_heads
from ..device.sizes import synthetic_sizes
from .cases import Case, Prepared
from .serve import described
from .shape import DTYPES, made_up_model
from .trunk import PeerTrunk

PASSES = ("rank", "recompute", "encode", "append")
SEED = 1
"""Of the bench's weights."""


def ahead(arguments: argparse.Namespace) -> None:
    """Prepares each pass once and forgets it."""
    peer, heads = described(), arguments.heads or usual_heads(arguments.width)
    sizes = synthetic_sizes(arguments.n, arguments.layers, arguments.width, heads)
    device = torch.device("cpu" if peer["cuda"] is None else "cuda")
    trunk = PeerTrunk(made_up_model(sizes, SEED), device, DTYPES[arguments.dtype])
    print(f"PyTorch {peer['torch']} on {peer['device']}", flush=True)
    cases = [(kind, arguments.batch) for kind in PASSES] + ([("rank", 1)] if arguments.batch > 1 else [])
    for kind, batch in cases:
        for attention in peer["attention"]:
            began = time.monotonic()
            case = Case(kind, batch, arguments.n, arguments.k, attention=attention, compiled=peer["compiles"],
                        graphs=peer["cuda"] is not None)  # fmt: skip
            try:
                Prepared(trunk, case, SEED)
                failure = None
            except Exception as error:
                failure = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            # Else all passes together would be too many versions of one function.
            torch.compiler.reset()
            print(f"{kind}, {attention}, B={batch}: {failure or f'{time.monotonic() - began:.1f} s'}", flush=True)
            if failure is None:
                break


def main(argv: Sequence[str] | None = None) -> int:
    """As onepass_training's own commands."""
    parser = command_line.Parser(prog="python -m onepass_training.peer.ahead", description=(__doc__ or "").strip())
    for name in ("n", "layers", "width", "k", "batch"):
        parser.add_argument(f"--{name}", type=positive, required=True)
    parser.add_argument("--heads", type=positive, help="default: as `shape` has it")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="float16")
    parser.set_defaults(run=ahead)
    return command_line.run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
