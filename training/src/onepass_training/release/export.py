"""The five serving graphs of docs/release.md, built node by node from the trained weights.

Built rather than traced: names and dynamic axes are exactly the contract's, no shape of an example is baked in, and
the number of nodes stays low, which is most of the time of a one-row encode.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto

from ..model.onepass_model import OnepassModel
from ..model.trunk import rope_frequencies
from .graph import GraphBuilder, SharedWeights
from .model_graph import ModelGraph

WEIGHTS = "weights.bin"
GRAPHS = {
    "encode": "encode.onnx", "rank": "rank.onnx", "retrieveHead": "retrieve_head.onnx", "itemTower": "item_tower.onnx",
    "queryTower": "query_tower.onnx",
}  # fmt: skip
NEGATIVE = np.float32(-1e9)
"""Added to a score that is not allowed; finite, so that no row can become NaN."""


class _ModelGraph(ModelGraph):
    """A graph of a model."""

    def __init__(self, model: OnepassModel, name: str, weights: SharedWeights) -> None:
        frequencies = rope_frequencies(model.config.head_size).numpy()
        super().__init__(GraphBuilder(name, weights, WEIGHTS), model.serving_state(), model.config, frequencies)
        self.model, self.layout = model, model.layout

    def unit(self, x: str) -> str:
        """Rows scaled to unit length."""
        length = self.g("Max", self.g("ReduceL2", x, axes=[-1], keepdims=1), self.g.constant(np.array([1e-12], np.float32)))
        return self.g("Div", x, length)

    def caches(self) -> list[tuple[str, str]]:
        """The past's key and value inputs of every layer, [p, W]."""
        width = self.config.width
        return [
            (self.g.input(f"past_key_{layer}", ["p", width]), self.g.input(f"past_value_{layer}", ["p", width]))
            for layer in range(self.config.layers)
        ]

    def penalty(self, forbidden: str) -> str:
        """Booleans to what is added to scores."""
        return self.g("Mul", self.g("Cast", forbidden, to=1), self.g.constant(np.array(NEGATIVE)))


def _causal_penalty(graph: _ModelGraph, rows: str, past: str) -> str:
    """[n, p + n]: row i sees the past and rows up to itself."""
    g = graph.g
    n, p = graph.length(rows), graph.length(past)
    last_seen = g("Unsqueeze", g("Add", graph.up_to(n), p), g.integers(1))
    return graph.penalty(g("Greater", graph.up_to(g("Add", n, p)), last_seen))


def build_encode(model: OnepassModel, weights: SharedWeights) -> GraphBuilder:
    """rows behind a cache -> hidden states and the rows' own keys and values."""
    graph = _ModelGraph(model, "encode", weights)
    g, config = graph.g, model.config
    rows = g.input("rows", ["n", graph.layout.columns])
    positions = g.input("positions", ["n"])
    caches = graph.caches()
    rotation = graph.rotation(positions)
    penalty = _causal_penalty(graph, rows, caches[0][0])
    x = graph.mlp(rows, "input")
    for layer, (past_key, past_value) in enumerate(caches):
        q, k, v = graph.project(x, layer, rotation)
        key, value = graph.tokens(k), graph.tokens(v)
        keys = g("Transpose", graph.heads(g("Concat", past_key, key, axis=0)), perm=[1, 2, 0])
        values = g("Transpose", graph.heads(g("Concat", past_value, value, axis=0)), perm=[1, 0, 2])
        scores = g("Add", g("MatMul", g("Transpose", q, perm=[1, 0, 2]), keys), penalty)
        mixed = g("MatMul", g("Softmax", scores, axis=-1), values)
        x = graph.finish(x, graph.tokens(g("Transpose", mixed, perm=[1, 0, 2])), layer)
        g.output(f"key_{layer}", key, ["n", config.width])
        g.output(f"value_{layer}", value, ["n", config.width])
    g.output("hidden", graph.norm(x, "final_norm"), ["n", config.width])
    return g


def _rank_penalty(graph: _ModelGraph, context: str, candidates: str, past: str) -> str:
    """[c + k, p + c + 1] over past, contexts and "itself".

    A context row is causal among contexts and has its own column there, so its last column is closed; a candidate sees it all.
    """
    g = graph.g
    c, k, p = graph.length(context), graph.length(candidates), graph.length(past)
    row = g("Unsqueeze", graph.up_to(g("Add", c, k)), g.integers(1))
    column = g("Sub", graph.up_to(g("Add", g("Add", p, c), g.constant(np.array(1, np.int64)))), p)
    return graph.penalty(g("And", g("Greater", column, row), g("Less", row, c)))


def _rank_rows(graph: _ModelGraph, context: str, candidates: str, candidate_row: str) -> str:
    """[c + k, W] input MLP of all rows; what candidates share is projected once and broadcast."""
    g, embedding = graph.g, graph.layout.embedding
    first = graph.state["input.0.weight"].T
    bias = g.constant(graph.state["input.0.bias"])
    shared = g("Gemm", candidate_row, g.constant(first[embedding:]), bias)
    each = g("Gemm", candidates, g.constant(first[:embedding]), shared)
    about = g("Gemm", context, graph.weight("input.0"), bias)
    return graph.linear(g("Relu", g("Concat", about, each, axis=0)), "input.2")


def build_rank(model: OnepassModel, weights: SharedWeights) -> GraphBuilder:
    """contexts and candidates on a cache -> action probabilities. No k x k part: "itself" is one more column of scores."""
    graph = _ModelGraph(model, "rank", weights)
    g, layout = graph.g, graph.layout
    context = g.input("context", ["c", layout.columns])
    context_positions = g.input("context_positions", ["c"])
    candidates = g.input("candidates", ["k", layout.embedding])
    candidate_row = g.input("candidate_row", [1, layout.features])
    candidate_position = g.input("candidate_position", [1])
    caches = graph.caches()
    count = g("Shape", candidates, start=0, end=1)
    rotation = graph.rotation(g("Concat", context_positions, g("Expand", candidate_position, count), axis=0))
    penalty = _rank_penalty(graph, context, candidates, caches[0][0])
    contexts = g("Shape", context, start=0, end=1)
    start, axis = g.integers(0), g.integers(0)
    split = g("Concat", g("Add", g("Shape", caches[0][0], start=0, end=1), contexts), g.integers(1), axis=0)
    x = _rank_rows(graph, context, candidates, candidate_row)
    for layer, (past_key, past_value) in enumerate(caches):
        q, k, v = graph.project(x, layer, rotation)
        keys, values = (
            g("Concat", graph.heads(past), g("Slice", own, start, contexts, axis), axis=0)
            for past, own in ((past_key, k), (past_value, v))
        )
        itself = g("Transpose", g("ReduceSum", g("Mul", q, k), g.integers(-1), keepdims=1), perm=[1, 0, 2])
        scores = g("MatMul", g("Transpose", q, perm=[1, 0, 2]), g("Transpose", keys, perm=[1, 2, 0]))
        scores = g("Add", g("Concat", scores, itself, axis=2), penalty)
        others, own = g.several("Split", g("Softmax", scores, axis=-1), split, outputs=2, axis=2)
        mixed = g("Transpose", g("MatMul", others, g("Transpose", values, perm=[1, 0, 2])), perm=[1, 0, 2])
        mixed = g("Add", mixed, g("Mul", g("Transpose", own, perm=[1, 0, 2]), v))
        x = graph.finish(x, graph.tokens(mixed), layer)
    x = graph.norm(x, "final_norm")
    about = g("Slice", x, g("Sub", contexts, g.integers(1)), contexts, axis)
    wanted = g("Reshape", g("MatMul", about, graph.weight("wanted")), g.integers(layout.embedding, -1))
    inner = g("Slice", x, contexts, g.integers(np.iinfo(np.int64).max), axis)
    logits = g("Gemm", candidates, wanted, graph.mlp(inner, "action_head"))
    g.output("probabilities", g("Sigmoid", logits), ["k", len(layout.actions)])
    return g


def build_retrieve_head(model: OnepassModel, weights: SharedWeights) -> GraphBuilder:
    """hidden x (outcome, offset, surface) -> query embeddings; hidden's part is projected once and broadcast."""
    graph = _ModelGraph(model, "retrieve_head", weights)
    g, layout, width = graph.g, graph.layout, model.config.width
    hidden = g.input("hidden", [1, width])
    outcomes = g.input("outcomes", ["q", len(layout.actions) + 1])
    offsets = g.input("offsets", ["q", 1])
    surfaces = g.input("surfaces", ["q", len(layout.surfaces)])
    first = graph.state["retrieve_head.0.weight"].T
    shared = g("Gemm", hidden, g.constant(first[:width]), g.constant(graph.state["retrieve_head.0.bias"]))
    each = g("Gemm", g("Concat", outcomes, offsets, surfaces, axis=1), g.constant(first[width:]), shared)
    queries = graph.unit(graph.linear(g("Relu", each), "retrieve_head.2"))
    g.output("queries", queries, ["q", layout.embedding])
    return g


def build_item_tower(model: OnepassModel, weights: SharedWeights) -> GraphBuilder:
    """upstream -> unit-length embeddings."""
    graph = _ModelGraph(model, "item_tower", weights)
    upstream = graph.g.input("upstream", ["m", model.config.upstream])
    embeddings = graph.g("Add", graph.g("MatMul", upstream, graph.weight("item_skip")), graph.mlp(upstream, "item_tower"))
    graph.g.output("embeddings", graph.unit(embeddings), ["m", graph.layout.embedding])
    return graph.g


def build_query_tower(model: OnepassModel, weights: SharedWeights) -> GraphBuilder:
    """token ids and weights -> unit-length embeddings."""
    graph = _ModelGraph(model, "query_tower", weights)
    g, config = graph.g, model.config
    ids, shares = g.input("token_ids", ["b", "t"]), g.input("token_weights", ["b", "t"])
    table = g.constant(graph.state["query_tower.table.weight"])
    rows = g("Gather", table, g("Cast", ids, to=TensorProto.INT64), axis=0)
    summed = g("MatMul", g("Unsqueeze", shares, g.integers(1)), rows)
    summed = g("Reshape", summed, g.integers(-1, config.query_dimension))
    both = g("Add", g("MatMul", summed, graph.weight("query_tower.skip")), graph.mlp(summed, "query_tower.mlp"))
    g.output("embeddings", graph.unit(both), ["b", graph.layout.embedding])
    return g


def export_graphs(model: OnepassModel, directory: Path, texts: bool = True) -> dict[str, str | None]:
    """Writes the graphs and their one weights file; no query tower unless `texts`. Gives each graph's file, or None."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = SharedWeights()
    builders = {
        "encode": build_encode, "rank": build_rank, "retrieveHead": build_retrieve_head, "itemTower": build_item_tower,
        "queryTower": build_query_tower,
    }  # fmt: skip
    files = {name: file if texts or name != "queryTower" else None for name, file in GRAPHS.items()}
    for name, build in builders.items():
        if files[name] is not None:
            build(model, weights).write(directory / files[name])
    weights.write(directory / WEIGHTS)
    return files
