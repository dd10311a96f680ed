"""The world: the same from the same seed, free of impossible things, and worth learning."""

import numpy as np
import pytest

from onepass_training.world import simulate
from onepass_training.world.config import DAY_MS, RELATED, SEARCH, WorldConfig
from onepass_training.world.queries import query_texts
from onepass_training.world.truth import Situation, action_probabilities, affinity, item_exposure
from onepass_training.world.words import COLORS


def test_a_seed_gives_one_world(config, world):
    again, other = simulate(config.seed, config.world), simulate(config.seed + 1, config.world)
    for name in ("slate_person", "slate_items", "slate_actions", "event_slate", "event_time_ms"):
        np.testing.assert_array_equal(getattr(again, name), getattr(world, name))
    for name in Situation.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again.situation, name), getattr(world.situation, name))
    np.testing.assert_array_equal(again.catalogue.upstream, world.catalogue.upstream)
    assert not np.array_equal(other.slate_items[:100], world.slate_items[:100])


def test_slates_hold_distinct_born_items_that_were_not_acted_on_before(world):
    ordered = np.sort(world.slate_items, axis=1)
    assert (ordered[:, 1:] != ordered[:, :-1]).all()
    assert (world.catalogue.born_ms[world.slate_items] <= world.situation.time_ms[:, None]).all()
    acted = world.event_item >= 0
    pairs = (world.event_person * world.config.items + world.event_item)[acted]
    assert len(np.unique(pairs)) == len(pairs)


def test_time_runs_forward_within_a_person(world):
    same = world.event_person[1:] == world.event_person[:-1]
    assert (np.diff(world.event_time_ms)[same] > 0).all()
    same = world.slate_person[1:] == world.slate_person[:-1]
    assert (np.diff(world.situation.time_ms)[same] > 0).all()
    asked = world.situation.time_ms[world.event_slate]
    assert ((world.event_time_ms > asked) == (world.event_position >= 0)).all(), "a search comes when its slate is asked for"
    assert (world.event_time_ms >= asked).all()


def test_search_and_related_slates_say_what_they_are_about(world):
    surface, anchor = world.situation.surface, world.situation.anchor
    assert (anchor[surface == 0] == -1).all()
    assert (anchor[surface > 0] >= 0).all()
    upstream = world.context_upstream(np.arange(300))
    assert (np.linalg.norm(upstream, axis=1) > 0.5).tolist() == (surface[:300] > 0).tolist()
    assert {SEARCH, RELATED} <= set(surface.tolist())


def test_every_search_is_an_event_with_a_text(world):
    searches = np.flatnonzero(world.situation.surface == SEARCH)
    assert len(world.queries) == len(searches)
    logged = world.event_query >= 0
    np.testing.assert_array_equal(world.event_slate[logged], searches)
    np.testing.assert_array_equal(world.event_query[logged], world.slate_query[searches])
    assert (world.event_item[logged] == -1).all()
    assert (world.event_actions[logged] == 0).all()
    assert (world.event_actions[~logged] > 0).all()


def test_texts_say_what_is_asked_for_in_many_ways(world):
    """Most texts hold a word of the topic or the color as it is, and one question is not always asked alike."""
    asked = world.situation.anchor[world.situation.surface == SEARCH]
    words = [(COLORS[query % len(COLORS)], *world.catalogue.noun_style(query // len(COLORS))[1:]) for query in asked]
    named = [any(word.lower() in text.lower() for word in own) for own, text in zip(words, world.queries, strict=True)]
    assert np.mean(named) > 0.9
    assert len(set(query_texts(np.random.default_rng(0), world.catalogue, np.repeat(asked[:1], 50)))) > 8
    assert query_texts(np.random.default_rng(0), world.catalogue, asked) == query_texts(
        np.random.default_rng(0), world.catalogue, asked
    )


def test_logged_actions_follow_the_true_probabilities(world):
    """At the top position everything is looked at, so rates there are the probabilities' means."""
    situation = world.situation
    truth = action_probabilities(world.catalogue, situation, affinity(world.catalogue, situation), world.slate_items)[:, 0]
    done = (world.slate_actions[:, 0, None] >> np.arange(5)) & 1
    assert ((truth > 0) & (truth < 1)).all()
    error = np.sqrt((truth * (1 - truth)).mean(axis=0) / len(truth))
    assert (np.abs(done.mean(axis=0) - truth.mean(axis=0)) < 4 * error).all()
    assert (done[:, 1] <= done[:, 0]).all(), "a long view needs a click"


def test_lower_positions_are_acted_on_less(world):
    acted = (world.slate_actions > 0).mean(axis=0)
    assert acted[0] > 1.5 * acted[-1]


def test_exposure_is_a_distribution_over_born_items(world):
    some = world.situation.take(np.arange(0, len(world.slate_person), 400))
    exposure = item_exposure(world.catalogue, some)
    np.testing.assert_allclose(exposure.sum(axis=1), 1, atol=1e-5)
    assert (exposure[world.catalogue.born_ms[None, :] > some.time_ms[:, None]] == 0).all()


def test_items_have_ids_titles_and_attributes(world):
    title, attributes = world.catalogue.describe(3)
    assert world.catalogue.ids[3] == "i00004"
    assert title[0].isupper()
    assert set(attributes) == {"category", "style", "color", "price", "creator"}
    assert isinstance(attributes["price"], float)
    assert isinstance(attributes["color"], list)
    assert len(set(world.catalogue.ids)) == world.config.items


def test_late_people_come_evenly_over_the_last_days_and_are_as_active_as_the_others():
    config = WorldConfig(items=2_000, people=300, categories=6, nouns=2, styles=2, creators=20, days=40, sessions=40.0)
    world = simulate(3, config)
    first = np.full(config.people, config.end_ms)
    np.minimum.at(first, world.slate_person, world.situation.time_ms)
    late = np.arange(config.people) >= config.people * (1 - config.late_share)
    begins = config.start_ms + config.days * (1 - config.late_days) * DAY_MS
    assert (first[late] >= begins - DAY_MS).all()
    assert (first[late] >= config.split_ms).mean() == pytest.approx((1 - config.train_share) / config.late_days, abs=0.1)
    last_days = world.situation.time_ms >= config.end_ms - 3 * DAY_MS
    slates = np.bincount(world.slate_person[last_days], minlength=config.people)
    assert slates[late].mean() == pytest.approx(slates[~late].mean(), rel=0.5)
