"""A synthetic world's logs as a dataset of one bucket. What only the world knows (its truth) stays with the world."""

import numpy as np

from ..world import World
from ..world.config import ACTIONS, FEATURES, RELATED, SEARCH, SURFACES
from .dataset import NONE, UNKNOWN, Action, Bucket, Items, MemoryDataset, Splits, Vocabulary

UTILITY_WEIGHTS = {"click": 1.0, "long_view": 1.5, "save": 4.0, "share": 4.0, "hide": -8.0}
"""What one action is worth to a page. A hide undoes two saves."""


def synthetic_dataset(world: World, name: str = "synthetic") -> MemoryDataset:
    """People are histories, in order; slate and event indices are the world's own."""
    actions = tuple(Action(action, action == "hide", UTILITY_WEIGHTS[action]) for action in ACTIONS)
    vocabulary = Vocabulary(actions, SURFACES, FEATURES)
    config = world.config
    return MemoryDataset(
        name,
        vocabulary,
        _items(world),
        Splits(config.validation_ms, config.split_ms, config.end_ms),
        (_bucket(world),),
    )


def _items(world: World) -> Items:
    catalogue = world.catalogue
    described = [catalogue.describe(row) for row in range(world.config.items)]
    return Items(
        ids=catalogue.ids, upstream=catalogue.upstream, content=world.config.content, born_ms=catalogue.born_ms,
        titles=[title for title, _ in described], attributes=[attributes for _, attributes in described],
    )  # fmt: skip


def _bucket(world: World) -> Bucket:
    people, (slates, size) = world.config.people, world.slate_items.shape
    situation = world.situation
    given = np.zeros((slates, world.config.upstream), np.float32)
    search = situation.surface == SEARCH
    given[search] = world.catalogue.query_upstream[situation.anchor[search]]
    return Bucket(
        history_person=[f"p{person:05d}" for person in range(people)],
        event_start=np.searchsorted(world.event_person, np.arange(people + 1)),
        event_item=world.event_item,
        event_query=world.event_query,
        event_actions=world.event_actions.astype(np.uint32),
        event_surface=world.event_surface,
        event_time_ms=world.event_time_ms,
        slate_start=np.searchsorted(world.slate_person, np.arange(people + 1)),
        slate_prefix=np.searchsorted(world.event_slate, np.arange(slates)),
        slate_surface=situation.surface,
        slate_time_ms=situation.time_ms,
        slate_related=np.where(situation.surface == RELATED, situation.anchor, NONE),
        slate_query=world.slate_query,
        slate_given=given,
        slate_features=world.slate_features,
        shown_start=np.arange(slates + 1) * size,
        shown_item=world.slate_items.ravel().astype(np.int64),
        shown_actions=world.slate_actions.ravel().astype(np.uint32),
        shown_position=np.tile(np.arange(size), slates),
        shown_visible=np.full(slates * size, UNKNOWN, np.int8),
        texts=world.queries,
    )
