"""The item index: faiss, flat or inverted lists, whichever is faster at the recall that Onepass's own index is built for."""

import time

import faiss
import numpy as np
from numpy.typing import NDArray
from onepass_training.model.rows import FLOAT

LEAST_RECALL, DEPTH, QUERIES, MIXED = 0.99, 200, 64, 4
"""Recall@200 of mixes of 1 to 4 items, as libs/vectors chooses its probes."""
SAMPLE = 256
"""Items a list that the centroids are found from."""
ROUNDS = 5


class Index:
    """Inner products over an item table [N, E]."""

    def __init__(self, table: FLOAT) -> None:
        self._items = len(table)
        self._flat = faiss.IndexFlatIP(table.shape[1])
        self._flat.add(table)
        queries = _mixed_queries(table)
        self._lists, self._probes = self._tuned(table, queries)
        inverted, flat = self._milliseconds(queries, self._probes), self._milliseconds(queries, 0)
        if flat <= inverted:
            self._probes = 0
        chosen = f"{self._probes} of {self._lists.nlist} inverted lists" if self._probes else "flat"
        self.description = (
            f"faiss {chosen} ({flat:.2f} ms flat, {inverted:.2f} ms inverted a query at recall@{DEPTH} >= {LEAST_RECALL})"
        )

    def search(self, queries: FLOAT, limit: int, excluded: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], FLOAT]]:
        """For each query [q, E] the best rows and their scores, without the rows `excluded`."""
        limit = min(limit, self._items - len(excluded))
        if limit <= 0:
            return [(np.zeros(0, np.int64), np.zeros(0, np.float32)) for _ in queries]
        bits = np.zeros(self._items + 7 & ~7, bool)
        bits[excluded] = True
        packed = np.packbits(bits, bitorder="little")
        refused = faiss.IDSelectorBitmap(packed)
        scores, rows = self._search(queries, limit, self._probes, faiss.IDSelectorNot(refused) if len(excluded) else None)
        return [(own[own >= 0], score[own >= 0]) for own, score in zip(rows, scores, strict=True)]

    def _search(
        self, queries: FLOAT, limit: int, probes: int, selector: faiss.IDSelector | None = None
    ) -> tuple[FLOAT, NDArray[np.int64]]:
        if probes:
            return self._lists.search(queries, limit, params=faiss.SearchParametersIVF(sel=selector, nprobe=probes))
        return self._flat.search(queries, limit, params=faiss.SearchParameters(sel=selector))

    def _tuned(self, table: FLOAT, queries: FLOAT) -> tuple[faiss.IndexIVFFlat, int]:
        """Inverted lists, and the fewest probes that reach the recall."""
        count = max(1, min(4_096, round(4 * len(table) ** 0.5), len(table) // 39))
        lists = faiss.IndexIVFFlat(faiss.IndexFlatIP(table.shape[1]), table.shape[1], count, faiss.METRIC_INNER_PRODUCT)
        random = np.random.default_rng(1)
        lists.train(table[random.permutation(len(table))[: SAMPLE * count]])
        lists.add(table)
        self._lists = lists
        depth = min(DEPTH, len(table))
        exact = self._search(queries, depth, 0)[1]
        probes = 1
        while probes < count and _recall(exact, self._search(queries, depth, probes)[1]) < LEAST_RECALL:
            probes *= 2
        return lists, min(probes, count)

    def _milliseconds(self, queries: FLOAT, probes: int) -> float:
        """Of one query, the median of some rounds over all."""
        taken = []
        for _ in range(ROUNDS):
            since = time.perf_counter()
            for query in queries:
                self._search(query[None], min(DEPTH, self._items), probes)
            taken.append(time.perf_counter() - since)
        return float(np.median(taken)) * 1_000 / len(queries)


def _recall(exact: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    return float(np.mean([len(np.intersect1d(*pair)) / len(pair[0]) for pair in zip(exact, found, strict=True)]))


def _mixed_queries(table: FLOAT) -> FLOAT:
    """[64, E] unit mixes of 1 to 4 items."""
    random = np.random.default_rng(len(table))
    weights = random.uniform(0.5, 1.5, (QUERIES, MIXED)) * (np.arange(MIXED) <= np.arange(QUERIES)[:, None] % MIXED)
    mixed = np.einsum("qm,qme->qe", weights, table[random.integers(0, len(table), (QUERIES, MIXED))])
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)
