"""Checks of the items' rows. What is wrong is named by file, row and column."""

from math import isfinite

import numpy as np

from .checks import fail, floats, lengths_of, times
from .dataset import FLOAT, INT
from .rows import HALF, Rows, half_a_character, is_number, short
from .schema import LONGEST_ID


def check_item_ids(rows: Rows, row_of: dict[str, int], first_row: int) -> None:
    """Adds a batch of items to `row_of`; ValueError names an id that is empty, too long or there already."""
    for at, item in enumerate(rows.columns["item_id"].to_pylist()):
        if not item or len(item.encode()) > LONGEST_ID:
            raise rows.error(at, "item_id", f"must have from 1 to {LONGEST_ID} bytes")
        if row_of.setdefault(item, first_row + at) != first_row + at:
            raise rows.error(at, "item_id", f"{item!r} is there already")


def check_embeddings(rows: Rows, dimension: int | None) -> FLOAT:
    """[n, U] finite embeddings, all of `dimension` numbers; None: of as many as the first."""
    lists = rows.columns["embedding"]
    lengths = lengths_of(lists)
    dimension = int(lengths[0]) if dimension is None else dimension
    fail(rows, "embedding", lengths == 0, "is empty")
    fail(rows, "embedding", lengths != dimension, lambda at: f"has {lengths[at]} numbers, those before it have {dimension}")
    values = floats(lists).reshape(-1, dimension)
    fail(rows, "embedding", ~np.isfinite(values).all(axis=1), "holds a number that is missing or not finite")
    return values


def check_attributes(rows: Rows) -> list[dict]:
    """[n] attributes: texts, lists of texts and finite numbers by name."""
    out = []
    for at, held in enumerate(rows.columns["attributes"]):
        held = {name: value for name, value in (held or {}).items() if value is not None}
        for name, value in held.items():
            number = is_number(value) and isfinite(value)
            listed = isinstance(value, list) and all(isinstance(entry, str) for entry in value)
            if not (isinstance(value, str) or number or listed):
                problem = f"is {short(value)}, must be a text, a list of texts or a finite number"
                raise rows.error(at, f"attributes.{name}", problem)
        if half_a_character(held):
            raise rows.error(at, "attributes", HALF)
        out.append(held)
    return out


def check_born(rows: Rows) -> INT:
    """[n] first moments; 0 where there is none."""
    return np.maximum(times(rows, "born_ms"), 0)
