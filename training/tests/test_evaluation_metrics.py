"""Metrics against brute force: every number once more by a loop."""

import math

import numpy as np
import pytest

from onepass_training.evaluation.metrics import (
    auc,
    calibration_error,
    coverage,
    distinct_values,
    diversity,
    expand,
    found_share,
    hit_at,
    log_loss,
    merge_by_budget,
    ndcg_at,
    ranks,
    shares,
    top_items,
)

RANDOM = np.random.default_rng(5)
TIED = RANDOM.integers(0, 6, (40, 25)) / 8
"""[40, 25] scores full of ties."""


def ordered(scores, items=None):
    """Places of one row of scores, best first, ties by item."""
    items = range(len(scores)) if items is None else items
    return sorted(range(len(scores)), key=lambda at: (-scores[at], items[at]))


def test_ranks_and_best_items_break_ties_by_item():
    target = RANDOM.integers(0, 25, 40)
    best = [ordered(row) for row in TIED]
    assert ranks(TIED, target).tolist() == [row.index(item) for row, item in zip(best, target.tolist(), strict=True)]
    for most in (1, 7, 25):
        assert top_items(TIED, most).tolist() == [row[:most] for row in best]


def test_what_is_taken_out_is_in_no_list():
    scores = TIED.copy()
    scores[:, 5:] = -np.inf
    lists = top_items(scores, 8)
    assert (lists[:, :5] >= 0).all()
    assert (lists[:, 5:] == -1).all()
    assert top_items(TIED[:, :3], 5)[:, 3:].tolist() == [[-1, -1]] * 40
    assert ranks(scores, np.full(40, 3)).max() < 5


def test_expand_is_ranges():
    rows, values = expand(np.array([3, 7, 7, 1]), np.array([5, 7, 9, 2]))
    assert rows.tolist() == [0, 0, 2, 2, 3]
    assert values.tolist() == [3, 4, 7, 8, 1]


def test_budgets_share_all_places():
    assert shares((0.5, 0.25, 0.25), 10) == [5, 3, 2]
    assert shares((1.0,), 100) == [100]
    assert sum(shares((0.3, 0.3, 0.4), 7)) == 7


def test_merging_brings_no_item_twice():
    lists = [np.array([row, row[::-1]]) for row in RANDOM.permuted(np.tile(np.arange(12), (3, 1)), axis=1)]
    merged = merge_by_budget(lists, (0.5, 0.3, 0.2), 10)
    for at in range(2):
        kept = []
        for items, share in zip(lists, (5, 3, 2), strict=True):
            kept += [item for item in items[at].tolist() if item not in kept][:share]
        assert merged[at].tolist() == kept
    short = merge_by_budget([np.array([[4, 2, -1, -1]]), np.array([[2, 4, -1, -1]])], (0.5, 0.5), 4)
    assert short.tolist() == [[4, 2, -1, -1]]


def test_unordered_recall_is_the_share_found():
    retrieved = np.array([[1, 2, 3], [4, -1, -1], [5, 6, 7]])
    share = found_share(retrieved, np.array([0, 0, 0, 1]), np.array([3, 1, 9, 3]), 10)
    assert share[:2].tolist() == [2 / 3, 0]
    assert math.isnan(share[2])


def test_hits_and_ndcg_by_slate():
    items = np.array([RANDOM.permutation(25) for _ in range(40)])
    labels = RANDOM.random((40, 25)) < 0.1
    gains = RANDOM.integers(0, 3, (40, 25)) * (RANDOM.random((40, 25)) < 0.3)
    gains[0] = 0
    best = [ordered(row, of.tolist()) for row, of in zip(TIED, items, strict=True)]
    assert hit_at(TIED, items, labels, 3).tolist() == [bool(row[at[:3]].any()) for row, at in zip(labels, best, strict=True)]
    found = ndcg_at(TIED, items, gains.astype(float), 10)
    assert math.isnan(found[0])
    for row in range(1, 40):
        ideal = sum(gain / math.log2(place + 2) for place, gain in enumerate(sorted(gains[row], reverse=True)[:10]))
        got = sum(gains[row][at] / math.log2(place + 2) for place, at in enumerate(best[row][:10]))
        assert found[row] == pytest.approx(got / ideal) if ideal else math.isnan(found[row])


def test_auc_counts_pairs_and_ties_half():
    predicted, labels = TIED.ravel()[:300], RANDOM.random(300) < 0.2
    pairs = [(a > b) + (a == b) / 2 for a in predicted[labels] for b in predicted[~labels]]
    assert auc(predicted, labels) == pytest.approx(np.mean(pairs))
    assert math.isnan(auc(predicted, np.ones(300, bool)))


def test_calibration_error_over_bins_of_equal_mass():
    predicted = np.sort(RANDOM.random(3_000))
    labels = RANDOM.random(3_000) < predicted**2
    bins = zip(np.split(predicted, 15), np.split(labels, 15), strict=True)
    assert calibration_error(predicted, labels) == pytest.approx(np.mean([abs(p.mean() - y.mean()) for p, y in bins]))
    assert calibration_error(predicted, RANDOM.random(3_000) < predicted) < 0.05
    assert math.isnan(calibration_error(predicted[:0], labels[:0]))


def test_log_loss_holds_at_the_ends():
    found = log_loss(np.array([0.0, 1.0, 0.25, 0.25]), np.array([True, True, True, False]))
    assert found == pytest.approx([-math.log(1e-7), 0, -math.log(0.25), -math.log(0.75)], abs=1e-6)


def test_coverage_and_variety():
    embeddings = RANDOM.standard_normal((12, 4))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    lists = np.array([[0, 3, 5], [3, 8, -1], [2, -1, -1]])
    assert coverage(lists, 12) == 5 / 12
    found = diversity(lists, embeddings)
    cosines = embeddings @ embeddings.T
    assert found[0] == pytest.approx(1 - np.mean([cosines[0, 3], cosines[0, 5], cosines[3, 5]]))
    assert found[1] == pytest.approx(1 - cosines[3, 8])
    assert math.isnan(found[2])
    starts, values = np.array([0, 2, 2, 3, 4, 4, 6, 6, 6, 7, 7, 7, 7]), np.array([0, 1, 2, 1, 1, 4, 1])
    assert distinct_values(lists, starts, values).tolist() == [3, 1, 1]
