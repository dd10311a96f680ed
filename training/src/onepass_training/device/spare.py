"""Slates' attention as one rectangle for a fused kernel: "itself" in a spare dimension of every head, contexts among the
columns.

A candidate sees the past, its slate's contexts and itself. A fused kernel takes keys that all queries share, and has no place
for the last. So every head gets spare dimensions. Behind the past stands a unit row: 1 in the first spare dimension, in keys
and in values; a query carries there its score with its own key. Then the kernel's softmax is over its own column too, and its
result holds in that dimension the weight of itself exactly, with which its own value is added. Contexts are columns behind
that, each slate's own, so every slate is a batch entry. Context i has a 1 in spare dimension i, and a context row is CLOSED
there for those behind it, and in the first one: its own column is among the contexts. The past is 0 in all of them, but for
the last one, which closes columns where a kernel is not told of lengths.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from .graph import CLOSED, DeviceGraph
from .sizes import PIECE
from .trunk import Trunk
from .variant import Slates

SlateKernel = Callable[[str, str, str, str], str]
"""query [e, c + k, W'], keys and values [e, T, W'], how many columns are seen [e] -> [e, c + k, W'], W' = H x (D + spare)."""
INT32 = TensorProto.INT32


class SpareBranches:
    """Attention of slates in one graph: e = b x s entries of c + k rows, T = p + 1 + c columns."""

    def __init__(self, graph: DeviceGraph, slates: Slates, trunk: Trunk, kernel: SlateKernel, close: bool) -> None:
        """`close`: a spare dimension closes the columns behind a slate's own, for a kernel that is not told of lengths."""
        g, config = graph.g, graph.config
        self._graph, self._slates, self._trunk, self._kernel, self._close = graph, slates, trunk, kernel, close
        self._heads, self._size = config.heads, config.head_size
        self._spare = spare_dimensions(config.context_rows, close)
        self._wide = self._size + self._spare
        self._entries = g("ReduceProd", slates.batch, keepdims=1)
        each = g("Add", slates.contexts, slates.candidates)
        self._rows = graph.shape(self._entries, each, self._heads, self._wide)
        self._narrow = graph.shape(self._entries, each, self._heads, self._size)
        self._heads_of = graph.shape(self._entries, -1, self._size)
        self._joined = graph.shape(self._entries, each, self._heads * self._wide)
        columns = g("Add", g("Add", g("Unsqueeze", slates.held, g.integers(0)), slates.contexts), g.integers(1))
        self._columns = graph.shape(self._entries, columns, self._heads * self._wide)
        # [b, s] each, by sums that broadcast: an Expand would copy besides.
        self._seen = g("Add", graph.column(slates.totals, 1), slates.counts)
        self._lengths = g("Sub", self._seen, slates.counts)
        self._turn = self._turning(graph.cut(self._seen, -1, 1))
        self._seen = graph.cut(g("Add", self._seen, graph.scalar(1)), -1)
        self._own_columns(each, columns)
        self._query_conditions(each)

    def _turning(self, place: str) -> str:
        """place [e, 1] of an entry's candidates -> [e, D, D + spare], which a head's queries are multiplied by: rotated, and 0
        in spare dimensions. One product, where RotaryEmbedding would have a thread for every number."""
        graph, g, half = self._graph, self._graph.g, self._size // 2
        angles = np.tile(graph.angles(graph.most_places), 2)
        straight, across = np.zeros((2, self._size, self._wide), graph.weights.element)
        index = np.arange(self._size)
        straight[index, index] = 1
        across[index, (index + half) % self._size] = np.where(index < half, 1, -1)
        parts = []
        for name, of, pattern in (("cos", np.cos, straight), ("sin", np.sin, across)):
            table = graph.held(f"rotation.{name}.{self._spare}", lambda of=of: np.pad(of(angles), ((0, 0), (0, self._spare))))
            parts.append(g("Mul", g("Gather", table, place, axis=0), g.constant(pattern)))
        return g("Add", *parts)

    def _head_pieces(self) -> NDArray[np.int64]:
        """[H, (D + spare) / P] of a row of all heads."""
        return np.arange(self._heads * self._wide // self._graph.config.piece).reshape(self._heads, -1)

    def _own_columns(self, each: str, columns: str) -> None:
        """Of the unit row and the contexts, [e x (1 + c)]: the slates' rows they are made of, and their places in the
        columns."""
        graph, g, config = self._graph, self._graph.g, self._graph.config
        order = graph.up_to(g("Squeeze", g("Add", self._slates.contexts, g.integers(1))))
        # The unit row's source is the first context, of which nothing is kept.
        context = g("Max", g("Sub", order, graph.scalar(1)), graph.scalar(0))
        first = graph.every(graph.product(self._entries, each), g("Squeeze", each))
        self._sources = graph.cut(g("Add", graph.column(first, 1), context), -1)
        self._rotation = graph.rotation_at(g("Add", graph.cut(self._lengths, -1, 1), context))
        self._source_places = graph.places(self._sources, self._head_pieces()[:, : self._size // config.piece].reshape(-1))
        first = graph.every(graph.product(self._entries, columns), g("Squeeze", columns))
        places = g("Add", graph.column(g("Add", first, graph.cut(self._lengths, -1)), 1), order)
        self._places = graph.places(places, self._head_pieces().reshape(-1))
        most = 1 + config.context_rows
        units, given = np.zeros((2, most, 1, self._wide)), np.zeros((most, 1, self._wide), bool)
        given[0], given[1:, :, self._size :] = True, True
        units[:, 0, 0, self._size] = 1
        for row in range(2, most):
            units[0, row, 0, self._size + row - 1] = 1
        element = graph.weights.element
        self._given = g("Gather", g.constant(given), order, axis=0)
        self._units = [g("Gather", g.constant(part.astype(element)), order, axis=0) for part in units]
        self._own = graph.shape(self._entries, g("Add", self._slates.contexts, g.integers(1)), self._heads, -1)

    def _query_conditions(self, each: str) -> None:
        """What a query has in its spare dimensions: its score with itself, CLOSED, or 0; and where these are."""
        graph, g, config = self._graph, self._graph.g, self._graph.config
        most, close = config.context_rows, int(self._close)
        scored, closed = np.zeros((most + 1, 1, self._spare), bool), np.zeros((most + 1, 1, self._spare), graph.weights.element)
        # A candidate's row is -1, which is the last.
        scored[most, 0, 0] = True
        for row in range(most):
            closed[row, 0, [0, *range(row + 1, most)]] = CLOSED
        closed[:, :, self._spare - close :] = CLOSED
        self._scored, self._closed = (g("Gather", g.constant(table), self._slates.row, axis=0) for table in (scored, closed))
        rows = graph.up_to(graph.product(self._entries, each))
        self._spare_places = graph.places(rows, self._head_pieces()[:, self._size // config.piece :].reshape(-1))
        if self._close:
            columns = graph.up_to(g("Gather", self._columns, graph.scalar(1), axis=0))
            behind = g("GreaterOrEqual", columns, graph.column(self._seen, 1))
            self._behind = g("And", graph.column(behind, 2, 3), g.constant(np.arange(self._wide) == self._wide - 1))

    def paged(self, pages: str, page_tokens: int) -> Callable[[str], str]:
        """Gathered in pieces of a head, so that spare dimensions are made as it is read: their pieces are of the row of
        zeros."""
        graph, g, config = self._graph, self._graph.g, self._graph.config
        token = graph.up_to(g("Gather", self._columns, graph.scalar(1), axis=0))
        inside = g("Min", token, graph.on_device(g("Sub", self._slates.held, graph.scalar(1))))
        rows = g("Gather", graph.page_rows(pages, page_tokens), inside, axis=1)
        own = g("Less", token, graph.column(self._lengths, 2))
        rows = graph.cut(g("Where", own, graph.column(rows, 1), graph.scalar(0)), -1, 1, 1)
        pieces, held = self._wide // config.piece, self._size // config.piece
        within = np.zeros((self._heads, pieces), np.int32)
        within[:, :held] = np.arange(self._heads * held).reshape(self._heads, held)
        factor = np.where(np.arange(pieces) < held, config.width // config.piece, 0).astype(np.int32)
        index = g("Add", g("Mul", g("Cast", rows, to=INT32), g.constant(factor)), g.constant(within))

        def gathered(pool: str) -> str:
            return g("Reshape", g("Gather", graph.cut(pool, -1, config.piece), index, axis=0), self._columns)

        return gathered

    def laid(self, rows: str) -> str:
        """Padded by the spare dimensions, and by the unit row and contexts, which are put there later. Of one slate a person:
        more would take a copy for each."""
        graph, g = self._graph, self._graph.g
        held = g("Unsqueeze", self._slates.held, g.integers(0))
        rows = g("Reshape", rows, graph.shape(self._entries, held, self._heads, self._size))
        behind = g("Add", self._slates.contexts, g.integers(1))
        pads = graph.shape(g.integers(0, 0, 0, 0, 0), behind, g.integers(0, self._spare))
        return g("Reshape", g("Pad", rows, pads, graph.number(0)), self._columns)

    def step(self, normed: str, layer: int, keys: str, values: str) -> str:
        """Own scores into the queries, the kernel, and own values by the weights that it gives."""
        graph, g, trunk, spare = self._graph, self._graph.g, self._trunk, self._spare
        q, k, v = trunk.part(normed, layer, "q"), trunk.part(normed, layer, "k"), trunk.part(normed, layer, "v", spare)
        # A row and its own key have one position: their score is as before the rotation, and no key but a context's is rotated.
        apart = (g("Reshape", part, self._narrow) for part in (q, k))
        scores = g("ReduceSum", g("Mul", *apart), g.integers(-1), keepdims=1)
        query = self._queries(q, g("Where", self._scored, scores, self._closed))
        own_q, own_k = (graph.turned(g("Gather", part, self._sources, axis=0), self._rotation) for part in (q, k))
        width, piece = self._heads * self._wide, graph.config.piece
        own_q = graph.cut(own_q, -1, self._heads * self._size // piece, piece)
        query = g("Reshape", graph.put(query, "rows", self._source_places, own_q, width), self._joined)
        own_k = g("Pad", g("Reshape", own_k, self._own), g.integers(0, 0, 0, 0, 0, 0, 0, spare))
        keys = self._with_own(keys, own_k, self._units[0])
        values = self._with_own(values, g("Gather", v, self._sources, axis=0), self._units[1])
        if self._close:
            apart = g("Reshape", keys, graph.shape(g.integers(0, 0), self._heads, self._wide))
            keys = g("Reshape", g("Where", self._behind, graph.number(1), apart), self._columns)
        mixed = self._apart(self._kernel(query, keys, values, self._seen))
        weights = g("Gather", mixed, g.integers(self._size), axis=3)
        mixed = g("Add", mixed, g("Mul", weights, self._apart(v)))
        return trunk.out(graph.cut(mixed, -1, self._heads * self._wide), layer, spare)

    def _apart(self, rows: str) -> str:
        """By entry, row and head."""
        return self._graph.g("Reshape", rows, self._rows)

    def _queries(self, q: str, scores: str) -> str:
        """q [n, W] as candidates' queries, with what they have in their spare dimensions, as pieces; a context row's place
        is another."""
        graph, g, piece = self._graph, self._graph.g, self._graph.config.piece
        turned = g("MatMul", g("Reshape", q, self._heads_of), self._turn)
        scores = graph.cut(scores, -1, self._heads * self._spare // piece, piece)
        return graph.put(turned, "rows", self._spare_places, scores, self._heads * self._wide)

    def _with_own(self, held: str, own: str, units: str) -> str:
        """The columns with the unit row and the contexts in their places."""
        graph, g = self._graph, self._graph.g
        own = g("Where", self._given, units, g("Reshape", own, self._own))
        width, piece = self._heads * self._wide, graph.config.piece
        own = graph.cut(own, -1, width // piece, piece)
        return g("Reshape", graph.put(held, "columns", self._places, own, width), self._columns)


def spare_dimensions(contexts: int, close: bool) -> int:
    """Of a head: one for itself, one for every context but the first, which all rows see, and one that closes: a multiple of 8,
    as kernels want of head sizes."""
    return -(-(contexts + close) // PIECE) * PIECE
