"""Layers of the trunk: by operators of ONNX Runtime's own where there may be such, else as ONNX has them.

A residual sum, its bias and the layer norm behind it are one SkipLayerNormalization. relu(x + b) is max(x, -b) + b, and the b
that is left goes through the product behind it into that one's bias, which the next sum adds: one pass over the rows between
products, and none for a bias (CUDA's Gemm writes it out for all rows first, and reads it back).
"""

import numpy as np
from numpy.typing import NDArray

from ..release.graph import MICROSOFT
from ..release.model_graph import LAYER_NORM_EPSILON
from .graph import DeviceGraph
from .sizes import PIECE

FINAL = "final_norm"


class Trunk:
    """The layers in one graph. A stream of rows is (x, normed): the rows, and their norm for what comes next."""

    def __init__(self, graph: DeviceGraph) -> None:
        self._graph, self._g, self.config = graph, graph.g, graph.config
        self.columns = -(-graph.config.columns // PIECE) * PIECE
        """Columns of input rows as `begin` takes them: zeros behind a row's own."""

    def real_rows(self, rows: str, each: str, counts: str) -> str:
        """rows [b, m, F], m in host memory, as `begin` takes them: zeros in those from counts [b] on, for padding may hold
        anything, NaN included."""
        graph, g = self._graph, self._g
        if spare := self.columns - self.config.columns:
            rows = g("Pad", rows, g.integers(0, 0, 0, 0, 0, spare))
        real = graph.column(g("Less", graph.up_to(each), graph.column(counts, 1)), 2)
        return graph.cut(g("Where", real, rows, graph.exact_number(0)), -1, self.columns)

    def begin(self, rows: str) -> tuple[str, str]:
        """float32 rows [n, `columns`] through the input layer."""
        graph, g = self._graph, self._g
        first = graph.held("input.0.matrix.wide", self._first)
        inner, bias = self._inner(g("MatMul", graph.stream(rows), first), "input.0", "input.2")
        x = g("Gemm", inner, graph.weight("input.2"), bias)
        return x, graph.norm(x, self._norm(0))

    def part(self, normed: str, layer: int, part: str, spare: int = 0) -> str:
        """normed [n, W] to its "q" (scaled), "k" or "v", [n, H x (D + spare)], 0 in spare dimensions; or to several side by
        side."""
        matrix = self._graph.held(
            f"trunk.blocks.{layer}.{part}.{spare}",
            lambda: np.concatenate([self._spared(self._projection(layer, one), 1, spare) for one in part], 1),
        )
        return self._g("MatMul", normed, matrix)

    def _projection(self, layer: int, part: str) -> NDArray:
        width, at = self.config.width, "qkv".index(part) * self.config.width
        matrix = self._graph.state[f"trunk.blocks.{layer}.qkv.weight"][at : at + width].T
        return matrix * np.float32(self.config.head_size**-0.5) if part == "q" else matrix

    def out(self, mixed: str, layer: int, spare: int = 0) -> str:
        """What attention gives, [n, H x (D + spare)], to [n, W]; spare dimensions count for nothing."""
        name = f"trunk.blocks.{layer}.out"
        matrix = self._graph.held(f"{name}.{spare}", lambda: self._spared(self._graph.state[f"{name}.weight"].T, 0, spare))
        return self._g("MatMul", mixed, matrix)

    def finish(self, x: str, y: str, layer: int) -> tuple[str, str]:
        """x with `out`'s y and the feed-forward part, and its norm for the next layer, or the final one."""
        g, block = self._g, f"trunk.blocks.{layer}"
        x, normed = self._joined(x, y, "", f"{block}.feed_norm")
        inner, bias = self._inner(g("MatMul", normed, self._graph.weight(f"{block}.up")), f"{block}.up", f"{block}.down")
        return self._joined(x, g("MatMul", inner, self._graph.weight(f"{block}.down")), bias, self._norm(layer + 1))

    def head(self, normed: str) -> str:
        """The action head's logits [n, A] in float32, of finally normed rows."""
        graph, g = self._graph, self._g
        inner = g("MatMul", normed, graph.weight("action_head.0"))
        inner, bias = self._inner(inner, "action_head.0", "action_head.2", exact=True)
        matrix = graph.exact("action_head.2.matrix", lambda: graph.state["action_head.2.weight"].T)
        return g("Gemm", graph.float32(inner), matrix, bias)

    def _norm(self, layer: int) -> str:
        return f"trunk.blocks.{layer}.attention_norm" if layer < self.config.layers else FINAL

    def _first(self) -> NDArray:
        matrix = self._graph.state["input.0.weight"].T
        return np.pad(matrix, ((0, self.columns - len(matrix)), (0, 0)))

    def _spared(self, matrix: NDArray, axis: int, spare: int) -> NDArray:
        """A matrix with zeros for the spare dimensions of heads, which are side by side on `axis`."""
        heads, size, width = self.config.heads, self.config.head_size, self.config.width
        apart = matrix.reshape((heads, size, width) if axis == 0 else (width, heads, size))
        pads = [(0, 0)] * 3
        pads[axis + 1] = (0, spare)
        return np.pad(apart, pads).reshape((-1, width) if axis == 0 else (width, -1))

    def _inner(self, product: str, first: str, second: str, exact: bool = False) -> tuple[str, str]:
        """Between two products: what goes into the second, and its bias, in float32 if `exact`."""
        graph, g = self._graph, self._g
        held = graph.exact if exact else graph.held
        if not graph.operators:
            inner = g("Relu", g("Add", product, graph.vector(f"{first}.bias")))
            return inner, held(f"{second}.bias", lambda: graph.state[f"{second}.bias"])
        turned = graph.held(f"{first}.bias.turned", lambda: -graph.state[f"{first}.bias"])

        def left() -> NDArray:
            # Of the numbers that the graph computes with, so that a unit that is off leaves nothing.
            element = graph.weights.element
            bias = graph.state[f"{first}.bias"].astype(element).astype(np.float64)
            matrix = graph.state[f"{second}.weight"].astype(np.float32 if exact else element).astype(np.float64)
            return (graph.state[f"{second}.bias"] + matrix @ bias).astype(np.float32)

        return g("Max", product, turned), held(f"{second}.bias.left", left)

    def _joined(self, x: str, y: str, bias: str, norm: str) -> tuple[str, str]:
        """x + y + bias, and its norm."""
        graph, g = self._graph, self._g
        if not graph.operators:
            x = g("Add", x, g("Add", y, bias) if bias else y)
            return x, graph.norm(x, norm)
        scale, shift = graph.vector(f"{norm}.weight"), graph.vector(f"{norm}.bias")
        normed, _, _, x = g.several("SkipLayerNormalization", x, y, scale, shift, *([bias] if bias else []), outputs=4,
                                    unwanted=(1, 2), domain=MICROSOFT, epsilon=LAYER_NORM_EPSILON)  # fmt: skip
        return x, normed
