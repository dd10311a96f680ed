"""Small random datasets with every awkward thing in them: queries, empty slates and histories, hidden items, repeats."""

import numpy as np

from onepass_training.data.dataset import HIDDEN, Action, Bucket, Items, MemoryDataset, Splits, Vocabulary

HOUR = 3_600_000
ACTIONS = (Action("click"), Action("save", utility_weight=3.0), Action("hide", negative=True))
VOCABULARY = Vocabulary(ACTIONS, ("home", "search"))
CLICK, SAVE, HIDE = 1, 2, 4


def starts(sizes):
    return np.concatenate([[0], np.cumsum(sizes)])


def bucket(seed, histories=12, items=30, most_events=25, repeated_person=True):
    """Histories of up to `most_events` events some hours apart; a slate after every few of them."""
    random = np.random.default_rng(seed)
    sizes = random.integers(0, most_events + 1, histories)
    sizes[0] = 0
    events = int(sizes.sum())
    start = starts(sizes)
    time = np.concatenate([[0], *(np.cumsum(random.integers(0, 12 * HOUR, size)) for size in sizes)])[1:].astype(np.int64)
    query = np.where(random.random(events) < 0.15, 0, -1)
    item = np.where(query >= 0, -1, random.integers(0, items, events))
    bits = np.where(query >= 0, 0, random.choice([CLICK, SAVE, CLICK | SAVE, HIDE], events, p=(0.5, 0.2, 0.2, 0.1)))
    slates = [sorted(random.integers(0, size + 1, 3).tolist()) for size in sizes]
    prefix = np.concatenate([start[h] + np.array(mine, np.int64) for h, mine in enumerate(slates)])
    asked = np.concatenate([_times(time[start[h] : start[h + 1]], mine) for h, mine in enumerate(slates)])
    shown = random.integers(0, 6, len(prefix))
    related = np.where(random.random(len(prefix)) < 0.3, random.integers(0, items, len(prefix)), -1)
    total = int(shown.sum())
    people = [f"s{seed}p{max(0, h - (repeated_person and h % 5 == 4))}" for h in range(histories)]
    return Bucket(
        history_person=people, event_start=start, event_item=item, event_query=query, event_actions=bits.astype(np.uint32),
        event_surface=random.integers(0, 2, events), event_time_ms=time,
        slate_start=np.arange(histories + 1) * 3, slate_prefix=prefix, slate_surface=random.integers(0, 2, len(prefix)),
        slate_time_ms=asked, slate_related=related,
        slate_query=np.full(len(prefix), -1), slate_given=np.zeros((len(prefix), 8), np.float32),
        slate_features=np.zeros((len(prefix), 0), np.float32), shown_start=starts(shown),
        shown_item=random.integers(0, items, total),
        shown_actions=random.choice([0, CLICK, CLICK | SAVE, HIDE], total, p=(0.6, 0.2, 0.1, 0.1)).astype(np.uint32),
        shown_position=np.zeros(total, np.int64), shown_visible=np.where(random.random(total) < 0.2, HIDDEN, 1).astype(np.int8),
        texts=["red lamp"],
    )  # fmt: skip


def _times(events, prefixes):
    """A slate is asked for when the last event before it happened, or at the start."""
    return np.array([events[at - 1] if at else 0 for at in prefixes], np.int64)


def dataset(buckets=3, items=30, since_ms=20 * HOUR, test_ms=40 * HOUR, **shape):
    random = np.random.default_rng(9)
    held = tuple(bucket(seed, items=items, **shape) for seed in range(buckets))
    end = int(max(max(one.event_time_ms.max(), one.slate_time_ms.max()) for one in held)) + 1
    attributes = [{"kind": f"k{row % 4}", "tags": [f"t{row % 3}", f"t{row % 5}"], "price": 1.0} for row in range(items)]
    upstream = random.standard_normal((items, 8)).astype(np.float32)
    catalogue = Items([f"i{row:03d}" for row in range(items)], upstream, 8, np.where(np.arange(items) % 5 == 0, since_ms, 0),
                      [""] * items, attributes)  # fmt: skip
    return MemoryDataset("hand made", VOCABULARY, catalogue, Splits(since_ms, test_ms, end), held)
