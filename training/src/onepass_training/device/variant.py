"""What a variant of attention is, and what all of them are told of the rows that they meet."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..release.graph import OPSET
from .graph import DeviceGraph
from .weights import DeviceWeights

CausalStep = Callable[[str, str, str], str]
"""q [n, H, D], held keys, held values of a layer -> [n, W]."""
SlateStep = Callable[[str, str, str, str, str], str]
"""q, k, v [n, H, D] of a layer's rows, held keys, held values -> [n, W]."""


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
    row: str
    """[c + k] 0, 1, ..., c - 1 for context rows, -1 for candidates."""
    last_context: str
    """[b, s, c + k] the last context row of its slate that a row sees: itself for a context row."""
    totals: str
    """[b] how many of the held tokens are seen, the first ones."""
    held: str
    """How many tokens are held of each, padding included: a scalar in host memory."""


class Attention(Protocol):
    """One way to compute attention in one graph. What it makes of keys or values that are held is its own affair."""

    lead: int
    """Rows of zeros that it wants before the held ones of slates."""

    def gathered(self, pool: str, rows: str) -> str:
        """Rows [b, p] of a pool [r, W], held."""

    def laid(self, rows: str) -> str:
        """[b, p, W], held."""

    def causal(self, rows: Rows) -> CausalStep:
        """Attention of new rows, which are among the held ones, for every layer."""

    def branches(self, slates: Slates) -> SlateStep:
        """Attention of slates' rows over what is held, their slate's contexts and themselves, for every layer."""


GRAPHS = ("encode", "prefill", "rank", "recompute")


@dataclass(frozen=True)
class Variant:
    """A way to compute attention: for each graph an Attention."""

    name: str
    build: Callable[[DeviceGraph], Attention]
    opset: int = OPSET
    operators: bool = True
    """Rotates by an operator of ONNX Runtime's own, too."""
    graphs: tuple[str, ...] = GRAPHS
    """Those that it can express."""

    def graph(self, kind: str, weights: DeviceWeights) -> DeviceGraph:
        """An empty graph."""
        return DeviceGraph(f"{kind}.{self.name}", weights, self.opset, self.operators)
