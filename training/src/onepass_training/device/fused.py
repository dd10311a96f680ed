"""Attention by operators that fused kernels stand behind. Held: [b, p, W], heads side by side.

Which of their inputs keep a fused CUDA kernel, and what each cannot express: docs/decisions/022-attention.md.
"""

from onnx import TensorProto

from ..release.graph import MICROSOFT
from .graph import CLOSED, DeviceGraph
from .plain import PlainAttention
from .spare import SpareBranches
from .trunk import Trunk
from .variant import CausalStep, Rows, Slates, Variant

INT32 = TensorProto.INT32


class _Fused:
    """What all of the operators have in common."""

    def __init__(self, graph: DeviceGraph) -> None:
        self._graph, self._g, self._heads = graph, graph.g, graph.config.heads

    def gathered(self, pool: str, rows: str) -> str:
        """As it lies in the pool."""
        return self._graph.cut(self._g("Gather", pool, rows, axis=0), 0, 0, self._graph.config.width)

    def laid(self, rows: str, batch: str) -> str:
        """As it is."""
        return self._g("Reshape", rows, self._graph.shape(batch, self._graph.config.width))

    def _query_shape(self, rows: Rows) -> str:
        return self._graph.shape(rows.batch, self._graph.config.width)

    def _rows(self, mixed: str) -> str:
        """[b, m, W] as [n, W]."""
        return self._graph.cut(mixed, -1, self._graph.config.width)

    def _one_row(self, q: str) -> str:
        """q [b, W] as [b, 1, W]."""
        return self._graph.column(q, 1)


class MultiHeadAttention(_Fused):
    """com.microsoft MultiHeadAttention. Slates need no mask at all: a spare dimension closes what is behind the past."""

    def causal(self, rows: Rows) -> CausalStep:
        """With a bias [b, 1, m, p], but where nothing was held before."""
        graph, g = self._graph, self._g
        last = g("Add", graph.column(rows.first, 1, 2, 3), graph.column(graph.up_to(rows.count), 1))
        shape, bias = self._query_shape(rows), "" if rows.fresh else self._bias(rows, "Greater", last)

        def step(q: str, keys: str, values: str) -> str:
            return self._rows(self._attend(g("Reshape", q, shape), keys, values, bias, unidirectional=int(rows.fresh)))

        return step

    def last(self, rows: Rows, seen: str) -> CausalStep:
        """With a bias [b, 1, 1, p]."""
        bias = self._bias(rows, "GreaterOrEqual", self._graph.column(seen, 1, 2, 3))
        return lambda q, keys, values: self._rows(self._attend(self._one_row(q), keys, values, bias))

    def branches(self, slates: Slates, trunk: Trunk) -> SpareBranches:
        """The rectangle of spare.py."""
        return SpareBranches(self._graph, slates, trunk, lambda q, keys, values, _: self._attend(q, keys, values), close=True)

    def _bias(self, rows: Rows, closed_where: str, last: str) -> str:
        graph, g = self._graph, self._g
        closed = g(closed_where, graph.up_to(rows.held), last)
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
            return self._rows(self._attend(g("Reshape", q, shape), keys, values, seen, 1))

        return step

    def last(self, rows: Rows, seen: str) -> CausalStep:
        """Lengths say all."""
        return lambda q, keys, values: self._rows(self._attend(self._one_row(q), keys, values, seen, 0))

    def branches(self, slates: Slates, trunk: Trunk) -> SpareBranches:
        """The rectangle of spare.py, as long as each slate's columns."""
        return SpareBranches(self._graph, slates, trunk, lambda *of: self._attend(*of, causal=0), close=False)

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
        last = g("Sub", graph.on_device(rows.count), graph.scalar(1))
        last = g("Expand", g("Cast", last, to=INT32), graph.sizes(rows.first, 0, 1))
        total = g("Cast", each, to=INT32)

        def step(q: str, keys: str, values: str) -> str:
            mixed, *_ = g.several("GroupQueryAttention", g("Reshape", q, shape), keys, values, "", "", last, total, outputs=3,
                                  domain=MICROSOFT, num_heads=self._heads, kv_num_heads=self._heads, scale=1.0)  # fmt: skip
            return self._rows(mixed)

        return step

    def last(self, rows: Rows, seen: str) -> CausalStep:
        """By products: it wants as many queries as new keys."""
        plain = PlainAttention(self._graph)
        step = plain.last(rows, seen)
        return lambda q, keys, values: step(q, plain.laid(keys, rows.batch), plain.laid(values, rows.batch))

    def branches(self, slates: Slates, trunk: Trunk) -> SpareBranches:
        """Never: it wants as many new keys as queries."""
        raise ValueError("GroupQueryAttention cannot attend to held tokens alone")


MHA = Variant("mha", MultiHeadAttention)
ATTENTION = Variant("attention", OnnxAttention, opset=24)
GQA = Variant("gqa", GroupQueryAttention, graphs=("prefill",))
