"""Tries exported graphs before they may serve: the laws on all of them, and whether int8 is worth what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config import TrainConfig
from ..data.dataset import Dataset
from ..model.onepass_model import OnepassModel
from ..model.rows import FLOAT
from .export import WEIGHTS
from .laws import LawBroken, check_laws
from .material import sample_material, sample_slates
from .precision import Bounds, Cost, Speed, cost_of, is_faster, reasons_against, speeds
from .quantise import QUANTISED, quantise_graphs
from .reference import GraphRunner, TorchRunner
from .replay import Replay, serve

FP32, INT8, AUTO = "fp32", "int8", "auto"
INT8_DIRECTORY = "graphs/int8"
Graphs = Mapping[str, str | None]
"""Name -> path in the release; None for a query tower that is not there."""


@dataclass(frozen=True)
class Precision:
    """One of the manifest's `precisions`."""

    graphs: Graphs
    cost: Cost | None
    """None: it is what the others are measured by."""
    speed: Speed


@dataclass(frozen=True)
class Outcome:
    """What was found."""

    precisions: dict[str, Precision]
    served: str
    why: str
    """One sentence about int8."""
    laws: dict[str, float]
    """Law -> largest difference in any of the graphs that were kept."""


class Trial:
    """The graphs of a draft directory, whose fp32 graphs and item table are written."""

    def __init__(
        self, model: OnepassModel, dataset: Dataset, config: TrainConfig, directory: Path, graphs: Graphs, table: FLOAT
    ) -> None:
        """`graphs`: the fp32 ones. `table` [N, E]: the widened item table."""
        self._model, self._dataset, self._config = model, dataset, config
        self._directory, self._graphs, self._table = directory, graphs, table
        self._fp32 = GraphRunner(directory, config.model.layers, graphs)
        self._slates = sample_slates(dataset, config)
        self._replay = Replay(dataset, config, model.layout, self._fp32, table, graphs["queryTower"] is not None)
        tokenizer = model.tokenizer if graphs["queryTower"] is not None else None
        self._material = sample_material(dataset, config, model.layout, table, self._replay, tokenizer)

    def run(self, wanted: str, bounds: Bounds | None = None) -> Outcome:
        """`wanted`: fp32, int8, or auto, which is int8 if it is within `bounds` and faster by their margin, else fp32.

        LawBroken if an fp32 graph breaks a law; ValueError if int8 is wanted and breaks one or costs more than `bounds` allow.
        """
        if wanted not in (FP32, INT8, AUTO):
            raise ValueError(f"the precision must be {FP32}, {INT8} or {AUTO}, not {wanted!r}")
        bounds = bounds or Bounds()
        laws = check_laws(self._fp32, self._material, "graphs", TorchRunner(self._model))
        int8_graphs, (int8, int8_laws, problem) = self._int8_graphs(), self._try_int8()
        if int8 is None:
            self._remove_int8()
            if wanted == INT8:
                raise ValueError(f"int8 graphs cannot serve: {problem}")
            speed = speeds({FP32: (self._fp32, self._material, self._config.model.window)})[FP32]
            return Outcome({FP32: Precision(self._graphs, None, speed)}, FP32, f"There are no int8 graphs: {problem}.", laws)
        runners = {FP32: self._fp32, INT8: int8}
        taken = speeds({name: (run, self._material, self._config.model.window) for name, run in runners.items()})
        cost = self._cost(int8)
        served, why = choose(wanted, cost, taken, bounds)
        precisions = {
            FP32: Precision(self._graphs, None, taken[FP32]), INT8: Precision(int8_graphs, cost, taken[INT8])
        }  # fmt: skip
        return Outcome(precisions, served, why, {name: max(laws[name], int8_laws.get(name, 0.0)) for name in laws})

    def _int8_graphs(self) -> Graphs:
        return dict(self._graphs) | {
            name: f"{INT8_DIRECTORY}/{Path(str(self._graphs[name])).name}" for name in QUANTISED
        }  # fmt: skip

    def _try_int8(self) -> tuple[GraphRunner | None, dict[str, float], str]:
        """The int8 graphs, written and within the laws; or None and why not."""
        if not len(self._slates):
            return None, {}, "the data has no slate to measure them on"
        sources = {name: self._directory / str(self._graphs[name]) for name in QUANTISED}
        quantise_graphs(sources, self._directory / INT8_DIRECTORY, WEIGHTS)
        runner = GraphRunner(self._directory, self._config.model.layers, self._int8_graphs())
        try:
            return runner, check_laws(runner, self._material, INT8_DIRECTORY), ""
        except LawBroken as broken:
            return None, {}, str(broken)

    def _remove_int8(self) -> None:
        directory = self._directory / INT8_DIRECTORY
        for path in directory.glob("*"):
            path.unlink()
        if directory.is_dir():
            directory.rmdir()

    def _cost(self, int8: GraphRunner) -> Cost:
        vocabulary, shape = self._dataset.vocabulary, (self._material.layers, self._material.width)
        runners = self._fp32, int8
        answers = serve(self._replay, runners, self._material.layout, self._table, self._slates, shape)
        utility = np.array([action.utility_weight for action in vocabulary.actions], np.float32)
        return cost_of(*answers, self._slates, utility, vocabulary.positive_bits)


def choose(wanted: str, cost: Cost, taken: dict[str, Speed], bounds: Bounds) -> tuple[str, str]:
    """Which serves, and why."""
    against = reasons_against(cost, bounds)
    if wanted == INT8 and against:
        raise ValueError(f"int8 graphs cannot serve: {'; '.join(against)}")
    faster = is_faster(taken[INT8], taken[FP32], bounds)
    fast, slow = taken[INT8], taken[FP32]
    times = f"rank {fast.rankMs} against {slow.rankMs} ms, encode {fast.encodeMs} against {slow.encodeMs} ms"
    if wanted == FP32:
        return FP32, f"int8 was not asked for; it takes {times}."
    if wanted == AUTO and (against or not faster):
        return FP32, f"int8 does not serve: {'; '.join(against) or 'it is not faster by the margin'} ({times})."
    return INT8, f"int8 serves: {times}."
