"""What several seeds say together, and whether a claim holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt

from ..evaluation.statistics import t_quantile

REPRODUCED, AGAINST, NOISE, UNSURE, MISSING = "reproduced", "not reproduced", "within noise", "no interval yet", "not run"
AHEAD_ONCE, BEHIND_ONCE = "ahead on one seed", "behind on one seed"
"""What one seed's interval over people can say: nothing of what another run would change."""
_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Several:
    """A number over seeds with the bounds of its 95% interval; None where one number alone allows no interval."""

    mean: float
    low: float | None
    high: float | None
    by_seed: tuple[float, ...]

    def flipped(self) -> "Several":
        """Of the other sign: for metrics of which less is better."""
        low, high = (None if bound is None else -bound for bound in (self.high, self.low))
        return Several(-self.mean, low, high, tuple(-value for value in self.by_seed))


@dataclass(frozen=True)
class One:
    """One seed's number, with the bounds that its sample of people gives it, if they are known."""

    value: float
    low: float | None = None
    high: float | None = None


@cache
def _student(freedom: int) -> float:
    """Half a 95% interval's width in standard errors; the same few are asked for thousands of times."""
    return t_quantile(0.975, freedom)


def together(seeds: Sequence[One]) -> Several | None:
    """The mean over seeds; None without one. Its interval is the wider of two: Student's over seeds (another run in another
    world), and the seeds' intervals over people joined (worlds are independent: variances add)."""
    if not seeds:
        return None
    values = tuple(one.value for one in seeds)
    n, mean = len(values), sum(values) / len(values)
    reaches = []
    if all(one.low is not None and one.high is not None for one in seeds):
        if n == 1:
            return Several(mean, seeds[0].low, seeds[0].high, values)
        errors = [(one.high - one.low) / 2 / _NORMAL_95 for one in seeds]
        reaches.append(_NORMAL_95 * sqrt(sum(error**2 for error in errors)) / n)
    if n > 1:
        spread = sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
        reaches.append(_student(n - 1) * spread / sqrt(n))
    if not reaches:
        return Several(mean, None, None, values)
    return Several(mean, mean - max(reaches), mean + max(reaches), values)


def verdict(ahead: Several | None) -> str:
    """Of "the difference is above 0": REPRODUCED or AGAINST only where the interval over several seeds leaves 0 out."""
    if ahead is None:
        return MISSING
    if ahead.low is None or ahead.high is None:
        return UNSURE
    if ahead.low <= 0 <= ahead.high:
        return NOISE
    if len(ahead.by_seed) == 1:
        return AHEAD_ONCE if ahead.low > 0 else BEHIND_ONCE
    return REPRODUCED if ahead.low > 0 else AGAINST
