"""A batch of a file's rows as columns of the schema's types, and how errors name a place in it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from .dataset import INT
from .schema import NUMBERS, OBJECT, SHOWN, TEXT, TEXTS, WHOLE, WORDS, Column

HALF = "holds half a character (a surrogate alone), which no text can have"
"""What is wrong with "\\ud800", which JSON can write and UTF-8 cannot."""


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
    return f"{path}, {numbered(path, number)}, {column}"


def numbered(path: Path, number: int) -> str:
    """How errors name a row of a file: Parquet has rows, the others lines."""
    return f"{'row' if path.suffix == '.parquet' else 'line'} {number}"


def require_columns(path: Path, columns: Sequence[Column], names: Sequence[str]) -> None:
    """ValueError names a required column that a file does not have, or one of ours that it has twice."""
    for column in columns:
        if column.required and column.name not in names:
            raise ValueError(f"{path}: there is no column {column.name}; there are {short(', '.join(names))}")
        if names.count(column.name) > 1:
            raise ValueError(f"{path}: the column {column.name} is there twice")


def from_json(rows: Rows, column: Column, at: int, text: str | None) -> object:
    """The value that a JSON text holds; none is None."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
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
    try:
        return pa.array(values, column.type)
    except UnicodeEncodeError:
        at = next(at for at, value in enumerate(values) if half_a_character(value))
        raise rows.error(at, column.name, HALF) from None
    except pa.ArrowInvalid:
        if column.type != NUMBERS:
            raise
        # Arrow rounds no whole number to a float that is another one.
        return pa.array([None if value is None else [float(entry) for entry in value] for value in values], column.type)


def half_a_character(value: object) -> bool:
    """Whether there is a text in a value that UTF-8 cannot write."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _is(value: object, wanted: pa.DataType) -> bool:
    if wanted == TEXT:
        return isinstance(value, str)
    if wanted == WHOLE:
        return isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63
    if wanted == NUMBERS:
        return isinstance(value, list) and all(map(is_number, value))
    if wanted == TEXTS:
        return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    if wanted == SHOWN:
        return isinstance(value, list) and all(map(_is_shown, value))
    return isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether a value is a number that a double can be: not 10**400, which JSON may hold."""
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 1023)


def _is_shown(value: object) -> bool:
    return isinstance(value, dict) and all(
        (entry := value.get(field.name)) is None or _is(entry, field.type) for field in SHOWN.value_type
    )


def short(value: object) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
