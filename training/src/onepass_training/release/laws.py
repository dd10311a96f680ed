"""The laws of docs/release.md as functions of a runner: each gives the largest difference between two things that must agree.

The tests hold them for PyTorch and for the graphs; `write_draft` tries them on what it has written, before there is a manifest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..model.rows import FLOAT, PAST_ACTION, RowLayout
from ..model.tokenizer import Tokenizer
from .reference import Cache, Runner, empty_cache, joined, prefix_of

EQUAL = 1e-4
"""Of probability, and of keys, values and hidden states relative to the largest of them (but at least to 1)."""
TEXTS = ("mug", "teal rustic planter", "", "a much longer text than all of the others here", "mug")
CUTS = (0.0, 0.4, 0.95)
"""Where a history is cut in two, as a share of it."""


class LawBroken(ValueError):
    """A graph does not do what serving relies on."""


@dataclass(frozen=True)
class Material:
    """What the laws are tried on: real and random histories, requests and candidates."""

    layout: RowLayout
    layers: int
    width: int
    histories: Sequence[FLOAT]
    """Each [n, F], n from 0."""
    contexts: FLOAT
    """[c, F], at least two, with different times."""
    candidates: FLOAT
    """[k, E], at least two."""
    candidate_row: FLOAT
    """[1, F - E]"""
    upstream: FLOAT
    """[m, U]"""
    tokenizer: Tokenizer | None
    """None: the release takes no text."""
    texts: Sequence[str] = TEXTS

    def empty(self) -> Cache:
        """The cache of nobody."""
        return empty_cache(self.layers, self.width)

    def encode(self, run: Runner, rows: FLOAT, past: Cache) -> tuple[FLOAT, Cache]:
        """`rows` behind `past`; no rows are no run."""
        if not len(rows):
            return np.zeros((0, self.width), np.float32), self.empty()
        return run.encode(rows, positions(len(rows), len(past[0][0])), past)

    def rank(self, run: Runner, past: Cache, candidates: FLOAT, contexts: int = 1) -> FLOAT:
        """Probabilities behind the first `contexts` context rows."""
        p = len(past[0][0])
        after = np.array([p + contexts], np.float32)
        return run.rank(self.contexts[:contexts], positions(contexts, p), candidates, self.candidate_row, after, past)


def positions(n: int, start: int = 0) -> FLOAT:
    """start, start + 1, ..."""
    return np.arange(start, start + n, dtype=np.float32)


def apart(first: NDArray, second: NDArray) -> float:
    """Largest difference; infinite where one is not a number."""
    if not first.size:
        return 0.0
    largest = float(np.abs(np.asarray(first, np.float64) - second).max())
    return largest if np.isfinite(largest) else float("inf")


def states_apart(first: NDArray, second: NDArray) -> float:
    """`apart`, relative to the largest state, but at least to 1."""
    return apart(first, second) / max(1.0, float(np.abs(second).max(initial=0)))


def caches_apart(first: Cache, second: Cache) -> float:
    """The largest difference of keys and values."""
    pairs = zip(first, second, strict=True)
    return max(states_apart(ours, theirs) for pair, other in pairs for ours, theirs in zip(pair, other, strict=True))


def append_is_the_full_pass(run: Runner, material: Material) -> float:
    """A history encoded in two parts, the second behind the first's KV, against one pass."""
    worst = 0.0
    for rows in material.histories:
        hidden, cache = material.encode(run, rows, material.empty())
        for share in CUTS:
            cut = int(len(rows) * share)
            _, kept = material.encode(run, rows[:cut], material.empty())
            tail, added = material.encode(run, rows[cut:], kept)
            worst = max(worst, caches_apart(joined(kept, added), cache), states_apart(tail, hidden[cut:]))
    return worst


def kv_path_is_the_full_pass(run: Runner, material: Material) -> float:
    """Ranking on KV against ranking with the whole past as context rows of an empty history, which are causal too."""
    worst = 0.0
    for rows in material.histories:
        _, cache = material.encode(run, rows, material.empty())
        for contexts in (1, min(3, len(material.contexts))):
            on_cache = material.rank(run, cache, material.candidates, contexts)
            whole = np.concatenate([rows, material.contexts[:contexts]])
            after = np.array([len(whole)], np.float32)
            full = run.rank(whole, positions(len(whole)), material.candidates, material.candidate_row, after, material.empty())
            worst = max(worst, apart(on_cache, full))
    return worst


def a_candidate_has_no_neighbours(run: Runner, material: Material) -> float:
    """Candidates together, in another order, and each alone."""
    worst, candidates = 0.0, material.candidates
    order = np.random.default_rng(5).permutation(len(candidates))
    for rows in material.histories:
        _, cache = material.encode(run, rows, material.empty())
        together = material.rank(run, cache, candidates)
        worst = max(worst, apart(material.rank(run, cache, candidates[order]), together[order]))
        for row in range(0, len(candidates), 3):
            worst = max(worst, apart(material.rank(run, cache, candidates[row : row + 1]), together[row : row + 1]))
    return worst


def masked_is_unknown(run: Runner, material: Material) -> float:
    """A masked position is the same whatever was done there."""
    layout, actions = material.layout, len(material.layout.actions)
    time, before = np.array([5_000]), np.array([1_000])
    hidden = [
        run.encode(np.concatenate([material.candidates[:1], row], axis=1), positions(1), material.empty())[0]
        for row in (
            layout.feature_rows(done[None], np.ones(1), np.zeros(1), time, before, PAST_ACTION)
            for done in (np.zeros(actions, np.float32), np.ones(actions, np.float32), *np.eye(actions, dtype=np.float32))
        )
    ]
    return max(states_apart(one, hidden[0]) for one in hidden)


def nothing_later_changes_anything_earlier(run: Runner, material: Material) -> float:
    """Rows from a cut on are replaced; what is before it stays."""
    random, worst = np.random.default_rng(9), 0.0
    for rows in material.histories:
        hidden, cache = material.encode(run, rows, material.empty())
        for share in CUTS[1:]:
            cut = int(len(rows) * share)
            changed = rows.copy()
            changed[cut:] = random.permutation(changed[cut:]) + random.standard_normal(changed[cut:].shape).astype(np.float32)
            after, later = material.encode(run, changed, material.empty())
            difference = caches_apart(prefix_of(later, cut), prefix_of(cache, cut))
            worst = max(worst, difference, states_apart(after[:cut], hidden[:cut]))
    return worst


def the_requests_time_changes_no_past(run: Runner, material: Material) -> float:
    """A context row runs behind an append's new rows; their keys and values do not notice which one."""
    worst = 0.0
    for rows in material.histories:
        cut = len(rows) // 2
        _, kept = material.encode(run, rows[:cut], material.empty())
        _, alone = material.encode(run, rows[cut:], kept)
        for context in material.contexts[:2]:
            _, behind = material.encode(run, np.concatenate([rows[cut:], context[None]]), kept)
            worst = max(worst, caches_apart(prefix_of(behind, len(rows) - cut), alone))
    return worst


def a_text_is_its_embedding(run: Runner, material: Material) -> float:
    """A text embeds as itself whatever it is embedded with, at unit length: so giving the embedding is the same request."""
    if material.tokenizer is None:
        return 0.0
    together, worst = run.embed_queries(*material.tokenizer.batch(material.texts)), 0.0
    for row, text in enumerate(material.texts):
        ids, weights = material.tokenizer.batch([text])
        alone = run.embed_queries(ids, weights)[0]
        worst = max(worst, apart(alone, together[row]))
        if weights.any():
            worst = max(worst, abs(float(np.linalg.norm(alone)) - 1))
    return worst


@dataclass(frozen=True)
class Law:
    """One law, and the graph that keeps or breaks it."""

    name: str
    graph: str
    difference: Callable[[Runner, Material], float]


LAWS = (
    Law("append == full pass", "encode", append_is_the_full_pass),
    Law("KV path == full pass", "rank", kv_path_is_the_full_pass),
    Law("a candidate's score depends on no neighbour and no order", "rank", a_candidate_has_no_neighbours),
    Law("masked action == unknown action", "encode", masked_is_unknown),
    Law("nothing after time t changes anything before it", "encode", nothing_later_changes_anything_earlier),
    Law("the request's time changes no past KV", "encode", the_requests_time_changes_no_past),
    Law("a text and its embedding are the same request", "queryTower", a_text_is_its_embedding),
)


def same_answers(run: Runner, other: Runner, material: Material) -> dict[str, float]:
    """Graph -> largest difference between two runners' answers; keys, values and hidden states count with `encode`."""
    worst = dict.fromkeys(("encode", "rank", "retrieveHead", "itemTower"), 0.0)
    actions, surfaces = len(material.layout.actions), len(material.layout.surfaces)
    outcomes = np.eye(actions + 1, dtype=np.float32)
    offsets = np.linspace(0, 0.5, actions + 1, dtype=np.float32)[:, None]
    where = np.eye(surfaces, dtype=np.float32)[np.arange(actions + 1) % surfaces]
    for rows in material.histories:
        (hidden, cache), (expected, theirs) = (material.encode(one, rows, material.empty()) for one in (run, other))
        worst["encode"] = max(worst["encode"], caches_apart(cache, theirs), states_apart(hidden, expected))
        about = material.contexts[:1]
        hidden, expected = (material.encode(one, about, theirs)[0] for one in (run, other))
        worst["encode"] = max(worst["encode"], states_apart(hidden, expected))
        ranked = (material.rank(one, theirs, material.candidates, len(material.contexts)) for one in (run, other))
        worst["rank"] = max(worst["rank"], apart(*ranked))
        queries = (one.retrieve(expected, outcomes, offsets, where) for one in (run, other))
        worst["retrieveHead"] = max(worst["retrieveHead"], apart(*queries))
    worst["itemTower"] = apart(*(one.embed_items(material.upstream) for one in (run, other)))
    if material.tokenizer is not None:
        texts = material.tokenizer.batch(material.texts)
        worst["queryTower"] = apart(*(one.embed_queries(*texts) for one in (run, other)))
    return worst


def check_laws(run: Runner, material: Material, where: str, model: Runner | None = None) -> dict[str, float]:
    """Law -> largest difference seen. `where` names the graphs in the sentence; `model` is what they must equal, if anything.

    LawBroken names the law, the graph and the difference.
    """
    found: dict[str, float] = {}
    for law in LAWS:
        found[law.name] = _hold(law.name, law.graph, law.difference(run, material), where)
    if model is not None:
        differences = same_answers(run, model, material)
        found["ONNX == PyTorch"] = max(_hold("ONNX == PyTorch", *pair, where) for pair in differences.items())
    return found


def _hold(law: str, graph: str, difference: float, where: str) -> float:
    if difference <= EQUAL:
        return difference
    raise LawBroken(f'{where}: the graph {graph} breaks the law "{law}": {difference:.2g} apart, where {EQUAL:.0e} is allowed')
