"""Intervals and differences. People are drawn, not slates: one person's slates are not independent of each other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLOAT = NDArray[np.floating]
RESAMPLES = 1_000
LEVEL = 0.95
_CHUNK = 2_000_000
"""Draws held in memory at a time."""


@dataclass(frozen=True)
class Estimate:
    """A mean with the bounds of its 95% interval."""

    mean: float
    low: float
    high: float
    slates: int
    people: int


@dataclass(frozen=True)
class Difference(Estimate):
    """Of two models on the same slates."""

    p: float
    """Two-sided: how likely a difference as large is if there is none."""


def _resampled_means(values: FLOAT, people: NDArray, seed: int) -> tuple[NDArray[np.float64], int]:
    """[RESAMPLES] means of `values` [R] over people drawn with repeats; and the number of people."""
    _, where = np.unique(people, return_inverse=True)
    count = np.bincount(where).astype(np.float64)
    total = np.bincount(where, weights=values)
    random, n = np.random.default_rng(seed), len(count)
    at_once = max(1, _CHUNK // n)
    means = []
    for start in range(0, RESAMPLES, at_once):
        drawn = random.integers(0, n, (min(at_once, RESAMPLES - start), n))
        means.append(total[drawn].sum(axis=1) / count[drawn].sum(axis=1))
    return np.concatenate(means), n


def _interval(means: FLOAT) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _two_sided(means: FLOAT) -> float:
    """Twice the smaller share of resampled differences on one side of 0, never quite 0."""
    side = min((means <= 0).sum(), (means >= 0).sum())
    return float(min(1.0, 2 * (side + 1) / (len(means) + 1)))


def bootstrap(values: FLOAT, people: NDArray, seed: int = 1) -> Estimate:
    """Mean of `values` [R], NaN where a slate does not count, and its percentile interval by bootstrap over `people` [R]."""
    use = ~np.isnan(values)
    if not use.any():
        return Estimate(np.nan, np.nan, np.nan, 0, 0)
    means, n = _resampled_means(values[use], people[use], seed)
    return Estimate(float(values[use].mean()), *_interval(means), int(use.sum()), n)


def difference(first: FLOAT, second: FLOAT, people: NDArray, seed: int = 1) -> Difference:
    """first - second, both [R] of the same slates; slates that count in both."""
    values = np.asarray(first, np.float64) - second
    use = ~np.isnan(values)
    if not use.any():
        return Difference(np.nan, np.nan, np.nan, 0, 0, np.nan)
    means, n = _resampled_means(values[use], people[use], seed)
    return Difference(float(values[use].mean()), *_interval(means), int(use.sum()), n, _two_sided(means))


def t_upper(t: float, freedom: int) -> float:
    """P(T > t) of Student's distribution for t >= 0. With t = sqrt(f) tan(u) its density is cos(u)^(f - 1), up to a factor."""
    whole = np.linspace(0, np.pi / 2, 20_001)
    tail = np.linspace(np.arctan(t / np.sqrt(freedom)), np.pi / 2, 20_001)
    area = np.trapezoid(np.cos(whole) ** (freedom - 1), whole)
    return float(0.5 * np.trapezoid(np.cos(tail) ** (freedom - 1), tail) / area)


def t_quantile(share: float, freedom: int) -> float:
    """The t that a share of at least one half lies below, by bisection."""
    low, high = 0.0, 1e4
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_upper(middle, freedom) > 1 - share else (low, middle)
    return (low + high) / 2
