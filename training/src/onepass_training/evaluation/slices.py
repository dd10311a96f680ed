"""Groups of slates that a metric is also told of."""

import numpy as np

from ..data.dataset import NONE, Dataset
from .metrics import BOOL, FLOAT, INT
from .slates import SlateSet

LEAST = 30
"""A slice with fewer slates is not quoted."""
ALL, NEW_PEOPLE, FRESH, KNOWN = "all", "newPeople", "freshItems", "knownItems"
LENGTHS = ((NEW_PEOPLE, 0, 10), ("history10to49", 10, 50), ("history50to199", 50, 200), ("history200up", 200, None))
"""By events in the history before the slate, queries among them: name, from, to before."""


def slices_of(slates: SlateSet, dataset: Dataset) -> dict[str, BOOL]:
    """[R] by name: all, each surface, and by length of history; `surface:` goes before a surface's name that is taken."""
    before = slates.prefix - slates.first
    groups = {ALL: np.ones(len(slates), bool)}
    groups |= {name: (before >= low) & (high is None or before < high) for name, low, high in LENGTHS}
    for at, name in enumerate(dataset.vocabulary.surfaces):
        groups[f"surface:{name}" if name in (*groups, FRESH, KNOWN) else name] = slates.surface == at
    return groups


def by_freshness(targets: INT, dataset: Dataset) -> dict[str, BOOL]:
    """[R] whether the item that a slate is judged by (`targets`, NONE where none) was born in the validation days or later, so
    that training never saw it. Where births are not known all items count as known."""
    fresh = dataset.items.born_ms[np.maximum(targets, 0)] >= max(1, dataset.splits.validation_ms)
    return {FRESH: (targets != NONE) & fresh, KNOWN: (targets != NONE) & ~fresh}


def mean_by(values: FLOAT, groups: dict[str, BOOL]) -> dict[str, float | None]:
    """Mean of `values` [R], NaN where a slate does not count, in each group; None where there are too few."""
    sizes = sizes_of(values, groups)
    return {name: round(float(np.nanmean(values[rows])), 6) if sizes[name] >= LEAST else None for name, rows in groups.items()}


def sizes_of(values: FLOAT, groups: dict[str, BOOL]) -> dict[str, int]:
    """How many slates count in each group."""
    return {name: int((rows & ~np.isnan(values)).sum()) for name, rows in groups.items()}
