"""Merging what several query embeddings found, by budgets: the rules of libs/vectors (budgets.ts, query-groups.ts)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onepass_training.model.rows import FLOAT

NEAR_EQUAL = 0.98
Hits = tuple[NDArray[np.int64], FLOAT]
"""Rows and scores, best first."""


def common_direction(table: FLOAT) -> FLOAT:
    """[E] unit length: what all items share."""
    mean = table.astype(np.float64).sum(axis=0)
    return (mean / max(np.linalg.norm(mean), 1e-9)).astype(np.float32)


def group_queries(queries: FLOAT, shares: Sequence[float], common: FLOAT) -> list[tuple[int, float]]:
    """Near-equal queries as one: which one stands for each group, and the group's share, the largest first."""
    apart = queries.astype(np.float64)
    apart = apart - (apart @ common)[:, None] * common
    apart /= np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-9)
    groups: list[list] = []
    for query in sorted(range(len(shares)), key=lambda at: (-shares[at], tuple(queries[at]))):
        near = next((group for group in groups if apart[group[0]] @ apart[query] > NEAR_EQUAL), None)
        if near is None:
            groups.append([query, shares[query]])
        else:
            near[1] += shares[query]
    return sorted(((query, float(share)) for query, share in groups), key=lambda group: -round(group[1], 9))


def apportion(total: int, shares: Sequence[float], available: Sequence[int]) -> list[int]:
    """`total` places by share, largest remainder first; what one cannot fill goes to the others."""
    places, left = [0] * len(shares), total
    while left:
        free = [at for at, share in enumerate(shares) if share > 0 and places[at] < available[at]]
        if not free:
            break
        whole = sum(shares[at] for at in free)
        exact = [left * shares[at] / whole for at in free]
        given = [int(places_) for places_ in exact]
        rest = sorted(range(len(free)), key=lambda i: (-round((exact[i] - given[i]) * 1e9), i))
        for i in rest[: left - sum(given)]:
            given[i] += 1
        for i, at in enumerate(free):
            taken = min(given[i], available[at] - places[at])
            places[at] += taken
            left -= taken
    return places


def blend(lists: Sequence[Hits], shares: Sequence[float], limit: int) -> list[tuple[int, int]]:
    """(list, rank) in retrieval order: an item counts for the list where its rank is best; lists alternate in proportion."""
    if len(lists) == 1:
        return [(0, rank) for rank in range(min(limit, len(lists[0][0])))]
    owned: list[list[int]] = [[] for _ in lists]
    claimed: set[int] = set()
    columns = [rows.tolist() for rows, _ in lists]
    for rank in range(max(map(len, columns))):
        for at, rows in enumerate(columns):
            if rank < len(rows) and rows[rank] not in claimed:
                claimed.add(rows[rank])
                owned[at].append(rank)
    places = apportion(limit, shares, [len(ranks) for ranks in owned])
    # The j-th of a list's places is due at (j + 1/2) / places: ties are the earlier list's.
    due = sorted(((j + 0.5) / count, at, j) for at, count in enumerate(places) for j in range(count))
    return [(at, owned[at][j]) for _, at, j in due]
