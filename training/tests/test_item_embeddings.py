from dataclasses import replace

import numpy as np
import pytest

from onepass_training.data.behaviour import TRUST, behaviour_embeddings
from onepass_training.data.content import CONTENT, content_embeddings
from onepass_training.data.dataset import Action, Bucket, Vocabulary
from onepass_training.data.item_embeddings import CONTENT_LENGTH, UPSTREAM, item_embeddings

VOCABULARY = Vocabulary((Action("watch"), Action("like"), Action("dislike", negative=True)), ("home",))
ITEMS, GROUPS, PEOPLE = 60, 3, 240
NEVER = ITEMS - 1
"""An item that nobody acted on."""
VALIDATION = 1_000_000


def bucket(seed, people=PEOPLE, groups=GROUPS):
    """People who like the items of one group (item % groups) and dislike some of the others."""
    random = np.random.default_rng(seed)
    item, actions, lengths = [], [], []
    for person in range(people):
        mine = random.permutation(ITEMS - 1)[:20]
        good = mine % groups == person % groups
        use = good | (random.random(20) < 0.3)
        item.append(mine[use])
        actions.append(np.where(good[use], 0b011, 0b101))
        lengths.append(use.sum())
    starts = np.concatenate([[0], np.cumsum(lengths)])
    events = starts[-1]
    time = np.concatenate([np.sort(random.integers(0, 2 * VALIDATION, length)) for length in lengths])
    none = np.zeros(0, np.int64)
    return Bucket(
        [f"{seed}-{person}" for person in range(people)], starts, np.concatenate(item), np.full(events, -1),
        np.concatenate(actions).astype(np.uint32), np.zeros(events, np.int64), time, np.zeros(people + 1, np.int64),
        none, none, none, none, none, np.zeros((0, UPSTREAM), np.float32), np.zeros((0, 0), np.float32), np.zeros(1, np.int64),
        none, none.astype(np.uint32), none, none.astype(np.int8), [],
    )  # fmt: skip


BUCKETS = [bucket(seed) for seed in (1, 2)]


def behaviour(buckets, before=VALIDATION, **more):
    return behaviour_embeddings(lambda: buckets, ITEMS, VOCABULARY, before, **more)


def cosine(rows):
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return rows @ rows.T


def test_items_that_the_same_people_like_are_near():
    directions = behaviour(BUCKETS)[: ITEMS - 1, 4:]
    likeness = cosine(directions)
    same = np.arange(ITEMS - 1)[:, None] % GROUPS == np.arange(ITEMS - 1) % GROUPS
    np.fill_diagonal(likeness, np.nan)
    assert np.nanmean(likeness[same]) > np.nanmean(likeness[~same]) + 0.2
    nearest = np.nanargmax(likeness, axis=1)
    assert np.mean(nearest % GROUPS == np.arange(ITEMS - 1) % GROUPS) > 0.9


def test_behaviour_says_how_popular_and_how_liked_an_item_is():
    popular = bucket(3)
    at = popular.event_item == 5
    more = replace(popular, event_item=np.where(popular.event_item == 6, 5, popular.event_item))
    more = replace(more, event_actions=np.where(more.event_item == 5, 0b101, more.event_actions).astype(np.uint32))
    embeddings = behaviour([more])
    assert at.any()
    assert embeddings[:, 0].argmax() == 5
    assert embeddings[:, 3].argmax() == 5  # dislikes
    assert embeddings[:, 2].argmin() == 5  # likes


def test_an_item_without_a_past_has_no_behaviour():
    embeddings = behaviour(BUCKETS)
    assert not embeddings[NEVER].any()
    assert embeddings[:NEVER].any(axis=1).all()
    later = [replace(one, event_time_ms=np.where(one.event_item == 7, VALIDATION, one.event_time_ms)) for one in BUCKETS]
    assert not behaviour(later)[7].any()


def test_little_past_is_little_trusted():
    one = BUCKETS[0]
    first = np.flatnonzero((one.event_item == 7) & (one.event_time_ms < VALIDATION) & (one.event_actions == 0b011))[0]
    rare = replace(
        one, event_item=np.where((one.event_item == 7) & (np.arange(len(one.event_item)) != first), 8, one.event_item)
    )
    assert np.linalg.norm(behaviour([rare])[7, 4:]) == pytest.approx(1 / (1 + TRUST), rel=1e-4)


def test_nothing_from_validation_on_leaks():
    """Whatever happens at or after the time, in any bucket, changes no number."""

    def scrambled(one, seed):
        later = one.event_time_ms >= VALIDATION
        items = np.random.default_rng(seed).integers(0, ITEMS, len(later))
        return replace(
            one,
            event_item=np.where(later, items, one.event_item),
            event_actions=np.where(later, 0b110, one.event_actions).astype(np.uint32),
        )

    changed = [scrambled(one, seed) for seed, one in enumerate(BUCKETS)]
    np.testing.assert_array_equal(behaviour(BUCKETS), behaviour(changed))


def test_queries_and_several_histories_of_a_person_count_once():
    one = BUCKETS[0]
    twice = replace(
        one,
        history_person=[one.history_person[0], *one.history_person],
        event_start=np.concatenate([[0], one.event_start + one.event_start[1]]),
        **{
            name: np.concatenate([getattr(one, name)[: one.event_start[1]], getattr(one, name)])
            for name in ("event_item", "event_query", "event_actions", "event_surface", "event_time_ms")
        },
        slate_start=np.zeros(len(one.history_person) + 2, np.int64),
    )
    np.testing.assert_allclose(behaviour([one])[:, 4:], behaviour([twice])[:, 4:], atol=1e-4)
    queries = replace(one, event_item=np.where(one.event_item == 3, -1, one.event_item))
    assert not behaviour([queries])[3].any()


def test_buckets_do_not_matter():
    """One bucket or many: the same people, the same numbers but for rounding and the people's mean."""
    one = behaviour(BUCKETS)[:, 4:]
    other = behaviour(BUCKETS[::-1])[:, 4:]
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_no_behaviour_at_all_is_said():
    with pytest.raises(ValueError, match="no item was acted on before the validation days"):
        behaviour(BUCKETS, before=0)
    with pytest.raises(ValueError, match="4 columns of behaviour cannot tell 3 actions: they need 5"):
        behaviour(BUCKETS, columns=4)


TITLES = ["The Glass Picnic", "Glass Picnics", "Winter Orbit", "The Winter Orbit", "", "Café Été"]
ATTRIBUTES = [
    {"genres": ["Comedy"], "year": 1990}, {"genres": ["Comedy"], "year": 1991}, {"genres": ["Sci-Fi"], "year": 2015},
    {"genres": ["Sci-Fi", "Drama"], "year": 2016}, {}, {"color": "red", "price": 9.5},
]  # fmt: skip


def test_items_said_to_be_alike_are_near():
    likeness = cosine(content_embeddings(TITLES, ATTRIBUTES))
    assert likeness[0, 1] > 0.5
    assert likeness[2, 3] > 0.5
    assert max(likeness[0, 2], likeness[0, 3], likeness[1, 2], likeness[1, 5]) < 0.45


def test_content_is_of_unit_length_or_zero():
    lengths = np.linalg.norm(content_embeddings(TITLES, ATTRIBUTES), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 1, 0, 1], atol=1e-6)


def test_numbers_that_are_near_are_alike():
    years = [{"year": 1950 + step} for step in range(60)]
    likeness = cosine(content_embeddings([""] * 60, years))[30]
    assert likeness[31] > 0.5
    assert likeness[[0, 10, 50, 59]].max() < 0.5
    constant = content_embeddings(["", ""], [{"price": 3.0}, {"price": 3.0}])
    np.testing.assert_array_equal(constant[0], constant[1])


def test_content_is_the_same_on_every_machine():
    """Numbers written down once: whoever embeds a new item later must get what the release was trained on."""
    row = content_embeddings(["Glass Picnic"], [{"genres": ["Comedy", "Drama"]}])[0]
    np.testing.assert_allclose(row[:6], PINNED, atol=1e-6)


PINNED = [-0.0212358, 0.0870458, 0.0637073, 0.0870457, 0.1719888, 0.0212358]


def test_content_comes_first_and_behaviour_after_it():
    titles, attributes = [f"Item {row}" for row in range(ITEMS)], [{"group": str(row % GROUPS)} for row in range(ITEMS)]
    embeddings, content = item_embeddings(titles, attributes, lambda: BUCKETS, VOCABULARY, VALIDATION)
    assert (embeddings.shape, embeddings.dtype, content) == ((ITEMS, UPSTREAM), np.float32, CONTENT)
    np.testing.assert_array_equal(embeddings[:, :content], CONTENT_LENGTH * content_embeddings(titles, attributes))
    assert not embeddings[NEVER, content:].any()
    assert np.isfinite(embeddings).all()
