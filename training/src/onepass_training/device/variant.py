"""What a variant of attention is, and what all of them are told of the rows that they meet."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..release.graph import OPSET
from .graph import DeviceGraph
from .trunk import Trunk
from .weights import DeviceWeights

CausalStep = Callable[[str, str, str], str]
"""q [n, W], held keys, held values of a layer -> [n, W]."""


@dataclass(frozen=True)
class Rows:
    """b people's m new rows, flattened to n = b x m, behind held tokens."""

    batch: str
    """[2] b and m, in host memory."""
    count: str
    """m, a scalar in host memory."""
    first: str
    """[b]: row i sees the first first + i + 1 of what is held."""
    held: str
    """How many tokens are held of each, padding included: a scalar in host memory."""
    fresh: bool = False
    """Nothing is held but the new rows themselves: first is 0 and held is m."""


@dataclass(frozen=True)
class Slates:
    """b people's s slates of c context rows and k candidates each, flattened to n = b x s x (c + k)."""

    batch: str
    """[2] b and s, in host memory."""
    contexts: str
    """[1] c, in host memory."""
    candidates: str
    """[1] k, in host memory."""
    positions: Callable[[], str]
    """Makes [b, s, c + k]: contexts behind the past in order, candidates all at one place behind them."""
    row: str
    """[c + k] 0, 1, ..., c - 1 for context rows, -1 for candidates."""
    counts: str
    """[b, s] context rows that there are, the first ones."""
    totals: str
    """[b] how many of the held tokens are seen, the first ones."""
    held: str
    """How many tokens are held of each, padding included: a scalar in host memory."""


class Branches(Protocol):
    """Attention of slates' rows over what is held, their slate's contexts and themselves. What it makes of keys or values that
    are held is its own affair."""

    def paged(self, pages: str, page_tokens: int) -> Callable[[str], str]:
        """Of the page table [b, g]: a pool [r, W] to what is held of it."""

    def laid(self, rows: str) -> str:
        """Rows [b x n, W] that are held, as they were computed."""

    def step(self, normed: str, layer: int, keys: str, values: str) -> str:
        """normed rows [n, W] of the slates to attention's result behind its last matrix, [n, W]."""


class Attention(Protocol):
    """One way to compute attention in one graph. What it makes of keys or values that are held is its own affair."""

    def gathered(self, pool: str, rows: str) -> str:
        """Rows [b, p] of a pool of rows of W, held."""

    def laid(self, rows: str, batch: str) -> str:
        """[b x p, W], held; batch: b and p."""

    def causal(self, rows: Rows) -> CausalStep:
        """Attention of new rows, which are among the held ones, for every layer but the last."""

    def last(self, rows: Rows, seen: str) -> CausalStep:
        """Attention of one row of each, q [b, W], which sees the first seen [b] of what is held: of the last layer, where only
        one is read."""

    def branches(self, slates: Slates, trunk: Trunk) -> Branches:
        """Attention of slates."""


GRAPHS = ("encode", "prefill", "rank", "recompute")


@dataclass(frozen=True)
class Variant:
    """A way to compute attention: for each graph an Attention."""

    name: str
    build: Callable[[DeviceGraph], Attention]
    opset: int = OPSET
    operators: bool = True
    """Rows are rotated, summed and normed by operators of ONNX Runtime's own, too."""
    graphs: tuple[str, ...] = GRAPHS
    """Those that it can express."""

    def graph(self, kind: str, weights: DeviceWeights) -> DeviceGraph:
        """An empty graph."""
        return DeviceGraph(f"{kind}.{self.name}", weights, self.opset, self.operators)
