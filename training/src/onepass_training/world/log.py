"""What a world leaves behind: slates as shown, what was done with them, and (for the oracle only) the true state."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .catalogue import FLOAT, INT, Catalogue
from .config import POSITIVE_ACTIONS, RELATED, SEARCH, WorldConfig
from .truth import Situation


@dataclass(frozen=True)
class World:
    """S slates sorted by (person, time), V events sorted by (person, time): actions, and searches as they were typed."""

    config: WorldConfig
    catalogue: Catalogue
    slate_person: INT
    slate_items: NDArray[np.int32]
    """[S, K] item rows in the order they were shown."""
    slate_actions: NDArray[np.uint8]
    """[S, K] bit a set = action a was done."""
    slate_features: FLOAT
    """[S, 2] the FEATURES of the request; NaN where it did not say."""
    situation: Situation
    """Of all S slates. Surface, anchor and time are what was logged; the rest is for the oracle alone."""
    queries: tuple[str, ...]
    """[Q] what was typed, one text for each search slate."""
    slate_query: INT
    """[S] index into `queries`, -1 for slates that are no search."""
    event_slate: INT
    """[V] the slate an event came from."""
    event_position: INT
    """[V] the item's position on it; -1 for the search itself, which comes before its slate's actions."""
    event_time_ms: INT
    """[V] strictly rising within one person."""

    @property
    def event_person(self) -> INT:
        """[V] person of each event."""
        return self.slate_person[self.event_slate]

    @property
    def event_item(self) -> INT:
        """[V] item row of each event, -1 for a search."""
        items = self.slate_items[self.event_slate, self.event_position].astype(np.int64)
        return np.where(self.event_position >= 0, items, -1)

    @property
    def event_actions(self) -> NDArray[np.uint8]:
        """[V] action bits of each event, none for a search."""
        return np.where(self.event_position >= 0, self.slate_actions[self.event_slate, self.event_position], np.uint8(0))

    @property
    def event_query(self) -> INT:
        """[V] index into `queries`, -1 for an action."""
        return np.where(self.event_position >= 0, -1, self.slate_query[self.event_slate])

    @property
    def event_surface(self) -> INT:
        """[V] surface of each event."""
        return self.situation.surface[self.event_slate]

    @property
    def slate_engaged(self) -> NDArray[np.bool_]:
        """[S, K] whether anything positive was done."""
        return (self.slate_actions & POSITIVE_ACTIONS) != 0

    def context_upstream(self, slates: NDArray) -> FLOAT:
        """[R, U] upstream embedding of the related item or the query of `slates`; zeros on home."""
        surface, anchor = self.situation.surface[slates], self.situation.anchor[slates]
        upstream = np.zeros((len(slates), self.config.upstream), np.float32)
        search, related = surface == SEARCH, surface == RELATED
        upstream[search] = self.catalogue.query_upstream[anchor[search]]
        upstream[related] = self.catalogue.upstream[anchor[related]]
        return upstream
