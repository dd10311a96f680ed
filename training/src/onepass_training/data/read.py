"""Tables in Parquet, CSV or JSON lines, read in batches of bounded size into columns of the schema's types."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from .dataset import INT
from .schema import NUMBERS, OBJECT, SHOWN, TEXT, TEXTS, WHOLE, WORDS, Column

FORMATS = (".parquet", ".csv", ".jsonl")
LONGEST_FIELD = 64 << 20
"""Characters of a CSV field."""


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


def find_table(directory: Path, name: str) -> Path | None:
    """The file of a table in any of the formats; ValueError where there are several."""
    found = [path for ending in FORMATS if (path := directory / f"{name}{ending}").is_file()]
    if len(found) > 1:
        raise ValueError(f"{directory} holds {' and '.join(path.name for path in found)}: keep one of them")
    return found[0] if found else None


def read_rows(path: Path, columns: Sequence[Column], size: int) -> Iterator[Rows]:
    """The rows of a file, at most `size` a time. ValueError and FileNotFoundError name file, row and column."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    if path.suffix not in FORMATS:
        raise ValueError(f"{path} is of no known format: it must end with {', '.join(FORMATS)}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    read = {".parquet": _parquet, ".csv": _csv, ".jsonl": _json_lines}[path.suffix]
    for rows in read(path, columns, size):
        for column in columns:
            values = rows.columns[column.name]
            if column.required and (isinstance(values, list) or values.null_count):
                missing = [
                    at
                    for at, value in enumerate(values)
                    if value is None or (isinstance(value, pa.Scalar) and not value.is_valid)
                ]
                if missing:
                    raise rows.error(missing[0], column.name, "is missing")
        yield rows


def columns_of(path: Path) -> list[str]:
    """Names in the head of a Parquet or CSV file; of JSON lines, those of the first."""
    if path.suffix == ".parquet":
        return list(_parquet_file(path).schema_arrow.names)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        if path.suffix == ".csv":
            return next(csv.reader(file), [])
        try:
            first = json.loads(next(file, "{}"))
        except ValueError:
            return []
        return list(first) if isinstance(first, dict) else []


def raw_bytes(path: Path) -> int:
    """Bytes of a file's rows, uncompressed."""
    if path.suffix != ".parquet":
        return path.stat().st_size
    metadata = _parquet_file(path).metadata
    return sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))


def _parquet_file(path: Path) -> parquet.ParquetFile:
    try:
        return parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    except pa.ArrowException as error:
        raise ValueError(f"{path} is not a Parquet file: {error}") from error


def _require(path: Path, columns: Sequence[Column], names: Sequence[str]) -> None:
    for column in columns:
        if column.required and column.name not in names:
            raise ValueError(f"{path}: there is no column {column.name}")


def _parquet(path: Path, columns: Sequence[Column], size: int) -> Iterator[Rows]:
    file = _parquet_file(path)
    held = file.schema_arrow
    _require(path, columns, held.names)
    wanted = [column for column in columns if column.name in held.names]
    for column in wanted:
        if not _fits(held.field(column.name).type, column.type):
            raise ValueError(f"{path}: column {column.name} is {held.field(column.name).type}, must be {WORDS[column.type]}")
    done = 0
    batches = file.iter_batches(size, columns=[column.name for column in wanted], use_threads=False)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path}, after row {done}: cannot be read: {error}") from error
        if batch is None:
            return
        rows = Rows(path, np.arange(done + 1, done + 1 + len(batch)), {})
        done += len(batch)
        for column in columns:
            array = batch.column(column.name) if column in wanted else pa.nulls(len(batch))
            rows.columns[column.name] = _cast(rows, column, array)
        yield rows


def _fits(held: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a Parquet column can be what the schema wants."""
    if pa.types.is_dictionary(held):
        held = held.value_type
    text = pa.types.is_string(held) or pa.types.is_large_string(held)
    lists = pa.types.is_list(held) or pa.types.is_large_list(held) or pa.types.is_fixed_size_list(held)
    if pa.types.is_null(held):
        return True
    if wanted == TEXT:
        return text
    if wanted == WHOLE:
        return pa.types.is_integer(held)
    if wanted == TEXTS:
        return text or (lists and _fits(held.value_type, TEXT))
    if wanted == NUMBERS:
        return text or (lists and (pa.types.is_floating(held.value_type) or pa.types.is_integer(held.value_type)))
    if wanted == SHOWN:
        return text or (lists and pa.types.is_struct(held.value_type))
    if wanted == OBJECT:
        return text or pa.types.is_struct(held) or pa.types.is_map(held)
    return pa.types.is_boolean(held)


def _cast(rows: Rows, column: Column, array: pa.Array) -> pa.Array | list:
    if pa.types.is_null(array.type):
        return [None] * len(array) if column.type == OBJECT else pa.nulls(len(array), column.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if column.type in (TEXTS, NUMBERS, SHOWN, OBJECT) and (
        pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    ):
        return _from_values(rows, column, [_from_json(rows, column, at, text) for at, text in enumerate(array.to_pylist())])
    if column.type == OBJECT:
        return [None if value is None else dict(value) for value in array.to_pylist()]
    if column.type == SHOWN:
        return _shown(rows, column, array)
    try:
        return array.cast(column.type)
    except pa.ArrowException:
        return _from_values(rows, column, array.to_pylist())


def _shown(rows: Rows, column: Column, array: pa.Array) -> pa.Array:
    """Lists of structs, whatever else the structs hold: only the schema's fields are kept."""
    try:
        array = array.cast(pa.list_(array.type.value_type))
        wanted = SHOWN.value_type
        structs = array.values
        names = {field.name for field in structs.type}
        if "item_id" not in names:
            raise ValueError(f"{rows.path}: column {column.name} has no field item_id")
        fields = [
            structs.field(field.name).cast(field.type) if field.name in names else pa.nulls(len(structs), field.type)
            for field in wanted
        ]
        values = pa.StructArray.from_arrays(fields, fields=list(wanted), mask=structs.is_null())
        return pa.ListArray.from_arrays(_offsets(array), values, type=SHOWN, mask=array.is_null() if array.null_count else None)
    except pa.ArrowException as error:
        raise ValueError(f"{rows.path}: column {column.name} is {array.type}, must be {WORDS[SHOWN]}") from error


def _offsets(array: pa.ListArray) -> pa.Array:
    return pa.array(array.offsets.to_numpy())


def _csv(path: Path, columns: Sequence[Column], size: int) -> Iterator[Rows]:
    csv.field_size_limit(LONGEST_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        head = _guarded(path, lambda: next(reader, []), lambda: reader.line_num)
        _require(path, columns, head)
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
                rows.columns[column.name] = _from_values(rows, column, values)
            yield rows


def _json_lines(path: Path, columns: Sequence[Column], size: int) -> Iterator[Rows]:
    with path.open(encoding="utf-8") as file:

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
                rows.columns[column.name] = _from_values(rows, column, [value.get(column.name) for value in taken])
            yield rows


def _parsed(path: Path, line: int, text: str) -> dict:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}, line {line}: is {_short(value)}, must be an object")
    return value


def _guarded(path: Path, read: Callable, line: Callable[[], int]) -> object:
    """What `read` gives; its errors name the line."""
    try:
        return read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, at or after line {line()}: is not UTF-8") from error
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
            raise rows.error(at, column.name, f"is {_short(text)}, must be {WORDS[WHOLE]}") from None
    return _from_json(rows, column, at, text)


def _from_json(rows: Rows, column: Column, at: int, text: str | None) -> object:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise rows.error(at, column.name, f"is {_short(text)}, must be {WORDS[column.type]} as JSON") from None


def _from_values(rows: Rows, column: Column, values: list) -> pa.Array | list:
    """An array of the column's type; ValueError names the first value that is of another."""
    if column.type == OBJECT:
        for at, value in enumerate(values):
            if value is not None and not isinstance(value, dict):
                raise rows.error(at, column.name, f"is {_short(value)}, must be {WORDS[OBJECT]}")
        return values
    # Arrow takes 1.5 for 1, a text for a list of letters and true for 1.
    for at, value in enumerate(values):
        if value is not None and not _is(value, column.type):
            raise rows.error(at, column.name, f"is {_short(value)}, must be {WORDS[column.type]}")
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


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
