"""`compare`: two releases on the same logs."""

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..arguments import positive
from ..config import TrainConfig
from ..data.dataset import Dataset
from ..data.open import open_dataset
from ..data.synthetic import synthetic_dataset
from ..evaluation.evaluate import Evaluation
from ..evaluation.result import Result
from ..evaluation.result import compare as compare_results
from ..evaluation.slices import LEAST
from ..evaluation.statistics import Difference
from ..release.card import describe
from ..release.opened import OpenedRelease
from ..release.precision import Speed, speeds
from ..world import WorldConfig, simulate

SURE = 0.05
"""A difference counts in the verdict if one as large is less likely than this without any."""
LOWER_IS_BETTER = ("slateLogLoss",)
JUDGED = ("recallAt", "hitAt3/", "ndcgAt10", "utilityNdcgAt10", "slateLogLoss")
"""Beginnings of the metrics that the verdict goes by. The others are told: of some more is not better in itself."""
POOLED = ("auc", "ece", "logLoss")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Declares the command."""
    compare = commands.add_parser(
        "compare", help="compare two releases on the same logs",
        description="Runs the graphs that serve of two releases on the same slates of the test days and prints metrics, their "
        "differences (B - A, with 95% intervals over people), sizes, speed and a verdict.",
    )  # fmt: skip
    compare.add_argument("a", type=Path, metavar="A", help="directory of a release or a draft")
    compare.add_argument("b", type=Path, metavar="B", help="the one that is held against it")
    compare.add_argument(
        "--data", type=Path, metavar="DIR",
        help="logs to compare on: as for train --data (default: the synthetic world that both learnt from)",
    )  # fmt: skip
    compare.add_argument("--items", type=Path, metavar="FILE", help="the items, where DIR has none")
    compare.add_argument("--people", type=positive, default=500, help="people whose slates are taken (default 500)")
    compare.add_argument("--json", type=Path, metavar="FILE", help="also write all that was found there")
    return compare


def run(arguments: argparse.Namespace) -> None:
    """Opens, evaluates, prints."""
    first, second = OpenedRelease.open(arguments.a), OpenedRelease.open(arguments.b)
    with _data(arguments, first, second) as dataset:
        for release in (first, second):
            release.check_fits(dataset)
        found = compare(first, second, dataset, arguments.people)
    print(found.table(), flush=True)
    if arguments.json is not None:
        partial = arguments.json.with_name(arguments.json.name + ".partial")
        partial.write_text(json.dumps(found.as_json(), indent=2, allow_nan=False) + "\n")
        partial.replace(arguments.json)


@contextmanager
def _data(arguments: argparse.Namespace, first: OpenedRelease, second: OpenedRelease) -> Iterator[Dataset]:
    """--data, prepared into a directory that goes again, or the world that both name."""
    if arguments.data is None:
        yield _world(first, second)
        return
    if not arguments.data.is_dir():
        raise FileNotFoundError(f"--data: {arguments.data} is no folder")
    with tempfile.TemporaryDirectory(prefix="onepass-compare-") as work:
        vocabulary = None if (arguments.data / "dataset.json").exists() else arguments.a
        yield open_dataset(arguments.data, Path(work), items=arguments.items, vocabulary=vocabulary)


def _world(first: OpenedRelease, second: OpenedRelease) -> Dataset:
    """ValueError if they learnt from different worlds, or from none."""
    worlds = []
    for release in (first, second):
        config = release.training.get("config", {})
        if config.get("world") is None:
            raise ValueError(f"{release.name} names no synthetic world that it learnt from: name logs with --data DIR")
        worlds.append((config["world"], release.training["seed"]))
    if worlds[0] != worlds[1]:
        raise ValueError(f"{first.name} and {second.name} learnt from different worlds: name logs with --data DIR")
    config, seed = worlds[0]
    try:
        shape = WorldConfig(**config)
    except TypeError as error:
        raise ValueError(f"{first.name} learnt from a world of another version: {error}") from error
    dataset = synthetic_dataset(simulate(seed, shape))
    told, now = first.training.get("dataset", {}), asdict(describe(dataset))
    if {name: told.get(name) for name in ("items", "events", "slates")} != {
        name: now[name] for name in ("items", "events", "slates")
    }:
        raise ValueError(f"{first.name} learnt from a world of another version: name logs with --data DIR")
    return dataset


@dataclass(frozen=True)
class Comparison:
    """What was found; differences are B - A."""

    releases: tuple[OpenedRelease, OpenedRelease]
    results: tuple[Result, Result]
    differences: dict[str, Difference]
    speed: tuple[Speed, Speed]
    megabytes: tuple[float, float]
    """Of the graphs that serve, with the weights files beside them."""
    data: str

    def better(self, metric: str) -> bool | None:
        """Whether B is; None if that cannot be told."""
        found = self.differences[metric]
        if found.p >= SURE or found.mean == 0:
            return None
        return (found.mean > 0) != (metric in LOWER_IS_BETTER)

    def verdict(self) -> str:
        """One or two sentences."""
        told = {metric: self.better(metric) for metric in self.differences if metric.startswith(JUDGED)}
        groups = {value: [metric for metric, one in told.items() if one is value] for value in (True, False, None)}
        said = []
        if groups[True]:
            said.append(f"better in {', '.join(groups[True])}")
        if groups[False]:
            said.append(f"worse in {', '.join(groups[False])}")
        if not said:
            said.append(f"not to be told from A in any of {len(told)} metrics")
        elif groups[None]:
            said.append(f"not to be told from A in {len(groups[None])} other metrics")
        ratio = self.speed[1].rankMs / self.speed[0].rankMs
        return f"Verdict: B is {'; '.join(said)}. Its rank takes {ratio:.2f} times as long."

    def table(self) -> str:
        """All of it for people."""
        a, b = self.results
        names = [
            f"{letter} = {release.name} ({release.precision}, {release.directory})"
            for letter, release in zip("AB", self.releases, strict=True)
        ]
        slates = a.summary["slates"]
        lines = [*names, f"on {self.data}: {slates['all']:,} slates of {slates['people']:,} people", "",
                 f"{'metric':<34}{'A':>10}{'B':>10}{'B - A':>10}{'95% interval':>22}{'p':>8}"]  # fmt: skip
        for metric, found in self.differences.items():
            own, other = (result.estimate(metric).mean for result in (a, b))
            interval = f"{found.low:+.4f} .. {found.high:+.4f}"
            lines.append(f"{metric:<34}{own:>10.4f}{other:>10.4f}{found.mean:>+10.4f}{interval:>22}{found.p:>8.3f}")
        for group in POOLED:
            for action, own in a.summary[group].items():
                other = b.summary[group][action]
                if own is not None and other is not None:
                    lines.append(f"{f'{group}/{action}':<34}{own:>10.4f}{other:>10.4f}{other - own:>+10.4f}")
        for title, values in (
            ("graphs, MB", self.megabytes),
            *((name, tuple(getattr(speed, name) for speed in self.speed)) for name in ("rankMs", "encodeMs", "appendMs")),
        ):
            lines.append(f"{title:<34}{values[0]:>10.3g}{values[1]:>10.3g}{values[1] - values[0]:>+10.3g}")
        return "\n".join([*lines, "", self.verdict()])

    def as_json(self) -> dict:
        """Plain values."""
        return {
            "data": self.data, "verdict": self.verdict(),
            "differences": {metric: asdict(found) for metric, found in self.differences.items()},
            "releases": [
                {
                    "name": release.name, "precision": release.precision, "summary": result.summary, "speed": asdict(speed),
                    "megabytes": size,
                }
                for release, result, speed, size in zip(
                    self.releases, self.results, self.speed, self.megabytes, strict=True
                )
            ],
        }  # fmt: skip


def compare(first: OpenedRelease, second: OpenedRelease, dataset: Dataset, people: int) -> Comparison:
    """Both on the test days of `people` people. ValueError if one of them does not fit the data."""
    evaluation = Evaluation(dataset, replace(TrainConfig(), evaluation_people=people, world=None))
    if not len(evaluation.slates):
        raise ValueError(f"{dataset.name} has no slate in its test days to compare on")
    results, timed = [], {}
    for letter, release in zip("AB", (first, second), strict=True):
        contender, material = release.contender(dataset, evaluation.slates)
        results.append(evaluation.of(letter, contender))
        timed[letter] = (release.runner, material, release.config.model.window)
    a, b = results
    shared = [metric for metric in a.values if metric in b.values]
    told = [metric for metric in shared if min(one.estimate(metric).slates for one in results) >= LEAST]
    taken = speeds(timed)
    return Comparison(
        (first, second), (a, b), {metric: compare_results(b, a, metric) for metric in told}, (taken["A"], taken["B"]),
        (_megabytes(first), _megabytes(second)), dataset.name,
    )  # fmt: skip


def _megabytes(release: OpenedRelease) -> float:
    paths = {release.directory / path for path in release.manifest["graphs"].values() if path is not None}
    files = paths | {weights for path in paths for weights in path.parent.glob("*.bin")}
    return sum(path.stat().st_size for path in files) / 1e6
