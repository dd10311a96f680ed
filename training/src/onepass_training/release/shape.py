"""Drafts of any shape with synthetic weights, for measuring speed: nothing is trained, and no quality is to be quoted."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..config import ModelConfig, TrainConfig
from ..data.dataset import Bucket, MemoryDataset
from ..data.synthetic import synthetic_dataset
from ..learn.train import new_model
from ..model.onepass_model import OnepassModel
from ..world import SMOKE_WORLD, WorldConfig, simulate
from .draft import MAX_CANDIDATES, write_draft
from .trial import Outcome

PREFIX = "synthetic-weights"
METRICS = {
    "syntheticWeights": True,
    "note": "The weights are random and were never trained: quote no quality from this release.",
}
LEAST_ITEMS, MOST_ITEMS = 400, 1_000_000
MOST_TOKENS, MOST_LAYERS, MOST_WIDTH = 8_192, 96, 4_096
PEOPLE = 200
"""Of the made-up world: their actions give the popular lists and the budgets."""
SMALL = 5_000
"""A world with fewer items has the smoke world's few topics."""


@dataclass(frozen=True)
class Shape:
    """What a release is to be like. ValueError in a sentence where there can be no such release."""

    n: int
    """Tokens of the window."""
    k: int
    """Candidates that a page ranks."""
    layers: int
    width: int
    heads: int
    items: int = 20_000

    def __post_init__(self) -> None:
        bounds = (
            ("n", self.n, 1, MOST_TOKENS), ("k", self.k, 1, min(MAX_CANDIDATES, self.items)),
            ("layers", self.layers, 1, MOST_LAYERS), ("width", self.width, 2, MOST_WIDTH),
            ("items", self.items, LEAST_ITEMS, MOST_ITEMS),
        )  # fmt: skip
        for name, value, least, most in bounds:
            if not least <= value <= most:
                raise ValueError(f"--{name} must be from {least} to {most}, not {value}")
        if self.heads < 1 or self.width % (2 * self.heads):
            raise ValueError(f"--heads must cut --width {self.width} into heads of an even size, which {self.heads} does not")

    @property
    def name(self) -> str:
        """Of the release."""
        return f"{PREFIX}-n{self.n}-k{self.k}-L{self.layers}-d{self.width}"


def write_shape(shape: Shape, directory: Path, seed: int = 1) -> Outcome:
    """Writes the draft as `write_draft` does, laws included. There are no int8 graphs: without logged slates, and without sense
    in the weights, nothing could say what they cost."""
    dataset, config = _dataset(shape, seed), _config(shape, seed)
    outcome = write_draft(synthetic_model(config, dataset), dataset, config, METRICS, directory)
    card = directory / "model-card.md"
    partial = card.with_name(".model-card.md.writing")
    partial.write_text(_card(shape, outcome, config))
    partial.replace(card)
    return outcome


def synthetic_model(config: TrainConfig, dataset: MemoryDataset) -> OnepassModel:
    """Untrained weights, drawn from the seed, but scaled so that every layer counts and probabilities differ."""
    model, shape = new_model(config, dataset), config.model
    for name, parameter in model.trunk.named_parameters():
        if name.endswith(("out.weight", "down.weight")):
            nn.init.normal_(parameter, std=(2 * shape.layers * parameter.shape[1]) ** -0.5)
    nn.init.normal_(model.wanted.weight, std=(shape.width * shape.item_dimension) ** -0.5)
    return model.eval().requires_grad_(False)


def _config(shape: Shape, seed: int) -> TrainConfig:
    """Towers and inner widths in proportion to those of the trained configurations."""
    item_dimension = 128 if shape.width >= 512 else 64 if shape.width >= 128 else 16
    model = ModelConfig(
        width=shape.width, layers=shape.layers, heads=shape.heads, window=shape.n,
        item_dimension=item_dimension, hidden=2 * shape.width,
    )  # fmt: skip
    return TrainConfig(name=shape.name, seed=seed, steps=0, world=_world(shape), model=model)


def _world(shape: Shape) -> WorldConfig:
    topics = SMOKE_WORLD if shape.items < SMALL else WorldConfig()
    return replace(topics, items=shape.items, people=PEOPLE, days=40, sessions=9.0, late_share=0.0)


def _dataset(shape: Shape, seed: int) -> MemoryDataset:
    """The world's items, and its people's actions without the slates they came of: nothing can be measured on them."""
    dataset = synthetic_dataset(simulate(seed, _world(shape)), "a made-up world, for its items")
    return replace(dataset, held=tuple(_without_slates(bucket) for bucket in dataset.held))


def _without_slates(bucket: Bucket) -> Bucket:
    of_slates = {name: getattr(bucket, name)[:0] for name in vars(bucket) if name.startswith(("slate_", "shown_"))}
    starts = {"slate_start": np.zeros_like(bucket.slate_start), "shown_start": np.zeros(1, np.int64)}
    return replace(bucket, **of_slates | starts)


def _card(shape: Shape, outcome: Outcome, config: TrainConfig) -> str:
    parameters = f"{shape.layers} layers, width {shape.width}, {shape.heads} heads, a window of {shape.n} events"
    lines = (
        f"# {shape.name}", "",
        f"{METRICS['note']} It is for measuring speed: {parameters}, {shape.items:,} made-up items, {shape.k} candidates a "
        "page.", "", f"- Weights: drawn from seed {config.seed} with PyTorch {torch.__version__}.",
        f"- The graphs are exported as a trained release's are, and hold the same laws: the largest difference is "
        f"{max(outcome.laws.values()):.2g}, seen on made-up histories of some tens of rows.",
        "- Not measured, since there is nothing to measure: any metric, calibration, int8 graphs.",
    )  # fmt: skip
    return "\n".join(lines) + "\n"
