"""The losses of the one training stage."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def log_inclusion(share: NDArray, drawn: int, uniform: int, items: int) -> NDArray[np.float32]:
    """log Q(i) of the logQ correction (Yi et al., RecSys 2019) for in-batch and uniform negatives pooled without repeats.

    Q(i) is the chance that item i is in the pool at all: `drawn` targets come by popularity (`share` [I], of all training
    targets), `uniform` negatives evenly from `items`: 1 - exp(-(drawn q_i + uniform / N)).
    """
    return np.log(np.maximum(-np.expm1(-(drawn * share + uniform / items)), 1e-12)).astype(np.float32)


def retrieval_loss(
    queries: Tensor, pool: Tensor, log_q: Tensor, target: Tensor, log_scale: Tensor, weights: Tensor | None = None
) -> Tensor:
    """L_item: weighted mean cross entropy of lambda <q, i> - log Q(i) over the pool.

    queries [R, E] and pool [I, E] unit length, log_q [I], target [R] index into the pool, in which every item is once;
    weights [R], None: all alike.
    """
    return _weighted(functional.cross_entropy(log_scale.exp() * queries @ pool.T - log_q, target, reduction="none"), weights)


def own_target_loss(
    queries: Tensor, pool: Tensor, own: Tensor, repeats: Tensor, log_scale: Tensor, weights: Tensor | None = None
) -> Tensor:
    """L_item without in-batch negatives: each query's own target `own` [R, E] against the uniform pool [I, E].

    `repeats` [R, I] is true where the pool holds the row's own target. Uniform draws need no correction.
    """
    against = (log_scale.exp() * queries @ pool.T).masked_fill(repeats, float("-inf"))
    logits = torch.cat([log_scale.exp() * (queries * own).sum(dim=-1, keepdim=True), against], dim=1)
    first = torch.zeros(len(queries), dtype=torch.long, device=queries.device)
    return _weighted(functional.cross_entropy(logits, first, reduction="none"), weights)


def _weighted(losses: Tensor, weights: Tensor | None) -> Tensor:
    """The weighted mean of losses [R]."""
    return losses.mean() if weights is None else (losses * weights).sum() / weights.sum()


def action_loss(logits: Tensor, labels: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
    """L_action: binary cross entropy of logits and labels [R, A], weighted by action (`weights` [A]) and by row (`rows` [R]):
    summed over actions, the weighted mean over rows."""
    each = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return ((each * weights).sum(dim=-1) * rows).sum() / rows.sum().clamp(min=1)


def score_distance(logits: Tensor, fresh: Tensor, most: int = 128) -> Tensor:
    """Cold start's score regularisation (arXiv 2512.17277): squared maximum mean discrepancy between the logits [R, A] of fresh
    items (`fresh` [R] bool) and of the others, summed over actions. Gaussian kernels of width .5, 1 and 2. Of each side the
    first `most` rows count, so that its cost is bounded; 0 where a side has fewer than two."""
    sides = logits[fresh][:most], logits[~fresh][:most]
    if min(len(side) for side in sides) < 2:
        return logits.new_zeros(())
    (first, second) = (side.T[:, :, None] for side in sides)  # [A, n, 1]

    def near(a: Tensor, b: Tensor) -> Tensor:
        squared = (a - b.transpose(1, 2)) ** 2
        return sum(torch.exp(-squared / (2 * width**2)) for width in (0.5, 1.0, 2.0)).mean(dim=(1, 2))

    return (near(first, first) + near(second, second) - 2 * near(first, second)).sum()
