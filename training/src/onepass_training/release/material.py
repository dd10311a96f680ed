"""What a draft is tried on before it may be one: logged slates, and real and made-up histories and requests for the laws."""

from itertools import islice

import numpy as np

from ..config import TrainConfig
from ..data.dataset import Dataset
from ..evaluation.slates import SlateSet, slate_set
from ..model.rows import CANDIDATE, CONTEXT, FLOAT, NO_TIME, RowLayout
from ..model.tokenizer import Tokenizer
from .laws import TEXTS, Material
from .replay import Replay

PEOPLE, SLATES = 80, 400
"""Whose slates, and how many of them at most, precisions are compared on."""
HISTORIES, ROWS = 3, 40
"""Real histories that the laws are tried on, and how many of their last rows."""
CONTEXTS, CANDIDATES, TEXTS_LOGGED = 4, 10, 8
MONTH_MS = 30 * 86_400_000


def sample_slates(dataset: Dataset, config: TrainConfig) -> SlateSet:
    """Slates that did not train; those that did where there are no others. Empty only if the dataset has none."""
    splits = dataset.splits
    for since in (splits.validation_ms, 0):
        slates = slate_set(dataset, since, splits.end_ms, PEOPLE, config.slate_items)
        if len(slates):
            break
    return slates.take(np.arange(min(len(slates), SLATES)))


def sample_material(
    dataset: Dataset, config: TrainConfig, layout: RowLayout, table: FLOAT, replay: Replay, tokenizer: Tokenizer | None
) -> Material:
    """`table` [N, E]: the widened item table. `tokenizer` is None where the release takes no text."""
    random = np.random.default_rng([config.seed, 51])
    made_up = random.standard_normal((ROWS // 2, layout.columns)).astype(np.float32)
    none = np.zeros((0, layout.columns), np.float32)
    items = random.integers(0, len(table), max(CANDIDATES, CONTEXTS))
    logged = (text for bucket in dataset.each_bucket() for text in bucket.texts)
    texts = list(islice(logged, TEXTS_LOGGED)) if tokenizer else []
    return Material(
        layout=layout, layers=config.model.layers, width=config.model.width,
        histories=(none, made_up, *_real_histories(dataset, replay)),
        contexts=_contexts(dataset, layout, table[items[:CONTEXTS]], random),
        candidates=table[items[:CANDIDATES]],
        candidate_row=_features(dataset, layout, np.zeros(1, int), np.array([MONTH_MS]), CANDIDATE, None),
        upstream=dataset.items.upstream[items[:CANDIDATES]],
        tokenizer=tokenizer, texts=(*TEXTS, *texts),
    )  # fmt: skip


def _real_histories(dataset: Dataset, replay: Replay) -> list[FLOAT]:
    """The last rows of the longest histories of the first bucket that has slates."""
    for index in range(dataset.buckets):
        bucket = replay.bucket(index)
        able = np.unique(bucket.slate_history)
        chosen = able[np.argsort(-np.diff(bucket.event_start)[able], kind="stable")[:HISTORIES]]
        found = [
            [window.rows[-ROWS:] for window in replay.windows(index, np.array([history]), 0, dataset.splits.end_ms)]
            for history in chosen
        ]
        if any(found):
            return [rows[-1] for rows in found if rows]
    return []


def _contexts(dataset: Dataset, layout: RowLayout, embeddings: FLOAT, random: np.random.Generator) -> FLOAT:
    """[c, F]: every surface that there is room for, at times far apart; half about something; features given and not."""
    count = len(embeddings)
    about = embeddings * (np.arange(count) % 2)[:, None].astype(np.float32)
    told = random.standard_normal((count, len(layout.request_features)))
    told[::2] = np.nan
    surfaces, ahead = np.arange(count) % len(layout.surfaces), MONTH_MS + 7_000_000 * np.arange(count)
    return np.concatenate([about, _features(dataset, layout, surfaces, ahead, CONTEXT, told)], axis=1)


def _features(
    dataset: Dataset, layout: RowLayout, surfaces: np.ndarray, ahead_ms: np.ndarray, kind: int, told: np.ndarray | None
) -> FLOAT:
    """[c, F - E] of requests so long after the dataset's end; every other one has a previous token."""
    count = len(surfaces)
    now = dataset.splits.end_ms + ahead_ms
    previous = np.where(np.arange(count) % 2 == 0, now - 60_000, NO_TIME)
    nothing = np.zeros((count, len(layout.actions)), np.float32)
    return layout.feature_rows(nothing, np.full(count, kind == CANDIDATE), surfaces, now, previous, kind, told)
