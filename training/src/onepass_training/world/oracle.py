"""What an evaluation may ask of a world's truth. No model reaches it: it knows what is on somebody's mind."""

from dataclasses import replace

import numpy as np

from .catalogue import FLOAT, INT
from .config import ACTIONS, HOME
from .log import World
from .truth import INTERESTS, action_probabilities, affinity, engagement_probability, oracle_retrieval

CHUNK = 64
"""Requests scored against the whole catalogue at once."""


class Oracle:
    """The true probabilities behind a world's slates. Slate indices are the world's own, and the synthetic bucket's."""

    def __init__(self, world: World) -> None:
        self._world = world

    def retrieval(self, slates: INT, action: str | None = None) -> FLOAT:
        """[R, N] the best scores there are for finding what is done at each of `slates` [R] among all items.

        P(on the slate) times P(engaged once looked at), or times P(`action`) where one is named. What the person has acted on
        before is not taken out. Raises ValueError for an action that worlds do not have.
        """
        column = None if action is None else _column(action)
        world = self._world
        scores = np.empty((len(slates), world.config.items), np.float32)
        for start in range(0, len(slates), CHUNK):
            situation = world.situation.take(slates[start : start + CHUNK])
            scores[start : start + CHUNK] = oracle_retrieval(world.catalogue, situation, world.config.slate_size, column)
        return scores

    def probabilities(self, slates: INT) -> FLOAT:
        """[R, K, A] true probability of each action on each item of `slates` [R] given a look, in the order shown."""
        situation, catalogue = self._world.situation.take(slates), self._world.catalogue
        return action_probabilities(catalogue, situation, affinity(catalogue, situation), self._world.slate_items[slates])

    def focused(self, slates: INT, interest: int) -> FLOAT:
        """[R, N] scores for home at the time of `slates` [R] as if the person had nothing but interest `interest` (0 to 3) on
        their mind: where they may go next."""
        world = self._world
        scores = np.empty((len(slates), world.config.items), np.float32)
        for start in range(0, len(slates), CHUNK):
            now = world.situation.take(slates[start : start + CHUNK])
            alone = np.broadcast_to(np.eye(INTERESTS, dtype=np.float32)[interest], now.focus.shape)
            home, nothing = np.full_like(now.surface, HOME), np.full_like(now.anchor, -1)
            situation = replace(now, focus=alone, surface=home, anchor=nothing)
            scores[start : start + CHUNK] = oracle_retrieval(world.catalogue, situation, world.config.slate_size)
        return scores

    def engagement(self, slates: INT) -> FLOAT:
        """[R, K] true probability that anything positive is done with each item of `slates` [R] given a look."""
        return engagement_probability(self.probabilities(slates))


def _column(action: str) -> int:
    if action not in ACTIONS:
        raise ValueError(f"no action {action!r} in a world: there are {', '.join(ACTIONS)}")
    return ACTIONS.index(action)
