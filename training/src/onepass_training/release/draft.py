"""Writes the release draft of docs/release.md; the segment builder finishes it."""

import gzip
import io
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ..config import TrainConfig
from ..evaluation.evaluate import item_table
from ..learn.examples import ExampleReader
from ..model.onepass_model import OnepassModel
from ..model.rows import FLOAT
from ..world import Catalogue, World
from ..world.config import POSITIVE_ACTIONS, SURFACES
from .export import GRAPHS, export_graphs
from .vectors import VectorWriter

FORMAT = 1
POPULAR = 500
UTILITY_WEIGHTS = {"click": 1.0, "long_view": 1.5, "save": 4.0, "share": 4.0, "hide": -8.0}
"""What one action is worth to a page. A hide undoes two saves."""
BUDGETS = {
    "home": [{"outcome": "save", "share": 0.5}, {"outcome": "any", "share": 0.5}],
    "search": [{"outcome": "any", "share": 0.7}, {"outcome": "save", "share": 0.3}],
    "related": [{"outcome": "any", "share": 0.6}, {"outcome": "save", "share": 0.4}],
}
MAX_CANDIDATES = 2_000
CONTEXT_ROWS = 8


def manifest(model: OnepassModel, config: TrainConfig, metrics: dict) -> dict:
    """manifest.draft.json: the manifest without id, index and files."""
    shape, layout = config.model, model.layout
    return {
        "format": FORMAT,
        "name": config.name,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "model": {
            "width": shape.width, "layers": shape.layers, "heads": shape.heads, "window": shape.window,
            "contextRows": CONTEXT_ROWS, "maxCandidates": MAX_CANDIDATES, "itemDimension": shape.item_dimension,
            "upstreamDimension": shape.upstream, "precision": "fp32",
        },
        "vocabulary": {
            "actions": [
                {"name": name, "negative": name == "hide", "utilityWeight": UTILITY_WEIGHTS[name]} for name in layout.actions
            ],
            "surfaces": list(layout.surfaces),
            "requestFeatures": [],
        },
        "tokens": {"dailyPeriodsMs": list(layout.periods_ms), "deltaScale": layout.delta_scale},
        "budgets": BUDGETS,
        "graphs": {name: f"graphs/{file}" for name, file in GRAPHS.items()},
        "queryTokenizer": model.tokenizer.as_json(),
        "items": {
            "count": config.world.items, "table": "items/table.f16",
            "metadata": "items/items.jsonl.gz", "popular": "items/popular.json",
        },
        "metrics": metrics,
    }  # fmt: skip


def popular_items(reader: ExampleReader, ids: list[str]) -> dict[str, list[str]]:
    """For each surface the items most often engaged before the split; ties by id."""
    counts = reader.surface_counts(POSITIVE_ACTIONS)
    return {
        surface: [ids[row] for row in np.argsort(-counts[at], kind="stable")[:POPULAR] if counts[at, row] > 0]
        for at, surface in enumerate(SURFACES)
    }


def _items_jsonl(catalogue: Catalogue) -> bytes:
    """The gzip-compressed metadata, the same bytes for the same items."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as stream:
        for row, item in enumerate(catalogue.ids):
            title, attributes = catalogue.describe(row)
            line = json.dumps({"id": item, "title": title, "attributes": attributes}, separators=(",", ":"))
            stream.write(line.encode() + b"\n")
    return buffer.getvalue()


def _write_json(path: Path, value: object, indent: int | None = None) -> None:
    separators = (",", ":") if indent is None else None
    path.write_text(json.dumps(value, indent=indent, separators=separators, allow_nan=False) + "\n")


def flat_metrics(metrics: dict) -> dict:
    """The headline numbers first, then all of them."""
    return {
        "recallAt10": metrics["recallAt10"]["model"]["all"],
        "hitAt3Save": metrics["hitAt3Save"]["model"]["all"],
        "searchRecallAt10": metrics["searchRecallAt10"]["model"],
        "detail": metrics,
    }


def write_draft(model: OnepassModel, world: World, config: TrainConfig, metrics: dict, directory: Path) -> None:
    """Writes the whole draft. The manifest comes last: a directory that has one is complete."""
    model.eval()
    for part in ("graphs", "items", "vectors"):
        shutil.rmtree(directory / part, ignore_errors=True)
        (directory / part).mkdir(parents=True)
    export_graphs(model, directory / "graphs")
    catalogue = world.catalogue
    table = item_table(model, catalogue.upstream)
    (directory / "items" / "table.f16").write_bytes(table.astype("<f2").tobytes())
    (directory / "items" / "items.jsonl.gz").write_bytes(_items_jsonl(catalogue))
    reader = ExampleReader(world, model.layout, config.model, config)
    _write_json(directory / "items" / "popular.json", popular_items(reader, catalogue.ids))
    widened: FLOAT = table.astype(np.float32)
    writer = VectorWriter(model, catalogue.ids, widened)
    _write_json(directory / "vectors" / "tokens.json", writer.tokens(config.world.end_ms, catalogue.upstream[:1]))
    _write_json(directory / "vectors" / "tokenizer.json", writer.tokenizer())
    _write_json(directory / "manifest.draft.json", manifest(model, config, flat_metrics(metrics)), indent=2)
