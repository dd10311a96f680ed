"""Parquet files in batches."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from .rows import Rows, from_json, from_values, require_columns
from .schema import NUMBERS, OBJECT, SHOWN, TEXT, TEXTS, WHOLE, WORDS, Column


def open_parquet(path: Path) -> parquet.ParquetFile:
    """The file, read a piece at a time. ValueError where it is none."""
    try:
        return parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    except pa.ArrowException as error:
        raise ValueError(f"{path} is not a Parquet file: {error}") from error


def parquet_rows(path: Path, columns: Sequence[Column], size: int) -> Iterator[Rows]:
    """At most `size` rows a time."""
    file = open_parquet(path)
    held = file.schema_arrow
    require_columns(path, columns, held.names)
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
    try:
        array.validate(full=True)
    except pa.ArrowException as error:
        raise ValueError(f"{rows.path}, at or after row {rows.numbers[0]}, {column.name}: is broken: {error}") from error
    if pa.types.is_null(array.type):
        return [None] * len(array) if column.type == OBJECT else pa.nulls(len(array), column.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if column.type in (TEXTS, NUMBERS, SHOWN, OBJECT) and (
        pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    ):
        return from_values(rows, column, [from_json(rows, column, at, text) for at, text in enumerate(array.to_pylist())])
    if column.type == OBJECT:
        return [None if value is None else dict(value) for value in array.to_pylist()]
    if column.type == SHOWN:
        return _shown(rows, column, array)
    try:
        return array.cast(column.type)
    except pa.ArrowException:
        return from_values(rows, column, array.to_pylist())


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
