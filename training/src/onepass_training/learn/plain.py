"""The training loop that one would write first, for comparison: each slate is one sequence with a history of its own.

[past, context, candidates] goes through the same blocks with one dense mask, and AdamW updates everything. Towers, heads,
losses and the collation of rows are ours. Its numbers are those of our pass on the same slates (a test says so): what differs
is that a history is computed once a slate, and not once for all its slates.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..config import TrainConfig
from ..data.dataset import Bucket, Dataset
from ..model.trunk import Trunk, rotation_of
from .examples import Example, ExampleSource
from .train import Trainer


def dense_mask(past: int, rows: int, prefix: Tensor) -> Tensor:
    """[B, past + rows, past + rows] who sees whom in [past, context, candidates], prefix [B] of the past being there.

    The past is causal; the context row sees the past and itself, a candidate the past, the context row and itself.
    """
    at = torch.arange(past + rows, device=prefix.device)
    there = at < prefix[:, None]  # [B, past + rows]
    causal = at <= at[:, None]
    open_column = torch.where(at < past, causal, at == past)
    allowed = open_column & (there[:, None, :] | (at == past) & (at[:, None] >= past))
    return allowed | torch.eye(past + rows, dtype=torch.bool, device=prefix.device)


class DenseTrunk(Trunk):
    """The trunk's blocks over whole sequences."""

    def train_pass(self, past: Tensor, branches: Tensor, prefix: Tensor) -> tuple[Tensor, Tensor]:
        """As Trunk's, for one slate a history: branches [B, 1, 1 + K, W], prefix [B, 1]."""
        length, rows = past.shape[1], branches.shape[2]
        own = prefix + (torch.arange(rows, device=past.device) > 0)  # [B, 1 + K]
        positions = torch.cat([torch.arange(length, device=past.device).expand(len(past), -1), own], dim=1)
        rotation = rotation_of(positions, self.frequencies)
        allowed = dense_mask(length, rows, prefix[:, 0])[:, None]
        x = torch.cat([past, branches[:, 0]], dim=1)
        for block in self.blocks:
            q, k, v = (part.transpose(1, 2) for part in block.project(x, rotation))
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed, scale=1.0)
            x = block.finish(x, mixed.transpose(1, 2))
        return x[:, :length], x[:, None, length:]


class OneSlateBatches:
    """Batches of training slates, each behind the window of events that was there when it was shown.

    A batch has as many positions as one of ours, so that what a step costs beside them counts for both alike.
    """

    def __init__(self, source: ExampleSource, config: TrainConfig) -> None:
        self._view, self._seed = source.view(0), config.seed
        bucket, slates = self._view.bucket, np.flatnonzero(self._view.trains)
        first = bucket.event_start[bucket.slate_history[slates]]
        self._starts = np.maximum(first, bucket.slate_prefix[slates] - config.model.window)
        lengths = bucket.slate_prefix[slates] - self._starts
        order = np.random.default_rng([config.seed, 51]).permutation(len(slates))
        order = order[np.argsort(lengths[order], kind="stable")]  # like lengths share a batch, as in ours
        self._slates, self._starts = slates[order], self._starts[order]
        branch, view = 1 + config.slate_items, self._view
        windows = np.minimum(view.lengths[view.histories], config.model.window)
        ours = config.batch * (windows.mean() + config.slates * branch)
        self.size = max(1, round(ours / (lengths.mean() + branch)))
        """Sequences of a batch."""

    def at(self, step: int) -> tuple[Bucket, list[Example], np.random.Generator]:
        """As TrainingBatches' `at`."""
        random, bucket, size = np.random.default_rng([self._seed, 52, step]), self._view.bucket, self.size
        at = int(random.integers(max(1, len(self._slates) // size))) * size
        chosen = zip(self._slates[at : at + size], self._starts[at : at + size], strict=True)
        examples = [
            Example(int(bucket.slate_history[slate]), int(start), int(bucket.slate_prefix[slate]), np.array([slate]))
            for slate, start in chosen
        ]
        return bucket, examples, random


class PlainTrainer(Trainer):
    """A Trainer whose step is the plain one. Its checkpoints and logs are nobody's concern."""

    def __init__(self, config: TrainConfig, dataset: Dataset, directory: Path, device: torch.device | None = None) -> None:
        super().__init__(config, dataset, directory, device)
        trunk = DenseTrunk(config.model)
        trunk.load_state_dict(self.model.trunk.state_dict())
        self.model.trunk = trunk.to(self.device)
        self._batches = OneSlateBatches(self._source, config)
        groups = [
            {"params": [one for one in self.model.parameters() if one.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [one for one in self.model.parameters() if one.ndim <= 1], "weight_decay": 0.0},
        ]
        self._optimizers = [torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)]
