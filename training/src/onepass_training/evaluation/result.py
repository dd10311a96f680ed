"""What an evaluation found, by slate, so that two models can be compared on the same ones."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .metrics import BOOL, FLOAT
from .slices import ALL
from .statistics import Difference, Estimate, bootstrap, difference

FORMAT = 1


@dataclass(frozen=True)
class Result:
    """Of one contender."""

    name: str
    summary: dict
    """Plain numbers: docs/training.md, "What the metrics mean". None where there is too little to take a mean of."""
    key: NDArray[np.uint64]
    """[R] which slates."""
    person: NDArray[np.uint64]
    """[R]"""
    values: dict[str, FLOAT]
    """Metric -> [R], NaN where a slate does not count."""
    slices: dict[str, BOOL]
    """Slice -> [R]. Freshness depends on what is asked for: `freshItems` is for recall, `freshItems:save` for a Hit@3."""

    def of(self, metric: str, group: str = ALL) -> FLOAT:
        """[R] a metric within a slice. KeyError names what there is."""
        for name, table in ((metric, self.values), (group, self.slices)):
            if name not in table:
                raise KeyError(f"{name}: there is {', '.join(table)}")
        return np.where(self.slices[group], self.values[metric], np.nan)

    def estimate(self, metric: str, group: str = ALL) -> Estimate:
        """Its mean and interval."""
        return bootstrap(self.of(metric, group), self.person)

    def save(self, path: Path) -> None:
        """Writes an npz, whole or not at all."""
        arrays = {"key": self.key, "person": self.person}
        arrays |= {f"value/{name}": values.astype(np.float32) for name, values in self.values.items()}
        arrays |= {f"slice/{name}": rows for name, rows in self.slices.items()}
        head = json.dumps({"format": FORMAT, "name": self.name, "summary": self.summary}, allow_nan=False)
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as stream:
            np.savez_compressed(stream, head=np.frombuffer(head.encode(), np.uint8), **arrays)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Result":
        """Reads what `save` wrote; ValueError for anything else."""
        try:
            with np.load(path) as arrays:
                held = {name: arrays[name] for name in arrays.files}
            head = json.loads(held["head"].tobytes())
            if head["format"] != FORMAT:
                raise ValueError(f"format {head['format']}")
            parts = ({name[6:]: held[name] for name in held if name.startswith(kind)} for kind in ("value/", "slice/"))
            return cls(head["name"], head["summary"], held["key"], held["person"], *parts)
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} holds no evaluation result: {error}") from error


def _shared(first: Result, second: Result, metric: str, group: str) -> tuple[FLOAT, FLOAT, NDArray[np.uint64]]:
    """A metric of both on the slates that both have; the slice is the first one's."""
    mine, theirs = first.of(metric, group), second.of(metric)
    if np.array_equal(first.key, second.key):
        return mine, theirs, first.person
    _, at, other = np.intersect1d(first.key, second.key, assume_unique=True, return_indices=True)
    return mine[at], theirs[other], first.person[at]


def compare(first: Result, second: Result, metric: str, group: str = ALL) -> Difference:
    """first - second on the slates that both were evaluated on, with its interval over people. ValueError if there is none."""
    found = difference(*_shared(first, second, metric, group))
    if not found.slates:
        raise ValueError(f"{first.name} and {second.name} share no slate that {metric} is told of")
    return found
