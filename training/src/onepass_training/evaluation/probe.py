"""Does a person's page follow what they just did? Adds a few actions in one category and looks at what is retrieved."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..data.dataset import NONE, Bucket, Dataset
from ..model.onepass_model import OnepassModel
from ..model.rows import CONTEXT, FLOAT, INT, NO_TIME, PAST_ACTION
from .slates import person_hashes

PEOPLE, TOP = 200, 50
ADDED = (0, 1, 3)
MINUTE_MS = 60_000
LEAST = 2 * max(ADDED)
"""Items of a category that a draw of it needs."""


@dataclass(frozen=True)
class _Past:
    """Events as arrays, oldest first."""

    items: INT
    bits: INT
    surfaces: INT
    times: INT

    def plus(self, item: int, bits: int, surface: int) -> "_Past":
        """The same with an action on an item a minute later."""
        added = (item, bits, surface, self.times[-1] + MINUTE_MS)
        return _Past(*(np.append(array, value) for array, value in zip(vars(self).values(), added, strict=True)))


def categories(dataset: Dataset, attribute: str) -> INT:
    """[N] number of each item's value of a text attribute; NONE where it has none."""
    values = [attributes.get(attribute) for attributes in dataset.items.attributes]
    names = {name: at for at, name in enumerate(sorted({value for value in values if isinstance(value, str)}))}
    return np.array([names[value] if isinstance(value, str) else NONE for value in values], np.int64)


class Probe:
    """Retrieval on the first surface (outcome "any") for people before and after actions on items from one category that was
    drawn for them: the positive action worth most, with the vocabulary's first."""

    def __init__(self, model: OnepassModel, dataset: Dataset, table: FLOAT, seed: int, attribute: str = "category") -> None:
        """`attribute`: what items have a category by. ValueError where no two categories have enough items."""
        self._model, self._dataset, self._table = model, dataset, torch.from_numpy(table)
        self._category = categories(dataset, attribute)
        counts = np.bincount(self._category[self._category != NONE])
        self._able = np.flatnonzero(counts >= LEAST)
        if len(self._able) < 2:
            raise ValueError(f"no two values of the attribute {attribute!r} have {LEAST} items each")
        self._random = np.random.default_rng([seed, 41])
        actions = dataset.vocabulary.actions
        worth = [NONE if action.negative else action.utility_weight for action in actions]
        first = next(at for at, action in enumerate(actions) if not action.negative)
        self._bits = 1 << int(np.argmax(worth)) | 1 << first

    def run(self) -> dict[str, float]:
        """Actions added -> mean share of the category among the best 50 items that are new to the person."""
        shares = np.array([self._person(past) for past in self._pasts()])
        return {str(count): round(float(share), 4) for count, share in zip(ADDED, shares.mean(axis=0), strict=True)}

    def _pasts(self) -> Iterator[_Past]:
        """The last actions of up to PEOPLE people with any, a sample of each bucket by hash."""
        most = -(-PEOPLE // self._dataset.buckets)
        window = self._model.config.window - max(ADDED)
        for bucket in self._dataset.each_bucket():
            acted = np.unique(bucket.event_history[bucket.event_item != NONE])
            order = np.argsort(person_hashes([bucket.history_person[history] for history in acted]), kind="stable")
            for history in acted[order[:most]]:
                yield _past_of(bucket, int(history), window)

    def _person(self, past: _Past) -> list[float]:
        category = int(self._random.choice(self._able))
        new = self._random.permutation(np.setdiff1d(np.flatnonzero(self._category == category), past.items))
        shares = []
        for count in range(max(ADDED) + 1):
            if count in ADDED:
                shares.append(self._share(past, category))
            if count < min(max(ADDED), len(new)):
                past = past.plus(int(new[count]), self._bits, 0)
        return shares

    @torch.no_grad()
    def _share(self, past: _Past, category: int) -> float:
        model, layout = self._model, self._model.layout
        actions = ((past.bits[:, None] >> np.arange(len(layout.actions))) & 1).astype(np.float32)
        previous = np.concatenate([[NO_TIME], past.times[:-1]])
        features = layout.feature_rows(actions, np.zeros(len(previous)), past.surfaces, past.times, previous, PAST_ACTION)
        now, last = past.times[-1:] + MINUTE_MS, past.times[-1:]
        context = layout.feature_rows(actions[:1] * 0, np.zeros(1), np.zeros(1, np.int64), now, last, CONTEXT)
        embeddings = torch.cat([self._table[torch.from_numpy(past.items)], torch.zeros(1, layout.embedding)])
        rows = torch.cat([embeddings, torch.from_numpy(np.concatenate([features, context]))], dim=1)
        hidden, _ = model.encode(rows, torch.arange(len(rows)), model.trunk.empty_cache())
        outcome = torch.eye(len(layout.actions) + 1)[-1:]
        surface = torch.eye(len(layout.surfaces))[:1]
        scores = (model.retrieve(hidden[-1:], outcome, torch.zeros(1, 1), surface) @ self._table.T)[0].numpy()
        scores[past.items] = -np.inf
        return float((self._category[np.argsort(-scores, kind="stable")[:TOP]] == category).mean())


def _past_of(bucket: Bucket, history: int, window: int) -> _Past:
    mine = np.arange(bucket.event_start[history], bucket.event_start[history + 1])
    mine = mine[bucket.event_item[mine] != NONE][-window:]
    return _Past(
        bucket.event_item[mine], bucket.event_actions[mine].astype(np.int64), bucket.event_surface[mine],
        bucket.event_time_ms[mine],
    )  # fmt: skip
