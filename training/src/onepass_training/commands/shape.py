"""`shape`: a release draft of any shape with synthetic weights."""

import argparse
import time
from pathlib import Path

from ..arguments import natural, positive
from ..config import usual_heads
from ..learn.device import device_named, prepare
from ..release.shape import Shape, write_shape


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Declares the command."""
    shape = commands.add_parser(
        "shape", help="write a release draft of any shape with synthetic weights, for measuring speed",
        description="Writes a release draft whose weights are random, to be served and measured at shapes that nothing was "
        "trained at. No quality may be quoted from it; its name and its metrics say so.",
    )  # fmt: skip
    shape.add_argument("--n", type=positive, required=True, help="tokens of the window")
    shape.add_argument("--k", type=positive, required=True, help="candidates that a page ranks")
    shape.add_argument("--layers", type=positive, required=True, help="layers of the trunk")
    shape.add_argument("--width", type=positive, required=True, help="width of the trunk")
    shape.add_argument("--heads", type=positive, help="attention heads (default: of 64 columns from width 512 on, of 32 below)")
    shape.add_argument("--items", type=positive, default=20_000, help="items of the catalogue (default 20000)")
    shape.add_argument("--seed", type=natural, default=1, help="seed of the weights and the items (default 1)")
    shape.add_argument("--threads", type=positive, default=1, help="CPU threads (default 1)")
    shape.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory of the draft")
    return shape


def run(arguments: argparse.Namespace) -> None:
    """Writes the draft."""
    began = time.monotonic()
    heads = arguments.heads or usual_heads(arguments.width)
    shape = Shape(arguments.n, arguments.k, arguments.layers, arguments.width, heads, arguments.items)
    prepare(device_named("cpu"), arguments.threads)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_shape(shape, arguments.out, arguments.seed)
    print(f"release draft: {arguments.out} ({time.monotonic() - began:.0f} s)")
