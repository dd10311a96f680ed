"""Slates formed from what people did, for logs that have none: they were never served. Beside what was acted on they hold
items that were drawn, so that ranking learns of what was passed over."""

from dataclasses import replace

import numpy as np

from .dataset import INT, NONE, UNKNOWN, Bucket, Splits
from .description import Sessions
from .seen import seen_before


def with_formed_slates(bucket: Bucket, splits: Splits, sessions: Sessions) -> Bucket:
    """A bucket without slates, with some formed: a session's next items that were acted on, at the history before the first.

    A session ends with a pause of more than `sessions.gap_minutes`, and at a split, so that no slate's outcomes lie beyond it.
    A slate's surface and time are those of its first event. Its items lie in the order they were first acted on, so that the
    first is what was done next, which recall asks for; the drawn ones come after. All positions are 0: nobody saw an order.
    """
    acted = np.flatnonzero(bucket.event_item != NONE)
    history, time, item = bucket.event_history[acted], bucket.event_time_ms[acted], bucket.event_item[acted]
    era = np.searchsorted([splits.validation_ms, splits.test_ms], time, side="right")
    pause = np.diff(time) > sessions.gap_minutes * 60_000
    new = np.concatenate([[True], (np.diff(history) != 0) | pause | (np.diff(era) != 0)])[: len(acted)]
    session = np.cumsum(new) - 1
    width = int(item.max(initial=0)) + 1
    _, at, back = np.unique(session * width + item, return_index=True, return_inverse=True)
    first = np.zeros(len(acted), bool)
    first[at] = True
    seen = np.cumsum(first)
    rank = seen - seen[new][session] if len(acted) else seen
    begins = first & (rank % sessions.items == 0)
    owner, shown, starts = (np.cumsum(begins) - 1)[at], item[at], acted[begins]
    done = np.zeros(len(at), np.uint32)
    np.bitwise_or.at(done, back, bucket.event_actions[acted])
    drawn_owner, drawn = _drawn(bucket, starts, owner, shown, sessions.drawn)
    order = np.lexsort((np.append(at, len(acted) + np.arange(len(drawn))), np.append(owner, drawn_owner)))
    owner, shown = np.append(owner, drawn_owner)[order], np.append(shown, drawn)[order]
    done = np.append(done, np.zeros(len(drawn), np.uint32))[order]
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
        shown_start=np.searchsorted(owner, np.arange(slates + 1)),
        shown_item=shown,
        shown_actions=done,
        shown_position=np.zeros(len(shown), np.int64),
        shown_visible=np.full(len(shown), UNKNOWN, np.int8),
    )


def _drawn(bucket: Bucket, starts: INT, owner: INT, item: INT, each: int) -> tuple[INT, INT]:
    """Slate and row of items that nothing was done with: for each of a slate's items [P] (`owner`: the slate) `each` more.

    All that anybody of the bucket had acted on before the slate are equally likely, so that what is learnt of them orders by
    how likely an action is, not by how much likelier than usual. Left out is what the person acted on before or on the slate.
    The same bucket gives the same items; slates that come first in time may have none.
    """
    acted = np.flatnonzero(bucket.event_item != NONE)
    known, at = np.unique(bucket.event_item[acted][np.argsort(bucket.event_time_ms[acted], kind="stable")], return_index=True)
    since = np.sort(bucket.event_time_ms[acted])[at]
    by_time = np.argsort(since, kind="stable")
    choice = np.searchsorted(since[by_time], bucket.event_time_ms[starts])[owner]
    slate, choice = np.repeat(owner, each), np.repeat(choice, each)
    slate, choice = slate[choice > 0], choice[choice > 0]
    drawn = known[by_time[np.random.default_rng(len(acted)).integers(0, choice)]]
    width = int(known.max(initial=0)) + 1
    slate, drawn = np.divmod(np.unique(slate * width + drawn), width)
    taken = np.isin(slate * width + drawn, owner * width + item)
    history, end = bucket.event_history[starts[slate]], starts[slate]
    taken |= seen_before(bucket.event_item, bucket.event_start[history], end, np.arange(len(slate)), drawn)
    return slate[~taken], drawn[~taken]
