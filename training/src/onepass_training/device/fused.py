"""Attention by operators that fused kernels stand behind. Held: [b, p, W], heads side by side.

Which of their inputs keep a fused CUDA kernel, and what each cannot express: docs/decisions/022-attention.md.
"""

import numpy as np
from onnx import TensorProto

from ..release.graph import MICROSOFT
from .graph import CLOSED, DeviceGraph
from .spare import MOST_CONTEXTS, SpareColumns, lead_of
from .variant import CausalStep, Rows, Slates, SlateStep, Variant

INT32 = TensorProto.INT32


class _Fused:
    """What both operators have in common."""

    def __init__(self, graph: DeviceGraph) -> None:
        if graph.config.context_rows > MOST_CONTEXTS:
            raise ValueError(f"spare dimensions hold {MOST_CONTEXTS} context rows, not {graph.config.context_rows}")
        self.lead = lead_of(graph)
        self._graph, self._g, self._heads = graph, graph.g, graph.config.heads

    def gathered(self, pool: str, rows: str) -> str:
        """As it lies in the pool."""
        return self._g("Gather", pool, rows, axis=0)

    def laid(self, rows: str) -> str:
        """As it is."""
        return rows

    def _query_shape(self, rows: Rows) -> str:
        return self._graph.shape(rows.batch, self._graph.config.width)


class MultiHeadAttention(_Fused):
    """com.microsoft MultiHeadAttention. Slates need no mask at all: a spare dimension closes what is behind the past."""

    def causal(self, rows: Rows) -> CausalStep:
        """With a bias [b, 1, m, p], but where nothing was held before."""
        graph, g = self._graph, self._g
        shape, bias = self._query_shape(rows), "" if rows.fresh else self._bias(rows)

        def step(q: str, keys: str, values: str) -> str:
            mixed = self._attend(g("Reshape", q, shape), keys, values, bias, unidirectional=int(rows.fresh))
            return graph.cut(mixed, -1, graph.config.width)

        return step

    def branches(self, slates: Slates) -> SlateStep:
        """The rectangle of spare.py."""
        return SpareColumns(self._graph, slates, close=True).step(self._attend)

    def _bias(self, rows: Rows) -> str:
        graph, g = self._graph, self._g
        last = g("Add", graph.column(rows.first, 1, 2, 3), graph.column(graph.up_to(rows.count), 1))
        closed = g("Greater", graph.up_to(rows.held), last)
        return g("Where", closed, graph.number(CLOSED), graph.number(0))

    def _attend(self, query: str, keys: str, values: str, bias: str = "", unidirectional: int = 0) -> str:
        inputs = [query, keys, values] + (["", "", bias] if bias else [])
        return self._g("MultiHeadAttention", *inputs, domain=MICROSOFT, num_heads=self._heads, scale=1.0,
                       unidirectional=unidirectional)  # fmt: skip


class OnnxAttention(_Fused):
    """ONNX Attention, opset 24: lengths go in as nonpad_kv_seqlen, and causal is counted from the last of them backwards."""

    def causal(self, rows: Rows) -> CausalStep:
        """The last of m rows sees first + m columns, the one before one less; what only padding rows see is zeros."""
        graph, g = self._graph, self._g
        shape = self._query_shape(rows)
        seen = "" if rows.fresh else g("Add", rows.first, graph.on_device(rows.count))

        def step(q: str, keys: str, values: str) -> str:
            return graph.cut(self._attend(g("Reshape", q, shape), keys, values, seen, 1), -1, graph.config.width)

        return step

    def branches(self, slates: Slates) -> SlateStep:
        """The rectangle of spare.py, as long as each person's past."""
        seen = self._g("Add", slates.totals, self._g.constant(np.array(self.lead, np.int64)))
        spare = SpareColumns(self._graph, slates, close=False)
        return spare.step(lambda query, keys, values: self._attend(query, keys, values, seen, 0))

    def _attend(self, query: str, keys: str, values: str, seen: str, causal: int) -> str:
        inputs = [query, keys, values] + (["", "", "", seen] if seen else [])
        return self._g("Attention", *inputs, q_num_heads=self._heads, kv_num_heads=self._heads, scale=1.0, is_causal=causal)


class GroupQueryAttention(_Fused):
    """com.microsoft GroupQueryAttention with as many key heads as query heads: prompts, whose keys are all new, and no more."""

    def causal(self, rows: Rows) -> CausalStep:
        """Padding rows count as rows: they stand behind, where nobody sees them."""
        if not rows.fresh:
            raise ValueError("GroupQueryAttention takes no batch of several new rows behind held ones")
        graph, g = self._graph, self._g
        shape, each = self._query_shape(rows), g("Unsqueeze", rows.count, g.integers(0))
        last = g("Sub", graph.on_device(rows.count), g.constant(np.array(1, np.int64)))
        last = g("Expand", g("Cast", last, to=INT32), graph.sizes(rows.first, 0, 1))
        total = g("Cast", each, to=INT32)

        def step(q: str, keys: str, values: str) -> str:
            mixed, *_ = g.several("GroupQueryAttention", g("Reshape", q, shape), keys, values, "", "", last, total, outputs=3,
                                  domain=MICROSOFT, num_heads=self._heads, kv_num_heads=self._heads, scale=1.0)  # fmt: skip
            return graph.cut(mixed, -1, graph.config.width)

        return step

    def branches(self, slates: Slates) -> SlateStep:
        """Never: it wants as many new keys as queries."""
        raise ValueError("GroupQueryAttention cannot attend to held tokens alone")


MHA = Variant("mha", MultiHeadAttention)
ATTENTION = Variant("attention", OnnxAttention, opset=24)
GQA = Variant("gqa", GroupQueryAttention, graphs=("prefill",))
