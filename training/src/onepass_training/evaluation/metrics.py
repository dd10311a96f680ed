"""Metrics of retrieval and ranking as pure functions over arrays. R slates, K shown items, N items of the catalogue.

Ties go to the lower item row, which is the lower id. An item that is taken out has a score of -inf and is in nobody's list.
docs/training.md says what each number means.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..data.dataset import NONE

FLOAT = NDArray[np.floating]
INT = NDArray[np.int64]
BOOL = NDArray[np.bool_]
BINS = 15
"""Of the calibration error; each holds as many predictions as the others."""


def expand(starts: INT, ends: INT) -> tuple[INT, INT]:
    """Ranges starts .. ends [R] as flat arrays: the row of each element, and the element."""
    lengths = np.maximum(ends - starts, 0)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    return rows, np.arange(len(rows)) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)


def ranks(scores: FLOAT, target: INT) -> INT:
    """[R] place of `target` [R] in each row of scores [R, N], from 0."""
    own = np.take_along_axis(scores, target[:, None], axis=1)
    ahead = (scores > own).sum(axis=1)
    equal = scores == own
    tied = np.flatnonzero(equal.sum(axis=1) > 1)
    ahead[tied] += (equal[tied] & (np.arange(scores.shape[1]) < target[tied, None])).sum(axis=1)
    return ahead


def top_items(scores: FLOAT, most: int) -> INT:
    """[R, most] item rows of the best of scores [R, N], best first; NONE where a row has fewer that are not taken out."""
    held = min(most, scores.shape[1])
    least = np.partition(scores, scores.shape[1] - held, axis=1)[:, scores.shape[1] - held, None]
    keep = scores >= least
    for row in np.flatnonzero(keep.sum(axis=1) > held):  # ties at the last place: the lower rows stay
        above, tied = scores[row] > least[row], np.flatnonzero(scores[row] == least[row])
        above[tied[: held - above.sum()]] = True
        keep[row] = above
    items = np.nonzero(keep)[1].reshape(len(scores), held)
    value = np.take_along_axis(scores, items, axis=1)
    order = np.argsort(-value, axis=1, kind="stable")
    items = np.where(np.take_along_axis(value, order, axis=1) == -np.inf, NONE, np.take_along_axis(items, order, axis=1))
    return np.pad(items, ((0, 0), (0, most - held)), constant_values=NONE)


def shares(budgets: Sequence[float], total: int) -> list[int]:
    """`total` places split by budget: whole numbers, what is left over to the largest remainders, the earlier one first."""
    exact = np.asarray(budgets, float) / sum(budgets) * total
    whole = np.floor(exact).astype(int)
    whole[np.argsort(-(exact - whole), kind="stable")[: total - whole.sum()]] += 1
    return whole.tolist()


def merge_by_budget(lists: Sequence[INT], budgets: Sequence[float], total: int) -> INT:
    """[R, total] the union of several retrievals, as serving makes it: each of `lists` (each [R, T], best first, T >= total)
    brings its share of the places, in turn, of items that none before it brought. Scores of different queries are never
    compared (PinRec, arXiv 2504.10507). NONE where a list is too short."""
    merged = np.zeros((len(lists[0]), 0), np.int64)
    for items, share in zip(lists, shares(budgets, total), strict=True):
        brought = (items[:, :, None] == merged[:, None, :]).any(axis=2) | (items == NONE)
        order = np.argsort(brought, axis=1, kind="stable")[:, :share]
        taken = np.take_along_axis(np.where(brought, NONE, items), order, axis=1)
        merged = np.concatenate([merged, taken], axis=1)
    return merged


def found_share(retrieved: INT, rows: INT, items: INT, universe: int) -> FLOAT:
    """[R] unordered recall (PinRec): the share of a row's wanted items that is among `retrieved` [R, T].

    Wanted: pairs (rows [W], items [W]), none twice. NaN for a row that wants nothing. `universe`: N.
    """
    at, place = np.nonzero(retrieved != NONE)
    found = np.isin(rows * universe + items, at * universe + retrieved[at, place])
    wanted = np.bincount(rows, minlength=len(retrieved))
    hits = np.bincount(rows, weights=found, minlength=len(retrieved))
    return np.divide(hits, wanted, out=np.full(len(retrieved), np.nan), where=wanted > 0)


def hit_at(scores: FLOAT, items: INT, labels: BOOL, top: int) -> BOOL:
    """[R] whether one of the `top` best of scores [R, K] is labelled."""
    order = np.lexsort((items, -scores), axis=1)[:, :top]
    return np.take_along_axis(labels, order, axis=1).any(axis=1)


def ndcg_at(scores: FLOAT, items: INT, gains: FLOAT, top: int) -> FLOAT:
    """[R] NDCG (Jarvelin and Kekalainen, 2002) with gain `gains` [R, K] >= 0 and discount 1 / log2(place + 2), place from 0,
    over the `top` best of scores [R, K]. NaN where nothing has a gain."""
    discount = 1 / np.log2(np.arange(min(top, scores.shape[1])) + 2)
    order = np.lexsort((items, -scores), axis=1)[:, :top]
    got = (np.take_along_axis(gains, order, axis=1) * discount).sum(axis=1)
    best = (-np.sort(-gains, axis=1)[:, :top] * discount).sum(axis=1)
    return np.divide(got, best, out=np.full(len(scores), np.nan), where=best > 0)


def auc(predicted: FLOAT, labels: BOOL) -> float:
    """Chance that one of the labelled [n] is predicted higher than one of the others; equal ones count half. NaN if a side is
    empty."""
    values, where, counts = np.unique(predicted, return_inverse=True, return_counts=True)
    positive = np.bincount(where, weights=labels, minlength=len(values))
    negative = counts - positive
    pairs = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs else float("nan")


def calibration_error(predicted: FLOAT, labels: BOOL, bins: int = BINS) -> float:
    """Expected calibration error: |mean prediction - share labelled| averaged over `bins` equal-mass bins of predictions [n],
    weighted by what each holds. NaN without predictions."""
    if not len(predicted):
        return float("nan")
    order = np.argsort(predicted, kind="stable")
    edges = np.linspace(0, len(order), bins + 1).round().astype(int)
    gap = np.concatenate([[0.0], np.cumsum((predicted - labels)[order].astype(np.float64))])
    return float(np.abs(np.diff(gap[edges])).sum() / len(order))


def log_loss(predicted: FLOAT, labels: BOOL) -> FLOAT:
    """[...] cross entropy in nats; predictions are held at least 1e-7 from 0 and 1."""
    p = np.clip(predicted.astype(np.float64), 1e-7, 1 - 1e-7)
    return -np.where(labels, np.log(p), np.log1p(-p))


def coverage(lists: INT, items: int) -> float:
    """Share of a catalogue of `items` that is in anybody's list [R, T]."""
    return len(np.unique(lists[lists != NONE])) / items


def diversity(lists: INT, embeddings: FLOAT) -> FLOAT:
    """[R] mean of 1 - cosine over the pairs of each list [R, T]; `embeddings` [N, E] of unit length. NaN under two items."""
    held = lists != NONE
    rows = embeddings[np.where(held, lists, 0)] * held[..., None]
    count = held.sum(axis=1)
    pairs = count * (count - 1)
    cosines = (rows.sum(axis=1) ** 2).sum(axis=-1) - (rows**2).sum(axis=(1, 2))  # all ordered pairs of different places
    return 1 - np.divide(cosines, pairs, out=np.full(len(lists), np.nan), where=pairs > 0)


def distinct_values(lists: INT, starts: INT, values: INT) -> INT:
    """[R] how many different values the items of each list [R, T] have; item i has values[starts[i] : starts[i + 1]]."""
    at, place = np.nonzero(lists != NONE)
    items = lists[at, place]
    pair, index = expand(starts[items], starts[items + 1])
    width = int(values.max(initial=0)) + 1
    return np.bincount(np.unique(at[pair] * width + values[index]) // width, minlength=len(lists))
