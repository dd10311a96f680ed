"""The two losses of the one training stage."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def log_inclusion(counts: NDArray, drawn: int, uniform: int) -> NDArray[np.float32]:
    """log Q(i) of the logQ correction (Yi et al., RecSys 2019) for in-batch and uniform negatives pooled without repeats.

    Q(i) is the chance that item i is in the pool at all: `drawn` targets come by popularity (`counts`, of all training
    targets; exact counts, since all items fit in memory), `uniform` negatives evenly: 1 - exp(-(drawn q_i + uniform / N)).
    """
    popularity = counts / max(1, counts.sum())
    return np.log(-np.expm1(-(drawn * popularity + uniform / len(counts)))).astype(np.float32)


def retrieval_loss(queries: Tensor, pool: Tensor, log_q: Tensor, target: Tensor, log_scale: Tensor) -> Tensor:
    """L_item: mean cross entropy of lambda <q, i> - log Q(i) over the pool.

    queries [R, E] and pool [I, E] unit length, log_q [I], target [R] index into the pool, in which every item is once.
    """
    return functional.cross_entropy(log_scale.exp() * queries @ pool.T - log_q, target)


def action_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """L_action: binary cross entropy of logits and labels [R, A], weighted per action, summed over actions, mean over rows."""
    each = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return (each * weights).sum(dim=-1).sum() / max(1, len(logits))
