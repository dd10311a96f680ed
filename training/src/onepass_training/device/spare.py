"""Slates' attention as one rectangle for a fused kernel: contexts and "itself" in spare dimensions of every head.

A candidate sees the past, its slate's contexts and itself. A fused kernel takes keys that all queries share, and has no place
for the last two. So every head gets SPARE dimensions more. Before the past stand rows that are unit vectors in a spare
dimension, one for "itself" and one for each context, in keys and in values; a query carries there its score with its own key
and with its slate's contexts, or CLOSED. Then the kernel's softmax is over all three, and its result holds in the spare
dimensions the weights of context and self exactly, with which their values are added. Keys of the past are 0 there, but for one
dimension that closes columns where a kernel is not told of lengths.
"""

from collections.abc import Callable

import numpy as np

from .graph import CLOSED, DeviceGraph
from .variant import Slates, SlateStep

SlateKernel = Callable[[str, str, str], str]
SPARE = 16
"""Spare dimensions of a head: a multiple of 8, as kernels want of head sizes."""
ITSELF, CONTEXT, BEHIND = 0, 1, SPARE - 1
"""Of a row's own column, of the first context, and of columns behind the past."""
MOST_CONTEXTS = BEHIND - CONTEXT


class SpareColumns:
    """What the spare dimensions hold in one rank graph."""

    def __init__(self, graph: DeviceGraph, slates: Slates, close: bool) -> None:
        """`close`: a spare dimension closes the columns behind the past, for kernels that are not told of lengths."""
        self._graph, self._heads, self._size = graph, graph.config.heads, graph.config.head_size
        g = graph.g
        each = g("Add", slates.contexts, slates.candidates)
        self._rows = graph.shape(slates.batch, each, self._heads, self._size)
        self._people = graph.shape(graph.sizes(slates.totals, 0, 1), -1, self._heads * (self._size + SPARE))
        self._wide = graph.shape(slates.batch, each, self._heads, self._size + SPARE)
        self._order = graph.up_to(g("Squeeze", slates.contexts))
        self._alone = graph.column(g("Greater", slates.row, g.constant(np.array(-1, np.int64))), 1, 2)
        self._closed = graph.column(g("Greater", self._order, graph.column(slates.last_context, 3)), 4)
        unused = g("Sub", g.integers(SPARE - CONTEXT), slates.contexts)
        self._unused = g("Expand", graph.number(CLOSED), graph.shape(slates.batch, each, self._heads, unused))
        behind = g("GreaterOrEqual", graph.up_to(slates.held), graph.column(slates.totals, 1))
        self._value_part, self._key_part = self._beside(behind, False), self._beside(behind, close)

    def _beside(self, behind: str, close: bool) -> str:
        """[b, lead + p, H, SPARE] what stands beside rows that are held."""
        graph, g, element = self._graph, self._graph.g, self._graph.weights.element
        lead = lead_of(graph)
        units = np.repeat(np.eye(lead, SPARE, dtype=element)[:, None], self._heads, axis=1)
        people = graph.shape(g("Shape", behind, start=0, end=1), lead, self._heads, SPARE)
        closing = np.zeros(SPARE, element)
        closing[BEHIND] = close
        flags = g("Where", graph.column(behind, 2, 3), g.constant(closing), g.constant(np.zeros(SPARE, element)))
        flags = g("Expand", flags, graph.shape(g("Shape", behind), self._heads, SPARE))
        return g("Concat", g("Expand", g.constant(units), people), flags, axis=1)

    def step(self, kernel: SlateKernel) -> SlateStep:
        """Attention of a layer, its rectangle computed by `kernel`: query [b, n, W'], keys and values [b, lead + p, W'] to
        [b, n, W'], W' = H x (D + SPARE)."""
        graph, g = self._graph, self._graph.g

        def step(q: str, k: str, v: str, keys: str, values: str) -> str:
            q, k, v = (g("Reshape", part, self._rows) for part in (q, k, v))
            context_k, context_v = (graph.column(g("Gather", part, self._order, axis=2), 2) for part in (k, v))
            query = g("Reshape", g("Concat", q, self._scores(q, k, context_k), axis=4), self._people)
            keys, values = self._widened(keys, self._key_part), self._widened(values, self._value_part)
            wide = g("Reshape", kernel(query, keys, values), self._wide)
            mixed, weights = g.several("Split", wide, g.integers(self._size, SPARE), outputs=2, axis=4)
            mine = g("Gather", weights, g.integers(ITSELF), axis=4)
            theirs = g("Gather", weights, g("Add", self._order, g.integers(CONTEXT)), axis=4)
            theirs = graph.column(g("Transpose", theirs, perm=[0, 1, 2, 4, 3]), 5)
            mixed = g("Add", mixed, g("Mul", mine, v))
            mixed = g("Add", mixed, g("ReduceSum", g("Mul", theirs, context_v), g.integers(3), keepdims=0))
            return graph.cut(mixed, -1, graph.config.width)

        return step

    def _scores(self, q: str, k: str, context_k: str) -> str:
        """[b, s, c + k, H, SPARE] with itself, with its slate's contexts, and CLOSED."""
        graph, g = self._graph, self._graph.g
        closed = graph.number(CLOSED)
        mine = g("ReduceSum", g("Mul", q, k), g.integers(-1), keepdims=1)
        mine = g("Where", self._alone, closed, mine)
        theirs = g("ReduceSum", g("Mul", graph.column(q, 3), context_k), g.integers(-1), keepdims=0)
        theirs = g("Transpose", g("Where", self._closed, closed, theirs), perm=[0, 1, 2, 4, 3])
        return g("Concat", mine, theirs, self._unused, axis=4)

    def _widened(self, held: str, part: str) -> str:
        """[b, p, W] with the spare dimensions, [b, p, W']."""
        graph, g = self._graph, self._graph.g
        return g("Reshape", g("Concat", graph.cut(held, 0, 0, self._heads, self._size), part, axis=3), self._people)


def lead_of(graph: DeviceGraph) -> int:
    """Rows of zeros that stand before the past: unit rows, when the spare dimensions are beside them."""
    return CONTEXT + graph.config.context_rows
