"""What a run must know of its training data before it begins: one pass over the buckets, one in memory at a time."""

from dataclasses import dataclass

import numpy as np

from ..config import TrainConfig
from ..data.dataset import INT
from ..model.rows import FLOAT
from .examples import ExampleSource
from .sketch import CountMinSketch


@dataclass(frozen=True)
class Survey:
    """Of the training events and slates alone."""

    histories: INT
    """[buckets] histories with something to train on."""
    sketch: CountMinSketch
    """How often each item was acted on with something positive."""
    counts: INT
    """[N] the same, exactly; empty unless the configuration asks for it."""
    feature_mean: FLOAT
    feature_std: FLOAT
    """[R] of the request features that were given; 0 and 1 for one that never was, or never varied."""

    def share(self, items: INT) -> FLOAT:
        """[I] each item's share of the training targets: exact where the configuration asked for that, else by the sketch."""
        counted = self.counts[items] if len(self.counts) else self.sketch.estimate(items)
        return (counted / max(1, self.sketch.total)).astype(np.float32)


def survey(source: ExampleSource, config: TrainConfig) -> Survey:
    """Goes through all buckets once."""
    dataset = source.dataset
    positive, features = np.uint32(dataset.vocabulary.positive_bits), len(dataset.vocabulary.features)
    sketch = CountMinSketch(seed=config.seed)
    counts = np.zeros(len(dataset.items) if config.log_q == "exact" else 0, np.int64)
    histories = np.zeros(dataset.buckets, np.int64)
    sums = np.zeros((3, features))
    for index in range(dataset.buckets):
        view = source.view(index)
        bucket = view.bucket
        histories[index] = len(view.histories)
        training = bucket.told_before(dataset.splits.validation_ms)
        items = bucket.event_item[training & ((bucket.event_actions & positive) != 0)]
        sketch.add(items)
        if len(counts):
            counts += np.bincount(items, minlength=len(counts))
        told = bucket.slate_features[view.trains].astype(np.float64)
        sums += np.stack([(~np.isnan(told)).sum(axis=0), np.nansum(told, axis=0), np.nansum(told**2, axis=0)])
    given = np.maximum(sums[0], 1)
    mean = sums[1] / given
    spread = np.sqrt(np.maximum(sums[2] / given - mean**2, 0))
    return Survey(histories, sketch, counts, mean.astype(np.float32), np.where(spread > 1e-6, spread, 1).astype(np.float32))
