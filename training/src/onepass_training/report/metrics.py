"""The metrics that the report compares by, and where an evaluation's result has them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..evaluation.metrics import BINS, BOOL, FLOAT
from ..evaluation.result import Result
from ..evaluation.slices import ALL, FRESH, KNOWN, LEAST, NEW_PEOPLE
from ..evaluation.statistics import difference


@dataclass(frozen=True)
class Metric:
    """One column of the report."""

    title: str
    value: str | None = None
    """Name in Result.values: taken by slate, so that models are compared on the same slates."""
    group: str = ALL
    """Slice of it."""
    summary: str | None = None
    """Dotted path into Result.summary for what is only known of all slates together; `path.*` is the largest below it."""
    less: bool = False
    """Less is better."""


METRICS: dict[str, Metric] = {
    "recall10": Metric("Recall@10", "recallAt10"),
    "recall100": Metric("Recall@100", "recallAt100"),
    "unordered10": Metric("unordered recall@10", "unorderedRecallAt10/one"),
    "unordered10_offsets": Metric("unordered recall@10, three offsets", "unorderedRecallAt10/offsets"),
    "unordered100": Metric("unordered recall@100", "unorderedRecallAt100/one"),
    "unordered100_offsets": Metric("unordered recall@100, three offsets", "unorderedRecallAt100/offsets"),
    "save10_any": Metric("recall@10 of saves, asked for any", "askedFor/save/any/recallAt10"),
    "save10_asked": Metric("recall@10 of saves, asked for a save", "askedFor/save/outcome/recallAt10"),
    "share10_any": Metric("recall@10 of shares, asked for any", "askedFor/share/any/recallAt10"),
    "share10_asked": Metric("recall@10 of shares, asked for a share", "askedFor/share/outcome/recallAt10"),
    "later100": Metric("recall@100 of 2 to 24 hours later", "laterRecallAt100/one"),
    "later100_offsets": Metric("recall@100 of 2 to 24 hours later, three offsets", "laterRecallAt100/offsets"),
    "hit3_save": Metric("Hit@3 save", "hitAt3/save"),
    "hit3_click": Metric("Hit@3 click", "hitAt3/click"),
    "ndcg": Metric("NDCG@10", "ndcgAt10"),
    "log_loss": Metric("log loss", "slateLogLoss", less=True),
    "auc_save": Metric("AUC save", summary="auc.save"),
    "ece_save": Metric("ECE save", summary="ece.save", less=True),
    "ece_worst": Metric("ECE, worst action", summary="ece.*", less=True),
    "coverage": Metric("coverage@10", summary="coverageAt10"),
    "diversity": Metric("diversity@10", "diversityAt10/upstream"),
}
SLICES = {
    "home": "home", "search": "search", "related": "related", NEW_PEOPLE: "under 10 events", "history10to49": "10 to 49 events",
    "history50to199": "50 to 199 events", "history200up": "200 events and more", KNOWN: "known items", FRESH: "fresh items",
}  # fmt: skip
"""What the slices of an evaluation are called here."""
SLICED = ("recall10", "hit3_save")


def slice_name(metric: str, group: str) -> str:
    """The name of a metric of SLICED within one of SLICES."""
    return f"{metric}/{group}"


def _slice(metric: str, group: str) -> Metric:
    whole = METRICS[metric]
    suffix = ":save" if metric == "hit3_save" and group in (FRESH, KNOWN) else ""
    return Metric(f"{whole.title}, {SLICES[group]}", whole.value, group + suffix)


METRICS |= {slice_name(metric, group): _slice(metric, group) for metric in SLICED for group in SLICES}
KEPT = ("ece.", "auc.", "slates.all", "slates.people", "slates.recallAt10.", "slates.hitAt3/save.", "distinctAt10.")
"""Where numbers of an evaluation's summary begin that a result keeps beside its metrics."""
CROSSED = (
    ("unordered10_offsets", "unordered10"),
    ("unordered100_offsets", "unordered100"),
    ("save10_asked", "save10_any"),
    ("share10_asked", "share10_any"),
    ("later100_offsets", "later100"),
)
"""Pairs of metrics that a claim compares with each other: the first of one result, the second of the same or of another."""
DIGITS = 5
Interval = tuple[float, float, float]
"""Mean, low, high."""


def kept(summary: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a summary that a result keeps."""
    return {name: value for name, value in flat(summary) if name.startswith(KEPT)}


def flat(summary: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a nested summary by dotted path; what is None is left out."""
    for name, value in summary.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        elif value is not None:
            yield f"{above}{name}", value


def measure(result: Result) -> tuple[dict[str, float], dict[str, Interval]]:
    """By name in METRICS: values, and for those that are taken by slate their means with 95% intervals over people."""
    numbers = dict(flat(result.summary))
    values: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    for name, metric in METRICS.items():
        if metric.summary is not None:
            found = _of_summary(numbers, metric.summary)
            if found is not None:
                values[name] = found
        elif _has(result, metric):
            estimate = result.estimate(metric.value, metric.group)
            if estimate.slates >= LEAST:
                values[name] = round(estimate.mean, DIGITS)
                intervals[name] = _rounded(estimate.mean, estimate.low, estimate.high)
    return values, intervals


def differences(first: Result, second: Result) -> dict[str, Interval]:
    """first - second slate by slate, with 95% intervals over people: by a metric's name, and by "one - other" for CROSSED ones.
    ValueError where the two are not of the same slates."""
    if not np.array_equal(first.key, second.key):
        raise ValueError(f"{first.name} and {second.name} were not evaluated on the same slates")
    pairs = [(name, name) for name in METRICS] + [pair for one, other in CROSSED for pair in ((one, other), (other, one))]
    found = {}
    for one, other in pairs:
        mine, theirs = METRICS[one], METRICS[other]
        if not (_has(first, mine) and _has(second, theirs)):
            continue
        pair = difference(first.of(mine.value, mine.group), second.of(theirs.value, theirs.group), first.person)
        if pair.slates >= LEAST:
            found[crossed(one, other)] = _rounded(pair.mean, pair.low, pair.high)
    return found


def crossed(one: str, other: str) -> str:
    """The name of a difference."""
    return one if one == other else f"{one} - {other}"


def reliability(predicted: FLOAT, labels: BOOL) -> list[list[float]]:
    """Equal-mass bins of predictions [n], as the calibration error takes them: mean prediction, share labelled, how many."""
    order = np.argsort(predicted, kind="stable")
    return [
        [round(float(predicted[part].mean()), DIGITS), round(float(labels[part].mean()), DIGITS), len(part)]
        for part in np.array_split(order, BINS)
        if len(part)
    ]


def _has(result: Result, metric: Metric) -> bool:
    return metric.value in result.values and metric.group in result.slices


def _of_summary(numbers: Mapping[str, float], path: str) -> float | None:
    if not path.endswith(".*"):
        return numbers.get(path)
    below = [value for name, value in numbers.items() if name.startswith(path[:-1])]
    return max(below) if below else None


def _rounded(*values: float) -> Interval:
    return tuple(round(float(value), DIGITS) for value in values)
