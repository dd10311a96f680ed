"""Item to item: what people engaged with near what this person engaged with last."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...data.dataset import INT, NONE, Bucket, Dataset
from ..metrics import FLOAT, expand
from ..scorers import Ask, Contender
from ..slates import SlateSet

NEAR, LAST, NEIGHBOURS = 10, 20, 200
"""Events apart that count as together; engaged items of a person that are asked; other items kept for each."""
DECAY = 0.9
"""Weight of an engaged item relative to the one after it."""
PRIOR = 50.0
"""Occurrences that each item is given before the cosine: without them two items that were seen once, together, are as near as
can be, and fill every list."""
HELD = 20_000_000
"""Pairs in memory at most: beyond that those seen least are dropped."""


@dataclass(frozen=True)
class Cooccurrence:
    """Neighbours of items: those of item i are other[start[i] : start[i + 1]]."""

    start: INT
    other: INT
    weight: FLOAT
    """Cosine of the two items' occurrence, damped: pairs / sqrt((occurrences of one + PRIOR) x (of the other + PRIOR))."""

    def scores(self, slates: SlateSet, rows: INT, ask: Ask) -> FLOAT:
        """[r, N] summed over the person's last engaged items; the item a related page is about counts as the newest."""
        row, item, weight = _asked(slates, rows)
        of, at = expand(self.start[item], self.start[item + 1])
        items = len(self.start) - 1
        flat = np.bincount(row[of] * items + self.other[at], weights=weight[of] * self.weight[at], minlength=len(rows) * items)
        return flat.reshape(len(rows), items).astype(np.float32)

    def contender(self) -> Contender:
        """For the evaluation."""
        return Contender(self)


def _asked(slates: SlateSet, rows: INT) -> tuple[INT, INT, FLOAT]:
    """Place within `rows`, item and weight of what is asked for."""
    at, event = expand(slates.first[rows], slates.prefix[rows])
    at, event = at[slates.event_engaged[event]], event[slates.event_engaged[event]]
    counts = np.bincount(at, minlength=len(rows))
    age = np.repeat(np.cumsum(counts), counts) - 1 - np.arange(len(at))
    recent = age < LAST
    about = np.flatnonzero(slates.related[rows] != NONE)
    row = np.concatenate([at[recent], about])
    item = np.concatenate([slates.event_item[event[recent]], slates.related[rows[about]]])
    return row, item, np.concatenate([DECAY ** (age[recent] + 1.0), np.ones(len(about))])


def cooccurrence(dataset: Dataset, near: int = NEAR) -> Cooccurrence:
    """Counts pairs of engaged items at most `near` engaged events apart in one history, from before the validation days."""
    items = len(dataset.items)
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    occurrences = np.zeros(items, np.int64)
    for bucket in dataset.each_bucket():
        engaged = _engaged_before(bucket, dataset)
        history, item = bucket.event_history[engaged], bucket.event_item[engaged]
        occurrences += np.bincount(item, minlength=items)
        for apart in range(1, near + 1):
            together = (history[apart:] == history[:-apart]) & (item[apart:] != item[:-apart])
            first, second = item[:-apart][together], item[apart:][together]
            found, times = np.unique(np.minimum(first, second) * items + np.maximum(first, second), return_counts=True)
            keys, counts = _added(keys, counts, found, times)
    return _neighbours(keys, counts, occurrences)


def _engaged_before(bucket: Bucket, dataset: Dataset) -> NDArray[np.bool_]:
    positive = np.uint32(dataset.vocabulary.positive_bits)
    return (
        bucket.told_before(dataset.splits.validation_ms)
        & (bucket.event_item != NONE)
        & ((bucket.event_actions & positive) != 0)
    )


def _added(keys: INT, counts: INT, found: INT, times: INT) -> tuple[INT, INT]:
    """Two tables of counts by key as one, of bounded size."""
    merged, where = np.unique(np.concatenate([keys, found]), return_inverse=True)
    totals = np.bincount(where, weights=np.concatenate([counts, times])).astype(np.int64)
    if len(merged) > HELD:
        keep = np.sort(np.argpartition(-totals, HELD)[:HELD])
        merged, totals = merged[keep], totals[keep]
    return merged, totals


def _neighbours(keys: INT, counts: INT, occurrences: INT) -> Cooccurrence:
    """Both directions of each pair; the NEIGHBOURS strongest of each item, ties to the lower row."""
    items = len(occurrences)
    low, high = keys // items, keys % items
    one, other = np.concatenate([low, high]), np.concatenate([high, low])
    pairs = np.concatenate([counts, counts])
    weight = pairs / np.sqrt((occurrences[one] + PRIOR) * (occurrences[other] + PRIOR))
    order = np.lexsort((other, -weight, one))
    one, other, weight = one[order], other[order], weight[order]
    place = np.arange(len(one)) - np.searchsorted(one, one)
    keep = place < NEIGHBOURS
    start = np.searchsorted(one[keep], np.arange(items + 1))
    return Cooccurrence(start, other[keep], weight[keep].astype(np.float32))
