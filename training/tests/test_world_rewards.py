"""The world pays for what the papers found: each of their parts has something to learn, and evaluation can see it."""

from dataclasses import replace

import numpy as np
import pytest

from onepass_training.data.synthetic import synthetic_dataset
from onepass_training.world import DAY_MS, Oracle, WorldConfig, simulate
from onepass_training.world.config import ACTIONS, FEATURES, HOME, POSITIVE_ACTIONS
from onepass_training.world.simulate import with_behaviour
from onepass_training.world.truth import INTERESTS, action_probabilities, affinity

SAVE, SHARE = ACTIONS.index("save"), ACTIONS.index("share")
SOME = 500
"""Slates that a recall is taken over."""


@pytest.fixture(scope="module")
def world():
    return simulate(1, WorldConfig(items=2_000, people=500, categories=12, sessions=36.0))


@pytest.fixture(scope="module")
def oracle(world):
    return Oracle(world)


@pytest.fixture(scope="module")
def exposures(world):
    shown = world.slate_items[world.situation.time_ms < world.config.validation_ms]
    return np.bincount(shown.ravel(), minlength=world.config.items)


def later_slates(world, wanted):
    """SOME slates of the test days where `wanted` [S] holds."""
    able = np.flatnonzero(wanted & (world.situation.time_ms >= world.config.split_ms))
    return np.sort(np.random.default_rng(0).permutation(able)[:SOME])


def done(world, action):
    """[S, K] whether `action` was done."""
    return ((world.slate_actions >> action) & 1).astype(bool)


def best(scores, top):
    """[R, top] the highest of scores [R, N], best first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :top]


def without_past(world, slates, scores):
    """`scores` [R, N] with what each slate's person had acted on before taken out, who will not see it again."""
    item = world.event_item
    starts = np.searchsorted(world.event_person, world.slate_person[slates])
    ends = np.searchsorted(world.event_slate, slates)
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        past = item[start:end]
        scores[row, past[past >= 0]] = -np.inf
    return scores


def hits(scores, slates, world, action, top=10):
    """Share of `slates` whose first item with `action` is among the `top` best."""
    target = world.slate_items[slates, done(world, action)[slates].argmax(axis=1)]
    return (best(without_past(world, slates, scores), top) == target[:, None]).any(axis=1).mean()


def explained(known, unknown, train, test):
    """Share of the variance of `unknown` that a linear fit to `known` explains on rows that it was not fitted on."""
    known = np.column_stack([known, np.ones(len(known))])
    fit = np.linalg.lstsq(known[train], unknown[train], rcond=None)[0]
    return 1 - ((unknown - known @ fit)[test] ** 2).mean() / unknown[test].var()


def test_behaviour_columns_are_made_from_nothing_after_the_validation_time(world):
    catalogue, config = world.catalogue, world.config
    times, other = world.situation.time_ms, np.random.default_rng(0).integers(0, config.items, world.slate_items.shape)
    late = times >= config.validation_ms
    changed = np.where(late[:, None], other, world.slate_items).astype(np.int32)
    np.testing.assert_array_equal(with_behaviour(1, catalogue, changed, times).upstream, catalogue.upstream)
    changed = np.where(late[:, None], world.slate_items, other).astype(np.int32)
    again = with_behaviour(1, catalogue, changed, times).upstream
    np.testing.assert_array_equal(again[:, : config.content], catalogue.upstream[:, : config.content])
    assert not np.array_equal(again, catalogue.upstream)


def test_items_that_nobody_had_seen_have_content_and_no_behaviour(world, exposures):
    content, behaviour = np.split(world.catalogue.upstream, [world.config.content], axis=1)
    np.testing.assert_array_equal((behaviour != 0).any(axis=1), exposures > 0)
    fresh = world.catalogue.born_ms >= world.config.validation_ms
    assert fresh.mean() > 0.03
    assert (behaviour[fresh] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(content, axis=1), 1, atol=1e-5)
    assert (world.catalogue.query_upstream[:, world.config.content :] == 0).all()
    items = synthetic_dataset(world).items
    assert items.content == world.config.content < items.upstream.shape[1]


def test_behaviour_tells_what_content_does_not_the_more_the_more_had_seen_an_item(world, exposures):
    catalogue, content = world.catalogue, world.catalogue.upstream[:, : world.config.content]
    well = np.flatnonzero(exposures >= np.quantile(exposures[exposures > 0], 0.3))
    little = np.flatnonzero((exposures > 0) & (exposures <= np.quantile(exposures[exposures > 0], 0.1)))
    for factor in (catalogue.quality, catalogue.talk, catalogue.fine[:, 0]):
        alone = explained(content, factor, well[::2], well[1::2])
        both = explained(catalogue.upstream, factor, well[::2], well[1::2])
        assert both > alone + 0.15
    both = explained(catalogue.upstream, catalogue.quality, well[::2], well[1::2])
    assert explained(catalogue.upstream, catalogue.quality, well, little) < both - 0.1


def test_fresh_items_are_shown_and_engaged_with(world):
    fresh = world.catalogue.born_ms[world.slate_items] >= world.config.validation_ms
    slates = (fresh & world.slate_engaged).any(axis=1) & (world.situation.time_ms >= world.config.split_ms)
    assert slates.sum() >= 150


def test_actions_are_neither_rare_nor_common(world, oracle):
    rates = oracle.probabilities(later_slates(world, np.ones(len(world.slate_person), bool))).mean(axis=(0, 1))
    for action, (least, most) in {"click": (0.07, 0.16), "save": (0.025, 0.08), "hide": (0.01, 0.04)}.items():
        assert least < rates[ACTIONS.index(action)] < most
    assert 0.5 < world.slate_engaged.any(axis=1).mean() < 0.8


def test_features_say_what_is_true_or_nothing(world):
    mobile, price = world.slate_features.T
    assert not np.isinf(world.slate_features).any()
    assert 0.05 < np.isnan(mobile).mean() < 0.15
    assert 0.15 < np.isnan(price).mean() < 0.45
    told = ~np.isnan(mobile)
    np.testing.assert_array_equal(mobile[told], world.situation.mobile[told])
    assert set(mobile[told].tolist()) == {0.0, 1.0}
    told = ~np.isnan(price)
    assert np.corrcoef(price[told], world.situation.inclination[told, 3])[0, 1] > 0.8
    dataset = synthetic_dataset(world)
    assert dataset.vocabulary.features == FEATURES
    np.testing.assert_array_equal(dataset.bucket(0).slate_features, world.slate_features)


def test_a_model_that_sees_features_could_be_better(world):
    """The true log loss of clicks without knowing the device, and of saves without knowing anything of the price."""
    slates = later_slates(world, np.ones(len(world.slate_person), bool))
    situation, items = world.situation.take(slates), world.slate_items[slates]

    def probabilities(**changed):
        there = replace(situation, **changed)
        return action_probabilities(world.catalogue, there, affinity(world.catalogue, there), items).astype(np.float64)

    def loss(believed, action):
        p, q = truth[..., action], believed[..., action]
        return -(p * np.log(q) + (1 - p) * np.log(1 - q)).mean()

    truth = probabilities()
    share = situation.mobile.mean()
    blind = share * probabilities(mobile=np.ones(SOME, np.float32))
    blind = blind + (1 - share) * probabilities(mobile=np.zeros(SOME, np.float32))
    click, long_view = ACTIONS.index("click"), ACTIONS.index("long_view")
    assert loss(blind, click) > 1.01 * loss(truth, click)
    assert loss(blind, long_view) > 1.003 * loss(truth, long_view)
    levels = np.linspace(-2, 2, 9)
    weights = np.exp(-(levels**2) / 2) / np.exp(-(levels**2) / 2).sum()
    blind = np.zeros_like(truth)
    for level, weight in zip(levels.astype(np.float32), weights, strict=True):
        inclination = situation.inclination.copy()
        inclination[:, 3] = level
        blind += weight * probabilities(inclination=inclination)
    assert loss(blind, SAVE) > 1.02 * loss(truth, SAVE)


def test_the_oracle_is_far_above_popularity(world, oracle):
    saved = later_slates(world, done(world, SAVE).any(axis=1))
    known = (world.event_time_ms < world.config.validation_ms) & ((world.event_actions & POSITIVE_ACTIONS) > 0)
    popular = np.bincount(world.event_item[known], minlength=world.config.items).astype(np.float32)
    at_random = hits(oracle.retrieval(saved), saved, world, SAVE)
    assert at_random > 5 * hits(np.tile(popular, (len(saved), 1)), saved, world, SAVE)
    labels, order = done(world, SAVE)[saved], best(oracle.probabilities(saved)[..., SAVE], 3)
    by_popularity = best(popular[world.slate_items[saved]], 3)
    hit, popular_hit = (np.take_along_axis(labels, top, axis=1).any(axis=1).mean() for top in (order, by_popularity))
    assert hit > 1.25 * popular_hit


@pytest.mark.parametrize("action", ["save", "share"])
def test_asking_for_an_outcome_finds_more_of_it(world, oracle, action):
    slates = later_slates(world, done(world, ACTIONS.index(action)).any(axis=1))
    any_outcome = hits(oracle.retrieval(slates), slates, world, ACTIONS.index(action))
    assert hits(oracle.retrieval(slates, action), slates, world, ACTIONS.index(action)) > 1.05 * any_outcome


def test_the_oracle_knows_the_worlds_actions_only(oracle):
    with pytest.raises(ValueError, match="no action 'like'"):
        oracle.retrieval(np.arange(2), "like")


def test_what_comes_within_a_day_is_not_only_what_is_on_the_mind_now(world, oracle):
    """Of what people engage with two hours to a day after a home slate, a quarter of a page for each interest finds
    more than a whole page for the one on their mind, and more than a page by what they want now."""
    top = 50
    early = world.situation.time_ms < world.config.end_ms - DAY_MS
    slates = later_slates(world, early & (world.situation.surface == HOME))
    alone = [best(without_past(world, slates, oracle.focused(slates, k)), top) for k in range(INTERESTS)]
    now = best(without_past(world, slates, oracle.retrieval(slates)), top)
    focused = world.situation.focus[slates].argmax(axis=1)
    good, item, person = (world.event_actions & POSITIVE_ACTIONS) > 0, world.event_item, world.event_person
    found = []
    for row, slate in enumerate(slates):
        ahead = world.event_time_ms - world.situation.time_ms[slate]
        mine = good & (person == world.slate_person[slate]) & (ahead > DAY_MS // 12) & (ahead <= DAY_MS)
        if mine.any():
            in_turn = np.stack([ranked[row] for ranked in alone], axis=1).ravel()
            _, first = np.unique(in_turn, return_index=True)
            union = in_turn[np.sort(first)][:top]
            pages = (union, alone[focused[row]][row], now[row])
            found.append([np.isin(item[mine], page).mean() for page in pages])
    union, focus, current = np.mean(found, axis=0)
    assert len(found) > 200
    assert union > 1.3 * focus
    assert union > 1.1 * current
