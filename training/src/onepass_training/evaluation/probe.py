"""Does a person's page follow what they just did? Adds a few saves in one category and looks at what is retrieved."""

from dataclasses import dataclass

import numpy as np
import torch

from ..model.onepass_model import OnepassModel
from ..model.rows import CONTEXT, FLOAT, INT, NO_TIME, PAST_ACTION
from ..world import World
from ..world.config import HOME

PEOPLE, TOP = 200, 50
ADDED = (0, 1, 3)
MINUTE_MS = 60_000
SAVE_BITS = 0b00101
"""A click and a save."""


@dataclass(frozen=True)
class _Past:
    """Events as arrays, oldest first."""

    items: INT
    bits: INT
    surfaces: INT
    times: INT

    def plus(self, item: int) -> "_Past":
        """The same with a save on home a minute later."""
        added = (item, SAVE_BITS, HOME, self.times[-1] + MINUTE_MS)
        return _Past(*(np.append(array, value) for array, value in zip(vars(self).values(), added, strict=True)))


class Probe:
    """Home retrieval (outcome "any") of people before and after saves of items from one category that was drawn for them."""

    def __init__(self, model: OnepassModel, world: World, table: FLOAT, seed: int) -> None:
        self._model, self._world, self._table = model, world, torch.from_numpy(table)
        self._category = world.catalogue.topic_category[world.catalogue.topic]
        self._random = np.random.default_rng([seed, 41])

    def run(self) -> dict[str, float]:
        """Saves added -> mean share of the category among the best 50 unseen items."""
        people = self._random.permutation(np.unique(self._world.event_person))[:PEOPLE]
        shares = np.array([self._person(int(person)) for person in people])
        return {str(count): round(float(share), 4) for count, share in zip(ADDED, shares.mean(axis=0), strict=True)}

    def _person(self, person: int) -> list[float]:
        world = self._world
        category = self._random.integers(self._category.max() + 1)
        mine = np.flatnonzero((world.event_person == person) & (world.event_position >= 0))[
            -(self._model.config.window - max(ADDED)) :
        ]
        bits, surfaces = world.event_actions[mine].astype(np.int64), world.event_surface[mine]
        past = _Past(world.event_item[mine], bits, surfaces, world.event_time_ms[mine])
        new = self._random.permutation(np.setdiff1d(np.flatnonzero(self._category == category), past.items))
        shares = []
        for count in range(max(ADDED) + 1):
            if count in ADDED:
                shares.append(self._share(past, int(category)))
            if count < max(ADDED):
                past = past.plus(int(new[count]))
        return shares

    @torch.no_grad()
    def _share(self, past: _Past, category: int) -> float:
        model, layout = self._model, self._model.layout
        actions = ((past.bits[:, None] >> np.arange(len(layout.actions))) & 1).astype(np.float32)
        previous = np.concatenate([[NO_TIME], past.times[:-1]])
        features = layout.feature_rows(actions, np.zeros(len(previous)), past.surfaces, past.times, previous, PAST_ACTION)
        now, last = past.times[-1:] + MINUTE_MS, past.times[-1:]
        context = layout.feature_rows(actions[:1] * 0, np.zeros(1), np.array([HOME]), now, last, CONTEXT)
        embeddings = torch.cat([self._table[torch.from_numpy(past.items)], torch.zeros(1, layout.embedding)])
        rows = torch.cat([embeddings, torch.from_numpy(np.concatenate([features, context]))], dim=1)
        hidden, _ = model.encode(rows, torch.arange(len(rows)), model.trunk.empty_cache())
        outcome = torch.eye(len(layout.actions) + 1)[-1:]
        surface = torch.eye(len(layout.surfaces))[[HOME]]
        scores = (model.retrieve(hidden[-1:], outcome, torch.zeros(1, 1), surface) @ self._table.T)[0].numpy()
        scores[past.items] = -np.inf
        return float((self._category[np.argsort(-scores, kind="stable")[:TOP]] == category).mean())
