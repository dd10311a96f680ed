"""Leave one out: each person's last engaged event tests, the one before validates, and training sees neither."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from ..data.behaviour import behaviour_embeddings
from ..data.dataset import NONE, UNKNOWN, Bucket, Dataset, Items, Splits
from .metrics import BOOL, INT, expand

LEAST = 5
"""Engaged events of a person who is held out; of others everything trains."""


@dataclass(frozen=True)
class HeldOut:
    """What of a bucket is held out. H histories."""

    test: INT
    """[H] event index; NONE where the history is not its person's last one, or too short."""
    validation: INT
    cut_ms: INT
    """[H] time of the person's validating event, the same for all histories of theirs; of others a time after everything."""


def held_out(bucket: Bucket, positive_bits: int, least: int = LEAST) -> HeldOut:
    """A person whose actions were taken back has several histories: the last one counts, the others stop at the same moment."""
    engaged = (bucket.event_item != NONE) & ((bucket.event_actions & np.uint32(positive_bits)) != 0)
    last = np.append(np.diff(bucket.person) != 0, True)[: bucket.histories]
    at = np.flatnonzero(engaged)
    ends = np.searchsorted(at, bucket.event_start[1:])
    able = last & (ends - np.searchsorted(at, bucket.event_start[:-1]) >= least)
    test, validation = np.full((2, bucket.histories), NONE)
    test[able], validation[able] = at[ends[able] - 1], at[ends[able] - 2]
    after = int(max(bucket.event_time_ms.max(initial=0), bucket.slate_time_ms.max(initial=0))) + 1
    of_last = np.where(able, bucket.event_time_ms[validation] if len(at) else after, after)
    return HeldOut(test, validation, of_last[last][bucket.person])


def without_slates(bucket: Bucket, keep: BOOL) -> Bucket:
    """The bucket with the slates of `keep` [S] alone."""
    before = np.concatenate([[0], np.cumsum(keep)])
    columns = ("prefix", "surface", "time_ms", "related", "query", "given", "features")
    _, shown = expand(bucket.shown_start[:-1][keep], bucket.shown_start[1:][keep])
    sizes = np.diff(bucket.shown_start)[keep]
    return replace(
        bucket,
        slate_start=before[bucket.slate_start],
        shown_start=np.concatenate([[0], np.cumsum(sizes)]),
        **{f"slate_{name}": getattr(bucket, f"slate_{name}")[keep] for name in columns},
        **{f"shown_{name}": getattr(bucket, f"shown_{name}")[shown] for name in ("item", "actions", "position", "visible")},
    )


def training_part(bucket: Bucket, positive_bits: int, least: int = LEAST) -> Bucket:
    """What is left to train on: of a held-out person nothing from the validating event on, and no slate that tells of it."""
    held = held_out(bucket, positive_bits, least)
    first = np.where(held.validation != NONE, held.validation, bucket.event_start[1:])
    index = np.arange(len(bucket.event_item))
    # In the history itself order decides: events before it may have its very time.
    itself = (held.validation != NONE)[bucket.event_history]
    keep = np.where(itself, index < first[bucket.event_history], bucket.event_time_ms < held.cut_ms[bucket.event_history])
    of = bucket.slate_history
    slates = (bucket.slate_time_ms < held.cut_ms[of]) & (bucket.slate_prefix <= first[of])
    history, acted = of[bucket.shown_slate], bucket.shown_actions != 0
    for event in (held.test, held.validation):
        wanted = np.where(event != NONE, bucket.event_item[event], NONE) if len(index) else event
        slates[bucket.shown_slate[acted & (bucket.shown_item == wanted[history])]] = False
    return without_slates(bucket, slates).with_events(keep)


def asked_slates(bucket: Bucket, events: INT, dataset: Dataset) -> Bucket:
    """The bucket with one slate for each of `events` [H] that is not NONE, in place of its own: asked for on the event's
    surface at its time, from the history before it, and holding its item alone."""
    histories = np.flatnonzero(events != NONE)
    at, count = events[histories], len(histories)
    features = np.full((count, len(dataset.vocabulary.features)), np.nan, np.float32)
    nothing = np.full(count, NONE)
    return replace(
        bucket,
        slate_start=np.searchsorted(histories, np.arange(bucket.histories + 1)),
        slate_prefix=at,
        slate_surface=np.maximum(bucket.event_surface[at], 0),
        slate_time_ms=bucket.event_time_ms[at],
        slate_related=nothing,
        slate_query=nothing,
        slate_given=np.zeros((count, dataset.items.upstream.shape[1]), np.float32),
        slate_features=features,
        shown_start=np.arange(count + 1),
        shown_item=bucket.event_item[at],
        shown_actions=bucket.event_actions[at],
        shown_position=np.zeros(count, np.int64),
        shown_visible=np.full(count, UNKNOWN, np.int8),
    )


class LeaveOneOut(Dataset):
    """A dataset without each person's last two engaged events: what to train on. All that is left of it trains.

    Behaviour columns of the items are made anew from what is left, for they may tell of events that are held out; where there
    are too few columns for that they are zero.
    """

    def __init__(self, dataset: Dataset, least: int = LEAST) -> None:
        self.whole, self._least = dataset, least
        self.name, self.vocabulary, self.buckets = f"{dataset.name}, leave one out", dataset.vocabulary, dataset.buckets
        end = dataset.splits.end_ms
        self.splits = Splits(end, end, end)

    def bucket(self, index: int) -> Bucket:
        """One bucket without what is held out."""
        return training_part(self.whole.bucket(index), self.vocabulary.positive_bits, self._least)

    @cached_property
    def items(self) -> Items:
        """The catalogue."""
        items = self.whole.items
        columns = items.upstream.shape[1] - items.content
        if not columns:
            return items
        behaviour = np.zeros((len(items), columns), np.float32)
        if columns >= len(self.vocabulary.actions) + 2:
            behaviour = behaviour_embeddings(self.each_bucket, len(items), self.vocabulary, self.splits.end_ms, columns)
        return replace(items, upstream=np.concatenate([items.upstream[:, : items.content], behaviour], axis=1))

    def held_out(self, test: bool = True) -> "Questions":
        """The last engaged events, or those before them, as slates to be answered."""
        return Questions(self, self._least, test)


class Questions(Dataset):
    """The held-out events as a dataset of slates. Histories are whole; a slate's prefix says how far it sees."""

    def __init__(self, view: LeaveOneOut, least: int, test: bool) -> None:
        self._view, self._least, self._test = view, least, test
        self.name, self.vocabulary, self.buckets = view.name, view.vocabulary, view.buckets
        self.splits = view.splits
        self._load = lru_cache(maxsize=1)(self._make)

    @property
    def items(self) -> Items:
        """The catalogue, as training has it."""
        return self._view.items

    def bucket(self, index: int) -> Bucket:
        """One bucket of questions."""
        return self._load(index)

    def _make(self, index: int) -> Bucket:
        bucket = self._view.whole.bucket(index)
        held = held_out(bucket, self.vocabulary.positive_bits, self._least)
        return asked_slates(bucket, held.test if self._test else held.validation, self)


def log_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """[N] log of each item's share; -inf for one that was never counted."""
    with np.errstate(divide="ignore"):
        return np.log(counts / max(1, counts.sum()))
