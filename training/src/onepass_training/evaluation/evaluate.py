"""All metrics of a model, or of anything else that scores, on the later slates of a sample of people: docs/training.md.

One code for the model, the baselines and a world's own best.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np

from ..config import TrainConfig
from ..data.dataset import NONE, Dataset
from ..model.onepass_model import OnepassModel
from .metrics import FLOAT, INT, auc, calibration_error, hit_at, log_loss, ndcg_at
from .predict import predict
from .result import Result
from .retrieval import Retrieved, retrieve
from .scorers import Contender, Oracle, Truth
from .slates import slate_set
from .slices import by_freshness, mean_by, sizes_of, slices_of

HIT_AT, NDCG_AT = 3, 10
RANK_ROWS = 2_000
"""Slates ranked at a time."""
DIGITS = 6


def number(value: float) -> float | None:
    """A plain number for JSON."""
    return None if np.isnan(value) else round(float(value), DIGITS)


class Evaluation:
    """The test days' slates of a sample of people, drawn by a hash of who they are: the same ones for every model and seed."""

    def __init__(self, dataset: Dataset, config: TrainConfig, oracle: Truth | None = None) -> None:
        """`oracle`: a world's truth about `dataset`, if it is a world's. The test days are those of `dataset.splits`."""
        self.dataset, self.config = dataset, config
        splits = dataset.splits
        self.slates = slate_set(dataset, splits.test_ms, splits.end_ms, config.evaluation_people, config.slate_items)
        wanting = np.flatnonzero(self.slates.target != NONE)
        by_key = np.argsort(self.slates.key[wanting], kind="stable")
        self.recall_rows = np.sort(wanting[by_key[: config.evaluation_slates]])
        """[Q] slates that retrieval is judged by: those with something new engaged with, a capped number of them by hash."""
        self.groups = slices_of(self.slates, dataset)
        self._truth = oracle

    @property
    def asked_for(self) -> int:
        """The action that recall of an asked-for outcome is taken of: the positive one that is worth most."""
        actions = self.dataset.vocabulary.actions
        worth = [NONE if action.negative else action.utility_weight for action in actions]
        return int(np.argmax(worth))

    def run(self, model: OnepassModel, name: str = "model", config: TrainConfig | None = None) -> Result:
        """All metrics of a model that was trained with `config` (default: the evaluation's)."""
        used = replace(config or self.config, slate_items=self.config.slate_items)
        return self.of(name, predict(model, self.dataset, used, self.slates).contender())

    def of(self, name: str, contender: Contender) -> Result:
        """All metrics that the contender's retriever and ranker allow. With a truth to hold it against, the summary has
        `shareOfOracle`: how much of the best possible Recall@10 and Hit@3 it reaches."""
        result = self._judge(name, contender)
        if self.oracle is None:
            return result
        return replace(result, summary=result.summary | {"shareOfOracle": share_of(result.summary, self.oracle.summary)})

    @cached_property
    def oracle(self) -> Result | None:
        """The world's own best, if the data is a world's."""
        if self._truth is None:
            return None
        best = Oracle(self._truth, self.dataset.vocabulary.names)
        return self._judge("oracle", Contender(best, best, outcomes=True))

    def _judge(self, name: str, contender: Contender) -> Result:
        slates, values, slices, summary = self.slates, {}, dict(self.groups), {}
        if contender.retriever is not None:
            found = retrieve(slates, self.recall_rows, contender, self.dataset, self.asked_for)
            values |= found.values
            summary |= self._retrieval_summary(found)
            slices |= by_freshness(slates.target, self.dataset)
        if contender.ranker is not None:
            ranked, targets, pooled = self._rank(contender)
            values |= ranked
            for action, target in targets.items():
                slices |= {f"{kind}:{action}": rows for kind, rows in by_freshness(target, self.dataset).items()}
            summary |= pooled
            summary |= self._ranking_summary(ranked, targets)
        summary["slates"] = {
            "all": len(slates), "people": len(np.unique(slates.person)), "recall": len(self.recall_rows),
            **{metric: sizes_of(values[metric], self._groups(metric, slices)) for metric in values if _is_sliced(metric)},
            **{metric: int((~np.isnan(values[metric])).sum()) for metric in values if metric.startswith("askedFor/")},
        }  # fmt: skip
        return Result(name, summary, slates.key, slates.person, values, slices)

    def _groups(self, metric: str, slices: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The slices of one metric under their plain names."""
        suffix = f":{metric.split('/')[1]}" if metric.startswith("hitAt3/") else ""
        fresh = {kind: slices[kind + suffix] for kind in by_freshness(self.slates.target[:0], self.dataset)}
        return self.groups | fresh

    def _retrieval_summary(self, found: Retrieved) -> dict:
        groups = self.groups | by_freshness(self.slates.target, self.dataset)
        nested: dict = {}
        for metric, values in found.values.items():
            place, *parts = metric.split("/")
            told = mean_by(values, groups) if _is_sliced(metric) else number(_mean(values))
            table = nested
            for part in (place, *parts)[:-1]:
                table = table.setdefault(part, {})
            table[(place, *parts)[-1]] = told
        return nested | {"coverageAt10": number(found.coverage)}

    def _rank(self, contender: Contender) -> tuple[dict[str, FLOAT], dict[str, INT], dict]:
        """Metrics by slate, by action the item that freshness goes by, and metrics pooled over all shown items."""
        slates, vocabulary = self.slates, self.dataset.vocabulary
        chunks = [np.arange(at, min(at + RANK_ROWS, len(slates))) for at in range(0, len(slates), RANK_ROWS)]
        empty = [np.zeros((0, slates.items.shape[1], len(vocabulary.actions)), np.float32)]
        chances = np.concatenate([contender.ranker.probabilities(slates, rows) for rows in chunks] or empty)
        values: dict[str, FLOAT] = {}
        targets: dict[str, INT] = {}
        pooled: dict = {"auc": {}, "ece": {}, "logLoss": {}, "shownItems": int(slates.judged.sum())}
        judged = slates.judged
        losses = np.zeros(judged.shape)
        for at, name in enumerate(vocabulary.names):
            labels = slates.labels(1 << at)
            scores = np.where(judged, chances[..., at], -np.inf)
            hit = hit_at(scores, slates.items, labels, HIT_AT)
            values[f"hitAt3/{name}"] = np.where(labels.any(axis=1), hit, np.nan)
            targets[name] = np.where(labels.any(axis=1), slates.items[np.arange(len(slates)), labels.argmax(axis=1)], NONE)
            predicted, done = chances[..., at][judged], labels[judged]
            pooled["auc"][name] = number(auc(predicted, done))
            pooled["ece"][name] = number(calibration_error(predicted, done))
            pooled["logLoss"][name] = number(_mean(log_loss(predicted, done)))
            losses += np.where(judged, log_loss(chances[..., at], labels), 0)
        worth = np.array([action.utility_weight for action in vocabulary.actions])
        utility = np.where(judged, chances @ worth, -np.inf)
        done = np.stack([slates.labels(1 << at) for at in range(len(worth))], axis=-1)
        engaged = slates.labels(vocabulary.positive_bits).astype(np.float64)
        values["ndcgAt10"] = ndcg_at(utility, slates.items, engaged, NDCG_AT)
        values["utilityNdcgAt10"] = ndcg_at(utility, slates.items, np.maximum(done @ worth, 0) * judged, NDCG_AT)
        counted = judged.sum(axis=1)
        values["slateLogLoss"] = np.divide(
            losses.sum(axis=1), counted, out=np.full(len(slates), np.nan), where=counted > 0
        )  # fmt: skip
        return values, targets, pooled

    def _ranking_summary(self, values: Mapping[str, FLOAT], targets: Mapping[str, INT]) -> dict:
        hits = {
            name: mean_by(values[f"hitAt3/{name}"], self.groups | by_freshness(target, self.dataset))
            for name, target in targets.items()
        }
        plain = ("ndcgAt10", "utilityNdcgAt10", "slateLogLoss")
        return {"hitAt3": hits} | {name: number(_mean(values[name])) for name in plain}


def _mean(values: FLOAT) -> float:
    """Mean of what is not NaN; NaN without any."""
    use = values[~np.isnan(values)]
    return float(use.mean()) if len(use) else float("nan")


def _is_sliced(metric: str) -> bool:
    return metric in ("recallAt10", "recallAt100") or metric.startswith("hitAt3/")


def share_of(summary: Mapping, best: Mapping) -> dict:
    """How much of the best possible Recall@10 and, by action, Hit@3 a summary reaches, slice by slice."""

    def shares(mine: Mapping, most: Mapping) -> dict[str, float | None]:
        return {name: round(mine[name] / most[name], 4) if mine[name] is not None and most.get(name) else None for name in mine}

    share: dict = {}
    if "recallAt10" in summary:
        share["recallAt10"] = shares(summary["recallAt10"], best["recallAt10"])
    if "hitAt3" in summary:
        share["hitAt3"] = {action: shares(mine, best["hitAt3"][action]) for action, mine in summary["hitAt3"].items()}
    return share
