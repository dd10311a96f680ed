"""The inputs of graphs that rank: slates of b people, and what they are made of."""

from .graph import INT64, DeviceGraph
from .trunk import FINAL
from .variant import Slates


class Requests:
    """s slates of c context rows and k candidates of each person."""

    def __init__(self, graph: DeviceGraph) -> None:
        g, sizes = graph.g, graph.config
        self._graph = graph
        self._context = g.input("context", ["b", "s", "c", sizes.columns])
        self._counts = g.input("context_counts", ["b", "s"], INT64)
        self._candidates = g.input("candidates", ["b", "s", "k", sizes.embedding])
        self._shared = g.input("candidate_row", ["b", "s", sizes.features])
        self.lengths = g.input("lengths", ["b"], INT64)
        self._batch = graph.sizes(self._candidates, 0, 2)
        self._c, self._k = graph.sizes(self._context, 2, 3), graph.sizes(self._candidates, 2, 3)
        self._each = g("Add", self._c, self._k)
        self._order = graph.up_to(g("Squeeze", self._each))
        self._is_context = g("Less", self._order, graph.on_device(g("Squeeze", self._c)))
        self._row = g("Where", self._is_context, self._order, graph.scalar(-1))

    def slates(self, held: str) -> Slates:
        """What attention is told of them, over `held` tokens."""
        return Slates(self._batch, self._c, self._k, self._positions, self._row, self._counts, self.lengths, held)

    def _positions(self) -> str:
        graph, g = self._graph, self._graph.g
        place = g("Where", self._is_context, self._order, graph.column(self._counts, 2))
        return g("Add", graph.column(self.lengths, 1, 2), place)

    def rows(self, columns: int) -> str:
        """[b x s x (c + k), columns] input rows, zeros for contexts that are not there: contexts and candidates are padded to
        the size of all and one is chosen, which copies nothing from host memory as a Concat would."""
        graph, g, sizes = self._graph, self._graph.g, self._graph.config
        spare, none = columns - sizes.columns, graph.exact_number(0)
        real = graph.column(g("Less", graph.up_to(g("Squeeze", self._c)), graph.column(self._counts, 2)), 3)
        context = g("Where", real, self._context, none)
        context = g("Pad", context, graph.shape(g.integers(0, 0, 0, 0, 0, 0), self._k, spare))
        candidates = g("Pad", self._candidates, graph.shape(0, 0, self._c, g.integers(0, 0, 0, 0, columns - sizes.embedding)))
        shared = g("Pad", graph.column(self._shared, 2), g.integers(0, 0, 0, sizes.embedding, 0, 0, 0, spare))
        rows = g("Where", graph.column(self._is_context, 1), context, g("Add", candidates, shared))
        return graph.cut(rows, -1, columns)

    def output(self, x: str, logits: str) -> None:
        """Makes the probabilities the graph's output, of the rows x [n, W] behind the trunk and their logits [n, A]."""
        graph, g, sizes = self._graph, self._graph.g, self._graph.config
        rows, each = graph.product(self._batch, self._each), g("Squeeze", self._each)
        about = graph.last_rows(rows, each, graph.cut(self._counts, -1))
        wanted = graph.exact("wanted.matrix", lambda: graph.state["wanted.weight"].T)
        wanted = g("MatMul", graph.exact_norm(g("Gather", x, about, axis=0), FINAL), wanted)
        wanted = g("Reshape", wanted, graph.shape(self._batch, sizes.embedding, sizes.actions))
        # Not a Slice, nor a Gather of a Range, of which the runtime makes one: bounds of a Slice that are known in a run only
        # have been read from memory that was somebody else's by then (docs/decisions/022-attention.md).
        behind = g("Add", graph.up_to(g("Squeeze", self._k)), graph.on_device(g("Squeeze", self._c)))
        logits = g("Gather", g("Reshape", logits, graph.shape(self._batch, self._each, sizes.actions)), behind, axis=2)
        probabilities = g("Sigmoid", g("Add", logits, g("MatMul", self._candidates, wanted)))
        g.output("probabilities", probabilities, ["b", "s", "k", sizes.actions])
