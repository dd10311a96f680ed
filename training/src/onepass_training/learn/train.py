"""The training loop: one stage, checkpoints that resume exactly."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config import TrainConfig
from ..data.dataset import Dataset
from ..model.onepass_model import OnepassModel
from ..model.rows import RowLayout
from ..progress import Progress, duration
from .checkpoint import read_checkpoint, settings_of, write_checkpoint
from .collate import Batch, Collator
from .examples import ExampleSource, TrainingBatches
from .step import TrainStep
from .survey import survey
from .tensorboard import ScalarLog
from .validation import Validation

LOG_EVERY = 10
"""Steps from one logged value to the next; what is logged of training is the mean over them."""


def layout_of(dataset: Dataset, config: TrainConfig) -> RowLayout:
    """The row layout of a run."""
    vocabulary = dataset.vocabulary
    return RowLayout(
        embedding=config.model.item_dimension, actions=vocabulary.names, surfaces=vocabulary.surfaces,
        request_features=vocabulary.features,
    )  # fmt: skip


def new_model(config: TrainConfig, dataset: Dataset) -> OnepassModel:
    """The untrained model of the run's seed, on the CPU."""
    torch.manual_seed(config.seed)
    return OnepassModel(config.model, layout_of(dataset, config), dataset.items.content)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine to a twentieth."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))


def optimizers(model: OnepassModel, config: TrainConfig) -> list[torch.optim.Optimizer]:
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


@dataclass
class Best:
    """The weights with the least validation loss so far."""

    step: int
    loss: float
    model: dict[str, torch.Tensor]


@dataclass
class Done:
    """What this process has trained."""

    steps: int = 0
    tokens: int = 0
    """Positions through the trunk, padding included."""
    slates: int = 0
    candidates: int = 0
    seconds: float = 0.0

    def add(self, batch: Batch) -> None:
        """Counts one step's batch."""
        self.steps += 1
        self.tokens += batch.tokens
        self.slates += int(batch.slate_valid.sum())
        self.candidates += int(batch.candidate_valid.sum())


class Trainer:
    """A run in a directory. The batch and every draw of a step depend on (seed, step) alone."""

    def __init__(self, config: TrainConfig, dataset: Dataset, directory: Path, device: torch.device | None = None) -> None:
        self.config, self.step, self.done = config, 0, Done()
        self.device = device or torch.device("cpu")
        self.best: Best | None = None
        """None until the first validation, and without early stopping."""
        self._worse = 0
        self._directory, self._settings = directory, settings_of(config, dataset)
        self._source = source = ExampleSource(dataset, config)
        found = survey(source, config)
        self.model = new_model(config, dataset)
        self.model.standardise(found.feature_mean, found.feature_std)
        self.model.to(self.device)
        self._batches = TrainingBatches(source, config, found.histories)
        self._collator = Collator(dataset, layout_of(dataset, config), config)
        self._losses = TrainStep(self.model, dataset, found, config, self.device)
        self._validation = Validation(source, self._collator, self._losses, config)
        if config.patience and not self._validation:
            raise ValueError("there is no slate on the validation days, so early stopping (patience) has nothing to go by")
        self._optimizers = optimizers(self.model, config)

    @property
    def stopped(self) -> bool:
        """Whether the validation loss has not improved for `patience` validations."""
        return 0 < self.config.patience <= self._worse

    def resume(self) -> None:
        """Goes on from the directory's checkpoint, whatever device wrote it."""
        state = read_checkpoint(self._directory, self._settings)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self._worse = state["step"], state["worse"]
        self.best = Best(**state["best"]) if state["best"] else None

    def save(self) -> None:
        """Writes the checkpoint; the old one stays whole until the new one is."""
        state = {
            "settings": self._settings, "step": self.step, "worse": self._worse,
            "best": vars(self.best) if self.best else None,
            "model": self.model.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }  # fmt: skip
        write_checkpoint(self._directory, state)

    def run(self, until: int | None = None) -> None:
        """Trains up to step `until` (default: the last), with a checkpoint every so often and at the end.

        With early stopping a run that came to its end has the best weights, not the last.
        """
        config, end = self.config, self.config.steps if until is None else until
        log, meter = ScalarLog(self._directory, self.step), _Meter()
        progress = Progress("train", config.steps, self.step)
        while self.step < end and not self.stopped:
            began = time.monotonic()
            meter.add(*self._advance(), time.monotonic() - began)
            self.done.seconds += meter.last
            progress.step(meter.note())
            last = self.step == config.steps
            if self.step % LOG_EVERY == 0 or last:
                log.write(self.step, meter.take() | {"learning_rate": learning_rate(config, self.step - 1)})
            if self._validation and (self.step % config.validate_every == 0 or last):
                log.write(self.step, {f"validation/{name}": value for name, value in self._validate(progress).items()})
            if self.step % config.checkpoint_every == 0 or self.step == end or self.stopped:
                log.flush()  # first, so that a resumed run's log has all steps up to its checkpoint
                self.save()
        progress.close()
        log.close()
        if self.best and (self.stopped or self.step == config.steps):
            self.model.load_state_dict(self.best.model)

    def summary(self) -> str:
        """What was done, in one line."""
        done, seconds = self.done, max(self.done.seconds, 1e-9)
        parts = [f"{self.step} of {self.config.steps} steps"]
        if done.steps:
            parts[0] += f" ({done.steps} now, in {duration(done.seconds)})"
            parts.append(f"{done.tokens / seconds:,.0f} tokens/s")
            parts.append(f"{done.slates / seconds:,.1f} slates/s with {done.candidates / seconds:,.0f} candidates/s")
        if self.best:
            why = "stopped early, " if self.stopped else ""
            parts.append(f"{why}best validation loss {self.best.loss:.4f} at step {self.best.step}")
        return "trained: " + ", ".join(parts)

    def _validate(self, progress: Progress) -> dict[str, float]:
        """The validation losses now; with early stopping keeps the best weights."""
        found = self._validation.losses()
        progress.say(f"validation at step {self.step}: " + " ".join(f"{name} {value:.4f}" for name, value in found.items()))
        if not self.config.patience:
            return found
        if self.best is None or found["total"] < self.best.loss:
            weights = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
            self.best, self._worse = Best(self.step, found["total"], weights), 0
        else:
            self._worse += 1
        return found

    def _advance(self) -> tuple[dict[str, float], int]:
        """One optimiser step. Gives what it saw, by the log's tags, and the tokens of its batch."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.config, self.step)
        batch = self._collator.collate(*self._batches.at(self.step), training=True)
        losses = self._losses.losses(batch, np.random.default_rng([self.config.seed, 23, self.step]))
        self.model.zero_grad(set_to_none=True)
        losses.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        seen = {"total": losses.total, **losses.parts, "norm": norm}
        values = torch.stack([value.detach().float() for value in seen.values()]).tolist()  # the one wait for the device
        found = dict(zip(seen, values, strict=True))
        if not (math.isfinite(found["total"]) and math.isfinite(found["norm"])):
            raise FloatingPointError(
                f"the loss is {found['total']} and its gradient's norm {found['norm']} at step {self.step}: "
                "a lower learning rate may help; the last checkpoint is from before"
            )
        for optimizer in self._optimizers:
            optimizer.step()
        self.step += 1
        self.done.add(batch)
        tags = {name: "gradient_norm" if name == "norm" else f"loss/{name}" for name in found}
        return {tags[name]: value for name, value in found.items()}, batch.tokens


class _Meter:
    """Means of what steps see: since the last log entry, and smoothed for the eye."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._steps = self._tokens = 0
        self._seconds = self.last = 0.0
        self._smooth: dict[str, float] = {}

    def add(self, seen: dict[str, Any], tokens: int, seconds: float) -> None:
        """One step that took `seconds`."""
        for name, value in seen.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        for name, value in {**seen, "tokens/s": tokens / seconds}.items():
            self._smooth[name] = 0.95 * self._smooth.get(name, value) + 0.05 * value
        self._steps, self._tokens = self._steps + 1, self._tokens + tokens
        self._seconds, self.last = self._seconds + seconds, seconds

    def take(self) -> dict[str, float]:
        """Means since the last call, by tag."""
        means = {name: value / self._steps for name, value in self._sums.items()}
        means["tokens_per_second"] = self._tokens / self._seconds
        self._sums, self._steps, self._tokens, self._seconds = {}, 0, 0, 0.0
        return means

    def note(self) -> str:
        """For the progress line."""
        losses = (f"{tag[5:]} {value:.3f}" for tag, value in self._smooth.items() if tag.startswith("loss/"))
        return f"loss {' '.join(losses)}, {self._smooth['tokens/s']:,.0f} tokens/s"
