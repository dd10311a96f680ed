"""A mesh's own export (docs/data.md): what it is known by, and that it is as a mesh writes it. Its rows are in our schema."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from .rows import place

SCHEMA_VERSION = 1
EVENTS, SLATES, MANIFEST = "events.parquet", "slates.parquet", "manifest.json"
_BATCH = 2_000
"""Slates read at a time."""


def _texts(nullable: bool = False) -> pa.DataType:
    return pa.list_(pa.field("element", pa.string(), nullable))


_ITEM = pa.struct(
    [
        pa.field("item_id", pa.string(), False),
        pa.field("position", pa.int64(), False),
        pa.field("utility", pa.float32(), False),
        pa.field("probabilities", pa.list_(pa.field("element", pa.float32(), False)), False),
        pa.field("visible", pa.bool_()),
        pa.field("actions", _texts()),
    ]
)
COLUMNS: dict[str, dict[str, pa.DataType]] = {
    EVENTS: {
        "person": pa.string(), "sequence": pa.int64(), "hash": pa.string(), "event_id": pa.string(),
        "operation": pa.string(), "item_id": pa.string(), "query_text": pa.string(), "actions": _texts(),
        "surface": pa.string(), "time_ms": pa.int64(), "effective_ms": pa.int64(), "slate_id": pa.string(),
        "position": pa.int64(), "retracts": pa.int64(),
    },
    SLATES: {
        "slate_id": pa.string(), "person": pa.string(), "surface": pa.string(), "time_ms": pa.int64(),
        "history_sequence": pa.int64(), "history_hash": pa.string(), "release_id": pa.string(), "foreign": pa.bool_(),
        "degraded": _texts(), "related_item_ids": _texts(), "query_text": pa.string(),
        "query_embedding": pa.list_(pa.field("element", pa.float32(), False)), "actions": _texts(),
        "items": pa.list_(pa.field("element", _ITEM, False)),
    },
}  # fmt: skip


def is_export(directory: Path) -> bool:
    """Whether a mesh wrote what is in a directory, whole or not."""
    try:
        return "schema_version" in json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def check_export(directory: Path) -> None:
    """ValueError or FileNotFoundError names what is not as a mesh writes it: version, columns, numbers it served."""
    manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(f"{directory / MANIFEST}: schema_version is {version}, must be {SCHEMA_VERSION}")
    for name, columns in COLUMNS.items():
        _check_columns(directory, name, columns)
    done = 0
    for batch in parquet.ParquetFile(directory / SLATES).iter_batches(_BATCH, columns=["actions", "items"], use_threads=False):
        _check_numbers(directory / SLATES, done, batch)
        done += len(batch)


def _check_columns(directory: Path, name: str, columns: dict[str, pa.DataType]) -> None:
    path = directory / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: {directory} is no whole export")
    try:
        schema = parquet.ParquetFile(path).schema_arrow
    except pa.ArrowException as error:
        raise ValueError(f"{path} is not a Parquet file: {error}") from error
    for column, wanted in columns.items():
        if column not in schema.names:
            raise ValueError(f"{path}: there is no column {column}")
        if schema.field(column).type != wanted:
            raise ValueError(f"{path}: column {column} is {schema.field(column).type}, must be {wanted}")


def _check_numbers(path: Path, before: int, batch: pa.RecordBatch) -> None:
    items, counts = batch.column("items").flatten(), pc.list_value_length(batch.column("items")).to_numpy(zero_copy_only=False)
    slate = np.repeat(np.arange(len(batch)), counts)
    within = np.arange(len(items)) - np.repeat(np.cumsum(counts) - counts, counts)
    probabilities = pc.struct_field(items, "probabilities")
    got = pc.list_value_length(probabilities).to_numpy(zero_copy_only=False)
    wanted = pc.list_value_length(batch.column("actions")).to_numpy(zero_copy_only=False)[slate]
    odd = np.flatnonzero(got != wanted)
    if len(odd):
        at = int(odd[0])
        column = f"items[{within[at]}].probabilities"
        raise ValueError(f"{place(path, before + slate[at] + 1, column)}: has {got[at]} entries, actions has {wanted[at]}")
    finite = np.isfinite(pc.struct_field(items, "utility").to_numpy(zero_copy_only=False))
    values = np.isfinite(probabilities.flatten().to_numpy(zero_copy_only=False))
    finite &= np.bincount(np.repeat(np.arange(len(items)), got), ~values, len(items)) == 0
    odd = np.flatnonzero(~finite)
    if len(odd):
        at = int(odd[0])
        raise ValueError(f"{place(path, before + slate[at] + 1, f'items[{within[at]}]')}: holds a number that is not finite")
