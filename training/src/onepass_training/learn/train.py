"""The training loop: one stage, checkpoints that resume exactly."""

import math
from pathlib import Path

import numpy as np
import torch

from ..config import TrainConfig
from ..data.dataset import Dataset
from ..model.onepass_model import OnepassModel
from ..model.rows import RowLayout
from ..progress import Progress
from .collate import Collator
from .examples import ExampleSource, TrainingBatches
from .step import TrainStep
from .survey import survey

CHECKPOINT = "checkpoint.pt"


def layout_of(dataset: Dataset, config: TrainConfig) -> RowLayout:
    """The row layout of a run."""
    vocabulary = dataset.vocabulary
    return RowLayout(
        embedding=config.model.item_dimension, actions=vocabulary.names, surfaces=vocabulary.surfaces,
        request_features=vocabulary.features,
    )  # fmt: skip


def new_model(config: TrainConfig, dataset: Dataset) -> OnepassModel:
    """The untrained model of the run's seed."""
    torch.manual_seed(config.seed)
    return OnepassModel(config.model, layout_of(dataset, config), dataset.items.content)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine to a twentieth."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))


def require_checkpoint(directory: Path) -> Path:
    """The checkpoint of a run's directory; says so if there is none, before anything slow begins."""
    path = directory / CHECKPOINT
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint to resume from in {directory}")
    return path


def _optimizers(model: OnepassModel, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for all else."""
    inside = [parameter for name, parameter in model.trunk.named_parameters() if parameter.ndim == 2]
    taken = {id(parameter) for parameter in inside}
    others = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    groups = [
        {"params": [parameter for parameter in others if parameter.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [parameter for parameter in others if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return [
        torch.optim.Muon(inside, lr=config.learning_rate, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True),
    ]


class Trainer:
    """A run in a directory. The batch and every draw of a step depend on (seed, step) alone."""

    def __init__(self, config: TrainConfig, dataset: Dataset, directory: Path) -> None:
        self.config, self.model, self.step = config, new_model(config, dataset), 0
        self._path = directory / CHECKPOINT
        source = ExampleSource(dataset, config)
        found = survey(source, config)
        self.model.standardise(found.feature_mean, found.feature_std)
        self._batches = TrainingBatches(source, config, found.histories)
        self._collator = Collator(dataset, layout_of(dataset, config), config)
        self._losses = TrainStep(self.model, dataset, found, config)
        self._optimizers = _optimizers(self.model, config)
        self.tokens = 0

    def resume(self) -> None:
        """Goes on from the directory's checkpoint."""
        state = torch.load(require_checkpoint(self._path.parent), weights_only=True)
        if state["config"] != repr(self.config):
            raise ValueError(f"the checkpoint in {self._path.parent} was written by a run with other settings")
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step = state["step"]

    def save(self) -> None:
        """Writes the checkpoint; the old one stays whole until the new one is."""
        state = {
            "config": repr(self.config), "step": self.step,
            "model": self.model.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }  # fmt: skip
        partial = self._path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._path)

    def run(self, until: int | None = None) -> None:
        """Trains up to step `until` (default: the last), with a checkpoint every so often and at the end."""
        end = self.config.steps if until is None else until
        progress = Progress("train", self.config.steps, self.step)
        item = action = float("nan")
        while self.step < end:
            now_item, now_action = self._advance()
            item = now_item if math.isnan(item) else 0.95 * item + 0.05 * now_item
            action = now_action if math.isnan(action) else 0.95 * action + 0.05 * now_action
            progress.step(f"L_item {item:.3f} L_action {action:.3f}")
            if self.step % self.config.checkpoint_every == 0 or self.step == end:
                self.save()
        progress.close()

    def _advance(self) -> tuple[float, float]:
        """One optimiser step."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.config, self.step)
        batch = self._collator.collate(*self._batches.at(self.step), training=True)
        self.tokens += batch.tokens
        losses = self._losses.losses(batch, np.random.default_rng([self.config.seed, 23, self.step]))
        total = losses.total
        if not torch.isfinite(total):
            raise FloatingPointError(f"the loss is {total.item()} at step {self.step}")
        self.model.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
        self.step += 1
        return float(losses.parts["item"].detach()), float(losses.parts["action"].detach())
