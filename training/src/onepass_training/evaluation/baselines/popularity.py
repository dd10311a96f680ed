"""Popularity by surface: what is engaged with most, and how often each action is done with an item where it is shown."""

from dataclasses import dataclass

import numpy as np

from ...data.dataset import HIDDEN, INT, Dataset
from ..metrics import FLOAT
from ..scorers import Ask, Contender
from ..slates import SlateSet

PRIOR = 20.0
"""Showings of the usual outcome that an item begins with: one that was shown twice says little by itself."""


@dataclass(frozen=True)
class Popularity:
    """Counts from before the validation days."""

    counts: INT
    """[S, N] engagements by surface."""
    rates: FLOAT
    """[S, N, A] of showings, smoothed towards the surface's rate."""

    def scores(self, slates: SlateSet, rows: INT, ask: Ask) -> FLOAT:
        """[r, N]; the slate's surface alone counts. A surface that is not known has no popular items."""
        return np.where(slates.surface[rows, None] >= 0, self.counts[slates.surface[rows]], 0).astype(np.float32)

    def probabilities(self, slates: SlateSet, rows: INT) -> FLOAT:
        """[r, K, A]"""
        return self.rates[slates.surface[rows, None], slates.items[rows]]

    def contender(self) -> Contender:
        """For the evaluation."""
        return Contender(self, self)


def popularity(dataset: Dataset) -> Popularity:
    """Counts events for retrieval and items of slates, but those known to have been out of sight, for ranking."""
    vocabulary, items = dataset.vocabulary, len(dataset.items)
    surfaces, actions = len(vocabulary.surfaces), len(vocabulary.actions)
    shown, done = np.zeros(surfaces * items), np.zeros((surfaces * items, actions))
    for bucket in dataset.each_bucket():
        surface = bucket.slate_surface[bucket.shown_slate]
        use = (bucket.slate_time_ms[bucket.shown_slate] < dataset.splits.validation_ms) & (bucket.shown_visible != HIDDEN)
        use &= surface >= 0
        cells, bits = (surface * items + bucket.shown_item)[use], bucket.shown_actions[use]
        shown += np.bincount(cells, minlength=len(shown))
        for action in range(actions):
            done[:, action] += np.bincount(cells[(bits >> np.uint32(action)) & 1 == 1], minlength=len(shown))
    shown, done = shown.reshape(surfaces, items), done.reshape(surfaces, items, actions)
    usual = done.sum(axis=1) / np.maximum(shown.sum(axis=1), 1)[:, None]
    rates = (done + PRIOR * usual[:, None]) / (shown + PRIOR)[..., None]
    return Popularity(dataset.training_counts(vocabulary.positive_bits), rates.astype(np.float32))
