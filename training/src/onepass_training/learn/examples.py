"""Training examples as UniPinRec blends them: a past sequence, and future slates with labels.

To use the machine well, several slates hang on one history, each at the prefix of it that was there when the slate was shown.
The two are joined here, from a bucket in memory: on disk no slate repeats its history.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..config import TrainConfig
from ..data.dataset import INT, NONE, Bucket, Dataset

BOOL = NDArray[np.bool_]


@dataclass(frozen=True)
class Example:
    """A window of one history, and slates that hang on it. All indices are the bucket's."""

    history: int
    start: int
    end: int
    """The window of events."""
    slates: INT
    """[M] each one's prefix lies within the window."""
    past: bool = True
    """Whether the window's own events are learnt from too, not only its slates."""


def without_queries(bucket: Bucket) -> Bucket:
    """The bucket as if queries had never been logged as events."""
    return bucket.with_events(bucket.event_query == NONE)


@dataclass(frozen=True)
class TrainingView:
    """What of one bucket trains: nothing of it is at or after the validation time."""

    bucket: Bucket
    train_end: INT
    """[H] end of each history's training events."""
    trains: BOOL
    """[S] slates that train."""
    histories: INT
    """Histories with something to train on."""
    tells: BOOL
    """[H] histories whose own events train: one of each person."""

    @cached_property
    def lengths(self) -> INT:
        """[H] training events of each history."""
        return self.train_end - self.bucket.event_start[:-1]


class ExampleSource:
    """Buckets of a dataset as a run's configuration sees them, the last ones kept, and examples cut from them."""

    def __init__(self, dataset: Dataset, config: TrainConfig) -> None:
        self.dataset, self._config = dataset, config
        self._held: dict[int, TrainingView] = {}

    def bucket(self, index: int) -> Bucket:
        """Bucket `index` as the model sees it."""
        return self.view(index).bucket

    def view(self, index: int) -> TrainingView:
        """Bucket `index` and what of it trains; the last one asked for is kept."""
        if index not in self._held:
            self._held = {index: self._view(index)}
        return self._held[index]

    def _view(self, index: int) -> TrainingView:
        bucket, config = self.dataset.bucket(index), self._config
        if not config.model.parts.query_tokens:
            bucket = without_queries(bucket)
        limit = self.dataset.splits.validation_ms
        before = np.concatenate([[0], np.cumsum(bucket.event_time_ms < limit)])
        train_end = bucket.event_start[:-1] + before[bucket.event_start[1:]] - before[bucket.event_start[:-1]]
        acted = bucket.engaged(2**32 - 1)
        random = np.random.default_rng([config.seed, 11, index])
        keep = acted | (random.random(len(acted)) < config.keep_non_engaged)
        trains = keep & (bucket.slate_time_ms < limit) & (bucket.slate_prefix <= train_end[bucket.slate_history])
        trains &= np.diff(bucket.shown_start) > 0
        some = np.bincount(bucket.slate_history[trains], minlength=bucket.histories) > 0
        tells = bucket.tells(limit)
        histories = np.flatnonzero(some | (tells & (train_end - bucket.event_start[:-1] >= 2)))
        return TrainingView(bucket, train_end, trains, histories, tells)

    def training_example(self, view: TrainingView, history: int, random: np.random.Generator) -> Example:
        """A random window of the history's training events, and random training slates whose prefix lies within."""
        bucket, window = view.bucket, self._config.model.window
        first, end = int(bucket.event_start[history]), int(view.train_end[history])
        start = first + int(random.integers(0, max(0, end - first - window) + 1))
        end = min(end, start + window)
        mine = np.arange(bucket.slate_start[history], bucket.slate_start[history + 1])
        prefix = bucket.slate_prefix[mine]
        able = mine[view.trains[mine] & (prefix >= start) & (prefix <= end)]
        slates = np.sort(random.permutation(able)[: self._config.slates])
        return Example(history, start, end, slates, bool(view.tells[history]))

    def evaluation_examples(self, bucket: Bucket, histories: INT, since_ms: int, until_ms: int, most: int) -> Iterator[Example]:
        """All slates of `histories` shown from `since_ms` to before `until_ms`, at most `most` a time, behind the window of
        events that ends at the last of them. None is left out for being unengaged.

        Slates that share a window are at most a quarter of it apart, so that the first still sees three quarters.
        """
        window = self._config.model.window
        for history in histories:
            mine = np.arange(bucket.slate_start[history], bucket.slate_start[history + 1])
            times = bucket.slate_time_ms[mine]
            left = mine[(times >= since_ms) & (times < until_ms) & (np.diff(bucket.shown_start)[mine] > 0)]
            first = int(bucket.event_start[history])
            while len(left):
                prefix = bucket.slate_prefix[left]
                near = (np.maximum.accumulate(prefix) <= prefix[0] + window // 4) & (prefix >= prefix[0])
                count = min(most, int(np.argmin(near)) if not near.all() else len(left))
                chunk, left = left[:count], left[count:]
                end = int(bucket.slate_prefix[chunk].max())
                yield Example(int(history), max(first, end - window), end, chunk)


class TrainingBatches:
    """The examples of any step from (seed, step) alone, so that a resumed run sees what an uninterrupted one sees."""

    def __init__(self, source: ExampleSource, config: TrainConfig, histories: INT) -> None:
        """`histories` [buckets]: how many of each bucket have something to train on."""
        self._source, self._config = source, config
        self._batches = np.where(histories > 0, np.maximum(1, histories // config.batch), 0)
        if not self._batches.sum():
            raise ValueError(
                "there is nothing to train on: no slate, and no two actions of one person, before the validation time"
            )

    @property
    def per_epoch(self) -> int:
        """Steps in which every history comes about once."""
        return int(self._batches.sum())

    def at(self, step: int) -> tuple[Bucket, list[Example], np.random.Generator]:
        """What step `step` (from 0) learns from, and the generator of its draws.

        An epoch goes through the buckets one by one, in an order of its own. Histories of like length share a batch, which
        saves padding.
        """
        epoch, within = divmod(step, self.per_epoch)
        shuffle = np.random.default_rng([self._config.seed, 21, epoch])
        order = shuffle.permutation(len(self._batches))
        ends = np.cumsum(self._batches[order])
        place = int(np.searchsorted(ends, within, side="right"))
        index, count = int(order[place]), int(self._batches[order[place]])
        view = self._source.view(index)
        shuffle = np.random.default_rng([self._config.seed, 21, epoch, index])
        # Who is left over is drawn before they are sorted: else it would be the longest, in every epoch.
        histories = shuffle.permutation(view.histories)[: count * self._config.batch]
        histories = histories[np.argsort(np.minimum(view.lengths[histories], self._config.model.window), kind="stable")]
        chosen = shuffle.permutation(count)[within - (int(ends[place]) - count)] * self._config.batch
        random = np.random.default_rng([self._config.seed, 22, step])
        rows = histories[chosen : chosen + self._config.batch]
        return view.bucket, [self._source.training_example(view, int(row), random) for row in rows], random
