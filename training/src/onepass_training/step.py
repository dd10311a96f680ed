"""One pass of a batch through the model, and the loss over it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .examples import Batch
from .losses import action_loss, log_inclusion, retrieval_loss
from .model import OnepassModel


def branch_rows(model: OnepassModel, batch: Batch, candidates: Tensor) -> Tensor:
    """[B, M, 1 + K, F]: the context row of each slate, then its candidates, whose embeddings are `candidates` [B, M, K, E]."""
    context = model.embed_items(batch.context_upstream) * batch.context_known
    context = torch.cat([context, batch.context_features], dim=-1)
    features = batch.candidate_features[:, :, None].expand(-1, -1, candidates.shape[2], -1)
    return torch.cat([context[:, :, None], torch.cat([candidates, features], dim=-1)], dim=2)


@dataclass(frozen=True)
class Losses:
    """The two parts of a step's loss."""

    item: Tensor
    action: Tensor


class TrainStep:
    """Computes the losses of a batch with the item tower live, so that its gradient comes from both of them."""

    def __init__(self, model: OnepassModel, upstream: Tensor, counts: np.ndarray, negatives: int, weights: Tensor) -> None:
        self._model, self._upstream, self._counts = model, upstream, counts
        self._negatives, self._weights = negatives, weights

    def losses(self, batch: Batch, random: np.random.Generator) -> Losses:
        """L_item at unmasked past positions and contexts, L_action at masked past positions and all candidates."""
        model = self._model
        uniform = random.integers(0, len(self._upstream), self._negatives)
        pool = np.unique(np.concatenate([batch.targets.items, uniform]))
        parts = (batch.past_items.ravel(), batch.candidates.ravel(), torch.from_numpy(pool))
        needed, where = torch.unique(torch.cat(parts), return_inverse=True)
        table = model.embed_items(self._upstream[needed])
        past_at, candidate_at, pool_at = where.split([len(part) for part in parts])
        past = torch.cat([table[past_at].view(*batch.past_items.shape, -1), batch.past_features], dim=-1)
        candidates = table[candidate_at].view(*batch.candidates.shape, -1)
        branches = branch_rows(model, batch, candidates)
        past_hidden, branch_hidden = model.train_pass(past, branches, batch.prefix)
        item = self._item_loss(batch, past_hidden, branch_hidden[:, :, 0], table[pool_at], pool)
        of_slates = model.score(branch_hidden[:, :, 0], branch_hidden[:, :, 1:], candidates)[batch.slate_valid]
        logits = torch.cat([model.action_head(past_hidden[batch.past_scored]), of_slates.flatten(0, 1)])
        labels = torch.cat([batch.past_actions[batch.past_scored], batch.labels[batch.slate_valid].flatten(0, 1)])
        return Losses(item, action_loss(logits, labels, self._weights))

    def _item_loss(self, batch: Batch, past: Tensor, contexts: Tensor, pool: Tensor, pool_items: np.ndarray) -> Tensor:
        targets = batch.targets
        hidden = torch.cat([past.flatten(0, 1)[targets.past_rows], contexts.flatten(0, 1)[targets.context_rows]])
        queries = self._model.retrieve(hidden, targets.outcomes, targets.offsets, targets.surfaces)
        log_q = torch.from_numpy(log_inclusion(self._counts, len(targets.items), self._negatives)[pool_items])
        at = torch.from_numpy(np.searchsorted(pool_items, targets.items))
        return retrieval_loss(queries, pool, log_q, at, self._model.log_scale)
