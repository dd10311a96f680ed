"""Logged slates put to a release's graphs as serving would: history encoded once, each slate on its prefix of the KV."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..config import TrainConfig
from ..data.dataset import NONE, Bucket, Dataset
from ..evaluation.scorers import Ask
from ..evaluation.slates import SlateSet
from ..learn.collate import Batch, Collator
from ..learn.examples import Example, ExampleSource
from ..model.rows import FLOAT, INT, RowLayout
from .reference import Cache, Runner, empty_cache, prefix_of

SLATES = 24
"""Slates at most that share one encoded window."""


@dataclass(frozen=True)
class Asked:
    """One slate's request."""

    slate: int
    """Index within the bucket."""
    prefix: int
    """Rows of the window that it was made from."""
    context: FLOAT
    """[1, F]"""
    candidate_row: FLOAT
    """[1, F - E]"""
    items: INT
    """[K] item rows."""
    surface: int


@dataclass(frozen=True)
class Window:
    """A stretch of one history as rows, and slates that hang on it."""

    rows: FLOAT
    """[P, F]"""
    asked: tuple[Asked, ...]

    def cache(self, runner: Runner, layers: int, width: int) -> Cache:
        """What encoding the rows leaves behind."""
        empty = empty_cache(layers, width)
        return runner.encode(self.rows, np.arange(len(self.rows), dtype=np.float32), empty)[1] if len(self.rows) else empty


class Replay:
    """Cuts windows from a dataset. Embeddings come from a release's own table and towers."""

    def __init__(
        self, dataset: Dataset, config: TrainConfig, layout: RowLayout, runner: Runner, table: FLOAT, texts: bool
    ) -> None:
        """`table` [N, E]: the f16-rounded item table, widened. `texts`: whether the release has a query tower; without one a
        logged query makes no row."""
        if not texts:
            parts = replace(config.model.parts, query_tokens=False)
            config = replace(config, model=replace(config.model, parts=parts))
        self._texts_known = texts
        self._source, self._collator = ExampleSource(dataset, config), Collator(dataset, layout, config)
        self._runner, self._table = runner, table

    def bucket(self, index: int) -> Bucket:
        """Bucket `index` as the release's configuration sees it."""
        return self._source.bucket(index)

    def windows(self, index: int, histories: INT, since_ms: int, until_ms: int) -> Iterator[Window]:
        """All slates of `histories` of bucket `index` that were shown in the period and hold an item."""
        bucket = self.bucket(index)
        for example in self._source.evaluation_examples(bucket, histories, since_ms, until_ms, SLATES):
            yield self._window(bucket, example)

    def _window(self, bucket: Bucket, example: Example) -> Window:
        batch = self._collator.collate(bucket, [example], np.random.default_rng(0), training=False)
        texts = self._texts(batch)
        past = self._table[batch.past_items[0].numpy()]
        past = _with(past, batch.past_queries[0].numpy(), texts)
        rows = np.concatenate([past, batch.past_features[0].numpy()], axis=1)[: example.end - example.start]
        about = self._runner.embed_items(batch.context_upstream[0].numpy()) * batch.context_known[0].numpy()
        about = _with(about, batch.context_queries[0].numpy(), texts)
        contexts = np.concatenate([about, batch.context_features[0].numpy()], axis=1)
        shared, valid = batch.candidate_features[0].numpy(), batch.candidate_valid[0].numpy()
        return Window(rows, tuple(
            Asked(
                int(slate), int(batch.prefix[0, at]), contexts[at : at + 1], shared[at : at + 1],
                batch.candidates[0, at].numpy()[valid[at]], int(bucket.slate_surface[slate]),
            )
            for at, slate in enumerate(example.slates)
        ))  # fmt: skip

    def _texts(self, batch: Batch) -> FLOAT:
        """[Q, E]; zeros without a query tower, or without a text to ask it about."""
        if not self._texts_known or not bool(batch.query_weights.any()):
            return np.zeros((len(batch.query_ids), self._table.shape[1]), np.float32)
        return self._runner.embed_queries(batch.query_ids.numpy(), batch.query_weights.numpy())


def _with(embeddings: FLOAT, at: INT | torch.Tensor, texts: FLOAT) -> FLOAT:
    """`embeddings` [m, E], but row `at` [m] of `texts` where that is not NONE."""
    return np.where(np.asarray(at)[:, None] == NONE, embeddings, texts[np.maximum(at, 0)])


@dataclass(frozen=True)
class Served:
    """What a release's graphs answer for a set of slates: a retriever and a ranker of evaluation/scorers.py."""

    runner: Runner
    layout: RowLayout
    table: FLOAT
    """[N, E]"""
    hidden: FLOAT
    """[R, W] of each slate's context row."""
    predicted: FLOAT
    """[R, K, A] probabilities; 0 where there is no item."""

    def queries(self, slates: SlateSet, rows: INT, ask: Ask) -> FLOAT:
        """[r, E] unit length."""
        outcome = np.eye(len(self.layout.actions) + 1, dtype=np.float32)[[ask.action]]  # NONE is the last: any
        offset = self.layout.delta(np.array([[ask.offset_ms]]), np.array([[0]]))
        surfaces = np.eye(len(self.layout.surfaces), dtype=np.float32)
        return np.concatenate([
            self.runner.retrieve(self.hidden[row : row + 1], outcome, offset, surfaces[slates.surface[[row]]]) for row in rows
        ])  # fmt: skip

    def scores(self, slates: SlateSet, rows: INT, ask: Ask) -> FLOAT:
        """[r, N]"""
        return self.queries(slates, rows, ask) @ self.table.T

    def probabilities(self, slates: SlateSet, rows: INT) -> FLOAT:
        """[r, K, A]"""
        return self.predicted[rows]


def serve(
    replay: Replay, runners: Sequence[Runner], layout: RowLayout, table: FLOAT, slates: SlateSet, shape: tuple[int, int]
) -> list[Served]:
    """Puts every slate of the set to each of `runners`, whose trunks have one `shape` (layers, width)."""
    hidden = np.zeros((len(runners), len(slates), shape[1]), np.float32)
    predicted = np.zeros((len(runners), *slates.items.shape, len(layout.actions)), np.float32)
    for index in np.unique(slates.bucket):
        rows = np.flatnonzero(slates.bucket == index)
        place = dict(zip(slates.slate[rows].tolist(), rows.tolist(), strict=True))
        histories = np.unique(replay.bucket(int(index)).slate_history[slates.slate[rows]])
        since, until = int(slates.time_ms[rows].min()), int(slates.time_ms[rows].max()) + 1
        for window in replay.windows(int(index), histories, since, until):
            wanted = [asked for asked in window.asked if asked.slate in place]
            for at, runner in enumerate(runners if wanted else ()):
                cache = window.cache(runner, *shape)
                for asked in wanted:
                    row, past = place[asked.slate], prefix_of(cache, asked.prefix)
                    told = answer(runner, asked, past, table[asked.items])
                    hidden[at, row], predicted[at, row, : len(asked.items)] = told
    return [Served(runner, layout, table, *found) for runner, *found in zip(runners, hidden, predicted, strict=True)]


def answer(runner: Runner, asked: Asked, past: Cache, candidates: FLOAT) -> tuple[FLOAT, FLOAT]:
    """The context row's hidden state [W], and probabilities [k, A] of candidates [k, E]."""
    at, after = np.array([asked.prefix], np.float32), np.array([asked.prefix + 1], np.float32)
    hidden = runner.encode(asked.context, at, past)[0][0]
    return hidden, runner.rank(asked.context, at, candidates, asked.candidate_row, after, past)
