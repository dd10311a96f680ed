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
from ...learn.train import learning_rate, optimizers
from ...model.trunk import Trunk, rotation_of
from ...progress import Progress
from ..metrics import FLOAT
from ..scorers import Ask, Contender
from ..slates import SlateSet

DROPOUT = 0.2
"""On the input, as in the paper."""
BATCH = 64
"""Windows at a time in evaluation."""


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
        rotation = rotation_of(torch.arange(items.shape[1], device=items.device), self.trunk.frequencies)
        for block in self.trunk.blocks:
            q, k, v = (part.transpose(1, 2) for part in block.project(rows, rotation))
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
            rows = block.finish(rows, mixed.transpose(1, 2))
        return self.final_norm(rows)


@dataclass(frozen=True)
class SasRecPredictions:
    """Its answers for the slates of a set. It knows what was engaged with, in order: no surface, time, query or action."""

    table: FLOAT
    """[N, W]"""
    hidden: FLOAT
    """[R, W] after the last engaged item before each slate; zeros where there is none."""

    def scores(self, slates: SlateSet, rows: INT, ask: Ask) -> FLOAT:
        """[r, N]; all alike for nobody's history."""
        return self.hidden[rows] @ self.table.T

    def contender(self) -> Contender:
        """For the evaluation."""
        return Contender(self, table=self.table / np.linalg.norm(self.table, axis=1, keepdims=True))


@torch.no_grad()
def predict_sasrec(model: SasRec, slates: SlateSet) -> SasRecPredictions:
    """Slates that share a window are at most a quarter of it apart, as in the model's own evaluation."""
    before = np.concatenate([[0], np.cumsum(slates.event_engaged)])
    items = slates.event_item[slates.event_engaged]
    windows = _windows(before[slates.first], before[slates.prefix], model.config.window)
    hidden = np.zeros((len(slates), model.config.width), np.float32)
    for at in range(0, len(windows), BATCH):
        some = windows[at : at + BATCH]
        history, _ = padded(items, *np.array([(window.start, window.end) for window in some]).T)
        out = model(torch.from_numpy(history)).numpy()
        for row, window in zip(out, some, strict=True):
            hidden[window.rows] = row[before[slates.prefix[window.rows]] - window.start - 1]
    return SasRecPredictions(model.items.weight.numpy(), hidden)


@dataclass(frozen=True)
class _Window:
    """Engaged items start .. end, and the slates that are answered from them."""

    start: int
    end: int
    rows: INT


def _windows(first: INT, prefix: INT, window: int) -> list[_Window]:
    """Of slates [R] made from engaged items first .. prefix, those made from any; windows of like length side by side."""
    order = np.lexsort((prefix, first))
    order = order[prefix[order] > first[order]]
    found = []
    for group in np.split(order, np.flatnonzero(np.diff(first[order])) + 1):
        while len(group):
            count = int(np.searchsorted(prefix[group], prefix[group[0]] + window // 4, side="right"))
            end = int(prefix[group[count - 1]])
            found.append(_Window(max(int(first[group[0]]), end - window), end, group[:count]))
            group = group[count:]
    return sorted(found, key=lambda one: one.end - one.start)


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
    engaged &= (bucket.event_item != NONE) & bucket.told_before(dataset.splits.validation_ms)
    before = np.concatenate([[0], np.cumsum(engaged)])
    start, end = before[bucket.event_start[:-1]], before[bucket.event_start[1:]]
    able = end - start >= 2
    return _Histories(bucket.event_item[engaged], start[able], end[able])


def train_sasrec(dataset: Dataset, config: TrainConfig) -> SasRec:
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
    return model.eval()


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
