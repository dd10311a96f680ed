"""A batch of a file's rows as columns of the schema's types, and how errors name a place in it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from .dataset import INT
from .schema import NUMBERS, OBJECT, SHOWN, TEXT, TEXTS, WHOLE, WORDS, Column


@dataclass(frozen=True)
class Rows:
    """Some rows of a file: every column of the schema, nulls where the file has none."""

    path: Path
    numbers: INT
    """[n] of a Parquet file the row, from 1; of others the line."""
    columns: dict[str, pa.Array | list]
    """An array of the column's type; of objects a list of dict or None."""

    def __len__(self) -> int:
        return len(self.numbers)

    def error(self, at: int, column: str, problem: str) -> ValueError:
        """What is wrong with the row at `at` of this batch."""
        return ValueError(place(self.path, int(self.numbers[at]), column) + f": {problem}")


def place(path: Path, number: int, column: str) -> str:
    """How errors name a place."""
    return f"{path}, {'row' if path.suffix == '.parquet' else 'line'} {number}, {column}"


def require_columns(path: Path, columns: Sequence[Column], names: Sequence[str]) -> None:
    """ValueError names a required column that a file does not have."""
    for column in columns:
        if column.required and column.name not in names:
            raise ValueError(f"{path}: there is no column {column.name}")


def from_json(rows: Rows, column: Column, at: int, text: str | None) -> object:
    """The value that a JSON text holds; none is None."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise rows.error(at, column.name, f"is {short(text)}, must be {WORDS[column.type]} as JSON") from None


def from_values(rows: Rows, column: Column, values: list) -> pa.Array | list:
    """An array of the column's type; ValueError names the first value that is of another."""
    if column.type == OBJECT:
        for at, value in enumerate(values):
            if value is not None and not isinstance(value, dict):
                raise rows.error(at, column.name, f"is {short(value)}, must be {WORDS[OBJECT]}")
        return values
    # Arrow takes 1.5 for 1, a text for a list of letters and true for 1.
    for at, value in enumerate(values):
        if value is not None and not _is(value, column.type):
            raise rows.error(at, column.name, f"is {short(value)}, must be {WORDS[column.type]}")
    return pa.array(values, column.type)


def _is(value: object, wanted: pa.DataType) -> bool:
    if wanted == TEXT:
        return isinstance(value, str)
    if wanted == WHOLE:
        return isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63
    if wanted == NUMBERS:
        return isinstance(value, list) and all(
            isinstance(entry, (int, float)) and not isinstance(entry, bool) for entry in value
        )
    if wanted == TEXTS:
        return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    if wanted == SHOWN:
        return isinstance(value, list) and all(map(_is_shown, value))
    return isinstance(value, bool)


def _is_shown(value: object) -> bool:
    return isinstance(value, dict) and all(
        (entry := value.get(field.name)) is None or _is(entry, field.type) for field in SHOWN.value_type
    )


def short(value: object) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
