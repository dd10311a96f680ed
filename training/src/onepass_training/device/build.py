"""The graphs of docs/device-graphs.md, node by node."""

from collections.abc import Callable

import numpy as np

from ..release.graph import GraphBuilder
from .graph import INT64, DeviceGraph
from .requests import Requests
from .trunk import FINAL, Trunk
from .variant import Attention, Rows, Variant
from .weights import DeviceWeights

Held = Callable[[list[str], list[str]], list[str]]
"""Of a layer: its pools as written, and the rows' own k and v, to keys and values as attention has them held."""


def build_encode(weights: DeviceWeights, variant: Variant, page_tokens: int) -> GraphBuilder:
    """New rows of b people behind what the pools hold of them -> their last hidden state, and the pools with the rows' KV."""
    graph = variant.graph("encode", weights)
    g, attention = graph.g, variant.build(graph)
    rows = g.input("rows", ["b", "m", weights.sizes.columns])
    lengths, counts = g.input("lengths", ["b"], INT64), g.input("counts", ["b"], INT64)
    pages, targets = g.input("pages", ["b", "g"], INT64), g.input("targets", ["b", "m"], INT64)
    pools = graph.pools()
    seen = g("Add", lengths, counts)
    held, count = graph.own_rows(pages, seen, page_tokens)
    of = Rows(graph.sizes(rows, 0, 2), graph.size(rows, 1), lengths, count)
    _encode(graph, rows, of, (counts, seen), (pools, targets), attention,
            lambda written, _: [attention.gathered(pool, held) for pool in written])  # fmt: skip
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
    _encode(graph, rows, of, (counts, counts), (pools, targets), attention,
            lambda _, new: [attention.laid(part, batch) for part in new])  # fmt: skip
    return g


def _encode(
    graph: DeviceGraph, rows: str, of: Rows, ends: tuple[str, str], pools: tuple[list[tuple[str, str]], str],
    attention: Attention, held: Held,
) -> None:  # fmt: skip
    """The trunk over new rows. `ends`: how many are real, and how many tokens there are with them. Of the last layer all rows'
    keys and values are kept, and only the last real row goes on."""
    g, sizes, trunk = graph.g, graph.config, Trunk(graph)
    counts, seen = ends
    rotation = graph.rotation_at(g("Add", graph.column(of.first, 1), graph.up_to(of.count)))
    places = graph.places(pools[1], np.arange(sizes.width // sizes.piece))
    x, normed = trunk.begin(trunk.real_rows(rows, of.count, counts))
    attend, attend_last = attention.causal(of), attention.last(of, seen)
    last = graph.last_rows(graph.product(of.batch), of.count, counts)
    for layer, pair in enumerate(pools[0]):
        new = [graph.turned(trunk.part(normed, layer, "k"), rotation), trunk.part(normed, layer, "v")]
        written = [
            graph.append(pool, f"{name}_pool_out_{layer}", places, part)
            for name, pool, part in zip(("key", "value"), pair, new, strict=True)
        ]
        if layer == sizes.layers - 1:
            x, normed = (g("Gather", part, last, axis=0) for part in (x, normed))
            rotation, attend = graph.rotation_of(rotation, last), attend_last
        q = graph.turned(trunk.part(normed, layer, "q"), rotation)
        x, normed = trunk.finish(x, trunk.out(attend(q, *held(written, new)), layer), layer)
    g.output("hidden", graph.exact_norm(x, FINAL), ["b", sizes.width])


def build_rank(weights: DeviceWeights, variant: Variant, page_tokens: int) -> GraphBuilder:
    """Slates of b people on what the pools hold of them."""
    graph = variant.graph("rank", weights)
    g, attention, trunk, requests = graph.g, variant.build(graph), Trunk(graph), Requests(graph)
    pages = g.input("pages", ["b", "g"], INT64)
    pools = graph.pools()
    slates = requests.slates(g("Squeeze", g("Mul", graph.sizes(pages, 1, 2), g.integers(page_tokens))))
    branches = attention.branches(slates, trunk)
    held = branches.paged(pages, page_tokens)
    x, normed = trunk.begin(requests.rows(trunk.columns))
    for layer, pair in enumerate(pools):
        x, normed = trunk.finish(x, branches.step(normed, layer, *(held(pool) for pool in pair)), layer)
    requests.output(x, trunk.head(normed))
    return g


def build_recompute(weights: DeviceWeights, variant: Variant, _page_tokens: int = 0) -> GraphBuilder:
    """The same from rows of the past, in one pass, without pools: what reuse is measured against. Of the last layer the past's
    keys and values are all that is read."""
    graph = variant.graph("recompute", weights)
    g, attention, trunk = graph.g, variant.build(graph), Trunk(graph)
    rows = g.input("rows", ["b", "n", weights.sizes.columns])
    requests = Requests(graph)
    batch, n = graph.sizes(rows, 0, 2), graph.size(rows, 1)
    past, past_normed = trunk.begin(trunk.real_rows(rows, n, requests.lengths))
    nothing = g("Sub", requests.lengths, requests.lengths)
    attend = attention.causal(Rows(batch, n, nothing, n, fresh=True))
    past_rotation = graph.rotation_at(g("Add", graph.column(nothing, 1), graph.up_to(n)))
    branches = attention.branches(requests.slates(n), trunk)
    x, normed = trunk.begin(requests.rows(trunk.columns))
    for layer in range(weights.sizes.layers):
        k, v = graph.turned(trunk.part(past_normed, layer, "k"), past_rotation), trunk.part(past_normed, layer, "v")
        step = branches.step(normed, layer, branches.laid(k), branches.laid(v))
        x, normed = trunk.finish(x, step, layer)
        if layer < weights.sizes.layers - 1:
            q = graph.turned(trunk.part(past_normed, layer, "q"), past_rotation)
            mixed = attend(q, attention.laid(k, batch), attention.laid(v, batch))
            past, past_normed = trunk.finish(past, trunk.out(mixed, layer), layer)
    requests.output(x, trunk.head(normed))
    return g


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
