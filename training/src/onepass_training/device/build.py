"""The graphs of docs/device-graphs.md, node by node."""

from collections.abc import Callable

import numpy as np

from ..release.graph import GraphBuilder
from .graph import INT64, DeviceGraph
from .variant import Attention, Rows, Slates, Variant
from .weights import DeviceWeights


def build_encode(weights: DeviceWeights, variant: Variant, page_tokens: int) -> GraphBuilder:
    """New rows of b people behind what the pools hold of them -> their last hidden state, and the pools with the rows' KV."""
    graph = variant.graph("encode", weights)
    g, attention = graph.g, variant.build(graph)
    rows = g.input("rows", ["b", "m", weights.sizes.columns])
    lengths, counts = g.input("lengths", ["b"], INT64), g.input("counts", ["b"], INT64)
    pages, targets = g.input("pages", ["b", "g"], INT64), g.input("targets", ["b", "m"], INT64)
    pools = graph.pools()
    held, count = graph.own_rows(pages, g("Add", lengths, counts), page_tokens)
    of = Rows(graph.sizes(rows, 0, 2), graph.size(rows, 1), lengths, count)
    attend = attention.causal(of)
    _encode(graph, rows, of, counts, targets, pools,
            lambda q, written, _: attend(q, *(attention.gathered(pool, held) for pool in written)))  # fmt: skip
    return g


def build_prefill(weights: DeviceWeights, variant: Variant, _page_tokens: int = 0) -> GraphBuilder:
    """`build_encode` of people of whom nothing is held, which reads no pools: their new rows are all there is to see."""
    graph = variant.graph("prefill", weights)
    g, attention = graph.g, variant.build(graph)
    rows = g.input("rows", ["b", "m", weights.sizes.columns])
    counts, targets = g.input("counts", ["b"], INT64), g.input("targets", ["b", "m"], INT64)
    pools = graph.pools()
    batch, m = graph.sizes(rows, 0, 2), graph.size(rows, 1)
    of = Rows(batch, m, g("Sub", counts, counts), m, fresh=True)
    attend = attention.causal(of)
    _encode(graph, rows, of, counts, targets, pools,
            lambda q, _, new: attend(q, *(_held(graph, attention, part, batch, 0) for part in new)))  # fmt: skip
    return g


def _encode(
    graph: DeviceGraph, rows: str, of: Rows, counts: str, targets: str, pools: list[tuple[str, str]],
    attend: Callable[[str, list[str], tuple[str, str]], str],
) -> None:  # fmt: skip
    """The trunk over new rows. `attend`: of a layer's q, its pools as written, and the rows' own k and v, to [n, W]."""
    g, sizes = graph.g, graph.config
    rotation = graph.rotation_at(g("Add", graph.column(of.first, 1), graph.up_to(of.count)))
    targets = graph.cut(targets, -1, 1)
    x = graph.mlp(graph.cut(graph.stream(_real(graph, rows, of.count, counts)), -1, sizes.columns), "input")
    for layer, pair in enumerate(pools):
        q, k, v = graph.project(x, layer, rotation)
        written = [
            graph.append(pool, f"{name}_pool_out_{layer}", targets, graph.tokens(new))
            for name, pool, new in zip(("key", "value"), pair, (k, v), strict=True)
        ]
        x = graph.finish(x, attend(q, written, (k, v)), layer)
    every = g("ReduceProd", of.batch, keepdims=0)
    hidden = graph.exact_norm(_last(graph, x, every, of.count, counts), "final_norm")
    g.output("hidden", hidden, ["b", sizes.width])


def _real(graph: DeviceGraph, rows: str, each: str, counts: str) -> str:
    """rows [b, m, F] with zeros in those from counts [b] on: what padding holds, NaN included, is nobody's."""
    g = graph.g
    real = graph.column(g("Less", graph.up_to(each), graph.column(counts, 1)), 2)
    return g("Where", real, rows, g.constant(np.array(0, np.float32)))


def _last(graph: DeviceGraph, x: str, rows: str, each: str, counts: str) -> str:
    """Of x [rows, W], which is groups of `each` rows (scalars in host memory), the row counts - 1 of every group."""
    g = graph.g
    starts = g("Range", g.constant(np.array(0, np.int64)), rows, each)
    return g("Gather", x, g("Add", starts, g("Sub", counts, g.constant(np.array(1, np.int64)))), axis=0)


class _Requests:
    """The inputs of a rank graph: slates of b people, and what they are made of."""

    def __init__(self, graph: DeviceGraph) -> None:
        g, sizes = graph.g, graph.config
        self._graph = graph
        context = g.input("context", ["b", "s", "c", sizes.columns])
        self.context_counts = g.input("context_counts", ["b", "s"], INT64)
        self.candidates = g.input("candidates", ["b", "s", "k", sizes.embedding])
        self.candidate_row = g.input("candidate_row", ["b", "s", sizes.features])
        self.lengths = g.input("lengths", ["b"], INT64)
        self.batch = graph.sizes(self.candidates, 0, 2)
        self.c, self.k = graph.sizes(context, 2, 3), graph.sizes(self.candidates, 2, 3)
        self.each = g("Add", self.c, self.k)
        self._order = graph.up_to(g("Squeeze", self.c))
        real = g("Less", self._order, graph.column(self.context_counts, 2))
        self._context = g("Where", graph.column(real, 3), context, g.constant(np.array(0, np.float32)))

    def slates(self, held: str) -> Slates:
        """What attention is told of them, over `held` tokens."""
        g = self._graph.g
        row = g("Concat", self._order, g("Expand", g.integers(-1), self.k), axis=0)
        last = g("Sub", self._place(row), g.constant(np.array(1, np.int64)))
        last = g("Where", g("Less", row, g.constant(np.array(0, np.int64))), last, row)
        return Slates(self.batch, self.c, self.k, row, last, self.lengths, held)

    def positions(self, slates: Slates) -> str:
        """[b, s, c + k]"""
        return self._graph.g("Add", self._graph.column(self.lengths, 1, 2), self._place(slates.row))

    def _place(self, row: str) -> str:
        """[b, s, c + k] behind the past: contexts in order, candidates all at one place."""
        g = self._graph.g
        is_candidate = g("Less", row, g.constant(np.array(0, np.int64)))
        return g("Where", is_candidate, self._graph.column(self.context_counts, 2), row)

    def tokens(self) -> str:
        """[b, s, c + k, W]: what candidates share is projected once and broadcast."""
        graph, g = self._graph, self._graph.g
        first, sizes = "input.0", graph.config
        matrix, bias = graph.state[f"{first}.weight"].T, graph.vector(f"{first}.bias")
        shared = graph.held(f"{first}.shared", lambda: matrix[sizes.embedding :])
        shared = g("Gemm", graph.cut(graph.stream(self.candidate_row), -1, sizes.features), shared, bias)
        each = graph.held(f"{first}.each", lambda: matrix[: sizes.embedding])
        each = g("MatMul", graph.stream(self.candidates), each)
        shared = g("Reshape", shared, graph.shape(self.batch, 1, -1))
        about = g("Add", g("MatMul", graph.stream(self._context), graph.weight(first)), bias)
        both = g("Relu", g("Concat", about, g("Add", each, shared), axis=2))
        return graph.linear(graph.cut(both, -1, graph.state[f"{first}.bias"].shape[0]), "input.2")

    def probabilities(self, x: str) -> str:
        """x [n, W] of all rows behind the trunk to [b, s, k, A]."""
        graph, g, sizes = self._graph, self._graph.g, self._graph.config
        every = g("ReduceProd", graph.shape(self.batch, self.each), keepdims=0)
        about = _last(graph, x, every, g("Squeeze", self.each), graph.cut(self.context_counts, -1))
        wanted = graph.exact("wanted.matrix", lambda: graph.state["wanted.weight"].T)
        wanted = g("MatMul", graph.exact_norm(about, "final_norm"), wanted)
        wanted = g("Reshape", wanted, graph.shape(self.batch, sizes.embedding, sizes.actions))
        inner = g("Reshape", x, graph.shape(self.batch, self.each, sizes.width))
        # Not a Slice, nor a Gather of a Range, of which the runtime makes one: bounds of a Slice that are known in a run only
        # have been read from memory that was somebody else's by then (docs/decisions/022-attention.md).
        behind = g("Add", graph.up_to(g("Squeeze", self.k)), graph.on_device(g("Squeeze", self.c)))
        inner = g("Gather", inner, behind, axis=2)
        inner = graph.norm(graph.cut(inner, -1, sizes.width), "final_norm")
        inner = graph.float32(g("Relu", graph.linear(inner, "action_head.0")))
        matrix = graph.exact("action_head.2.matrix", lambda: graph.state["action_head.2.weight"].T)
        logits = g("Gemm", inner, matrix, graph.exact("action_head.2.bias", lambda: graph.state["action_head.2.bias"]))
        logits = g("Reshape", logits, graph.shape(self.batch, self.k, sizes.actions))
        return g("Sigmoid", g("Add", logits, g("MatMul", self.candidates, wanted)))

    def output(self, x: str) -> None:
        """Makes the probabilities the graph's output."""
        self._graph.g.output("probabilities", self.probabilities(x), ["b", "s", "k", self._graph.config.actions])


def build_rank(weights: DeviceWeights, variant: Variant, page_tokens: int) -> GraphBuilder:
    """Slates of b people on what the pools hold of them."""
    graph = variant.graph("rank", weights)
    g, attention, requests = graph.g, variant.build(graph), _Requests(graph)
    pages = g.input("pages", ["b", "g"], INT64)
    pools = graph.pools()
    held, count = graph.own_rows(pages, requests.lengths, page_tokens, attention.lead)
    slates = requests.slates(count)
    rotation, attend = graph.rotation_at(requests.positions(slates)), attention.branches(slates)
    x = requests.tokens()
    for layer, pair in enumerate(pools):
        q, k, v = graph.project(x, layer, rotation)
        x = graph.finish(x, attend(q, k, v, *(attention.gathered(pool, held) for pool in pair)), layer)
    requests.output(x)
    return g


def build_recompute(weights: DeviceWeights, variant: Variant, _page_tokens: int = 0) -> GraphBuilder:
    """The same from rows of the past, in one pass, without pools: what reuse is measured against."""
    graph = variant.graph("recompute", weights)
    g, attention, sizes = graph.g, variant.build(graph), weights.sizes
    rows = g.input("rows", ["b", "n", sizes.columns])
    requests = _Requests(graph)
    n = graph.size(rows, 1)
    rows = graph.stream(_real(graph, rows, n, requests.lengths))
    slates = requests.slates(n)
    batch = graph.sizes(rows, 0, 2)
    nothing = g("Mul", requests.lengths, g.constant(np.array(0, np.int64)))
    causal, branches = attention.causal(Rows(batch, n, nothing, n, fresh=True)), attention.branches(slates)
    past_count = g("ReduceProd", batch, keepdims=1)
    slate_count = g("ReduceProd", graph.shape(requests.batch, requests.each), keepdims=1)
    parts = g("Concat", past_count, slate_count, axis=0)
    positions = g("Add", graph.column(nothing, 1), graph.up_to(n))
    positions = g("Concat", *(graph.cut(part, -1) for part in (positions, requests.positions(slates))), axis=0)
    rotation = graph.rotation_at(positions)
    x = g("Concat", graph.mlp(graph.cut(rows, -1, sizes.columns), "input"), requests.tokens(), axis=0)
    leads = [0, attention.lead] if attention.lead else [0]
    for layer in range(sizes.layers):
        past, slate = zip(*(g.several("Split", part, parts, outputs=2, axis=0) for part in graph.project(x, layer, rotation)),
                          strict=True)  # fmt: skip
        keys, values = ([_held(graph, attention, part, batch, lead) for lead in leads] for part in past[1:])
        mixed = g("Concat", causal(past[0], keys[0], values[0]), branches(*slate, keys[-1], values[-1]), axis=0)
        x = graph.finish(x, mixed, layer)
    requests.output(g.several("Split", x, parts, outputs=2, axis=0)[1])
    return g


def _held(graph: DeviceGraph, attention: Attention, part: str, batch: str, lead: int) -> str:
    """part [b x n, H, D], held behind so many rows of zeros."""
    g = graph.g
    rows = g("Reshape", part, graph.shape(batch, graph.config.width))
    if lead:
        people = graph.sizes(rows, 0, 1)
        rows = g("Concat", g("Expand", graph.number(0), graph.shape(people, lead, graph.config.width)), rows, axis=1)
    return attention.laid(rows)


def build_gather(weights: DeviceWeights, page_tokens: int) -> GraphBuilder:
    """What reading people's pages costs, and nothing else."""
    graph = DeviceGraph("gather", weights)
    g = graph.g
    pages = g.input("pages", ["b", "g"], INT64)
    rows = graph.page_rows(pages, page_tokens)
    for layer, pair in enumerate(graph.pools()):
        for name, pool in zip(("key", "value"), pair, strict=True):
            g.output_in_place(f"gathered_{name}_{layer}", ["b", "p", weights.sizes.width], graph.type, "Gather", pool, rows)
    return g
