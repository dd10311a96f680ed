"""Tables in Parquet, CSV or JSON lines, read in batches of bounded size into columns of the schema's types."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .read_parquet import open_parquet, parquet_rows
from .read_text import csv_rows, json_rows
from .rows import Rows
from .schema import Column

FORMATS = (".parquet", ".csv", ".jsonl")


def find_table(directory: Path, name: str) -> Path | None:
    """The file of a table in any of the formats; ValueError where there are several, or one of a form that is not read."""
    found = [path for ending in FORMATS if (path := directory / f"{name}{ending}").is_file()]
    if len(found) > 1:
        raise ValueError(f"{directory} holds {' and '.join(path.name for path in found)}: keep one of them")
    if not found and (other := sorted(directory.glob(f"{name}.*"))):
        problem = "is a directory: write it as one file" if other[0].is_dir() else "is not read: unpack it or convert it to one"
        raise ValueError(f"{other[0]} {problem} that ends with {' or '.join(FORMATS)}")
    return found[0] if found else None


def read_rows(path: Path, columns: Sequence[Column], size: int) -> Iterator[Rows]:
    """The rows of a file, at most `size` a time. ValueError and FileNotFoundError name file, row and column."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    if path.suffix not in FORMATS:
        raise ValueError(f"{path} is of no known format: it must end with {', '.join(FORMATS)}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    read = {".parquet": parquet_rows, ".csv": csv_rows, ".jsonl": json_rows}[path.suffix]
    for rows in read(path, columns, size):
        for column in columns:
            if column.required:
                _require_values(rows, column.name)
        yield rows


def _require_values(rows: Rows, column: str) -> None:
    there = rows.columns[column].is_valid().to_numpy(zero_copy_only=False)
    if not there.all():
        raise rows.error(int(np.flatnonzero(~there)[0]), column, "is missing")


def columns_of(path: Path) -> list[str]:
    """Names in the head of a Parquet or CSV file; of JSON lines, those of the first."""
    if path.suffix == ".parquet":
        return list(open_parquet(path).schema_arrow.names)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        if path.suffix == ".csv":
            return next(csv.reader(file), [])
        try:
            first = json.loads(next(file, "{}"))
        except (ValueError, RecursionError):
            return []
        return list(first) if isinstance(first, dict) else []


def raw_bytes(path: Path) -> int:
    """Bytes of a file's rows, about: of Parquet at least 8 for each value, as equal ones are written once there."""
    if path.suffix != ".parquet":
        return path.stat().st_size
    metadata = open_parquet(path).metadata
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    values = sum(group.column(column).num_values for group in groups for column in range(group.num_columns))
    return max(8 * values, sum(group.total_byte_size for group in groups))
