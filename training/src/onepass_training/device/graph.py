"""Parts of batched graphs: shapes, positions, pools and the rows of a page table.

Whatever depends on a shape alone stays in shape operators, whose results ONNX Runtime keeps in host memory, and meets data only
as a shape, or as an end of a Range: anything else would have to be copied to the device within a run, which a captured
CUDA graph does not allow.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from ..model.rope import rope_frequencies
from ..release.graph import MICROSOFT, OPSET, GraphBuilder
from ..release.model_graph import LAYER_NORM_EPSILON, ModelGraph
from .sizes import Sizes
from .weights import WEIGHTS, DeviceWeights

CLOSED = -3e4
"""Score of a column that is not seen: a float16 number, and as a softmax weight exactly 0 in float32 too."""
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


class DeviceGraph(ModelGraph):
    """A graph over batches: b people, m rows of each, g pages of each."""

    config: Sizes

    def __init__(self, name: str, weights: DeviceWeights, opset: int = OPSET, operators: bool = False) -> None:
        """`operators`: what ONNX Runtime has one operator of its own for is that, not several of ONNX'."""
        g = GraphBuilder(name, weights.file, WEIGHTS, opset, ir_version=8 if opset < 21 else 11)
        super().__init__(g, weights.state, weights.sizes, rope_frequencies(weights.sizes.head_size))
        self.weights, self.type, self._operators = weights, weights.onnx_type, operators

    def held(self, name: str, make: Callable[[], NDArray]) -> str:
        """Weights of the stream's type."""
        return self.g.initializer(self.weights.tensor(name, make))

    def exact(self, name: str, make: Callable[[], NDArray]) -> str:
        """Weights in float32, for what comes behind the stream."""
        return self.g.initializer(self.weights.tensor(name, make, np.dtype(np.float32)))

    def number(self, value: float) -> str:
        """A scalar of the stream's type."""
        return self.g.constant(np.array(value, self.weights.element))

    def stream(self, x: str) -> str:
        """float32 to the stream's type."""
        return x if self.type == FLOAT else self.g("Cast", x, to=self.type)

    def float32(self, x: str) -> str:
        """Of the stream's type to float32."""
        return x if self.type == FLOAT else self.g("Cast", x, to=FLOAT)

    def exact_norm(self, x: str, name: str) -> str:
        """Layer norm of the stream [n, W] in float32."""
        scale, bias = (self.exact(of, lambda of=of: self.state[of]) for of in (f"{name}.weight", f"{name}.bias"))
        return self.g("LayerNormalization", self.float32(x), scale, bias, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def sizes(self, x: str, start: int, end: int) -> str:
        """Sizes of x's axes from `start` to before `end`, a vector in host memory."""
        return self.g("Shape", x, start=start, end=end)

    def size(self, x: str, axis: int) -> str:
        """Size of an axis of x, a scalar in host memory."""
        return self.g("Squeeze", self.sizes(x, axis, axis + 1))

    def shape(self, *parts: str | int) -> str:
        """A shape of vectors in host memory and constants."""
        return self.g("Concat", *(self.g.integers(part) if isinstance(part, int) else part for part in parts), axis=0)

    def on_device(self, size: str) -> str:
        """A scalar in host memory as a vector [1] that data can meet."""
        one = self.g.constant(np.array(1, np.int64))
        return self.g("Range", size, self.g("Add", size, one), one)

    def column(self, x: str, *axes: int) -> str:
        """x with axes of size 1 added."""
        return self.g("Unsqueeze", x, self.g.integers(*axes))

    def cut(self, x: str, *shape: int) -> str:
        """Reshape; 0 keeps an axis' size, -1 takes what is left."""
        return self.g("Reshape", x, self.g.integers(*shape))

    def rotation_at(self, positions: str) -> tuple[str, str]:
        """`rotation` at int64 positions of any shape: angles in float32, factors of the stream's type."""
        positions = self.g("Cast", positions, to=FLOAT)
        if not self._operators:
            cos, sin = self.rotation(positions)
            return self.stream(cos), self.stream(sin)
        g = self.g
        angle = g("Mul", self.cut(positions, -1, 1), g.constant(self._frequencies))
        return self.stream(g("Cos", angle)), self.stream(g("Sin", angle))

    def rotated(self, x: str, rotation: tuple[str, str]) -> str:
        """By one operator where there may be such: every row is its own place in its tables of cosines and sines."""
        if not self._operators:
            return super().rotated(x, rotation)
        g = self.g
        places = self.column(self.up_to(self.size(x, 0)), 0)
        return g("RotaryEmbedding", self.column(x, 0), places, *rotation, domain=MICROSOFT)

    def pools(self) -> list[tuple[str, str]]:
        """The pools' inputs of every layer, [r, W]."""
        return [
            (self.g.input(f"key_pool_{layer}", ["r", self.config.width], self.type),
             self.g.input(f"value_pool_{layer}", ["r", self.config.width], self.type))
            for layer in range(self.config.layers)
        ]  # fmt: skip

    def page_rows(self, pages: str, page_tokens: int) -> str:
        """pages [b, g] to the pool's row of every token of them [b, g x T]."""
        g = self.g
        first = g("Mul", pages, g.constant(np.array(page_tokens, np.int64)))
        within = g.constant(np.arange(page_tokens, dtype=np.int64))
        return self.cut(g("Add", self.column(first, 2), within), 0, -1)

    def own_rows(self, pages: str, totals: str, page_tokens: int, lead: int = 0) -> tuple[str, str]:
        """`page_rows`, but row 0 of the page of zeros for tokens from totals [b] on, so that what lies there is never read.
        Gives [b, lead + g x T], `lead` times row 0 in front, and the scalar g x T."""
        g = self.g
        rows = self.page_rows(pages, page_tokens)
        count = self.size(rows, 1)
        own = g("Less", self.up_to(count), self.column(totals, 1))
        rows = g("Where", own, rows, g.constant(np.array(0, np.int64)))
        if lead:
            zeros = g("Expand", g.constant(np.array(0, np.int64)), self.shape(self.sizes(pages, 0, 1), lead))
            rows = g("Concat", zeros, rows, axis=1)
        return rows, count

    def append(self, pool: str, name: str, targets: str, new: str) -> str:
        """The pool's output `name` with rows new [n, W] at targets [n, 1]."""
        return self.g.output_in_place(name, ["r", self.config.width], self.type, "ScatterND", pool, targets, new)
