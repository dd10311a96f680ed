"""One pass of a batch through the model, and the loss over it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..model.onepass_model import OnepassModel
from .examples import Batch
from .losses import action_loss, log_inclusion, retrieval_loss


def embed_batch_queries(model: OnepassModel, batch: Batch) -> Tensor:
    """[Q, E] of the batch's texts."""
    return model.embed_queries(batch.query_ids, batch.query_weights)


def _with_queries(embeddings: Tensor, at: Tensor, queries: Tensor) -> Tensor:
    """`embeddings` [..., E], but row `at` [...] of `queries` where that is not -1."""
    return torch.where(at[..., None] >= 0, queries[at.clamp(min=0)], embeddings)


def past_rows(batch: Batch, items: Tensor, queries: Tensor) -> Tensor:
    """[B, P, F] of the past; `items` [B, P, E] where it is not a query, else the text's among `queries` [Q, E]."""
    return torch.cat([_with_queries(items, batch.past_queries, queries), batch.past_features], dim=-1)


def branch_rows(model: OnepassModel, batch: Batch, candidates: Tensor, queries: Tensor) -> Tensor:
    """[B, M, 1 + K, F]: the context row of each slate, then its candidates, whose embeddings are `candidates` [B, M, K, E]."""
    context = _with_queries(model.embed_items(batch.context_upstream) * batch.context_known, batch.context_queries, queries)
    context = torch.cat([context, batch.context_features], dim=-1)
    features = batch.candidate_features[:, :, None].expand(-1, -1, candidates.shape[2], -1)
    return torch.cat([context[:, :, None], torch.cat([candidates, features], dim=-1)], dim=2)


@dataclass(frozen=True)
class Losses:
    """The parts of a step's loss."""

    item: Tensor
    action: Tensor
    query: Tensor


class TrainStep:
    """Computes the losses of a batch with the item tower live, so that its gradient comes from both of them."""

    def __init__(self, model: OnepassModel, upstream: Tensor, counts: np.ndarray, negatives: int, weights: Tensor) -> None:
        self._model, self._upstream, self._counts = model, upstream, counts
        self._negatives, self._weights = negatives, weights

    def losses(self, batch: Batch, random: np.random.Generator) -> Losses:
        """L_item at unmasked past positions and contexts, L_action at masked ones and all candidates, L_query at texts."""
        model = self._model
        uniform = random.integers(0, len(self._upstream), self._negatives)
        pool = np.unique(np.concatenate([batch.targets.items, uniform]))
        parts = (batch.past_items.ravel(), batch.candidates.ravel(), torch.from_numpy(pool))
        needed, where = torch.unique(torch.cat(parts), return_inverse=True)
        table = model.embed_items(self._upstream[needed])
        past_at, candidate_at, pool_at = where.split([len(part) for part in parts])
        queries = embed_batch_queries(model, batch)
        past = past_rows(batch, table[past_at].view(*batch.past_items.shape, -1), queries)
        candidates = table[candidate_at].view(*batch.candidates.shape, -1)
        branches = branch_rows(model, batch, candidates, queries)
        past_hidden, branch_hidden = model.train_pass(past, branches, batch.prefix)
        item, query = self._item_losses(batch, past_hidden, branch_hidden[:, :, 0], queries, (table[pool_at], pool))
        of_slates = model.score(branch_hidden[:, :, 0], branch_hidden[:, :, 1:], candidates)[batch.slate_valid]
        logits = torch.cat([model.action_head(past_hidden[batch.past_scored]), of_slates.flatten(0, 1)])
        labels = torch.cat([batch.past_actions[batch.past_scored], batch.labels[batch.slate_valid].flatten(0, 1)])
        return Losses(item, action_loss(logits, labels, self._weights), query)

    def _item_losses(
        self, batch: Batch, past: Tensor, contexts: Tensor, texts: Tensor, pool: tuple[Tensor, np.ndarray]
    ) -> tuple[Tensor, Tensor]:
        """L_item, and L_query: the same of the query tower's output alone for slates that were searched for by text."""
        targets, (embeddings, items), scale = batch.targets, pool, self._model.log_scale
        hidden = torch.cat([past.flatten(0, 1)[targets.past_rows], contexts.flatten(0, 1)[targets.context_rows]])
        queries = self._model.retrieve(hidden, targets.outcomes, targets.offsets, targets.surfaces)
        log_q = torch.from_numpy(log_inclusion(self._counts, len(targets.items), self._negatives)[items])
        at = torch.from_numpy(np.searchsorted(items, targets.items))
        text_at = batch.context_queries.flatten()[targets.context_rows]
        typed = text_at >= 0
        by_text = (texts[text_at[typed]], at[len(targets.past_rows) :][typed])
        item = retrieval_loss(queries, embeddings, log_q, at, scale)
        if not typed.any():
            return item, item.new_zeros(())
        return item, retrieval_loss(by_text[0], embeddings, log_q, by_text[1], scale)
