"""CSV files and JSON lines in batches."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count, islice
from pathlib import Path

import numpy as np

from .dataset import INT
from .rows import Rows, from_json, from_values, require_columns, short
from .schema import TEXT, WHOLE, WORDS, Column

LONGEST_FIELD = 64 << 20
"""Characters of a CSV field."""


def csv_rows(path: Path, columns: Sequence[Column], size: int) -> Iterator[Rows]:
    """At most `size` rows a time; lists and objects are JSON texts."""
    csv.field_size_limit(LONGEST_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        head = _guarded(path, lambda: next(reader, []), lambda: reader.line_num)
        require_columns(path, columns, head)
        places = {name: at for at, name in enumerate(head)}

        def lines() -> Iterator[tuple[int, list[str]]]:
            while (fields := _guarded(path, lambda: next(reader, None), lambda: reader.line_num)) is not None:
                if not fields:
                    continue
                if len(fields) != len(head):
                    raise ValueError(f"{path}, line {reader.line_num}: has {len(fields)} fields, the head has {len(head)}")
                yield reader.line_num, fields

        for numbers, taken in _chunks(lines(), size):
            rows = Rows(path, numbers, {})
            held = list(zip(*taken, strict=True))
            for column in columns:
                texts = held[places[column.name]] if column.name in places else [""] * len(rows)
                values = [_from_text(rows, column, at, text) for at, text in enumerate(texts)]
                rows.columns[column.name] = from_values(rows, column, values)
            yield rows


def json_rows(path: Path, columns: Sequence[Column], size: int) -> Iterator[Rows]:
    """At most `size` rows a time."""
    with path.open(encoding="utf-8-sig") as file:

        def lines() -> Iterator[tuple[int, dict]]:
            for line in count(1):
                text = _guarded(path, file.readline, partial(int, line))
                if not text:
                    return
                if text.strip():
                    yield line, _parsed(path, line, text)

        for numbers, taken in _chunks(lines(), size):
            rows = Rows(path, numbers, {})
            for column in columns:
                rows.columns[column.name] = from_values(rows, column, [value.get(column.name) for value in taken])
            yield rows


def _parsed(path: Path, line: int, text: str) -> dict:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: is no JSON: {error}") from error
    except RecursionError:
        raise ValueError(f"{path}, line {line}: is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}, line {line}: is {short(value)}, must be an object")
    return value


def _guarded(path: Path, read: Callable, line: Callable[[], int]) -> object:
    """What `read` gives; its errors name the line."""
    try:
        return read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, at or after line {max(1, line())}: is not UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path}, line {line()}: is no CSV: {error}") from error


def _chunks(lines: Iterable[tuple[int, object]], size: int) -> Iterator[tuple[INT, list]]:
    lines = iter(lines)
    while chunk := list(islice(lines, size)):
        yield np.array([number for number, _ in chunk], np.int64), [value for _, value in chunk]


def _from_text(rows: Rows, column: Column, at: int, text: str) -> object:
    """A CSV field's value; an empty one is none."""
    if text == "":
        return None
    if column.type == TEXT:
        return text
    if column.type == WHOLE:
        try:
            return int(text)
        except ValueError:
            raise rows.error(at, column.name, f"is {short(text)}, must be {WORDS[WHOLE]}") from None
    return from_json(rows, column, at, text)
