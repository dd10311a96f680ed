"""Runs a world: every person's n-th slate is made at once, for all people, in numpy."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .catalogue import FLOAT, INT, Catalogue, make_catalogue
from .config import DAY_MS, FEATURES, HOME, RELATED, SEARCH, SECONDS_PER_POSITION, WorldConfig
from .embeddings import behaviour_columns
from .log import World
from .people import People, schedule
from .queries import query_texts
from .truth import (
    FRESH_SHARE,
    OFF_COLOR,
    Situation,
    action_probabilities,
    affinity,
    engagement_probability,
    shown_by_taste,
    topic_exposure,
)  # fmt: skip
from .words import COLORS

BOOL = NDArray[np.bool_]


class _Slates:
    """Draws slates: distinct, born, unseen items."""

    def __init__(self, random: np.random.Generator, catalogue: Catalogue) -> None:
        self._random, self._catalogue = random, catalogue
        self.seen = np.zeros((catalogue.config.people, catalogue.config.items), bool)
        self._topic_end = np.cumsum(np.bincount(catalogue.topic, catalogue.within_topic, catalogue.topics))
        self._item_end = np.cumsum(catalogue.within_topic)
        self._by_birth = np.argsort(catalogue.born_ms, kind="stable")

    def _draw(self, situation: Situation, draws: int) -> INT:
        """[n, draws] items, topic first, then the item by its weight in the topic; some of the latest born."""
        random, catalogue = self._random, self._catalogue
        exposure = np.cumsum(topic_exposure(catalogue, situation), axis=1, dtype=np.float64)
        n, topics = exposure.shape
        rows = np.arange(n)[:, None]
        ends = exposure / exposure[:, -1:] + rows
        topic = np.searchsorted(ends.ravel(), (random.random((n, draws)) + rows).ravel(), side="right")
        topic = np.minimum(topic.reshape(n, draws) - rows * topics, topics - 1)
        item = np.searchsorted(self._item_end, topic + random.random((n, draws)), side="right")
        item = np.minimum(item, catalogue.config.items - 1)
        births = catalogue.born_ms[self._by_birth]
        newest = np.searchsorted(births, situation.time_ms, side="right")
        oldest = np.searchsorted(births, situation.time_ms - 3 * DAY_MS, side="right")
        pick = oldest[:, None] + (random.random((n, draws)) * (newest - oldest)[:, None]).astype(np.int64)
        fresh = (random.random((n, draws)) < FRESH_SHARE) & (newest > oldest)[:, None]
        return np.where(fresh, self._by_birth[np.minimum(pick, len(births) - 1)], item)

    def make(self, who: INT, situation: Situation) -> INT:
        """[n, K] one slate each, best first by a noisy and partial idea of what is good (so positions are biased)."""
        random, catalogue, size = self._random, self._catalogue, self._catalogue.config.slate_size
        drawn = self._draw(situation, 6 * size)
        filler = self._filler(situation, 8 * size)
        item = np.concatenate([drawn, filler], axis=1)
        bad = self.seen[who[:, None], item] | (catalogue.born_ms[item] > situation.time_ms[:, None])
        bad[:, : drawn.shape[1]] |= self._passed_over(situation, drawn)
        bad |= item == np.where(situation.surface == RELATED, situation.anchor, -1)[:, None]
        by_item = np.argsort(item, axis=1, kind="stable")
        ordered = np.take_along_axis(item, by_item, axis=1)
        repeated = np.zeros_like(bad)
        np.put_along_axis(repeated, by_item[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
        bad |= repeated
        keep = np.argsort(bad, axis=1, kind="stable")[:, :size]
        chosen = np.take_along_axis(item, keep, axis=1)
        if np.take_along_axis(bad, keep, axis=1).any():
            raise ValueError("the world is too small: somebody has seen nearly all of its items")
        order = np.argsort(-0.5 * catalogue.quality[chosen] + random.standard_normal(chosen.shape), axis=1, kind="stable")
        return np.take_along_axis(chosen, order, axis=1)

    def _passed_over(self, situation: Situation, item: INT) -> BOOL:
        """[n, draws] drawn items that are not shown after all: not to the person's taste, or not of the query's color."""
        random, catalogue = self._random, self._catalogue
        liked = np.einsum("rd,rkd->rk", situation.taste, catalogue.fine[item])
        off = catalogue.color[item] != (situation.anchor % len(COLORS))[:, None]
        off &= (situation.surface == SEARCH)[:, None] & (random.random(item.shape) > OFF_COLOR)
        return off | (random.random(item.shape) > shown_by_taste(liked))

    def _filler(self, situation: Situation, count: int) -> INT:
        """[n, count] any born items, for slates whose draws run out because a topic's items have all been seen."""
        born = np.searchsorted(self._catalogue.born_ms[self._by_birth], situation.time_ms, side="right")[:, None]
        return self._by_birth[(self._random.random((len(born), count)) * born).astype(np.int64)]


def _act(random: np.random.Generator, probabilities: FLOAT) -> NDArray[np.uint8]:
    """[n, K] action bits. Positions further down are looked at less often; `probabilities` [n, K, 5] are given a look."""
    n, size, _ = probabilities.shape
    looked = random.random((n, size)) < 1 / (1 + 0.12 * np.arange(size))
    click = random.random((n, size)) < probabilities[..., 0]
    long_view = click & (random.random((n, size)) < probabilities[..., 1] / probabilities[..., 0])
    save = random.random((n, size)) < probabilities[..., 2]
    share = random.random((n, size)) < probabilities[..., 3]
    nothing = 1 - engagement_probability(probabilities)
    hide = ~(click | save | share) & (random.random((n, size)) < probabilities[..., 4] / nothing)
    bits = sum(done.astype(np.uint8) << bit for bit, done in enumerate((click, long_view, save, share, hide)))
    return np.where(looked, bits, 0).astype(np.uint8)


def _choose_surface(
    random: np.random.Generator, catalogue: Catalogue, people: People, who: INT, last_engaged: INT
) -> tuple[INT, INT]:
    """Surface and anchor of the next slate; related needs an item engaged on the last slate of the session (or -1)."""
    n = len(who)
    draw = random.random(n)
    related = (last_engaged >= 0) & (draw < 0.4)
    search = ~related & (random.random(n) < 0.25)
    surface = np.where(related, RELATED, np.where(search, SEARCH, HOME))
    focused = people.interests[who, people.focused[who]]
    topic = np.where(random.random(n) < 0.7, focused, random.integers(0, catalogue.topics, n))
    color = random.integers(0, len(COLORS), n)
    return surface, np.where(related, last_engaged, np.where(search, topic * len(COLORS) + color, -1))


def with_behaviour(seed: int, catalogue: Catalogue, items: NDArray[np.int32], time_ms: INT) -> Catalogue:
    """The catalogue with the behaviour columns that come of items [S, K] shown at `time_ms` [S] before the validation time."""
    config = catalogue.config
    exposures = np.bincount(items[time_ms < config.validation_ms].ravel(), minlength=config.items)
    random = np.random.default_rng([seed, 4])
    learned = behaviour_columns(random, catalogue.factors, exposures, config.upstream - config.content)
    return replace(catalogue, upstream=np.concatenate([catalogue.upstream[:, : config.content], learned], axis=1))


def simulate(seed: int, config: WorldConfig) -> World:
    """The world of (seed, config). Takes about 30 s of processor time at the default size."""
    catalogue = make_catalogue(seed, config)
    random = np.random.default_rng([seed, 2])
    people = People(random, catalogue)
    slates = _Slates(random, catalogue)
    person, time, first = schedule(random, config)
    total = len(person)
    starts = np.searchsorted(person, np.arange(config.people))
    counts = np.bincount(person, minlength=config.people)
    items = np.zeros((total, config.slate_size), np.int32)
    actions = np.zeros((total, config.slate_size), np.uint8)
    features = np.zeros((total, len(FEATURES)), np.float32)
    states: list[tuple[INT, Situation]] = []
    last_engaged = np.full(config.people, -1)
    for step in range(counts.max()):
        who = np.flatnonzero(counts > step)
        rows = starts[who] + step
        begins = first[rows]
        people.begin_session(who[begins], time[rows[begins]])
        last_engaged[who[begins]] = -1
        surface, anchor = _choose_surface(random, catalogue, people, who, last_engaged[who])
        situation = Situation(
            interests=people.interests[who], focus=people.focus(who, time[rows]), taste=people.taste[who],
            inclination=people.inclination[who], surface=surface, anchor=anchor, time_ms=time[rows],
            mobile=people.mobile[who],
        )  # fmt: skip
        shown = slates.make(who, situation)
        done = _act(random, action_probabilities(catalogue, situation, affinity(catalogue, situation), shown))
        items[rows], actions[rows], features[rows] = shown, done, people.features(who)
        states.append((rows, situation))
        touched = done > 0
        slates.seen[who[np.nonzero(touched)[0]], shown[touched]] = True
        good = (done & 0b1111) > 0
        last_engaged[who] = np.where(good.any(axis=1), shown[np.arange(len(who)), good.argmax(axis=1)], -1)
    order = np.argsort(np.concatenate([rows for rows, _ in states]), kind="stable")
    joined = {
        name: np.concatenate([getattr(situation, name) for _, situation in states])[order]
        for name in Situation.__dataclass_fields__
    }
    searches = np.flatnonzero(joined["surface"] == SEARCH)
    slate_query = np.full(total, -1)
    slate_query[searches] = np.arange(len(searches))
    event_slate, event_position = np.nonzero(np.column_stack([slate_query >= 0, actions]))
    event_position -= 1
    event_time = time[event_slate] + (event_position + 1) * SECONDS_PER_POSITION * 1000
    return World(
        config=config, catalogue=with_behaviour(seed, catalogue, items, time), slate_person=person, slate_items=items,
        slate_actions=actions, slate_features=features,
        situation=Situation(**joined), slate_query=slate_query,
        queries=tuple(query_texts(np.random.default_rng([seed, 3]), catalogue, joined["anchor"][searches])),
        event_slate=event_slate, event_position=event_position, event_time_ms=event_time,
    )  # fmt: skip
