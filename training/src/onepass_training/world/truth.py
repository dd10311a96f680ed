"""What is true in a world: who would do what with which item, and what a slate would be made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .catalogue import FLOAT, INT, Catalogue
from .config import DAY_MS, RELATED, SEARCH
from .words import COLORS

INTERESTS = 4
PRICE = 3
"""Column of `Situation.inclination`."""
FRESH_SHARE = 0.06
OFF_COLOR = 0.35
"""Exposure of an item whose color is not the query's, relative to one whose is."""


@dataclass(frozen=True)
class Situation:
    """The true state behind R requests: the person's at that moment, and what was asked."""

    interests: INT
    """[R, 4] topics."""
    focus: FLOAT
    """[R, 4] share of attention of each interest; rows sum to 1."""
    taste: FLOAT
    """[R, 4] what of `Catalogue.fine` the person likes."""
    inclination: FLOAT
    """[R, 4] the person's own level of save, share, hide, and the price level they like."""
    surface: INT
    anchor: INT
    """[R] related: item row; search: query; home: -1."""
    time_ms: INT
    mobile: FLOAT
    """[R] 1 on a mobile, else 0."""

    def take(self, rows: NDArray) -> "Situation":
        """The situations at `rows`."""
        return Situation(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def asked_topic(catalogue: Catalogue, situation: Situation) -> INT:
    """[R] the topic a search or related request is about, -1 on home."""
    topic = np.full(len(situation.surface), -1)
    search, related = situation.surface == SEARCH, situation.surface == RELATED
    topic[search] = situation.anchor[search] // len(COLORS)
    topic[related] = catalogue.topic[situation.anchor[related]]
    return topic


def _mix(situation: Situation, kernel: FLOAT) -> FLOAT:
    """[R, T] the kernel's rows at the interests, weighted by attention."""
    mixed = situation.focus[:, :1] * kernel[situation.interests[:, 0]]
    for k in range(1, INTERESTS):
        mixed += situation.focus[:, k : k + 1] * kernel[situation.interests[:, k]]
    return mixed


def topic_exposure(catalogue: Catalogue, situation: Situation) -> FLOAT:
    """[R, T] share of a slate's draws per topic: interests, what is asked for, some popularity, some exploration."""
    home = 0.86 * _mix(situation, catalogue.spread) + 0.10 * catalogue.topic_share + 0.04 / catalogue.topics
    topic = asked_topic(catalogue, situation)
    asked = catalogue.spread[topic]
    own = np.select([situation.surface == SEARCH, situation.surface == RELATED], [0.08, 0.25], 1.0)[:, None]
    return (own * home + (1 - own) * asked).astype(np.float32)


def affinity(catalogue: Catalogue, situation: Situation) -> FLOAT:
    """[R, T] in 0..1: how much each topic is what the person wants now."""
    home = _mix(situation, catalogue.similarity)
    asked = catalogue.similarity[asked_topic(catalogue, situation)]
    own = np.select([situation.surface == SEARCH, situation.surface == RELATED], [0.25, 0.5], 1.0)[:, None]
    return (own * home + (1 - own) * asked).astype(np.float32)


def _sigmoid(x: FLOAT) -> FLOAT:
    return 1.0 / (1.0 + np.exp(-x))


def action_probabilities(catalogue: Catalogue, situation: Situation, wanted: FLOAT, items: INT) -> FLOAT:
    """[R, K, 5] probability of each action on an item that is looked at.

    `wanted` is `affinity` ([R, T]); `items` is [R, K] item rows, or [K] for the same items in every situation.
    A long view needs a click; a hide needs that nothing good was done. All are marginals over those.
    """
    shared = items.ndim == 1
    fine = catalogue.fine[items]
    taste = situation.taste @ fine.T if shared else np.einsum("rd,rkd->rk", situation.taste, fine)
    want = wanted[:, catalogue.topic[items]] if shared else np.take_along_axis(wanted, catalogue.topic[items], axis=1)
    topic, mobile = catalogue.topic[items], situation.mobile[:, None]
    quality, bait = catalogue.quality[items], catalogue.bait[items]
    save, share, hide, price = (situation.inclination[:, column, None] for column in range(4))
    price_off = np.abs(catalogue.price_level[items] - price)
    matches = (catalogue.color[items] == (situation.anchor % len(COLORS))[:, None]) & (situation.surface == SEARCH)[:, None]
    click = -4.2 + 2.4 * want + 0.8 * taste + 0.2 * quality + 0.8 * bait - 0.2 * price_off
    click = _sigmoid(click + 0.6 * matches + 0.8 * mobile)
    long_view = click * _sigmoid(0.2 + 1.0 * want + 0.6 * taste + 0.7 * quality - 1.1 * bait - 1.8 * mobile)
    saved = -4.8 + save + 2.6 * want + 1.2 * taste + 0.5 * quality - 0.3 * bait - 1.1 * price_off
    saved = _sigmoid(saved + 1.2 * catalogue.topic_saved[topic])
    shared_ = -6.0 + share + 1.6 * want + 0.5 * taste + 0.4 * quality + 1.1 * catalogue.talk[items]
    shared_ = _sigmoid(shared_ + catalogue.topic_shared[topic])
    hidden = _sigmoid(-3.3 + hide - 2.2 * want + 0.8 * bait - 0.8 * taste)
    hidden = hidden * (1 - click) * (1 - saved) * (1 - shared_)
    return np.stack([click, long_view, saved, shared_, hidden], axis=-1).astype(np.float32)


def engagement_probability(probabilities: FLOAT) -> FLOAT:
    """[...] probability that anything positive is done: a long view implies a click."""
    return 1 - (1 - probabilities[..., 0]) * (1 - probabilities[..., 2]) * (1 - probabilities[..., 3])


def shown_by_taste(taste: FLOAT) -> FLOAT:
    """Chance that a drawn item is shown at all, from how much the person likes it: what fills slates knows taste a little."""
    return _sigmoid(1.2 * taste)


def item_exposure(catalogue: Catalogue, situation: Situation) -> FLOAT:
    """[R, N] chance per draw that a slate's draw is this item, before seen items are taken out."""
    exposure = topic_exposure(catalogue, situation)[:, catalogue.topic] * catalogue.within_topic.astype(np.float32)
    search = situation.surface == SEARCH
    off = catalogue.color[None, :] != (situation.anchor[search] % len(COLORS))[:, None]
    exposure[search] *= np.where(off, OFF_COLOR, 1.0).astype(np.float32)
    born = catalogue.born_ms[None, :] <= situation.time_ms[:, None]
    exposure *= born
    exposure /= exposure.sum(axis=1, keepdims=True)
    fresh = born & (catalogue.born_ms[None, :] > situation.time_ms[:, None] - 3 * DAY_MS)
    share = fresh / np.maximum(fresh.sum(axis=1, keepdims=True), 1)
    exposure = ((1 - FRESH_SHARE) * exposure + FRESH_SHARE * share) * shown_by_taste(situation.taste @ catalogue.fine.T)
    return (exposure / exposure.sum(axis=1, keepdims=True)).astype(np.float32)


def oracle_retrieval(catalogue: Catalogue, situation: Situation, draws: int, action: int | None = None) -> FLOAT:
    """[R, N] the best any ranker of the whole catalogue could go by: P(on the slate) times P(engaged once looked at).

    With `action`, an index into ACTIONS, the probability of that action stands in place of engagement.
    """
    shown = -np.expm1(-draws * item_exposure(catalogue, situation))
    everything = np.arange(len(catalogue.topic))
    actions = action_probabilities(catalogue, situation, affinity(catalogue, situation), everything)
    return shown * (engagement_probability(actions) if action is None else actions[..., action])
