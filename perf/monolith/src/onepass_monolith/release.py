"""A release's directory: its manifest, its items, and its graphs in ONNX Runtime sessions."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime
from onepass_training.model.rows import FLOAT, RowLayout
from onepass_training.model.tokenizer import Tokenizer

ANY = "any"
Kv = list[tuple[FLOAT, FLOAT]]
"""Keys and values of each layer, [p, W]."""


class Release:
    """What serving needs of it. OSError or ValueError in a sentence where the directory holds none."""

    def __init__(self, directory: Path, threads: int) -> None:
        """`threads`: inside a run of a graph."""
        path = directory / "manifest.json"
        try:
            self.manifest = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}") from error
        self.directory = directory
        model, vocabulary, tokens = (self.manifest[name] for name in ("model", "vocabulary", "tokens"))
        self.id: str = self.manifest["id"]
        self.window, self.layers, self.width = model["window"], model["layers"], model["width"]
        self.most_candidates, self.context_rows = model["maxCandidates"], model["contextRows"]
        self.actions = tuple(action["name"] for action in vocabulary["actions"])
        self.utility_weights = np.array([action["utilityWeight"] for action in vocabulary["actions"]], np.float64)
        self.layout = RowLayout(
            embedding=model["itemDimension"], actions=self.actions, surfaces=tuple(vocabulary["surfaces"]),
            periods_ms=tuple(tokens["dailyPeriodsMs"]), delta_scale=tokens["deltaScale"],
            request_features=tuple(vocabulary["requestFeatures"]),
        )  # fmt: skip
        self.action_bit = {name: 1 << at for at, name in enumerate(self.actions)}
        self.surface_index = {name: at for at, name in enumerate(self.layout.surfaces)}
        self.outcome_index = {name: at for at, name in enumerate((*self.actions, ANY))}
        self.graphs = Graphs(self, threads)

    @cached_property
    def table(self) -> FLOAT:
        """[N, E] the item table, widened."""
        items = self.manifest["items"]
        return np.fromfile(self.directory / items["table"], "<f2").reshape(items["count"], -1).astype(np.float32)

    @cached_property
    def ids(self) -> list[str]:
        """[N]"""
        with gzip.open(self.directory / self.manifest["items"]["metadata"], "rt") as lines:
            return [json.loads(line)["id"] for line in lines]

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row by id."""
        return {item: row for row, item in enumerate(self.ids)}

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """None where it takes no text. ValueError if it is not the one that training has."""
        told = self.manifest.get("queryTokenizer")
        if told is None:
            return None
        known = Tokenizer(told["buckets"], told["seed"], tuple(told["ngrams"]), told["maxTokens"])
        if known.as_json() != told:
            raise ValueError(f"{self.directory}: texts cannot be cut by {told}")
        return known

    def embed_texts(self, texts: Sequence[str]) -> FLOAT:
        """[b, E]; a text without a token is zeros."""
        if self.tokenizer is None or not texts:
            return np.zeros((len(texts), self.layout.embedding), np.float32)
        ids, weights = self.tokenizer.batch(texts)
        return self.graphs.embed_queries(ids, weights) * weights.any(axis=1, keepdims=True)

    def knows_text(self, text: str) -> bool:
        """Whether it has a token; never without a query tower."""
        return self.tokenizer is not None and bool(self.tokenizer.tokens(text))


@dataclass(frozen=True)
class Passed:
    """What encode leaves."""

    hidden: FLOAT
    """[n, W]"""
    kv: Kv
    """Of the new rows."""


class Graphs:
    """One session a graph, for any number of threads at once."""

    def __init__(self, release: Release, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        for kind in ("intra", "inter"):
            options.add_session_config_entry(f"session.{kind}_op.allow_spinning", "0")
        self._sessions = {
            name: onnxruntime.InferenceSession(release.directory / file, options, providers=["CPUExecutionProvider"])
            for name, file in release.manifest["graphs"].items()
            if file is not None and name != "itemTower"
        }
        layers = range(release.layers)
        self._past = [f"past_{part}_{layer}" for layer in layers for part in ("key", "value")]
        self._encoded = ["hidden", *(f"{part}_{layer}" for layer in layers for part in ("key", "value"))]

    def _past_inputs(self, past: Kv) -> dict[str, FLOAT]:
        return dict(zip(self._past, (array for pair in past for array in pair), strict=True))

    def encode(self, rows: FLOAT, start: int, past: Kv) -> Passed:
        """rows [n, F] at positions start, start + 1, ... behind a past."""
        positions = np.arange(start, start + len(rows), dtype=np.float32)
        inputs = {"rows": rows, "positions": positions} | self._past_inputs(past)
        hidden, *new = self._sessions["encode"].run(self._encoded, inputs)
        return Passed(hidden, list(zip(new[::2], new[1::2], strict=True)))

    def retrieve(self, hidden: FLOAT, outcomes: FLOAT, offsets: FLOAT, surfaces: FLOAT) -> FLOAT:
        """hidden [1, W], a row of the others for each query; gives [q, E]."""
        inputs = {"hidden": hidden, "outcomes": outcomes, "offsets": offsets, "surfaces": surfaces}
        return self._sessions["retrieveHead"].run(["queries"], inputs)[0]

    def rank(self, context: FLOAT, start: int, candidates: FLOAT, candidate_row: FLOAT, past: Kv) -> FLOAT:
        """context [c, F] from position `start`, candidates [k, E], candidate_row [F - E]; gives probabilities [k, A]."""
        end = start + len(context)
        inputs = {
            "context": context, "context_positions": np.arange(start, end, dtype=np.float32), "candidates": candidates,
            "candidate_row": candidate_row[None], "candidate_position": np.array([end], np.float32),
        }  # fmt: skip
        return self._sessions["rank"].run(["probabilities"], inputs | self._past_inputs(past))[0]

    def embed_queries(self, ids: np.ndarray, weights: FLOAT) -> FLOAT:
        """The tokenizer's batch [b, t] to [b, E]."""
        inputs = {"token_ids": ids.astype(np.float32), "token_weights": weights}
        return self._sessions["queryTower"].run(["embeddings"], inputs)[0]
