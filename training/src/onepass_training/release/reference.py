"""The exported graphs under ONNX Runtime, with the same calls as the PyTorch model, for tests, checks and timings."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .export import GRAPHS

FLOAT = NDArray[np.float32]
Cache = list[tuple[FLOAT, FLOAT]]


class GraphRunner:
    """Sessions over the five graphs of a directory, on one thread."""

    def __init__(self, directory: Path, layers: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._layers = layers
        self._sessions = {
            name: onnxruntime.InferenceSession(directory / file, options, providers=["CPUExecutionProvider"])
            for name, file in GRAPHS.items()
        }

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
        """See OnepassModel.embed_queries."""
        inputs = {"token_ids": ids.astype(np.float32), "token_weights": weights}
        return self._sessions["queryTower"].run(["embeddings"], inputs)[0]


def _cache_inputs(cache: Cache) -> dict[str, FLOAT]:
    names = (f"past_{part}_{layer}" for layer in range(len(cache)) for part in ("key", "value"))
    return dict(zip(names, (array for pair in cache for array in pair), strict=True))
