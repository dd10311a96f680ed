"""Baselines against loops, and that the learnt one learns."""

from dataclasses import replace

import hand_made
import numpy as np
import pytest
import torch

from onepass_training.config import SMOKE, ModelConfig
from onepass_training.data.dataset import HIDDEN
from onepass_training.evaluation.baselines import cooccurrence as module
from onepass_training.evaluation.baselines.cooccurrence import DECAY, LAST, cooccurrence
from onepass_training.evaluation.baselines.popularity import PRIOR, popularity
from onepass_training.evaluation.baselines.sasrec import predict_sasrec, train_sasrec
from onepass_training.evaluation.scorers import ANY
from onepass_training.evaluation.slates import slate_set


@pytest.fixture(scope="module")
def data():
    return hand_made.dataset()


@pytest.fixture(scope="module")
def slates(data):
    return slate_set(data, data.splits.test_ms, data.splits.end_ms, 10_000, 4)


def told(data, bucket):
    """Histories that count: of each person the one with most events before validation, the last of several such."""
    best = {}
    for history, person in enumerate(bucket.history_person):
        events = bucket.event_time_ms[bucket.event_start[history] : bucket.event_start[history + 1]]
        best[person] = max(best.get(person, (-1, -1)), (int((events < data.splits.validation_ms).sum()), history))
    return {history for _, history in best.values()}


def engaged_before(data, bucket, history):
    events = range(bucket.event_start[history], bucket.event_start[history + 1])
    events = events if history in told(data, bucket) else []
    good = [
        event for event in events if bucket.event_actions[event] & 3 and bucket.event_time_ms[event] < data.splits.validation_ms
    ]
    return [int(bucket.event_item[event]) for event in good]


def test_popularity_counts_on_the_surface_before_validation(data, slates):
    found = popularity(data)
    rows = np.arange(len(slates))
    scores, chances = found.scores(slates, rows, ANY), found.probabilities(slates, rows)
    engaged, shown, saved = np.zeros((2, 30)), np.zeros((2, 30)), np.zeros((2, 30))
    for bucket in data.each_bucket():
        mine = told(data, bucket)
        for event in range(len(bucket.event_item)):
            before = bucket.event_time_ms[event] < data.splits.validation_ms and bucket.event_history[event] in mine
            if before and bucket.event_actions[event] & 3:
                engaged[bucket.event_surface[event], bucket.event_item[event]] += 1
        for place, slate in enumerate(bucket.shown_slate):
            if bucket.slate_time_ms[slate] < data.splits.validation_ms and bucket.shown_visible[place] != HIDDEN:
                cell = bucket.slate_surface[slate], bucket.shown_item[place]
                shown[cell] += 1
                saved[cell] += bool(bucket.shown_actions[place] & hand_made.SAVE)
    assert scores.tolist() == engaged[slates.surface].tolist()
    usual = saved.sum(axis=1) / shown.sum(axis=1)
    rates = (saved + PRIOR * usual[:, None]) / (shown + PRIOR)
    np.testing.assert_allclose(chances[..., 1], rates[slates.surface[:, None], slates.items], rtol=1e-6)


@pytest.mark.parametrize("kept", [200, 2])
def test_cooccurrence_is_the_cosine_of_what_is_near(data, slates, monkeypatch, kept):
    monkeypatch.setattr(module, "NEIGHBOURS", kept)
    near = 3
    pairs, times = np.zeros((30, 30)), np.zeros(30)
    for bucket in data.each_bucket():
        for history in range(bucket.histories):
            items = engaged_before(data, bucket, history)
            for at, item in enumerate(items):
                times[item] += 1
                for other in items[at + 1 : at + 1 + near]:
                    if other != item:
                        pairs[item, other] += 1
                        pairs[other, item] += 1
    cosine = pairs / np.sqrt((times[:, None] + module.PRIOR) * (times + module.PRIOR))
    for item in range(30):
        order = sorted(range(30), key=lambda other, row=cosine[item]: (-row[other], other))
        cosine[item, order[kept:]] = 0
    rows = np.arange(len(slates))
    found = cooccurrence(data, near).scores(slates, rows, ANY)
    for row in rows:
        past = slice(slates.first[row], slates.prefix[row])
        asked = slates.event_item[past][slates.event_engaged[past]][-LAST:][::-1].tolist()
        expected = sum((DECAY ** (age + 1) * cosine[item] for age, item in enumerate(asked)), np.zeros(30))
        if slates.related[row] >= 0:
            expected = expected + cosine[slates.related[row]]
        np.testing.assert_allclose(found[row], expected, rtol=1e-5, atol=1e-7)


def test_items_seen_once_are_not_the_nearest_of_all():
    """Items 0 and 1 go together for twenty people; 0 and 2 once, which is all that anybody did with 2."""
    base = hand_made.bucket(1, histories=21, items=30)
    items = np.concatenate([np.tile([0, 1], 20), [0, 2]])
    told = {"event_query": np.full(42, -1), "event_actions": np.full(42, hand_made.CLICK, np.uint32)}
    nothing = {"event_surface": np.zeros(42, np.int64), "event_time_ms": np.zeros(42, np.int64)}
    one = replace(base, event_start=np.arange(22) * 2, event_item=items, **told, **nothing)
    found = cooccurrence(replace(hand_made.dataset(), held=(one,)))
    assert found.other[found.start[0] : found.start[1]].tolist() == [1, 2]


def test_pairs_seen_least_are_dropped_when_there_are_too_many(data, monkeypatch):
    monkeypatch.setattr(module, "HELD", 20)
    found = cooccurrence(data, 3)
    assert 0 < len(found.other) <= 40


TINY = replace(SMOKE, steps=120, batch=8, negatives=20, learning_rate=1e-2,
               model=ModelConfig(width=16, layers=1, heads=2, window=12))  # fmt: skip


def ring(seed):
    """Histories in which item i is followed by item i + 1."""
    base = hand_made.bucket(seed, histories=30, items=20, most_events=30)
    first = np.random.default_rng(seed).integers(0, 20, base.histories)[base.event_history]
    items = (first + np.arange(len(base.event_item)) - base.event_start[base.event_history]) % 20
    actions = np.full(len(items), hand_made.CLICK, np.uint32)
    return replace(base, event_item=items, event_query=np.full(len(items), -1), event_actions=actions)


def test_sasrec_learns_what_follows(data):
    order = replace(hand_made.dataset(items=20), held=(ring(1), ring(2)))
    slates = slate_set(order, order.splits.test_ms, order.splits.end_ms, 10_000, 4)
    found = predict_sasrec(train_sasrec(order, TINY), slates)
    rows = np.flatnonzero(slates.prefix > slates.first)
    best = found.scores(slates, rows, ANY).argmax(axis=1)
    assert (best == (slates.event_item[slates.prefix[rows] - 1] + 1) % 20).mean() > 0.9


def test_sasrec_answers_from_shared_windows_what_it_answers_alone(data, slates):
    model = train_sasrec(data, replace(TINY, steps=2, model=replace(TINY.model, window=100)))
    found = predict_sasrec(model, slates)
    for row in range(0, len(slates), 7):
        past = slice(slates.first[row], slates.prefix[row])
        items = slates.event_item[past][slates.event_engaged[past]]
        if not len(items):
            assert not found.hidden[row].any()
            continue
        with torch.no_grad():
            alone = model(torch.from_numpy(items[None]))[0, -1].numpy()
        np.testing.assert_allclose(found.hidden[row], alone, atol=1e-5)
