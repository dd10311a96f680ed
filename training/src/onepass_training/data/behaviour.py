"""The behaviour part of item embeddings that we make ourselves: who did something with which items, factorised.

The matrix of people and items is reweighted as in correspondence analysis, with the regularisation that keeps a few rare items
from taking whole directions (Chaudhuri, Chung and Tsiatas, 2012), and its leading singular vectors are found by subspace
iteration (Halko, Martinsson and Tropp, 2011), which needs one bucket of people in memory at a time.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from .dataset import FLOAT, INT, Bucket, Vocabulary

BEHAVIOUR = 64
"""Columns."""
PASSES = 5
"""Times that all buckets are read for the singular vectors."""
SPARE = 8
"""Columns of the subspace beside those wanted."""
TRUST = 3.0
"""People at whom an item's direction is believed by half; also what a rate is smoothed with."""
SUMMARY_SCALE = 0.5
"""Brings popularity and rates to about the size of a unit vector's components."""
SEED = 20_261
Buckets = Callable[[], Iterable[Bucket]]


def behaviour_embeddings(
    buckets: Buckets, items: int, vocabulary: Vocabulary, before_ms: int, columns: int = BEHAVIOUR
) -> FLOAT:
    """[N, columns] from events before `before_ms`; zeros for an item without any.

    The first column is popularity, the next ones say for each action how much more often than elsewhere it is done here, the
    rest is a direction: items that the same people liked point the same way. ValueError where nothing was done before.
    """
    actions = len(vocabulary.actions)
    directions = columns - 1 - actions
    if directions < 1:
        raise ValueError(f"{columns} columns of behaviour cannot tell {actions} actions: they need {actions + 2}")
    done, liked = np.zeros((items, actions)), np.zeros(items)
    events = np.zeros(items)
    for bucket in buckets():
        item, bits = _past(bucket, before_ms)
        events += np.bincount(item, minlength=items)
        for action in range(actions):
            done[:, action] += np.bincount(item[(bits >> action) & 1 == 1], minlength=items)
        liked += np.bincount(_likes(bucket, vocabulary, before_ms)[1], minlength=items)
    if not events.any():
        raise ValueError("no item was acted on before the validation days: there is no behaviour to embed")
    embeddings = np.zeros((items, columns), np.float32)
    embeddings[:, 0] = np.log1p(events) / np.log1p(events.max())
    usual = done.sum(axis=0) / events.sum()
    embeddings[:, 1 : 1 + actions] = (done + TRUST * usual) / (events + TRUST)[:, None] - usual
    embeddings *= SUMMARY_SCALE
    embeddings[:, 1 + actions :] = _directions(buckets, vocabulary, before_ms, liked, directions)
    embeddings[events == 0] = 0
    return embeddings


def _past(bucket: Bucket, before_ms: int) -> tuple[INT, INT]:
    """Items and action bits of the actions before a time."""
    use = bucket.told_before(before_ms) & (bucket.event_item >= 0)
    return bucket.event_item[use], bucket.event_actions[use].astype(np.int64)


def _likes(bucket: Bucket, vocabulary: Vocabulary, before_ms: int) -> tuple[INT, INT]:
    """Persons, from 0, and items that they acted on, never badly: each pair once."""
    positive = np.uint32(vocabulary.positive_bits)
    use = bucket.told_before(before_ms) & (bucket.event_item >= 0)
    items = int(bucket.event_item.max(initial=0)) + 1
    pairs = bucket.person[bucket.event_history[use]] * items + bucket.event_item[use]
    bits = bucket.event_actions[use]
    good, bad = np.unique(pairs[(bits & positive) != 0]), np.unique(pairs[(bits & ~positive) != 0])
    liked = np.setdiff1d(good, bad, assume_unique=True)
    return liked // items, liked % items


def _directions(buckets: Buckets, vocabulary: Vocabulary, before_ms: int, liked: np.ndarray, wanted: int) -> FLOAT:
    """[N, wanted] the items' coordinates, as long as they can be trusted, at most 1; zeros for who was liked by nobody."""
    items, width = len(liked), min(wanted + SPARE, len(liked))
    item_weight = torch.from_numpy((liked + liked.mean() + 1e-12) ** -0.5).float()
    basis = torch.linalg.qr(torch.randn(items, width, generator=torch.Generator().manual_seed(SEED)))[0]
    for _ in range(PASSES):
        image = torch.zeros(items, width)
        for bucket in buckets():
            image += _square_times(_likes(bucket, vocabulary, before_ms), item_weight, basis)
        basis, triangle = torch.linalg.qr(image)
    left, values, _ = torch.linalg.svd(triangle)
    # The first direction only says how popular an item is, which has a column of its own.
    # Times the squares of A's singular values, near items are those whose whole neighbourhoods agree: noise counts little.
    found = (basis @ left)[:, 1 : 1 + wanted] * values[1 : 1 + wanted] * item_weight[:, None]
    length = torch.linalg.vector_norm(found, dim=1, keepdim=True)
    known = torch.from_numpy(liked / (liked + TRUST)).float()[:, None]
    found = torch.where(length > 1e-12, found / length.clamp(min=1e-12) * known, 0)
    largest = found.abs().argmax(dim=0)
    found *= torch.sign(found[largest, torch.arange(found.shape[1])])
    result = np.zeros((items, wanted), np.float32)
    result[:, : found.shape[1]] = found.numpy()
    result[liked == 0] = 0
    return result


def _square_times(pairs: tuple[INT, INT], item_weight: Tensor, basis: Tensor) -> Tensor:
    """[N, K] A^T A basis, for the reweighted matrix A of a bucket's people and items. Singular values come out squared."""
    people, items = pairs
    if not len(people):
        return torch.zeros_like(basis)
    count = np.bincount(people).astype(np.float32)
    weight = (count + np.float32(count[count > 0].mean())) ** -0.5
    entries = torch.from_numpy(weight[people]) * item_weight[torch.from_numpy(items)]
    shape = (len(count), len(item_weight))
    matrix = torch.sparse_coo_tensor(torch.from_numpy(np.stack(pairs)), entries, shape, check_invariants=False)
    return torch.sparse.mm(matrix.t(), torch.sparse.mm(matrix, basis))
