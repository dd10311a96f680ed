"""Both ways to run a release with one set of calls, arrays in and arrays out: the exported graphs, and the PyTorch model.

For laws, checks, comparisons and timings.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from ..model.onepass_model import OnepassModel
from .export import GRAPHS

FLOAT = NDArray[np.float32]
Cache = list[tuple[FLOAT, FLOAT]]
"""Keys and values of each layer, [p, W]."""


class Runner(Protocol):
    """What a release can do. Shapes: OnepassModel's methods of the same names."""

    def encode(self, rows: FLOAT, positions: FLOAT, cache: Cache) -> tuple[FLOAT, Cache]:
        """See OnepassModel.encode."""

    def rank(
        self, context: FLOAT, context_positions: FLOAT, candidates: FLOAT, candidate_row: FLOAT, candidate_position: FLOAT,
        cache: Cache,
    ) -> FLOAT:  # fmt: skip
        """See OnepassModel.rank."""

    def retrieve(self, hidden: FLOAT, outcomes: FLOAT, offsets: FLOAT, surfaces: FLOAT) -> FLOAT:
        """See OnepassModel.retrieve."""

    def embed_items(self, upstream: FLOAT) -> FLOAT:
        """See OnepassModel.embed_items."""

    def embed_queries(self, ids: NDArray[np.int64], weights: FLOAT) -> FLOAT:
        """See OnepassModel.embed_queries."""


def empty_cache(layers: int, width: int) -> Cache:
    """The cache of nobody."""
    return [(np.zeros((0, width), np.float32), np.zeros((0, width), np.float32)) for _ in range(layers)]


def joined(first: Cache, second: Cache) -> Cache:
    """`second` behind `first`."""
    return [(np.concatenate([k, a]), np.concatenate([v, b])) for (k, v), (a, b) in zip(first, second, strict=True)]


def prefix_of(cache: Cache, length: int) -> Cache:
    """The first `length` positions."""
    return [(key[:length], value[:length]) for key, value in cache]


class GraphRunner:
    """Sessions over the graphs of a directory, on one thread."""

    def __init__(self, directory: Path, layers: int, graphs: Mapping[str, str | None] = GRAPHS) -> None:
        """`graphs`: name -> file in `directory`; a query tower may be None. FileNotFoundError or ValueError if one is not there
        or cannot be run."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._layers = layers
        self._sessions = {name: _session(directory / file, options) for name, file in graphs.items() if file is not None}

    def encode(self, rows: FLOAT, positions: FLOAT, cache: Cache) -> tuple[FLOAT, Cache]:
        """See OnepassModel.encode."""
        names = ["hidden"] + [f"{part}_{layer}" for layer in range(self._layers) for part in ("key", "value")]
        hidden, *new = self._sessions["encode"].run(names, {"rows": rows, "positions": positions} | _cache_inputs(cache))
        return hidden, list(zip(new[::2], new[1::2], strict=True))

    def rank(
        self, context: FLOAT, context_positions: FLOAT, candidates: FLOAT, candidate_row: FLOAT, candidate_position: FLOAT,
        cache: Cache,
    ) -> FLOAT:  # fmt: skip
        """See OnepassModel.rank."""
        inputs = {
            "context": context, "context_positions": context_positions, "candidates": candidates,
            "candidate_row": candidate_row, "candidate_position": candidate_position,
        }  # fmt: skip
        return self._sessions["rank"].run(["probabilities"], inputs | _cache_inputs(cache))[0]

    def retrieve(self, hidden: FLOAT, outcomes: FLOAT, offsets: FLOAT, surfaces: FLOAT) -> FLOAT:
        """See OnepassModel.retrieve."""
        inputs = {"hidden": hidden, "outcomes": outcomes, "offsets": offsets, "surfaces": surfaces}
        return self._sessions["retrieveHead"].run(["queries"], inputs)[0]

    def embed_items(self, upstream: FLOAT) -> FLOAT:
        """See OnepassModel.embed_items."""
        return self._sessions["itemTower"].run(["embeddings"], {"upstream": upstream})[0]

    def embed_queries(self, ids: NDArray[np.int64], weights: FLOAT) -> FLOAT:
        """See OnepassModel.embed_queries. ValueError in a release without a query tower."""
        if "queryTower" not in self._sessions:
            raise ValueError("this release has no query tower: it reads no text")
        inputs = {"token_ids": ids.astype(np.float32), "token_weights": weights}
        return self._sessions["queryTower"].run(["embeddings"], inputs)[0]


def _session(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise FileNotFoundError(f"there is no graph {path}")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no class of their own in common
        raise ValueError(f"{path} cannot be run: {str(error).splitlines()[0]}") from error


def _cache_inputs(cache: Cache) -> dict[str, FLOAT]:
    names = (f"past_{part}_{layer}" for layer in range(len(cache)) for part in ("key", "value"))
    return dict(zip(names, (array for pair in cache for array in pair), strict=True))


class TorchRunner:
    """The PyTorch model."""

    def __init__(self, model: OnepassModel) -> None:
        self._model = model

    def _run(self, name: str, *inputs: object) -> object:
        with torch.no_grad():
            return _convert(getattr(self._model, name)(*_convert(inputs, torch.from_numpy)), lambda tensor: tensor.numpy())

    def encode(self, rows: FLOAT, positions: FLOAT, cache: Cache) -> tuple[FLOAT, Cache]:
        """See OnepassModel.encode."""
        return self._run("encode", rows, positions, cache)

    def rank(
        self, context: FLOAT, context_positions: FLOAT, candidates: FLOAT, candidate_row: FLOAT, candidate_position: FLOAT,
        cache: Cache,
    ) -> FLOAT:  # fmt: skip
        """See OnepassModel.rank."""
        return self._run("rank", context, context_positions, candidates, candidate_row, candidate_position, cache)

    def retrieve(self, hidden: FLOAT, outcomes: FLOAT, offsets: FLOAT, surfaces: FLOAT) -> FLOAT:
        """See OnepassModel.retrieve."""
        return self._run("retrieve", hidden, outcomes, offsets, surfaces)

    def embed_items(self, upstream: FLOAT) -> FLOAT:
        """See OnepassModel.embed_items."""
        return self._run("embed_items", upstream)

    def embed_queries(self, ids: NDArray[np.int64], weights: FLOAT) -> FLOAT:
        """See OnepassModel.embed_queries."""
        return self._run("embed_queries", ids, weights)


def _convert(value: object, change: object) -> object:
    """`value` with `change` done to every array or tensor in its tuples and lists."""
    if isinstance(value, tuple | list):
        return type(value)(_convert(part, change) for part in value)
    return change(value)
