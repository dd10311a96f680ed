"""The evaluation set: all slates of a period of a sample of people, as arrays that every scorer and every metric works on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..data.dataset import HIDDEN, NONE, Bucket, Dataset
from ..data.seen import seen_before
from .metrics import BOOL, INT, expand

HORIZON_MS = 86_400_000
"""What somebody engages with within this time of a slate's request is wanted there (unordered recall)."""
LATER_MS = 2 * 3_600_000
"""From here to the horizon it is wanted later: mostly in another session."""


@dataclass(frozen=True)
class SlateSet:
    """R slates of K items at most, in order of (bucket, history, time), and the H histories they hang on, V events in all."""

    bucket: INT
    """[R]"""
    slate: INT
    """[R] index within the bucket."""
    key: NDArray[np.uint64]
    """[R] names the slate whatever else is in the set: a hash of person and time."""
    person: NDArray[np.uint64]
    """[R] hash of the person."""
    surface: INT
    time_ms: INT
    related: INT
    """[R] item row that a related page is about; NONE."""
    shown: INT
    """[R, K] index into the bucket's shown items; NONE where there is none."""
    items: INT
    """[R, K] item row, 0 where there is none."""
    actions: NDArray[np.uint32]
    """[R, K]"""
    judged: BOOL
    """[R, K] an item that nobody said was out of sight. Others count in no metric."""
    target: INT
    """[R] first item of the slate that was engaged with and had not been acted on before; NONE."""
    first: INT
    """[R] where the slate's history begins in the event arrays."""
    prefix: INT
    """[R] the slate was made from events first .. prefix."""
    event_item: INT
    """[V] item row; NONE for a query."""
    event_engaged: BOOL
    """[V] an action that counts as engagement."""
    wanted_row: INT
    """[W] with `wanted_item`: what a row's person engaged with within HORIZON_MS, unless they had acted on it before. No pair
    is there twice."""
    wanted_item: INT
    wanted_later: BOOL
    """[W] first engaged with LATER_MS after the request or still later."""

    def __len__(self) -> int:
        return len(self.slate)

    def seen(self, rows: INT) -> tuple[INT, INT]:
        """What the people of `rows` had acted on before: (place within `rows` [n], item row [n])."""
        at, event = expand(self.first[rows], self.prefix[rows])
        items = self.event_item[event]
        return at[items != NONE], items[items != NONE]

    def labels(self, bits: int) -> BOOL:
        """[R, K] whether any of the actions `bits` was done on a judged item."""
        return self.judged & ((self.actions & np.uint32(bits)) != 0)

    def first_unseen(self, labels: BOOL) -> INT:
        """[R] item row of the first of `labels` [R, K] that had not been acted on before; NONE."""
        able = labels & ~self._seen_before(np.repeat(np.arange(len(self)), labels.shape[1]), self.items.ravel()).reshape(
            labels.shape
        )
        return np.where(able.any(axis=1), self.items[np.arange(len(self)), able.argmax(axis=1)], NONE)

    def _seen_before(self, rows: INT, items: INT) -> BOOL:
        """[n] whether each item was acted on before the row's slate."""
        return seen_before(self.event_item, self.first, self.prefix, rows, items)

    def take(self, rows: INT) -> "SlateSet":
        """The slates at `rows`, ascending; the histories stay."""
        place = np.full(len(self), NONE)
        place[rows] = np.arange(len(rows))
        keep = place[self.wanted_row] != NONE
        whole = {"event_item", "event_engaged", "wanted_row", "wanted_item", "wanted_later"}
        taken = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in whole}
        return SlateSet(
            **taken, event_item=self.event_item, event_engaged=self.event_engaged,
            wanted_row=place[self.wanted_row[keep]], wanted_item=self.wanted_item[keep], wanted_later=self.wanted_later[keep],
        )  # fmt: skip


def person_hashes(people: Sequence[str]) -> NDArray[np.uint64]:
    """[n] a hash that no other part of the package draws by: nothing else depends on who is evaluated."""
    digests = b"".join(hashlib.blake2b(p.encode(), digest_size=8, person=b"evaluation").digest() for p in people)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def slate_keys(person: NDArray[np.uint64], time_ms: INT) -> NDArray[np.uint64]:
    """[R] keys of slates (splitmix64 of person and time); slates of one person at one moment are told apart by their order."""
    key = person + time_ms.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        key = (key ^ (key >> np.uint64(shift))) * np.uint64(factor)
    key ^= key >> np.uint64(31)
    order = np.argsort(key, kind="stable")
    _, start, count = np.unique(key[order], return_index=True, return_counts=True)
    key[order] += (np.arange(len(key)) - np.repeat(start, count)).astype(np.uint64)
    return key


def _in_period(bucket: Bucket, since_ms: int, until_ms: int) -> BOOL:
    """[S] slates of the period that hold an item."""
    return (bucket.slate_time_ms >= since_ms) & (bucket.slate_time_ms < until_ms) & (np.diff(bucket.shown_start) > 0)


def _last_hash(dataset: Dataset, since_ms: int, until_ms: int, people: int) -> int:
    """The largest hash among the `people` people with slates in the period whose hashes are smallest."""
    smallest = np.zeros(0, np.uint64)
    for bucket in dataset.each_bucket():
        histories = np.unique(bucket.slate_history[_in_period(bucket, since_ms, until_ms)])
        hashes = person_hashes(sorted({bucket.history_person[history] for history in histories}))
        smallest = np.sort(np.concatenate([smallest, hashes]))[:people]
    return int(smallest[-1]) if len(smallest) else -1


def slate_set(dataset: Dataset, since_ms: int, until_ms: int, people: int, slate_items: int) -> SlateSet:
    """All slates in since_ms .. until_ms of `people` people of all buckets, drawn by a hash of who they are: the same ones for
    every model and seed. None is left out for having no action. Of a slate its first `slate_items` items count."""
    last, parts, events = _last_hash(dataset, since_ms, until_ms, people), [], 0
    for index, bucket in enumerate(dataset.each_bucket()):
        histories = np.unique(bucket.slate_history[_in_period(bucket, since_ms, until_ms)])
        hashes = person_hashes([bucket.history_person[history] for history in histories])
        chosen = histories[hashes <= last] if last >= 0 else histories[:0]
        part = _of_bucket(dataset, index, bucket, chosen, (since_ms, until_ms), slate_items)
        for name in ("first", "prefix"):
            part[name] += events
        part["wanted_row"] += sum(len(other["slate"]) for other in parts)
        events += len(part["event_item"])
        parts.append(part)
    return SlateSet(**{f.name: np.concatenate([part[f.name] for part in parts]) for f in fields(SlateSet)})


def _of_bucket(
    dataset: Dataset, index: int, bucket: Bucket, histories: INT, period: tuple[int, int], slate_items: int
) -> dict[str, NDArray]:
    """The fields of a SlateSet of `histories`, with events counted from 0."""
    rows = np.flatnonzero(_in_period(bucket, *period) & np.isin(bucket.slate_history, histories))
    place = np.searchsorted(histories, bucket.slate_history[rows])
    shown = bucket.shown_start[rows, None] + np.arange(slate_items)
    shown = np.where(shown < bucket.shown_start[rows + 1, None], shown, NONE)
    held, at = shown != NONE, np.maximum(shown, 0)
    none = not len(bucket.shown_item)
    items = np.zeros(shown.shape, np.int64) if none else np.where(held, bucket.shown_item[at], 0)
    actions = np.zeros(shown.shape, np.uint32) if none else np.where(held, bucket.shown_actions[at], np.uint32(0))
    judged = held if none else held & (bucket.shown_visible[at] != HIDDEN)

    starts, ends = bucket.event_start[histories], bucket.event_start[histories + 1]
    local = np.concatenate([[0], np.cumsum(ends - starts)])
    history, event = expand(starts, ends)
    event_item = bucket.event_item[event]
    engaged = (event_item != NONE) & ((bucket.event_actions[event] & np.uint32(dataset.vocabulary.positive_bits)) != 0)
    first = local[place]
    prefix = bucket.slate_prefix[rows] - bucket.event_start[bucket.slate_history[rows]] + first
    label = judged & ((actions & np.uint32(dataset.vocabulary.positive_bits)) != 0)
    flat = np.repeat(np.arange(len(rows)), slate_items)
    label &= ~seen_before(event_item, first, prefix, flat, items.ravel()).reshape(items.shape)
    target = np.where(label.any(axis=1), items[np.arange(len(rows)), label.argmax(axis=1)], NONE)

    until = _first_event_at(history, bucket.event_time_ms[event], place, bucket.slate_time_ms[rows] + HORIZON_MS)
    wanted_row, at_event = expand(prefix, until)
    wanted_row, at_event = wanted_row[engaged[at_event]], at_event[engaged[at_event]]
    wanted_item = event_item[at_event]
    new = ~seen_before(event_item, first, prefix, wanted_row, wanted_item)
    wanted, earliest = np.unique(wanted_row[new] * len(dataset.items) + wanted_item[new], return_index=True)
    wanted_ms = bucket.event_time_ms[event[at_event[new][earliest]]]
    later = wanted_ms >= bucket.slate_time_ms[rows[wanted // len(dataset.items)]] + LATER_MS
    person = person_hashes([bucket.history_person[history] for history in histories])[place]
    return {
        "bucket": np.full(len(rows), index), "slate": rows, "person": person,
        "key": slate_keys(person, bucket.slate_time_ms[rows]), "surface": bucket.slate_surface[rows],
        "time_ms": bucket.slate_time_ms[rows], "related": bucket.slate_related[rows], "shown": shown, "items": items,
        "actions": actions, "judged": judged, "target": target, "first": first, "prefix": prefix, "event_item": event_item,
        "event_engaged": engaged, "wanted_row": wanted // len(dataset.items), "wanted_item": wanted % len(dataset.items),
        "wanted_later": later,
    }  # fmt: skip


def _first_event_at(history: INT, time_ms: INT, wanted_history: INT, wanted_ms: INT) -> INT:
    """[n] first event of `wanted_history` whose time is not before `wanted_ms`; events [V] lie by history and time."""
    if not len(time_ms):
        return np.zeros(len(wanted_ms), np.int64)
    origin = min(time_ms.min(), wanted_ms.min(initial=time_ms.min()))
    span = max(time_ms.max(), wanted_ms.max(initial=0)) - origin + 1
    return np.searchsorted(history * span + time_ms - origin, wanted_history * span + wanted_ms - origin)
