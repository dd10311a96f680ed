"""What a set of device graphs is like, and random weights of any size: numpy alone, for machines without PyTorch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..model.rows import KINDS, PERIODS_MS

State = Mapping[str, NDArray[np.float32]]
"""The weights that encode and rank need, named as OnepassModel.serving_state() names them."""
ACTIONS, SURFACES = 5, 3
"""Of synthetic weights: as the default release has."""
ACTION_BIAS = -2.5
PIECE = 8
"""16 bytes of float16. Rows are as wide as a multiple of it, where they are made as they go into a product."""
MOST_LAYERS, MOST_WIDTH, MOST_WINDOW = 96, 4_096, 8_192


@dataclass(frozen=True)
class Sizes:
    """Everything that shapes have. ValueError in a sentence where there can be no such graphs."""

    layers: int
    width: int
    """W = heads x head size."""
    heads: int
    columns: int
    """F, of an input row."""
    embedding: int
    """E, the leading columns of a row."""
    actions: int
    """A"""
    window: int
    """Tokens that a person may have."""
    context_rows: int = 8
    """Context rows that a slate may have."""

    def __post_init__(self) -> None:
        bounds = (
            ("layers", self.layers, MOST_LAYERS), ("width", self.width, MOST_WIDTH), ("n", self.window, MOST_WINDOW),
            ("context rows", self.context_rows, 15),
        )  # fmt: skip
        for name, value, most in bounds:
            if not 1 <= value <= most:
                raise ValueError(f"{name} must be from 1 to {most}, not {value}")
        if self.heads < 1 or self.width % (2 * self.heads):
            raise ValueError(f"{self.heads} heads do not cut a width of {self.width} into heads of an even size")

    @property
    def head_size(self) -> int:
        """D: columns of one attention head."""
        return self.width // self.heads

    @property
    def piece(self) -> int:
        """P: columns that a thread copies, where a head is copied in pieces."""
        return math.gcd(self.head_size, PIECE)

    @property
    def features(self) -> int:
        """F - E"""
        return self.columns - self.embedding


def synthetic_sizes(window: int, layers: int, width: int, heads: int) -> Sizes:
    """Rows as synthetic releases of that width have them."""
    embedding = 128 if width >= 512 else 64 if width >= 128 else 16
    columns = embedding + ACTIONS + 1 + SURFACES + 2 * len(PERIODS_MS) + 2 + KINDS
    return Sizes(layers, width, heads, columns, embedding, ACTIONS, window)


def synthetic_state(sizes: Sizes, seed: int = 1) -> dict[str, NDArray[np.float32]]:
    """Untrained weights, scaled as those of `shape` (release/shape.py), so that every layer counts and probabilities differ."""
    random, width, state = np.random.default_rng(seed), sizes.width, {}

    def normal(name: str, outputs: int, inputs: int, deviation: float) -> None:
        drawn = random.standard_normal((outputs, inputs), np.float32)
        state[f"{name}.weight"] = np.multiply(drawn, np.float32(deviation), out=drawn)

    def linear(name: str, outputs: int, inputs: int, bias: float = 0) -> None:
        normal(name, outputs, inputs, (3 * inputs) ** -0.5)
        state[f"{name}.bias"] = bias + random.uniform(-1, 1, outputs).astype(np.float32) * np.float32(inputs**-0.5)

    def norm(name: str) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = np.ones(width, np.float32), np.zeros(width, np.float32)

    linear("input.0", 2 * width, sizes.columns)
    state["input.0.weight"][:, : sizes.embedding] *= np.float32(sizes.embedding**0.5)
    linear("input.2", width, 2 * width)
    for layer in range(sizes.layers):
        block = f"trunk.blocks.{layer}"
        norm(f"{block}.attention_norm")
        normal(f"{block}.qkv", 3 * width, width, width**-0.5)
        normal(f"{block}.out", width, width, (2 * sizes.layers * width) ** -0.5)
        norm(f"{block}.feed_norm")
        linear(f"{block}.up", 4 * width, width)
        normal(f"{block}.up", 4 * width, width, width**-0.5)
        linear(f"{block}.down", width, 4 * width)
        normal(f"{block}.down", width, 4 * width, (8 * sizes.layers * width) ** -0.5)
    norm("final_norm")
    linear("action_head.0", width, width)
    linear("action_head.2", sizes.actions, width, ACTION_BIAS)
    normal("wanted", sizes.embedding * sizes.actions, width, width**-0.5)
    return state
