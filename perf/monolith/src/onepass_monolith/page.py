"""One page, start to end: encode, retrieval head, search, rank, order. Pure of gRPC; runs in a worker thread."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from onepass_training.model.rows import CANDIDATE, CONTEXT, FLOAT, NO_TIME

from .blend import Hits, blend, common_direction, group_queries
from .histories import Snapshot, last_ms, past_rows, window_length
from .index import Index
from .kv import Entry
from .release import Kv, Release

EMPTY, SLOT, APPEND, RECOMPUTE = "EMPTY", "SLOT", "APPEND", "RECOMPUTE"


@dataclass(frozen=True)
class Budget:
    """An outcome, its share of the candidates, and how far ahead it is looked for."""

    outcome: str
    share: float
    offset_ms: int = 0


@dataclass(frozen=True)
class Ask:
    """A request that was found good."""

    surface: int
    now_ms: int
    page_size: int
    candidates: int
    budgets: Sequence[Budget]
    """Shares above 0, their sum 1."""
    weights: np.ndarray
    """[A] of the utility."""
    excluded: Sequence[int] = ()
    """Item rows."""
    related: Sequence[int] = ()
    text: str = ""
    features: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """What came of it; arrays by place on the page."""

    rows: np.ndarray
    utilities: np.ndarray
    probabilities: FLOAT
    sources: list[tuple[str, int, float]]
    """Outcome, rank and score that brought each item."""
    kv_source: str
    kv_tokens: int
    ranked: int
    micros: dict[str, int]
    """By stage."""


class PageMaker:
    """Stateless but for the release and the index."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._common = common_direction(release.table)
        self.index = Index(release.table)

    def make(self, ask: Ask, history: Snapshot, entry: Entry | None) -> Page:
        """`entry`: the person's KV, which nobody else may use meanwhile, brought up to date here; None = none is kept."""
        clock = _Clock()
        contexts, candidate_row = self._request_rows(ask, last_ms(history.tokens))
        source, past, hidden = self._encode(history, entry, contexts)
        queries = self._queries(ask, hidden)
        clock.mark("encode")
        rows, sources = self._search(ask, queries, history)
        clock.mark("retrieve")
        if not len(rows):
            nothing = np.zeros((0, len(self._release.actions)), np.float32)
            return Page(rows, np.zeros(0), nothing, [], source, len(past[0][0]), 0, clock.micros)
        probabilities = self._release.graphs.rank(contexts, len(past[0][0]), self._release.table[rows], candidate_row, past)
        clock.mark("rank")
        # As the mesh answers them: summed in float64, told in float32.
        utilities = (probabilities.astype(np.float64) @ ask.weights).astype(np.float32)
        utilities = np.where(np.isfinite(utilities), utilities, -np.inf)
        best = np.argsort(-utilities, kind="stable")[: ask.page_size]
        clock.mark("page")
        chosen = [sources[at] for at in best]
        return Page(rows[best], utilities[best], probabilities[best], chosen, source, len(past[0][0]), len(rows), clock.micros)

    def _request_rows(self, ask: Ask, previous_ms: int) -> tuple[FLOAT, FLOAT]:
        """The context rows [c, F], one for each related item or the query, and what candidates share [F - E]."""
        release, layout = self._release, self._release.layout
        if ask.related:
            about = release.table[list(ask.related)]
        elif ask.text:
            about = release.embed_texts([ask.text])
        else:
            about = np.zeros((1, layout.embedding), np.float32)
        nothing = np.zeros((1, len(release.actions)), np.float32)
        surface, times = np.array([ask.surface]), (np.array([ask.now_ms]), np.array([previous_ms]))
        told = np.array([[ask.features.get(name, np.nan) for name in layout.request_features]])
        context = layout.feature_rows(nothing, np.zeros(1, bool), surface, *times, CONTEXT, told)
        contexts = np.concatenate([about, np.repeat(context, len(about), axis=0)], axis=1)
        return contexts, layout.feature_rows(nothing, np.ones(1, bool), surface, *times, CANDIDATE)[0]

    def _encode(self, history: Snapshot, entry: Entry | None, contexts: FLOAT) -> tuple[str, Kv, FLOAT]:
        """Where the past's KV came from, the past, and the last context row's hidden state [1, W].

        New tokens and context rows go through in one run.
        """
        release, tokens = self._release, history.tokens
        source, first, held = self._plan(history, entry)
        new = tokens[first:]
        previous = int(tokens["time_ms"][first - 1]) if first else NO_TIME
        rows = past_rows(release.layout, new, previous, release.table, history.texts, release.embed_texts)
        passed = release.graphs.encode(np.concatenate([rows, contexts]), len(held[0][0]), held)
        if entry is None:
            # The run's own tensors, read in place: nothing is copied that nobody keeps.
            past = [(key[: len(new)], value[: len(new)]) for key, value in passed.kv]
        else:
            if source == RECOMPUTE:
                entry.length = 0
            entry.add(passed.kv, len(new))
            entry.consumed, entry.epoch = len(tokens), history.epoch
            past = entry.past()
        return source, past, passed.hidden[-1:]

    def _plan(self, history: Snapshot, entry: Entry | None) -> tuple[str, int, Kv]:
        """What is to be done, the first token that is to be encoded, and what it goes behind."""
        release, count = self._release, len(history.tokens)
        nothing = [(_none(release.width), _none(release.width))] * release.layers
        if count == 0:
            if entry is not None:
                entry.length = 0
            return EMPTY, 0, nothing
        if entry is not None and entry.length and entry.epoch == history.epoch:
            new = count - entry.consumed
            if entry.length + new <= release.window:
                return SLOT if new == 0 else APPEND, entry.consumed, entry.past()
        return RECOMPUTE, count - window_length(count, release.window), nothing

    def _queries(self, ask: Ask, hidden: FLOAT) -> FLOAT:
        """[q, E] one for each budget."""
        release, count = self._release, len(ask.budgets)
        outcomes = np.zeros((count, len(release.outcome_index)), np.float32)
        outcomes[np.arange(count), [release.outcome_index[budget.outcome] for budget in ask.budgets]] = 1
        ahead = np.array([[budget.offset_ms] for budget in ask.budgets], np.int64)
        surfaces = np.zeros((count, len(release.layout.surfaces)), np.float32)
        surfaces[:, ask.surface] = 1
        return release.graphs.retrieve(hidden, outcomes, release.layout.delta(ahead, np.zeros_like(ahead)), surfaces)

    def _search(self, ask: Ask, queries: FLOAT, history: Snapshot) -> tuple[np.ndarray, list[tuple[str, int, float]]]:
        """Candidate rows in retrieval order, and who brought each."""
        excluded = np.unique(np.concatenate([history.seen, np.array([*ask.excluded, *ask.related], np.int64)]))
        groups = group_queries(queries, [budget.share for budget in ask.budgets], self._common)
        hits: list[Hits] = self.index.search(queries[[query for query, _ in groups]], ask.candidates, excluded)
        places = blend(hits, [share for _, share in groups], ask.candidates)
        rows = np.array([hits[at][0][rank] for at, rank in places], np.int64)
        outcomes = [ask.budgets[query].outcome for query, _ in groups]
        return rows, [(outcomes[at], rank, float(hits[at][1][rank])) for at, rank in places]


class _Clock:
    """Microseconds from mark to mark."""

    def __init__(self) -> None:
        self._since = time.perf_counter_ns()
        self.micros: dict[str, int] = {}

    def mark(self, stage: str) -> None:
        now = time.perf_counter_ns()
        self.micros[stage] = (now - self._since) // 1_000
        self._since = now


def _none(width: int) -> FLOAT:
    return np.zeros((0, width), np.float32)
