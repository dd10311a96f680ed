"""Encode by com.microsoft PagedAttention, which reads and writes the pools' pages itself: nothing is gathered. One row of each
person is what it is for: for several rows behind a past its kernels gather pages of fewer than 256 tokens too.

It is of ONNX Runtime's CUDA library alone, in float16, so on a CPU nothing can run it. Pools are written as the operator does
it, through its inputs: they are no outputs of the graph. Its inputs by the sources of 2026
(contrib_ops/cuda/bert/paged_attention.cc).
"""

import numpy as np
from onnx import TensorProto

from ..release.graph import MICROSOFT, GraphBuilder
from .graph import INT64, DeviceGraph
from .sizes import PIECE, Sizes
from .trunk import FINAL, Trunk
from .weights import DeviceWeights

NAME = "paged"
INT32 = TensorProto.INT32
LEAST_PAGE = 16


def require_paged(sizes: Sizes, dtype: str, page_tokens: int) -> None:
    """ValueError in a sentence where the operator takes no such graph."""
    if dtype != "float16":
        raise ValueError(f"--attention {NAME} takes --dtype float16, not {dtype}")
    if page_tokens < LEAST_PAGE or page_tokens & (page_tokens - 1):
        raise ValueError(f"--attention {NAME} takes pages of a power of two from {LEAST_PAGE} tokens on, not {page_tokens}")
    if sizes.head_size % PIECE:
        raise ValueError(f"--attention {NAME} takes heads of a multiple of {PIECE}, not {sizes.head_size}")


def build_paged_encode(weights: DeviceWeights, page_tokens: int) -> GraphBuilder:
    """New rows of b people behind what the pools hold of them -> their last hidden state; the pools are written besides."""
    require_paged(weights.sizes, weights.element.name, page_tokens)
    graph = DeviceGraph(f"encode.{NAME}", weights, operators=True)
    g, sizes, trunk = graph.g, weights.sizes, Trunk(graph)
    rows = g.input("rows", ["b", "m", sizes.columns])
    lengths, counts = g.input("lengths", ["b"], INT64), g.input("counts", ["b"], INT64)
    pages, targets = g.input("pages", ["b", "g"], INT64), g.input("targets", ["b", "m"], INT64)
    pools = graph.pools()
    every, each = graph.product(graph.sizes(rows, 0, 2)), graph.size(rows, 1)
    x, normed = trunk.begin(trunk.real_rows(rows, each, counts))
    starts = graph.every(g("Add", every, graph.scalar(1)), each)
    where = [g("Cast", part, to=INT32) for part in (starts, lengths, pages)]
    # A window of new rows behind a whole window: rows of padding have positions too.
    angles = graph.angles(2 * sizes.window)
    tables = [graph.held(f"rotation.{name}.long", lambda of=of: of(angles)) for name, of in (("cos", np.cos), ("sin", np.sin))]
    slots = g("Cast", graph.cut(targets, -1), to=INT32)
    # In host memory: bounds of rows and of columns of each person, without which the operator would wait for the device.
    columns = g("Mul", graph.sizes(pages, 1, 2), g.integers(page_tokens))
    bounds = g("Cast", graph.shape(graph.sizes(rows, 1, 2), columns), to=INT32)
    cells = (page_tokens, sizes.heads, sizes.head_size)
    for layer, pair in enumerate(pools):
        keys, values = (graph.cut(pool, -1, *cells) for pool in pair)
        qkv = trunk.part(normed, layer, "qkv")
        mixed = g("PagedAttention", qkv, "", "", keys, values, *where, *tables, slots, *[""] * 5, bounds, domain=MICROSOFT,
                  num_heads=sizes.heads, kv_num_heads=sizes.heads, scale=1.0, do_rotary=1)  # fmt: skip
        x, normed = trunk.finish(x, trunk.out(mixed, layer), layer)
    last = graph.last_rows(every, each, counts)
    g.output("hidden", graph.exact_norm(g("Gather", x, last, axis=0), FINAL), ["b", sizes.width])
    return g
