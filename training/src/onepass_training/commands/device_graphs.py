"""`device-graphs`: batched graphs for a device that keeps everybody's keys and values in its memory."""

import argparse
import time
from pathlib import Path

from ..arguments import natural, positive
from ..config import usual_heads
from ..device.released import release_id, released
from ..device.sizes import Sizes, State, synthetic_sizes, synthetic_state
from ..device.weights import DTYPES
from ..device.write import PAGE_TOKENS, VARIANTS, Options, write_device_graphs

SHAPE, OF_SHAPES = ("n", "layers", "width"), ("heads", "seed")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Declares the command."""
    graphs = commands.add_parser(
        "device-graphs", help="write the trunk's graphs for batches of people whose keys and values stay on a device",
        description="Writes the graphs of docs/device-graphs.md with a release's weights, or with random ones of any shape, "
        "for measuring speed.",
    )  # fmt: skip
    graphs.add_argument("--release", type=Path, metavar="DIR", help="the weights of this release or draft")
    graphs.add_argument("--n", type=positive, help="random weights: tokens of the window")
    graphs.add_argument("--layers", type=positive, help="random weights: layers of the trunk")
    graphs.add_argument("--width", type=positive, help="random weights: width of the trunk")
    graphs.add_argument("--heads", type=positive, help="random weights: heads (default: as `shape` has it)")
    graphs.add_argument("--seed", type=natural, help="random weights: their seed (default 1)")
    graphs.add_argument("--dtype", choices=tuple(DTYPES), default="float32", help="of weights and KV (default float32)")
    graphs.add_argument("--attention", default=",".join(VARIANTS), metavar="LIST",
                        help=f"ways to compute attention, of {', '.join(VARIANTS)} (default: these), and paged: encode for "
                        "CUDA alone")  # fmt: skip
    graphs.add_argument("--page-tokens", type=positive, default=PAGE_TOKENS, help=f"tokens of a page (default {PAGE_TOKENS})")
    graphs.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory of the graphs")
    return graphs


def run(arguments: argparse.Namespace) -> None:
    """Writes the graphs."""
    began = time.monotonic()
    sizes, state = _weights(arguments)
    known = None if arguments.release is None else release_id(arguments.release)
    options = Options(arguments.dtype, tuple(arguments.attention.split(",")), arguments.page_tokens, known)
    write_device_graphs(state, sizes, arguments.out, options)
    print(f"device graphs: {arguments.out} ({time.monotonic() - began:.1f} s)")


def _weights(arguments: argparse.Namespace) -> tuple[Sizes, State]:
    told = [name for name in (*SHAPE, *OF_SHAPES) if getattr(arguments, name) is not None]
    if arguments.release is not None:
        if told:
            raise ValueError(f"--release has weights of its own, and takes no --{told[0]}")
        return released(arguments.release)
    missing = [f"--{name}" for name in SHAPE if name not in told]
    if missing:
        raise ValueError(f"say what the graphs are of: --release DIR, or random weights by {', '.join(missing)}")
    heads = arguments.heads or usual_heads(arguments.width)
    sizes = synthetic_sizes(arguments.n, arguments.layers, arguments.width, heads)
    return sizes, synthetic_state(sizes, 1 if arguments.seed is None else arguments.seed)
