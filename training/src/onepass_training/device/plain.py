"""Attention by MatMul and Softmax, which every device has. Held: [b, H, p, D]."""

from collections.abc import Callable

import numpy as np

from .graph import CLOSED, DeviceGraph
from .trunk import Trunk
from .variant import CausalStep, Rows, Slates, Variant


class PlainAttention:
    """Scores of past, contexts and "itself" side by side, as in the release's own graphs."""

    def __init__(self, graph: DeviceGraph) -> None:
        self._graph, self._g = graph, graph.g
        self._heads, self._size = graph.config.heads, graph.config.head_size

    def gathered(self, pool: str, rows: str) -> str:
        """Heads are gathered as rows of their own, so that nothing is transposed."""
        g = self._g
        heads = g.constant(np.arange(self._heads, dtype=np.int64)[:, None])
        index = g("Add", g("Mul", self._graph.column(rows, 1), g.integers(self._heads)), heads)
        return g("Gather", self._graph.cut(pool, -1, self._size), index, axis=0)

    def laid(self, rows: str, batch: str) -> str:
        """One transpose."""
        heads = self._g("Reshape", rows, self._graph.shape(batch, self._heads, self._size))
        return self._g("Transpose", heads, perm=[0, 2, 1, 3])

    def causal(self, rows: Rows) -> CausalStep:
        """Columns that a row does not see are closed one by one."""
        graph, g = self._graph, self._g
        last = g("Add", graph.column(rows.first, 1, 2, 3), graph.column(graph.up_to(rows.count), 1))
        closed = g("Greater", graph.up_to(rows.held), last)
        return self._masked(closed, graph.shape(rows.batch, self._heads, self._size))

    def last(self, rows: Rows, seen: str) -> CausalStep:
        """The same of one row."""
        graph, g = self._graph, self._g
        closed = g("GreaterOrEqual", graph.up_to(rows.held), graph.column(seen, 1, 2, 3))
        return self._masked(closed, g.integers(-1, 1, self._heads, self._size))

    def _masked(self, closed: str, shape: str) -> CausalStep:
        graph, g = self._graph, self._g

        def step(q: str, keys: str, values: str) -> str:
            q = g("Transpose", g("Reshape", q, shape), perm=[0, 2, 1, 3])
            scores = g("Where", closed, graph.number(CLOSED), g("MatMul", q, turned(graph, keys)))
            mixed = g("MatMul", g("Softmax", scores, axis=-1), values)
            return graph.tokens(g("Transpose", mixed, perm=[0, 2, 1, 3]))

        return step

    def branches(self, slates: Slates, trunk: Trunk) -> "PlainBranches":
        """The past's part is one product for all slates of a person."""
        return PlainBranches(self._graph, slates, trunk, self)


class PlainBranches:
    """`PlainAttention` of slates."""

    def __init__(self, graph: DeviceGraph, slates: Slates, trunk: Trunk, plain: PlainAttention) -> None:
        self._graph, self._slates, self._trunk, self._plain = graph, slates, trunk, plain
        g, heads, size = graph.g, graph.config.heads, graph.config.head_size
        each = g("Add", slates.contexts, slates.candidates)
        self._rotation = graph.rotation_at(slates.positions())
        self._order = graph.up_to(g("Squeeze", slates.contexts))
        self._shape = graph.shape(slates.batch, each, heads, size)
        past = g("Unsqueeze", slates.held, g.integers(0))
        self._split = graph.shape(past, slates.contexts, 1)
        self._whole = graph.shape(0, 0, -1, each, past)
        self._past = graph.shape(graph.sizes(slates.totals, 0, 1), past)
        self._closed = self._closing(graph.shape(slates.batch, each, 1))

    def paged(self, pages: str, page_tokens: int) -> Callable[[str], str]:
        """Gathered once for all slates of a person."""
        rows, _ = self._graph.own_rows(pages, self._slates.totals, page_tokens)
        return lambda pool: self._plain.gathered(pool, rows)

    def laid(self, rows: str) -> str:
        """One transpose."""
        return self._plain.laid(rows, self._past)

    def step(self, normed: str, layer: int, keys: str, values: str) -> str:
        """Products with past, contexts and itself, one softmax, and products with what they weigh."""
        graph, g, trunk, size = self._graph, self._graph.g, self._trunk, self._graph.config.head_size
        q, k = (graph.turned(trunk.part(normed, layer, part), self._rotation) for part in "qk")
        parts = q, k, trunk.part(normed, layer, "v")
        # [b, H, s, c + k, D]
        q, k, v = (g("Transpose", g("Reshape", part, self._shape), perm=[0, 3, 1, 2, 4]) for part in parts)
        own = [g("Gather", part, self._order, axis=3) for part in (k, v)]
        over_past = g("MatMul", graph.cut(q, 0, 0, -1, size), turned(graph, keys))
        over_contexts = g("MatMul", q, g("Transpose", own[0], perm=[0, 1, 2, 4, 3]))
        itself = g("ReduceSum", g("Mul", q, k), g.integers(-1), keepdims=1)
        scores = g("Concat", g("Reshape", over_past, self._whole), over_contexts, itself, axis=4)
        weights = g("Softmax", g("Where", self._closed, graph.number(CLOSED), scores), axis=-1)
        of_past, of_contexts, of_self = g.several("Split", weights, self._split, outputs=3, axis=4)
        mixed = g("MatMul", g("Reshape", of_past, g("Shape", over_past)), values)
        mixed = g("Add", g("Reshape", mixed, g("Shape", q)), g("MatMul", of_contexts, own[1]))
        mixed = g("Add", mixed, g("Mul", of_self, v))
        return trunk.out(graph.tokens(g("Transpose", mixed, perm=[0, 2, 3, 1, 4])), layer)

    def _closing(self, whole: str) -> str:
        """[b, 1, s, c + k, p + c + 1]: what is behind a person's tokens, contexts behind the last one seen (itself for a
        context row), and a context row's last column, which is among the contexts already."""
        graph, g, slates = self._graph, self._graph.g, self._slates
        past = g("GreaterOrEqual", graph.up_to(slates.held), graph.column(slates.totals, 1, 2, 3))
        is_context = g("Greater", slates.row, graph.scalar(-1))
        seen = g("Where", is_context, g("Add", slates.row, graph.scalar(1)), graph.column(slates.counts, 2))
        contexts = g("GreaterOrEqual", self._order, graph.column(seen, 3))
        past, itself = (g("Expand", part, whole) for part in (past, graph.column(is_context, 1)))
        return graph.column(g("Concat", past, contexts, itself, axis=3), 1)


def turned(graph: DeviceGraph, keys: str) -> str:
    """Held keys as the product wants them."""
    return graph.g("Transpose", keys, perm=[0, 1, 3, 2])


PLAIN = Variant("plain", PlainAttention, operators=False)
