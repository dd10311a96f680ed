"""Writes the release draft of docs/release.md, whole or not at all; the segment builder finishes it."""

import gzip
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config import TrainConfig
from ..data.dataset import Dataset, Items
from ..evaluation.predict import item_table
from ..model.onepass_model import OnepassModel
from ..model.rows import FLOAT
from .budgets import default_budgets, outcome_counts
from .card import Data, describe, model_card
from .export import export_graphs
from .trial import FP32, Graphs, Outcome, Trial
from .vectors import VectorWriter
from .whole import whole

FORMAT = 1
POPULAR = 500
MAX_CANDIDATES = 2_000
CONTEXT_ROWS = 8
DRAFT, FINISHED = "manifest.draft.json", "manifest.json"


def write_draft(
    model: OnepassModel,
    dataset: Dataset,
    config: TrainConfig,
    metrics: dict,
    directory: Path,
    serve: str = FP32,
    notes: Sequence[str] = (),
) -> Outcome:
    """Writes the draft into `directory`, in place of one that is there, and says what was found of its graphs.

    `metrics`: nested plain values, as they go into the manifest. `serve`: fp32, int8 or auto (Trial.run). `notes`: sentences
    about the training for the model card, such as the calibration's. All is written under another name and put in place at the
    end. LawBroken (a ValueError) if a graph breaks a law of docs/release.md.
    """
    if config.model.parts.not_servable:
        parts = " and ".join(config.model.parts.not_servable)
        raise ValueError(f"a model without {parts} is for comparison only: serving cannot do without, so it gets no release")
    model.eval()
    metrics = plain(metrics)
    with whole(directory, (DRAFT, FINISHED), "a release draft") as draft:
        for part in ("graphs", "items", "vectors"):
            (draft / part).mkdir()
        graphs = _write_graphs(model, dataset, draft)
        table = item_table(model, dataset.items.upstream)
        _write_items(dataset, table, draft)
        widened: FLOAT = table.astype(np.float32)
        outcome = Trial(model, dataset, config, draft, graphs, widened).run(serve)
        _write_vectors(model, dataset, widened, draft, texts=graphs["queryTower"] is not None)
        data = describe(dataset)
        (draft / "model-card.md").write_text(model_card(model, dataset, data, config, metrics, outcome, notes))
        _write_json(draft / DRAFT, manifest(model, dataset, data, config, metrics, outcome), indent=2)
    return outcome


def _write_graphs(model: OnepassModel, dataset: Dataset, directory: Path) -> Graphs:
    """The fp32 graphs; without any text in the data no query tower has learnt anything, and there is none."""
    texts = any(len(bucket.texts) for bucket in dataset.each_bucket())
    files = export_graphs(model, directory / "graphs", texts)
    return {name: None if file is None else f"graphs/{file}" for name, file in files.items()}


def _write_items(dataset: Dataset, table: NDArray[np.float16], directory: Path) -> None:
    (directory / "items" / "table.f16").write_bytes(table.astype("<f2").tobytes())
    (directory / "items" / "items.jsonl.gz").write_bytes(_items_jsonl(dataset.items))
    _write_json(directory / "items" / "popular.json", popular_items(dataset))


def _write_vectors(model: OnepassModel, dataset: Dataset, table: FLOAT, directory: Path, texts: bool) -> None:
    writer = VectorWriter(model, dataset.items.ids, table, texts)
    _write_json(directory / "vectors" / "tokens.json", writer.tokens(dataset.splits.end_ms, dataset.items.upstream[:1]))
    if texts:
        _write_json(directory / "vectors" / "tokenizer.json", writer.tokenizer())


def popular_items(dataset: Dataset) -> dict[str, list[str]]:
    """For each surface the items most often engaged with before validation, at most POPULAR; ties by row."""
    counts, ids = dataset.training_counts(dataset.vocabulary.positive_bits), dataset.items.ids
    return {
        surface: [ids[row] for row in np.argsort(-counts[at], kind="stable")[:POPULAR] if counts[at, row] > 0]
        for at, surface in enumerate(dataset.vocabulary.surfaces)
    }


def _items_jsonl(items: Items) -> bytes:
    """The gzip-compressed metadata, the same bytes for the same items."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as stream:
        for item, title, attributes in zip(items.ids, items.titles, items.attributes, strict=True):
            line = json.dumps({"id": item, "title": title, "attributes": attributes}, separators=(",", ":"))
            stream.write(line.encode() + b"\n")
    return buffer.getvalue()


def _write_json(path: Path, value: object, indent: int | None = None) -> None:
    separators = (",", ":") if indent is None else None
    path.write_text(json.dumps(value, indent=indent, separators=separators, allow_nan=False) + "\n")


def plain(value: object) -> object:
    """Nested values as JSON has them: numpy's numbers as Python's, what is not a finite number as null."""
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def manifest(model: OnepassModel, dataset: Dataset, data: Data, config: TrainConfig, metrics: dict, outcome: Outcome) -> dict:
    """manifest.draft.json: the manifest without id, index and files."""
    shape, layout, vocabulary = config.model, model.layout, dataset.vocabulary
    graphs = outcome.precisions[outcome.served].graphs
    tokenizer = {"queryTokenizer": model.tokenizer.as_json()} if graphs["queryTower"] is not None else {}
    return {
        "format": FORMAT,
        "name": config.name,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "model": {
            "width": shape.width, "layers": shape.layers, "heads": shape.heads, "window": shape.window,
            "contextRows": CONTEXT_ROWS, "maxCandidates": MAX_CANDIDATES, "itemDimension": shape.item_dimension,
            "upstreamDimension": shape.upstream, "precision": outcome.served,
        },
        "vocabulary": {
            "actions": [
                {"name": action.name, "negative": action.negative, "utilityWeight": action.utility_weight}
                for action in vocabulary.actions
            ],
            "surfaces": list(vocabulary.surfaces),
            "requestFeatures": list(vocabulary.features),
        },
        "tokens": {"dailyPeriodsMs": list(layout.periods_ms), "deltaScale": layout.delta_scale},
        "budgets": default_budgets(vocabulary, outcome_counts(dataset), shape.parts),
        "graphs": dict(graphs),
        "precisions": {
            name: {
                "graphs": dict(precision.graphs), "cost": asdict(precision.cost) if precision.cost else None,
                "speed": asdict(precision.speed),
            }
            for name, precision in outcome.precisions.items()
        },
        **tokenizer,
        "items": {
            "count": len(dataset.items), "table": "items/table.f16",
            "metadata": "items/items.jsonl.gz", "popular": "items/popular.json",
        },
        "metrics": metrics,
        "training": {"seed": config.seed, "dataset": asdict(data), "config": plain(config.as_json())},
    }  # fmt: skip
