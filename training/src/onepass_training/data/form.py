"""Slates formed from what people did, for logs that have none: they were never served, and hold only what was acted on."""

from dataclasses import replace

import numpy as np

from .dataset import NONE, UNKNOWN, Bucket, Splits
from .description import Sessions


def with_formed_slates(bucket: Bucket, splits: Splits, sessions: Sessions) -> Bucket:
    """A bucket without slates, with some formed: a session's next items that were acted on, at the history before the first.

    A session ends with a pause of more than `sessions.gap_minutes`, and at a split, so that no slate's outcomes lie beyond it.
    A slate's surface and time are those of its first event. Its items lie in the order they were first acted on, so that the
    first is what was done next, which recall asks for; all positions are 0: nobody saw an order.
    """
    acted = np.flatnonzero(bucket.event_item != NONE)
    history, time, item = bucket.event_history[acted], bucket.event_time_ms[acted], bucket.event_item[acted]
    era = np.searchsorted([splits.validation_ms, splits.test_ms], time, side="right")
    pause = np.diff(time) > sessions.gap_minutes * 60_000
    new = np.concatenate([[True], (np.diff(history) != 0) | pause | (np.diff(era) != 0)])[: len(acted)]
    session = np.cumsum(new) - 1
    width = int(item.max(initial=0)) + 1
    first = np.zeros(len(acted), bool)
    first[np.unique(session * width + item, return_index=True)[1]] = True
    seen = np.cumsum(first)
    rank = seen - seen[new][session] if len(acted) else seen
    part = rank // sessions.items
    begins = np.concatenate([[True], (np.diff(session) != 0) | (np.diff(part) != 0)])[: len(acted)]
    slate, starts = np.cumsum(begins) - 1, acted[begins]
    pairs, at, back = np.unique(slate * width + item, return_index=True, return_inverse=True)
    done = np.zeros(len(pairs), np.uint32)
    np.bitwise_or.at(done, back, bucket.event_actions[acted])
    order = np.argsort(at)
    at, done = at[order], done[order]
    slates = len(starts)
    return replace(
        bucket,
        slate_start=np.searchsorted(bucket.event_history[starts], np.arange(bucket.histories + 1)),
        slate_prefix=starts,
        slate_surface=bucket.event_surface[starts],
        slate_time_ms=bucket.event_time_ms[starts],
        slate_related=np.full(slates, NONE, np.int64),
        slate_query=np.full(slates, NONE, np.int64),
        slate_given=np.broadcast_to(
            np.zeros((1, bucket.slate_given.shape[1]), np.float32), (slates, bucket.slate_given.shape[1])
        ),
        slate_features=np.full((slates, bucket.slate_features.shape[1]), np.nan, np.float32),
        shown_start=np.searchsorted(slate[at], np.arange(slates + 1)),
        shown_item=item[at],
        shown_actions=done,
        shown_position=np.zeros(len(pairs), np.int64),
        shown_visible=np.full(len(pairs), UNKNOWN, np.int8),
    )
