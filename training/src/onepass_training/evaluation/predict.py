"""What a model says about the slates of a set, with the f16-rounded item table that serving has."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import TrainConfig
from ..data.dataset import Bucket, Dataset
from ..learn.collate import Batch, Collator
from ..learn.examples import Example, ExampleSource
from ..learn.step import branch_rows, embed_batch_queries, past_rows
from ..model.onepass_model import OnepassModel
from ..model.rows import FLOAT, INT
from ..progress import Progress
from .scorers import Ask, Contender
from .slates import SlateSet, slate_set

BATCH, SLATES = 16, 24
"""Windows in a batch, and slates at most on each."""
ROWS = 8_192
"""Items that go through the tower at a time."""


@torch.no_grad()
def item_table(model: OnepassModel, upstream: FLOAT) -> NDArray[np.float16]:
    """[N, E] the item tower's output, rounded as the release stores it."""
    device = next(model.parameters()).device
    parts = [
        model.embed_items(torch.from_numpy(upstream[at : at + ROWS]).to(device)).cpu() for at in range(0, len(upstream), ROWS)
    ]
    return torch.cat(parts).numpy().astype(np.float16)


@dataclass(frozen=True)
class Predictions:
    """A model's answers for the R slates of the set they were made for: a retriever and a ranker (scorers.py)."""

    model: OnepassModel
    table: FLOAT
    """[N, E] the rounded table, widened."""
    hidden: FLOAT
    """[R, W] of each slate's context row."""
    logits: FLOAT
    """[R, K, A] before the sigmoid, without the place on the page; 0 where there is no item."""

    @torch.no_grad()
    def queries(self, slates: SlateSet, rows: INT, ask: Ask) -> FLOAT:
        """[r, E] unit length."""
        model, device = self.model, next(self.model.parameters()).device
        outcomes = torch.zeros(len(rows), len(model.layout.actions) + 1, device=device)
        outcomes[:, ask.action] = 1  # NONE is the last: any
        offset = model.layout.delta(np.array(ask.offset_ms), np.array(0))
        offsets = torch.full((len(rows), 1), float(offset), device=device)
        surfaces = (slates.surface[rows, None] == np.arange(len(model.layout.surfaces))).astype(np.float32)
        hidden = torch.from_numpy(self.hidden[rows]).to(device)
        return model.retrieve(hidden, outcomes, offsets, torch.from_numpy(surfaces).to(device)).cpu().numpy()

    def scores(self, slates: SlateSet, rows: INT, ask: Ask) -> FLOAT:
        """[r, N]"""
        return self.queries(slates, rows, ask) @ self.table.T

    def probabilities(self, slates: SlateSet, rows: INT) -> FLOAT:
        """[r, K, A]"""
        return 1 / (1 + np.exp(-self.logits[rows]))

    def contender(self) -> Contender:
        """For the evaluation."""
        parts = self.model.config.parts
        return Contender(self, self, self.table, parts.outcome_conditioning, parts.offsets)


def predict(
    model: OnepassModel, dataset: Dataset, config: TrainConfig, slates: SlateSet, label: str = "evaluate"
) -> Predictions:
    """One pass over the set's histories, one bucket in memory at a time. `config`: what the model was trained with."""
    training = model.training
    model.eval()
    table = item_table(model, dataset.items.upstream).astype(np.float32)
    hidden = np.zeros((len(slates), model.config.width), np.float32)
    logits = np.zeros((*slates.items.shape, len(model.layout.actions)), np.float32)
    source, collator = ExampleSource(dataset, config), Collator(dataset, model.layout, config)
    for index in np.unique(slates.bucket):
        bucket, rows = source.bucket(int(index)), np.flatnonzero(slates.bucket == index)
        row_of = np.full(len(bucket.slate_prefix), -1)
        row_of[slates.slate[rows]] = rows
        examples = _examples(source, bucket, slates.slate[rows])
        progress = Progress(label, -(-len(examples) // BATCH))
        for start in range(0, len(examples), BATCH):
            batch = collator.collate(bucket, examples[start : start + BATCH], np.random.default_rng(0), training=False)
            mine, context, action = _predict_batch(model, table, batch)
            use = row_of[mine] >= 0
            hidden[row_of[mine[use]]] = context[use]
            logits[row_of[mine[use]], : action.shape[1]] = action[use]
            progress.step()
        progress.close()
    model.train(training)
    return Predictions(model, table, hidden, logits)


def _examples(source: ExampleSource, bucket: Bucket, slates: INT) -> list[Example]:
    """Windows under all `slates`, those of like length side by side, which saves padding."""
    times = bucket.slate_time_ms[slates]
    period = int(times.min()), int(times.max()) + 1
    found = source.evaluation_examples(bucket, np.unique(bucket.slate_history[slates]), *period, SLATES)
    return sorted(found, key=lambda example: (example.end - example.start, len(example.slates)))


@torch.no_grad()
def _predict_batch(model: OnepassModel, table: FLOAT, batch: Batch) -> tuple[INT, FLOAT, FLOAT]:
    """The bucket's slate of each of the batch's slates [r], hidden state of its context row [r, W], action logits [r, K, A]."""
    device = next(model.parameters()).device
    past_items = torch.from_numpy(table[batch.past_items.numpy()]).to(device)
    candidates = torch.from_numpy(table[batch.candidates.numpy()]).to(device)
    slates, batch = batch.slates, batch.to(device)
    texts = embed_batch_queries(model, batch)
    branches = branch_rows(model, batch, candidates, texts)
    _, hidden = model.train_pass(past_rows(batch, past_items, texts), branches, batch.prefix)
    valid = batch.slate_valid
    hidden, candidates = hidden[valid], candidates[valid]
    logits = model.score(hidden[:, 0], hidden[:, 1:], candidates) * batch.candidate_valid[valid][..., None]
    return slates[valid.cpu().numpy()], hidden[:, 0].cpu().numpy(), logits.cpu().numpy()


def calibration_set(model: OnepassModel, dataset: Dataset, config: TrainConfig) -> tuple[FLOAT, NDArray[np.bool_]]:
    """Logits and labels [n, A] of all judged items of the validation days' slates of a sample of people."""
    splits = dataset.splits
    slates = slate_set(dataset, splits.validation_ms, splits.test_ms, config.evaluation_people, config.slate_items)
    logits = predict(model, dataset, config, slates, "calibrate").logits
    labels = np.stack([slates.labels(1 << action) for action in range(logits.shape[2])], axis=-1)
    return logits[slates.judged], labels[slates.judged]
