"""What graphs of the trunk are made of, whoever runs them: linear layers, norms, rotary positions, blocks."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .graph import GraphBuilder

LAYER_NORM_EPSILON = 1e-5


class TrunkShape(Protocol):
    """Sizes of a trunk, such as a ModelConfig."""

    @property
    def layers(self) -> int:
        """L"""

    @property
    def width(self) -> int:
        """W"""

    @property
    def heads(self) -> int:
        """H"""

    @property
    def head_size(self) -> int:
        """D"""


class ModelGraph:
    """Parts that several graphs have in common. W = heads x D."""

    def __init__(self, g: GraphBuilder, state: Mapping[str, NDArray], config: TrunkShape, frequencies: NDArray) -> None:
        """`state` as OnepassModel.serving_state() gives it; `frequencies` [D / 2] radians per position."""
        self.g, self.state, self.config, self._frequencies = g, state, config, frequencies

    def held(self, name: str, make: Callable[[], NDArray]) -> str:
        """Weights; what `make` gives is the same for the same name in all graphs of a model."""
        return self.g.constant(make())

    def weight(self, name: str) -> str:
        """A linear layer's matrix as [in, out]."""
        return self.held(f"{name}.matrix", lambda: self.state[f"{name}.weight"].T)

    def vector(self, name: str) -> str:
        """Weights as they are."""
        return self.held(name, lambda: self.state[name])

    def linear(self, x: str, name: str) -> str:
        """x [n, in] to [n, out] with bias."""
        return self.g("Gemm", x, self.weight(name), self.vector(f"{name}.bias"))

    def mlp(self, x: str, name: str) -> str:
        """Linear, ReLU, Linear."""
        return self.linear(self.g("Relu", self.linear(x, f"{name}.0")), f"{name}.2")

    def norm(self, x: str, name: str) -> str:
        """Layer norm over the last axis."""
        scale, bias = (self.vector(f"{name}.{part}") for part in ("weight", "bias"))
        return self.g("LayerNormalization", x, scale, bias, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def rotation(self, positions: str) -> tuple[str, str]:
        """positions [n] to the factors [n, 1, 2, D / 2] of both halves: (cos, cos) and (-sin, sin)."""
        g = self.g
        angle = g("Mul", g("Reshape", positions, g.integers(-1, 1, 1, 1)), g.constant(self._frequencies))
        cos, sin = g("Cos", angle), g("Sin", angle)
        return g("Concat", cos, cos, axis=2), g("Concat", g("Neg", sin), sin, axis=2)

    def project(self, x: str, layer: int, rotation: tuple[str, str]) -> tuple[str, str, str]:
        """x [n, W] to q (rotated, scaled), k (rotated), v, each [n, H, D]. Queries and keys are rotated as one tensor."""
        g, heads, size = self.g, self.config.heads, self.config.head_size
        block = f"trunk.blocks.{layer}"
        matrix = self.held(f"{block}.qkv.scaled", lambda: self._scaled_queries(f"{block}.qkv.weight"))
        joined = g("MatMul", self.norm(x, f"{block}.attention_norm"), matrix)
        split = g.integers(2 * self.config.width, self.config.width)
        turning, v = g.several("Split", joined, split, outputs=2, axis=1)
        turned = g("Reshape", self.rotated(turning, rotation), g.integers(-1, 2 * heads, size))
        q, k = g.several("Split", turned, outputs=2, axis=1)
        return q, k, g("Reshape", v, g.integers(-1, heads, size))

    def rotated(self, x: str, rotation: tuple[str, str]) -> str:
        """x [n, 2 W] to the same, by head, rotated."""
        g, config = self.g, self.config
        return self.rotated_heads(g("Reshape", x, g.integers(-1, 2 * config.heads, 2, config.head_size // 2)), rotation)

    def rotated_heads(self, turning: str, rotation: tuple[str, str]) -> str:
        """Heads as halves, [n, heads, 2, D / 2], rotated."""
        g = self.g
        swapped = g("Gather", turning, g.integers(1, 0), axis=2)
        return g("Add", g("Mul", turning, rotation[0]), g("Mul", swapped, rotation[1]))

    def _scaled_queries(self, name: str) -> NDArray:
        """[W, 3 W] with attention's 1 / sqrt(D) in the queries' columns."""
        matrix = self.state[name].T.copy()
        matrix[:, : self.config.width] *= np.float32(self.config.head_size**-0.5)
        return matrix

    def finish(self, x: str, mixed: str, layer: int) -> str:
        """Adds attention's result (`mixed` [n, W]) and the feed-forward part to x [n, W]."""
        g, block = self.g, f"trunk.blocks.{layer}"
        x = g("Add", x, g("MatMul", mixed, self.weight(f"{block}.out")))
        inner = g("Relu", self.linear(self.norm(x, f"{block}.feed_norm"), f"{block}.up"))
        return g("Add", x, self.linear(inner, f"{block}.down"))

    def heads(self, tokens: str) -> str:
        """[m, W] to [m, H, D]."""
        return self.g("Reshape", tokens, self.g.integers(-1, self.config.heads, self.config.head_size))

    def tokens(self, heads: str) -> str:
        """[m, H, D] to [m, W]."""
        return self.g("Reshape", heads, self.g.integers(-1, self.config.width))

    def length(self, x: str) -> str:
        """Rows of x as a scalar int64."""
        g = self.g
        return g("Gather", g("Shape", x), g.constant(np.array(0, np.int64)))

    def up_to(self, end: str) -> str:
        """0, 1, ..., end - 1."""
        g = self.g
        return g("Range", g.constant(np.array(0, np.int64)), end, g.constant(np.array(1, np.int64)))
