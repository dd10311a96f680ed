"""Attention by MatMul and Softmax, which every device has. Held: [b, H, p, D]."""

import numpy as np

from .graph import CLOSED, DeviceGraph
from .variant import CausalStep, Rows, Slates, SlateStep, Variant


class PlainAttention:
    """Scores of past, contexts and "itself" side by side, as in the release's own graphs."""

    lead = 0

    def __init__(self, graph: DeviceGraph) -> None:
        self._graph, self._g = graph, graph.g
        self._heads, self._size = graph.config.heads, graph.config.head_size

    def gathered(self, pool: str, rows: str) -> str:
        """Heads are gathered as rows of their own, so that nothing is transposed."""
        g = self._g
        heads = g.constant(np.arange(self._heads, dtype=np.int64)[:, None])
        index = g("Add", g("Mul", self._graph.column(rows, 1), g.integers(self._heads)), heads)
        return g("Gather", self._graph.cut(pool, -1, self._size), index, axis=0)

    def laid(self, rows: str) -> str:
        """One transpose."""
        return self._g("Transpose", self._graph.cut(rows, 0, 0, self._heads, self._size), perm=[0, 2, 1, 3])

    def causal(self, rows: Rows) -> CausalStep:
        """Columns that a row does not see are closed one by one."""
        graph, g = self._graph, self._g
        last = g("Add", graph.column(rows.first, 1, 2, 3), graph.column(graph.up_to(rows.count), 1))
        closed = g("Greater", graph.up_to(rows.held), last)
        shape = graph.shape(rows.batch, self._heads, self._size)

        def step(q: str, keys: str, values: str) -> str:
            q = g("Transpose", g("Reshape", q, shape), perm=[0, 2, 1, 3])
            scores = g("Where", closed, graph.number(CLOSED), g("MatMul", q, self._turned(keys)))
            mixed = g("MatMul", g("Softmax", scores, axis=-1), values)
            return graph.tokens(g("Transpose", mixed, perm=[0, 2, 1, 3]))

        return step

    def branches(self, slates: Slates) -> SlateStep:
        """The past's part is one product for all slates of a person."""
        graph, g = self._graph, self._g
        closed = self._closed(slates)
        shape = graph.shape(slates.batch, g("Add", slates.contexts, slates.candidates), self._heads, self._size)
        past = g("Unsqueeze", slates.held, g.integers(0))
        split = graph.shape(past, slates.contexts, 1)
        order = graph.up_to(g("Squeeze", slates.contexts))
        whole = graph.shape(0, 0, -1, g("Add", slates.contexts, slates.candidates), past)

        def step(q: str, k: str, v: str, keys: str, values: str) -> str:
            # [b, H, s, c + k, D]
            q, k, v = (g("Transpose", g("Reshape", part, shape), perm=[0, 3, 1, 2, 4]) for part in (q, k, v))
            own = [g("Gather", part, order, axis=3) for part in (k, v)]
            over_past = g("MatMul", graph.cut(q, 0, 0, -1, self._size), self._turned(keys))
            over_contexts = g("MatMul", q, g("Transpose", own[0], perm=[0, 1, 2, 4, 3]))
            itself = g("ReduceSum", g("Mul", q, k), g.integers(-1), keepdims=1)
            scores = g("Concat", g("Reshape", over_past, whole), over_contexts, itself, axis=4)
            weights = g("Softmax", g("Where", closed, graph.number(CLOSED), scores), axis=-1)
            of_past, of_contexts, of_self = g.several("Split", weights, split, outputs=3, axis=4)
            mixed = g("MatMul", g("Reshape", of_past, g("Shape", over_past)), values)
            mixed = g("Add", g("Reshape", mixed, g("Shape", q)), g("MatMul", of_contexts, own[1]))
            mixed = g("Add", mixed, g("Mul", of_self, v))
            return graph.tokens(g("Transpose", mixed, perm=[0, 2, 3, 1, 4]))

        return step

    def _closed(self, slates: Slates) -> str:
        """[b, 1, s, c + k, p + c + 1]: what is behind a person's tokens, contexts behind the last one seen, and a context row's
        last column, which is among the contexts already."""
        graph, g = self._graph, self._g
        whole = graph.shape(slates.batch, g("Add", slates.contexts, slates.candidates), 1)
        past = g("GreaterOrEqual", graph.up_to(slates.held), graph.column(slates.totals, 1, 2, 3))
        contexts = g("Greater", graph.up_to(g("Squeeze", slates.contexts)), graph.column(slates.last_context, 3))
        itself = g("Greater", graph.column(slates.row, 1), g.constant(np.array(-1, np.int64)))
        past, itself = (g("Expand", part, whole) for part in (past, itself))
        return graph.column(g("Concat", past, contexts, itself, axis=3), 1)

    def _turned(self, keys: str) -> str:
        return self._g("Transpose", keys, perm=[0, 1, 3, 2])


PLAIN = Variant("plain", PlainAttention, operators=False)
