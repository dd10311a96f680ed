"""What checks of rows share: a column's values as numpy has them, and how the first wrong row is named."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .dataset import FLOAT, INT
from .records import numbers
from .rows import Rows
from .schema import LATEST_MS


def times(rows: Rows, column: str) -> INT:
    """[n] epoch milliseconds, ABSENT where there is none."""
    values, has = numbers(rows.columns[column]), present(rows.columns[column])
    fail(rows, column, has & (values < 0), lambda at: f"is {values[at]}, must not be negative")
    fail(
        rows,
        column,
        has & (values >= LATEST_MS),
        lambda at: f"is {values[at]}, must be epoch milliseconds, before the year 2109",
    )
    return values


def present(array: pa.Array) -> NDArray[np.bool_]:
    """[n] which rows have a value."""
    return array.is_valid().to_numpy(zero_copy_only=False)


def lengths_of(lists: pa.Array) -> INT:
    """[n] entries of each list; 0 where there is none."""
    return pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)


def floats(lists: pa.Array) -> FLOAT:
    """[entries] of all lists; NaN where one is missing."""
    return lists.flatten().fill_null(float("nan")).to_numpy(zero_copy_only=False).astype(np.float32)


def texts_of(texts: pa.Array, keep: NDArray[np.bool_]) -> list[str]:
    """The texts of some rows."""
    return texts.filter(pa.array(keep)).to_pylist()


def fail(rows: Rows, column: str, wrong: pa.Array | NDArray[np.bool_], problem: object) -> None:
    """ValueError names the first row that is wrong."""
    if isinstance(wrong, (pa.Array, pa.ChunkedArray)):
        wrong = wrong.fill_null(False).to_numpy(zero_copy_only=False)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise rows.error(at, column, problem(at) if callable(problem) else problem)
