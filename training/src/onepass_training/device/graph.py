"""Parts of batched graphs: shapes, positions, pools and the rows of a page table.

Whatever depends on a shape alone stays in shape operators, whose results ONNX Runtime keeps in host memory, and meets data only
as a shape, or as an end of a Range: anything else would have to be copied to the device within a run, which a captured
CUDA graph does not allow. Concat and Split of unequal parts copy small arrays there too, so data meets neither.
"""

from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Rotation:
    """Factors of rows' positions."""

    cos: str
    sin: str
    places: str = ""
    """[1, n] each row's line in the tables `cos` and `sin`, [lines, D / 2], where an operator rotates."""


class DeviceGraph(ModelGraph):
    """A graph over batches: b people, m rows of each, g pages of each."""

    config: Sizes

    def __init__(self, name: str, weights: DeviceWeights, opset: int = OPSET, operators: bool = False) -> None:
        """`operators`: what ONNX Runtime has one operator of its own for is that, not several of ONNX'."""
        g = GraphBuilder(name, weights.file, WEIGHTS, opset, ir_version=8 if opset < 21 else 11)
        super().__init__(g, weights.state, weights.sizes, rope_frequencies(weights.sizes.head_size))
        self.weights, self.type, self.operators = weights, weights.onnx_type, operators

    def held(self, name: str, make: Callable[[], NDArray]) -> str:
        """Weights of the stream's type."""
        return self.g.initializer(self.weights.tensor(name, make))

    def exact(self, name: str, make: Callable[[], NDArray]) -> str:
        """Weights in float32, for what comes behind the stream."""
        return self.g.initializer(self.weights.tensor(name, make, np.dtype(np.float32)))

    def number(self, value: float) -> str:
        """A scalar of the stream's type."""
        return self.g.constant(np.array(value, self.weights.element))

    def exact_number(self, value: float) -> str:
        """A scalar in float32."""
        return self.g.constant(np.array(value, np.float32))

    def scalar(self, value: int) -> str:
        """A scalar int64."""
        return self.g.constant(np.array(value, np.int64))

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

    def product(self, *parts: str) -> str:
        """Product of sizes, a scalar in host memory."""
        return self.g("ReduceProd", self.shape(*parts) if len(parts) > 1 else parts[0], keepdims=0)

    def every(self, rows: str, step: str) -> str:
        """0, step, 2 step, ... below rows: scalars in host memory."""
        return self.g("Range", self.scalar(0), rows, step)

    def last_rows(self, rows: str, each: str, counts: str) -> str:
        """Of `rows` rows, which are groups of `each` (scalars in host memory): the row counts - 1 of every group."""
        return self.g("Add", self.every(rows, each), self.g("Sub", counts, self.scalar(1)))

    def on_device(self, size: str) -> str:
        """A scalar in host memory as a vector [1] that data can meet."""
        return self.g("Range", size, self.g("Add", size, self.scalar(1)), self.scalar(1))

    def column(self, x: str, *axes: int) -> str:
        """x with axes of size 1 added."""
        return self.g("Unsqueeze", x, self.g.integers(*axes))

    def cut(self, x: str, *shape: int) -> str:
        """Reshape; 0 keeps an axis' size, -1 takes what is left."""
        return self.g("Reshape", x, self.g.integers(*shape))

    @property
    def most_places(self) -> int:
        """Positions that a row can have: a candidate's is behind a whole window and all contexts."""
        return self.config.window + self.config.context_rows + 1

    def angles(self, positions: int) -> NDArray[np.float32]:
        """[positions, D / 2] radians of the first positions."""
        return np.arange(positions, dtype=np.float32)[:, None] * self._frequencies

    def rotation_at(self, positions: str) -> Rotation:
        """Of rows at int64 positions of any shape. For an operator, each row has a line of its own in the tables, and
        positions behind the last that can be, of rows of padding, are the last."""
        g = self.g
        if not self.operators:
            cos, sin = self.rotation(g("Cast", positions, to=FLOAT))
            return Rotation(self.stream(cos), self.stream(sin))
        most = self.most_places
        angles = self.angles(most)
        positions = self.cut(g("Min", positions, self.scalar(most - 1)), -1)
        cos, sin = (
            g("Gather", self.held(f"rotation.{name}", lambda of=of: of(angles)), positions, axis=0)
            for name, of in (("cos", np.cos), ("sin", np.sin))
        )
        return Rotation(cos, sin, self.column(self.up_to(self.size(positions, 0)), 0))

    def rotation_of(self, rotation: Rotation, rows: str) -> Rotation:
        """Of some of the rows [n]."""
        g = self.g
        if not self.operators:
            return Rotation(g("Gather", rotation.cos, rows, axis=0), g("Gather", rotation.sin, rows, axis=0))
        return Rotation(rotation.cos, rotation.sin, self.column(rows, 0))

    def turned(self, x: str, rotation: Rotation, spare: int = 0) -> str:
        """x [n, H x (D + spare)] rotated by head; spare dimensions stay."""
        g, heads, size = self.g, self.config.heads, self.config.head_size
        if self.operators:
            turned = g("RotaryEmbedding", self.column(x, 0), rotation.places, rotation.cos, rotation.sin, domain=MICROSOFT,
                       **({"num_heads": heads, "rotary_embedding_dim": size} if spare else {}))  # fmt: skip
            return self.cut(turned, -1, heads * (size + spare))
        return self.tokens(self.rotated_heads(self.cut(x, -1, heads, 2, size // 2), (rotation.cos, rotation.sin)))

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
        first = g("Mul", pages, self.scalar(page_tokens))
        within = g.constant(np.arange(page_tokens, dtype=np.int64))
        return self.cut(g("Add", self.column(first, 2), within), 0, -1)

    def own_rows(self, pages: str, totals: str, page_tokens: int) -> tuple[str, str]:
        """`page_rows`, but row 0 of the page of zeros for tokens from totals [b] on, so that what lies there is never read.
        Gives [b, g x T], and the scalar g x T."""
        rows = self.page_rows(pages, page_tokens)
        count = self.size(rows, 1)
        own = self.g("Less", self.up_to(count), self.column(totals, 1))
        return self.g("Where", own, rows, self.scalar(0)), count

    def places(self, rows: str, pieces: NDArray[np.int64]) -> str:
        """Where ScatterND puts these pieces of rows [n] that are cut into pieces: [n, pieces, 2]. A thread of CUDA's kernel
        copies what one index says, one number after the other: whole rows would be too much for it."""
        is_row, piece = self.g.constant(np.array([True, False])), self.g.constant(np.stack([pieces, pieces], 1))
        return self.g("Where", is_row, self.cut(rows, -1, 1, 1), piece)

    def put(self, x: str, cells: str, places: str, new: str, width: int) -> str:
        """x of rows of `width` with the pieces new [n, pieces, P] at `places`, as pieces [r, width / P, P]. In x's own memory:
        for that the runtime has to be told that what goes in is of the size of what comes out, by a name for r (`cells`)."""
        piece = self.config.piece
        x = self.g.of_shape(self.cut(x, -1, width // piece, piece), [cells, width // piece, piece], self.type)
        return self.g("ScatterND", x, places, new)

    def append(self, pool: str, name: str, places: str, new: str) -> str:
        """The pool's output `name`, [r, W / P, P], with rows new [n, W] at `places`."""
        width, piece = self.config.width, self.config.piece
        pool, new = (self.cut(part, -1, width // piece, piece) for part in (pool, new))
        return self.g.output_in_place(name, ["r", width // piece, piece], self.type, "ScatterND", pool, places, new)
