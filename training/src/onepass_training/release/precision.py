"""What int8 graphs cost and gain beside fp32 ones, and the rule that says which of them serve."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..evaluation.metrics import hit_at, ranks
from ..evaluation.scorers import ANY, take_out_seen
from ..evaluation.slates import SlateSet
from ..model.rows import FLOAT
from .laws import Material, positions
from .reference import Runner
from .replay import Served

HIT_AT, RECALL_AT = 3, 10
CANDIDATES = 200
"""Of the timed rank."""
SCORES_AT_ONCE = 10_000_000
ROUNDS, SECONDS = 25, 4.0
"""A timing ends after so many rounds or so long, whichever comes first."""


@dataclass(frozen=True)
class Cost:
    """int8 minus fp32 on the same logged slates."""

    maxProbabilityDifference: float
    meanProbabilityDifference: float
    rankCorrelation: float
    """Spearman's, of a slate's items by utility; mean over slates."""
    hitAt3Difference: float
    """Share of engaged slates with an engaged item among the three of highest utility."""
    recallAt10Difference: float
    """Share of engaged slates whose first engaged item is among the ten best of the catalogue, outcome "any"."""
    slates: int


@dataclass(frozen=True)
class Speed:
    """Milliseconds on one thread of the machine that exports, medians."""

    rankMs: float
    """200 candidates behind a full window."""
    encodeMs: float
    """A full window."""
    appendMs: float
    """One row behind it."""

    def as_row(self) -> tuple[float, float, float]:
        """rank, encode, append."""
        return self.rankMs, self.encodeMs, self.appendMs


@dataclass(frozen=True)
class Bounds:
    """When int8 may serve."""

    max_probability: float = 0.05
    mean_probability: float = 0.002
    rank_correlation: float = 0.99
    metric_loss: float = 0.01
    """Hit@3 and Recall@10 may be so much lower; among some hundred slates less is noise."""
    time_share: float = 0.85
    """rank and encode must each take at most so much of fp32's time; append at most fp32's."""


def spearman(first: FLOAT, second: FLOAT) -> float:
    """Rank correlation of two lists [k] of numbers without ties to speak of; 1 for fewer than two."""
    if len(first) < 2:
        return 1.0
    one, other = (np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (first, second))
    return float(np.corrcoef(one, other)[0, 1])


def cost_of(fp32: Served, int8: Served, slates: SlateSet, utility: FLOAT, positive_bits: int) -> Cost:
    """`utility` [A]: what each action is worth. ValueError if there is no slate to compare on."""
    rows = np.arange(len(slates))
    held = slates.shown >= 0
    if not held.any():
        raise ValueError("there is no slate to compare precisions on")
    difference = np.abs(fp32.predicted - int8.predicted)[held]
    scores = [served.predicted @ utility for served in (fp32, int8)]
    correlations = [spearman(scores[0][row, held[row]], scores[1][row, held[row]]) for row in rows[held.sum(axis=1) > 1]]
    labels = slates.labels(positive_bits)
    engaged, wanting = rows[labels.any(axis=1)], rows[slates.target >= 0]
    hits = [hit_at(np.where(held, score, -np.inf)[engaged], slates.items[engaged], labels[engaged], HIT_AT) for score in scores]
    found = [_found(served, slates, wanting) for served in (fp32, int8)]
    return Cost(
        _short(difference.max()), _short(difference.mean()), _short(np.mean(correlations) if correlations else 1.0),
        _short(_mean(hits[1]) - _mean(hits[0])), _short(_mean(found[1]) - _mean(found[0])), len(slates),
    )  # fmt: skip


def _found(served: Served, slates: SlateSet, rows: np.ndarray) -> np.ndarray:
    found, most = [], max(1, SCORES_AT_ONCE // max(1, len(served.table)))
    for start in range(0, len(rows), most):
        some = rows[start : start + most]
        found.append(ranks(take_out_seen(served.scores(slates, some, ANY), slates, some), slates.target[some]) < RECALL_AT)
    return np.concatenate(found) if found else np.zeros(0)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _short(value: float) -> float:
    return float(f"{float(value):.4g}")


class _Timed:
    """One contender's inputs for the three timings."""

    def __init__(self, run: Runner, material: Material, window: int) -> None:
        random = np.random.default_rng(3)
        rows = np.concatenate([history for history in material.histories if len(history)])
        self._run, self._material, self._window = run, material, window
        self._rows = rows[random.integers(0, len(rows), window)]
        self._candidates = material.candidates[random.integers(0, len(material.candidates), CANDIDATES)]
        _, self._cache = material.encode(run, self._rows, material.empty())

    def milliseconds(self) -> list[float]:
        """rank, encode, append."""
        marks = [time.perf_counter()]
        self._material.rank(self._run, self._cache, self._candidates)
        marks.append(time.perf_counter())
        self._material.encode(self._run, self._rows, self._material.empty())
        marks.append(time.perf_counter())
        self._run.encode(self._rows[:1], positions(1, self._window), self._cache)
        marks.append(time.perf_counter())
        return (np.diff(marks) * 1_000).tolist()


def speeds(contenders: Mapping[str, tuple[Runner, Material, int]]) -> dict[str, Speed]:
    """Medians of each (runner, what it is timed on, window). They take turns: other work on the machine slows all alike."""
    timed = {name: _Timed(*parts) for name, parts in contenders.items()}
    taken: dict[str, list[list[float]]] = {name: [] for name in timed}
    began = time.monotonic()
    for done in range(ROUNDS):
        if done > 2 and time.monotonic() - began > SECONDS:
            break
        for name, one in timed.items():
            taken[name].append(one.milliseconds())
    return {name: Speed(*(_short(value) for value in np.median(times, axis=0))) for name, times in taken.items()}


def reasons_against(cost: Cost, bounds: Bounds) -> list[str]:
    """Why int8 costs too much to serve; nothing if it does not."""
    checks = (
        (cost.maxProbabilityDifference <= bounds.max_probability,
         f"a probability moves by {cost.maxProbabilityDifference}, more than {bounds.max_probability}"),
        (cost.meanProbabilityDifference <= bounds.mean_probability,
         f"probabilities move by {cost.meanProbabilityDifference} on average, more than {bounds.mean_probability}"),
        (cost.rankCorrelation >= bounds.rank_correlation,
         f"the order's rank correlation is {cost.rankCorrelation}, less than {bounds.rank_correlation}"),
        (cost.hitAt3Difference >= -bounds.metric_loss, f"Hit@3 changes by {cost.hitAt3Difference}"),
        (cost.recallAt10Difference >= -bounds.metric_loss, f"Recall@10 changes by {cost.recallAt10Difference}"),
    )  # fmt: skip
    return [reason for held, reason in checks if not held]


def is_faster(int8: Speed, fp32: Speed, bounds: Bounds) -> bool:
    """By the margin that is worth a cost."""
    margin = bounds.time_share
    return int8.rankMs <= margin * fp32.rankMs and int8.encodeMs <= margin * fp32.encodeMs and int8.appendMs <= fp32.appendMs
