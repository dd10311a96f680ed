"""The loss on the validation days: always of the same windows, with the same draws, so that two numbers compare."""

from itertools import islice

import numpy as np
import torch

from ..config import TrainConfig
from .collate import Batch, Collator
from .examples import Example, ExampleSource
from .step import TrainStep


def _sample(source: ExampleSource, config: TrainConfig) -> list[tuple[int, list[Example]]]:
    """At most `validation_histories` windows with slates of the validation days, by bucket.

    Labels lie in [validation_ms, test_ms); the events before them may be of any time before each slate. A person's bucket is a
    hash, so that the first buckets' people are as good a sample as any: the others are not read.
    """
    splits, random = source.dataset.splits, np.random.default_rng([config.seed, 31])
    left, found = config.validation_histories, []
    for index in range(source.dataset.buckets):
        if left <= 0:
            break
        bucket = source.bucket(index)
        during = (bucket.slate_time_ms >= splits.validation_ms) & (bucket.slate_time_ms < splits.test_ms)
        histories = random.permutation(np.unique(bucket.slate_history[during]))[:left]
        windows = source.evaluation_examples(bucket, histories, splits.validation_ms, splits.test_ms, config.slates)
        chosen = list(islice(windows, left))
        left -= len(chosen)
        if chosen:
            found.append((index, chosen))
    return found


class Validation:
    """Holds the sample's batches, collated without masks or dropped contexts."""

    def __init__(self, source: ExampleSource, collator: Collator, step: TrainStep, config: TrainConfig) -> None:
        self._step, self._seed = step, config.seed
        self._batches: list[Batch] = []
        for index, examples in _sample(source, config):
            bucket = source.bucket(index)
            examples.sort(key=lambda example: example.end - example.start)  # like lengths share a batch: less padding
            for at in range(0, len(examples), config.batch):
                random = np.random.default_rng([config.seed, 32, len(self._batches)])
                self._batches.append(collator.collate(bucket, examples[at : at + config.batch], random, training=False))

    def __bool__(self) -> bool:
        """Whether there is anything to validate on."""
        return bool(self._batches)

    @torch.no_grad()
    def losses(self) -> dict[str, float]:
        """The total and its parts, the mean over windows."""
        sums: dict[str, float] = {}
        windows = sum(len(batch.prefix) for batch in self._batches)
        for at, batch in enumerate(self._batches):
            losses = self._step.losses(batch, np.random.default_rng([self._seed, 33, at]), training=False)
            for name, value in {"total": losses.total, **losses.parts}.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(batch.prefix) / windows
        return sums
