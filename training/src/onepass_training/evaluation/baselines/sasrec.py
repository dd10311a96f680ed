"""SASRec (arXiv 1808.09781) with a sampled softmax: item id embeddings and a causal transformer over engaged items."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ...config import ModelConfig, TrainConfig
from ...data.dataset import INT, NONE, Bucket, Dataset
from ...learn.losses import log_inclusion
from ...learn.train import learning_rate
from ...model.trunk import Trunk
from ...progress import Progress
from ..metrics import FLOAT, expand
from ..scorers import Ask, Contender
from ..slates import SlateSet

DROPOUT = 0.2
"""On the input, as in the paper."""
BATCH = 64
"""Histories at a time in evaluation."""


class SasRec(nn.Module):
    """Learnt id embeddings [N, W], tied for input and output, and the model's own trunk (rotary, not learnt, positions)."""

    def __init__(self, config: ModelConfig, items: int) -> None:
        super().__init__()
        self.config = config
        self.items = nn.Embedding(items, config.width)
        self.trunk = Trunk(config)
        self.final_norm = nn.LayerNorm(config.width)
        nn.init.normal_(self.items.weight, std=config.width**-0.5)
        for name, parameter in self.trunk.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / (2 * config.layers) ** 0.5)
            elif name.endswith(("qkv.weight", "up.weight")):
                nn.init.normal_(parameter, std=config.width**-0.5)

    def forward(self, items: Tensor) -> Tensor:
        """items [B, P] to hidden states [B, P, W]."""
        rows = functional.dropout(self.items(items) * self.config.width**0.5, DROPOUT, self.training)
        positions = torch.arange(items.shape[1], device=items.device)
        for block in self.trunk.blocks:
            q, k, v = (part.transpose(1, 2) for part in block.project(rows, positions, self.trunk.frequencies))
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
            rows = block.finish(rows, mixed.transpose(1, 2))
        return self.final_norm(rows)


@dataclass(frozen=True)
class SasRecScorer:
    """A trained one as a retriever. It knows what was engaged with, in order: no surface, time, query or action."""

    model: SasRec

    @torch.no_grad()
    def scores(self, slates: SlateSet, rows: INT, ask: Ask) -> FLOAT:
        """[r, N]; all alike for nobody's history."""
        model, window = self.model.eval(), self.model.config.window
        at, event = expand(slates.first[rows], slates.prefix[rows])
        at, items = at[slates.event_engaged[event]], slates.event_item[event[slates.event_engaged[event]]]
        ends = np.cumsum(np.bincount(at, minlength=len(rows)))
        starts = np.maximum(np.concatenate([[0], ends[:-1]]), ends - window)
        scores = np.zeros((len(rows), model.items.num_embeddings), np.float32)
        for some in _by_length(starts, ends):
            history, lengths = padded(items, starts[some], ends[some])
            hidden = model(torch.from_numpy(history))[torch.arange(len(some)), torch.from_numpy(lengths - 1)]
            scores[some] = (hidden @ model.items.weight.T).numpy()
        return scores

    def contender(self) -> Contender:
        """For the evaluation."""
        table = functional.normalize(self.model.items.weight.detach(), dim=-1).numpy()
        return Contender(self, table=table)


def _by_length(starts: INT, ends: INT) -> list[INT]:
    """Rows with a history, those of like length together, BATCH at a time."""
    order = np.argsort(ends - starts, kind="stable")
    order = order[(ends - starts)[order] > 0]
    return [order[at : at + BATCH] for at in range(0, len(order), BATCH)]


def padded(items: INT, starts: INT, ends: INT) -> tuple[INT, INT]:
    """Ranges of `items` as rows [B, P], padded behind with the range's last item, and their lengths [B]."""
    lengths = ends - starts
    columns = np.arange(max(1, lengths.max()))
    return items[np.minimum(starts[:, None] + columns, ends[:, None] - 1)], lengths


@dataclass(frozen=True)
class _Histories:
    """What trains: engaged items by history, those with at least two."""

    items: INT
    start: INT
    end: INT
    """[H]"""


def _histories(bucket: Bucket, dataset: Dataset) -> _Histories:
    engaged = (bucket.event_actions & np.uint32(dataset.vocabulary.positive_bits)) != 0
    engaged &= (bucket.event_item != NONE) & (bucket.event_time_ms < dataset.splits.validation_ms)
    before = np.concatenate([[0], np.cumsum(engaged)])
    start, end = before[bucket.event_start[:-1]], before[bucket.event_start[1:]]
    able = end - start >= 2
    return _Histories(bucket.event_item[engaged], start[able], end[able])


def optimizers(model: SasRec, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest: what the model itself is trained with."""
    inside = [parameter for parameter in model.trunk.parameters() if parameter.ndim == 2]
    taken = {id(parameter) for parameter in inside}
    others = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    return [
        torch.optim.Muon(inside, lr=config.learning_rate, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)),
    ]


def train_sasrec(dataset: Dataset, config: TrainConfig) -> SasRecScorer:
    """As many steps of as many histories, with the same optimisers and negatives, as a run of `config`. ValueError if nobody
    engaged with two items before the validation days."""
    torch.manual_seed(config.seed)
    model = SasRec(config.model, len(dataset.items)).train()
    share = dataset.training_counts(dataset.vocabulary.positive_bits).sum(axis=0) + 1e-3
    share = share / share.sum()
    steps, progress = optimizers(model, config), Progress("sasrec", config.steps)
    held: dict[int, _Histories] = {}
    for step in range(config.steps):
        random = np.random.default_rng([config.seed, 61, step])
        index = _bucket_of(step, dataset.buckets, config)
        if index not in held:
            held = {index: _histories(dataset.bucket(index), dataset)}
        for optimizer in steps:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
        loss = _loss(model, held[index], config, share, random)
        model.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in steps:
            optimizer.step()
        progress.step(f"loss {float(loss.detach()):.3f}")
    progress.close()
    return SasRecScorer(model.eval())


def _bucket_of(step: int, buckets: int, config: TrainConfig) -> int:
    """Each bucket for a stretch of steps, in order, so that few are loaded."""
    return min(step * buckets // max(1, config.steps), buckets - 1)


def _loss(
    model: SasRec, histories: _Histories, config: TrainConfig, share: NDArray[np.float64], random: np.random.Generator
) -> Tensor:
    """Cross entropy of the next engaged item at every position, over in-batch and uniform negatives with logQ."""
    if not len(histories.start):
        raise ValueError("nobody in a bucket engaged with two items before the validation days")
    drawn = random.integers(0, len(histories.start), config.batch)
    start, end = histories.start[drawn], histories.end[drawn]
    start = start + (random.random(len(drawn)) * np.maximum(end - start - config.model.window, 1)).astype(np.int64)
    end = np.minimum(end, start + config.model.window + 1)
    rows, lengths = padded(histories.items, start, end)
    hidden = model(torch.from_numpy(rows[:, :-1]))
    real = np.arange(rows.shape[1] - 1) < (lengths - 1)[:, None]
    targets = rows[:, 1:][real]
    uniform = random.integers(0, len(share), config.negatives)
    pool = np.unique(np.concatenate([targets, uniform]))
    log_q = torch.from_numpy(log_inclusion(share[pool], len(targets), config.negatives, len(share)))
    logits = hidden[torch.from_numpy(real)] @ model.items(torch.from_numpy(pool)).T - log_q
    return functional.cross_entropy(logits, torch.from_numpy(np.searchsorted(pool, targets)))
