"""The results as the page reads them: the newest good line of each variant and seed, and numbers over seeds."""

from collections.abc import Iterable, Sequence

from .grid import BASE
from .metrics import METRICS, crossed
from .results import Line
from .variant import Claim
from .verdict import One, Several, together


class Book:
    """What the runs found."""

    def __init__(self, lines: Iterable[Line]) -> None:
        newest: dict[tuple[str, int], Line] = {}
        failed: dict[tuple[str, int], Line] = {}
        for line in lines:
            at = (line["variant"], line["seed"])
            (newest if line["status"] == "ok" else failed)[at] = line
        self._lines = dict(sorted(newest.items()))
        self.failed = [line for at, line in sorted(failed.items()) if at not in newest]

    def seeds(self, variant: str) -> list[int]:
        """That have a result."""
        return [seed for name, seed in self._lines if name == variant]

    def all(self) -> list[Line]:
        """Every line that counts."""
        return list(self._lines.values())

    def of(self, variant: str) -> list[Line]:
        """The lines of a variant, by seed."""
        return [self._lines[variant, seed] for seed in self.seeds(variant)]

    def value(self, variant: str, metric: str) -> Several | None:
        """A metric over the seeds that have it."""
        lines = [line for line in self.of(variant) if metric in line["metrics"]]
        return together([_one(line["metrics"][metric], line["intervals"].get(metric)) for line in lines])

    def summary(self, variant: str, path: str) -> Several | None:
        """A number of the evaluation's summary over seeds, by its dotted path; the interval is over seeds alone."""
        return together([One(line["summary"][path]) for line in self.of(variant) if path in line["summary"]])

    def number(self, variant: str, name: str) -> float | None:
        """The mean over seeds of a plain number that lines have."""
        held = [line[name] for line in self.of(variant) if name in line]
        return sum(held) / len(held) if held else None

    def difference(self, variant: str, metric: str, other: str = BASE, against: str | None = None) -> Several | None:
        """`variant` minus `other`, seed by seed, over the seeds that both have."""
        name = crossed(metric, against or metric)
        found = []
        for seed in self.seeds(variant):
            if (other, seed) not in self._lines:
                continue
            mine, theirs = self._lines[variant, seed], self._lines[other, seed]
            if other == BASE and name in (mine["differences"] or {}):
                found.append(_one(*mine["differences"][name][:1], mine["differences"][name][1:]))
            elif metric in mine["metrics"] and (against or metric) in theirs["metrics"]:
                found.append(One(mine["metrics"][metric] - theirs["metrics"][against or metric]))
        return together(found)

    def ahead(self, claim: Claim) -> Several | None:
        """By how much the better side of a claim is ahead: above 0 where it is, also where less is better."""
        against = claim.against or claim.metric
        if claim.worse == BASE:
            found = self.difference(claim.better, claim.metric, BASE, against)
        else:
            found = self.difference(claim.worse, against, claim.better, claim.metric)
            found = found and found.flipped()
        return found.flipped() if found and METRICS[claim.metric].less else found


def _one(value: float, bounds: Sequence[float] | None) -> One:
    return One(value, *(bounds or (None, None))[-2:])
