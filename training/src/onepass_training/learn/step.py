"""One pass of a batch through the model, and the loss over it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import TrainConfig
from ..data.dataset import Dataset
from ..model.onepass_model import OnepassModel
from .collate import Batch
from .device import trunk_precision
from .losses import action_loss, log_inclusion, own_target_loss, retrieval_loss, score_distance
from .survey import Survey

MIXED_SHARE, MIXED_SPREAD = 0.25, 0.2
"""Share of slates that train mixed up, and the parameter of the Beta law that says how much."""


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
    """A step's loss, and its parts before their weights."""

    total: Tensor
    parts: dict[str, Tensor]


class TrainStep:
    """Computes the losses of a batch with the item tower live, so that its gradient comes from all of them.

    L = w_item L_item + w_action L_action + w_query L_query + w_fresh L_fresh, in one pass.
    """

    def __init__(
        self, model: OnepassModel, dataset: Dataset, survey: Survey, config: TrainConfig, device: torch.device | None = None
    ) -> None:
        self._model, self._survey, self._config = model, survey, config
        self._device = device or torch.device("cpu")
        self._upstream = torch.from_numpy(dataset.items.upstream)
        """On the host: only the rows of a batch move."""
        self._born = np.flatnonzero(dataset.items.born_ms < dataset.splits.validation_ms)
        """Random negatives: an item that came later is nobody's, and would be taught to be unwanted."""
        weights = [config.action_weights.get(name, 1.0) for name in dataset.vocabulary.names]
        self._weights = torch.tensor(weights, device=self._device)

    def losses(self, batch: Batch, random: np.random.Generator, training: bool = True) -> Losses:
        """L_item at unmasked past positions and contexts, L_action at masked ones and all candidates, L_query at texts.

        The trunk runs in the run's precision, all else in fp32. Items are hidden and mixed up only when training.
        """
        model, config = self._model, self._config
        uniform = random.choice(self._born, config.negatives)
        pool = np.unique(np.concatenate([batch.targets.items, uniform]) if config.in_batch else uniform)
        own = batch.targets.items
        parts = [batch.past_items.ravel(), batch.candidates.ravel(), torch.from_numpy(pool), torch.from_numpy(own)]
        needed, where = torch.unique(torch.cat(parts), return_inverse=True)
        upstream = self._upstream[needed]
        upstream = self._as_new(upstream, needed, batch, random) if training else upstream
        batch, where = batch.to(self._device), where.to(self._device)
        table = model.embed_items(upstream.to(self._device))
        past_at, candidate_at, pool_at, own_at = where.split([len(part) for part in parts])
        queries = embed_batch_queries(model, batch)
        past = past_rows(batch, table[past_at].view(*batch.past_items.shape, -1), queries)
        candidates, labels = table[candidate_at].view(*batch.candidates.shape, -1), batch.labels
        if training:
            candidates, labels = self._mixed(candidates, batch, random)
        branches = branch_rows(model, batch, candidates, queries)
        with trunk_precision(config.precision, self._device):
            past_hidden, branch_hidden = model.train_pass(past, branches, batch.prefix)
        past_hidden, branch_hidden = past_hidden.float(), branch_hidden.float()
        contexts = branch_hidden[:, :, 0]
        item, query = self._item_losses(batch, past_hidden, contexts, queries, (table[pool_at], pool), (table[own_at], own))
        logits = model.score(contexts, branch_hidden[:, :, 1:], candidates)
        fresh = self._fresh_loss(logits, batch)
        action = self._action_loss(batch, past_hidden, logits, labels)
        named = {"item": item, "action": action, "query": query, "fresh": fresh}
        weights = (config.item_weight, config.action_weight, config.query_weight * config.item_weight, config.fresh_weight)
        total = sum(weight * part for weight, part in zip(weights, named.values(), strict=True) if weight)
        return Losses(total, named)

    def _as_new(self, upstream: Tensor, needed: Tensor, batch: Batch, random: np.random.Generator) -> Tensor:
        """`upstream` [n, U] of items `needed` [n], with the behaviour columns at zero of those that a slate of the batch showed
        while they were new, and of some at random."""
        content, share = self._model.content, self._config.behaviour_dropout
        if content == upstream.shape[1]:
            return upstream
        keep = random.random(len(upstream)) >= share
        if self._model.config.parts.point_in_time:
            keep &= ~torch.isin(needed, batch.candidates[batch.candidate_fresh]).numpy()
        return torch.cat([upstream[:, :content], upstream[:, content:] * torch.from_numpy(keep)[:, None]], dim=1)

    def _mixed(self, candidates: Tensor, batch: Batch, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Manifold mixup (arXiv 1806.05236, for cold items 2512.17277): in some slates every candidate's embedding, and its
        labels, are drawn towards the next one's. Gives candidates [B, M, K, E] and labels [B, M, K, A]."""
        if not self._model.config.parts.mixup:
            return candidates, batch.labels
        shape = batch.prefix.shape
        chosen = random.random(shape) < MIXED_SHARE
        drawn = random.beta(MIXED_SPREAD, MIXED_SPREAD, shape)
        other = np.where(chosen, np.minimum(drawn, 1 - drawn), 0)
        share = torch.from_numpy(other.astype(np.float32)).to(candidates.device)[..., None, None]
        # A neighbour that is padding has nothing to mix in, one that nobody looked at no labels.
        share = share * torch.roll(batch.labelled > 0, -1, dims=2)[..., None]
        mixed = candidates + share * (torch.roll(candidates, -1, dims=2) - candidates)
        return mixed, batch.labels + share * (torch.roll(batch.labels, -1, dims=2) - batch.labels)

    def _action_loss(self, batch: Batch, past: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """At masked past positions and at candidates, the latter with what their places on the page add."""
        shown = batch.labelled > 0
        biased = logits + self._model.place_bias(batch.candidate_position)
        of_past = self._model.action_head(past[batch.past_scored])
        rows = torch.cat([of_past.new_ones(len(of_past)), batch.labelled[shown]])
        every = torch.cat([batch.past_actions[batch.past_scored], labels[shown]])
        return action_loss(torch.cat([of_past, biased[shown]]), every, self._weights, rows)

    def _fresh_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The cold-start score regularisation over candidates."""
        if not self._model.config.parts.score_regularisation or not self._config.fresh_weight:
            return logits.new_zeros(())
        return score_distance(logits[batch.candidate_valid], batch.candidate_fresh[batch.candidate_valid])

    def _item_losses(
        self,
        batch: Batch,
        past: Tensor,
        contexts: Tensor,
        texts: Tensor,
        pool: tuple[Tensor, np.ndarray],
        own: tuple[Tensor, np.ndarray],
    ) -> tuple[Tensor, Tensor]:
        """L_item, and L_query: the same of the query tower's output alone for slates that were searched for by text.

        pool [I, E] with its items [I]; own [R, E] the targets with theirs [R].
        """
        targets = batch.targets
        if not len(targets.items):
            return past.new_zeros(()), past.new_zeros(())
        hidden = torch.cat([past.flatten(0, 1)[targets.past_rows], contexts.flatten(0, 1)[targets.context_rows]])
        queries = self._model.retrieve(hidden, targets.outcomes, targets.offsets, targets.surfaces)
        text_at = batch.context_queries.flatten()[targets.context_rows]
        typed = (text_at >= 0) & targets.now[len(targets.past_rows) :]
        which = torch.nonzero(typed)[:, 0] + len(targets.past_rows)
        item = self._softmax(queries, torch.arange(len(queries), device=past.device), pool, own, targets.weights)
        if not len(which):
            return item, item.new_zeros(())
        return item, self._softmax(texts[text_at[typed]], which, pool, own, targets.weights)

    def _softmax(
        self, queries: Tensor, rows: Tensor, pool: tuple[Tensor, np.ndarray], own: tuple[Tensor, np.ndarray], weights: Tensor
    ) -> Tensor:
        """Sampled softmax of `queries` [r, E] for targets `rows` [r], of which each counts for its of `weights` [R]."""
        (embeddings, items), (targets, target_items), config = pool, own, self._config
        scale, weights = self._model.log_scale, weights[rows]
        if not config.in_batch:
            repeats = torch.from_numpy(target_items).to(rows.device)[rows, None] == torch.from_numpy(items).to(rows.device)
            return own_target_loss(queries, embeddings, targets[rows], repeats, scale, weights)
        at = torch.from_numpy(np.searchsorted(items, target_items)).to(rows.device)[rows]
        if config.log_q == "off":
            log_q = torch.zeros(len(items), device=rows.device)
        else:
            q = log_inclusion(self._survey.share(items), len(target_items), config.negatives, len(self._born))
            log_q = torch.from_numpy(q).to(rows.device)
        return retrieval_loss(queries, embeddings, log_q, at, scale, weights)
