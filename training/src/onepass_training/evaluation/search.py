"""Searches by text: what the text brings, and what the person does."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..config import TrainConfig
from ..data.dataset import NONE, Bucket, Dataset
from ..model.onepass_model import OnepassModel
from .evaluate import Evaluation
from .metrics import FLOAT, INT, ranks
from .predict import Predictions, predict
from .scorers import ANY, CHUNK, Ask, Retriever, take_out_seen
from .slates import SlateSet

AT, TEXTS = 10, 1_024


@dataclass(frozen=True)
class _Asked(Dataset):
    """A dataset whose slates were asked for on the first surface, about nothing."""

    whole: Dataset

    def __post_init__(self) -> None:
        for name in ("name", "vocabulary", "items", "splits", "buckets"):
            object.__setattr__(self, name, getattr(self.whole, name))

    def bucket(self, index: int) -> Bucket:
        """One bucket."""
        bucket = self.whole.bucket(index)
        nothing = np.full(len(bucket.slate_prefix), NONE)
        return replace(
            bucket, slate_surface=np.zeros_like(nothing), slate_query=nothing, slate_related=nothing,
            slate_given=np.zeros_like(bucket.slate_given),
        )  # fmt: skip


@dataclass(frozen=True)
class _Texts:
    """The query tower alone, without the person."""

    embedded: FLOAT
    """[R, E]"""
    table: FLOAT

    def scores(self, slates: SlateSet, rows: INT, ask: Ask) -> FLOAT:
        """[r, N]"""
        return self.embedded[rows] @ self.table.T


def search_by_text(
    evaluation: Evaluation, model: OnepassModel, predictions: Predictions, config: TrainConfig | None = None
) -> dict[str, float | int | None]:
    """Recall@10 of the evaluation's recall slates that have a text, by the whole `model` (its `predictions` of the evaluation's
    slates), by the `queryTowerAlone`, and by the person alone, as if the page were the first surface's (`withoutQuery`)."""
    texts = _texts_of(evaluation)
    rows = np.array([row for row in evaluation.recall_rows.tolist() if row in texts], np.int64)
    if not len(rows):
        return {"model": None, "queryTowerAlone": None, "withoutQuery": None, "slates": 0}
    slates = evaluation.slates.take(rows)
    embedded = _embedded(model, [texts[row] for row in rows.tolist()])
    plain = replace(slates, surface=np.zeros_like(slates.surface))
    used = replace(config or evaluation.config, slate_items=evaluation.config.slate_items)
    alone = predict(model, _Asked(evaluation.dataset), used, plain, "evaluate without query")
    mine = replace(predictions, hidden=predictions.hidden[rows], logits=predictions.logits[rows])
    found = {
        "model": _recall(mine, slates),
        "queryTowerAlone": _recall(_Texts(embedded, predictions.table), slates),
        "withoutQuery": _recall(alone, plain),
    }
    return found | {"slates": len(rows)}


def _texts_of(evaluation: Evaluation) -> dict[int, str]:
    """Text by row of the evaluation's slates, of those that have one."""
    slates, found = evaluation.slates, {}
    for index in np.unique(slates.bucket):
        bucket = evaluation.dataset.bucket(int(index))
        rows = np.flatnonzero(slates.bucket == index)
        query = bucket.slate_query[slates.slate[rows]]
        found |= {int(row): bucket.texts[at] for row, at in zip(rows, query, strict=True) if at != NONE}
    return found


@torch.no_grad()
def _embedded(model: OnepassModel, texts: list[str]) -> FLOAT:
    """[n, E]"""
    device = next(model.parameters()).device
    parts = []
    for at in range(0, len(texts), TEXTS):
        batch = (torch.from_numpy(part).to(device) for part in model.tokenizer.batch(texts[at : at + TEXTS]))
        parts.append(model.embed_queries(*batch).cpu())
    return torch.cat(parts).numpy()


def _recall(retriever: Retriever, slates: SlateSet) -> float:
    hits = 0
    for start in range(0, len(slates), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(slates)))
        scores = take_out_seen(retriever.scores(slates, rows, ANY), slates, rows)
        hits += int((ranks(scores, slates.target[rows]) < AT).sum())
    return round(hits / len(slates), 6)
