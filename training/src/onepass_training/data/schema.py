"""The columns of events, slates and items (docs/data.md, "Data for training"), whatever kind of file they are in."""

from dataclasses import dataclass

import pyarrow as pa

TEXT, WHOLE, FLAG = pa.string(), pa.int64(), pa.bool_()
TEXTS, NUMBERS = pa.list_(pa.string()), pa.list_(pa.float32())
SHOWN = pa.list_(pa.struct([("item_id", TEXT), ("position", WHOLE), ("visible", FLAG), ("actions", TEXTS)]))
OBJECT = pa.map_(pa.string(), pa.null())
"""Stands for an object of names; its values stay Python's own."""
WORDS = {
    TEXT: "a text", WHOLE: "a whole number", FLAG: "true or false", TEXTS: "a list of texts", NUMBERS: "a list of numbers",
    SHOWN: "a list of {item_id, position, visible, actions}", OBJECT: "an object of names and values",
}  # fmt: skip
"""How an error says what a value must be."""
LATEST_MS = 1 << 42
"""Times are before this, in the year 2109: what is later was not in milliseconds."""
LONGEST_ID = 128
"""Bytes of an item id, and of the names of a vocabulary, that a mesh takes."""


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    type: pa.DataType
    required: bool = False
    """It must be there, and every row must have a value."""


EVENTS = (
    Column("person", TEXT, required=True),
    Column("item_id", TEXT),
    Column("query_text", TEXT),
    Column("actions", TEXTS),
    Column("surface", TEXT),
    Column("time_ms", WHOLE, required=True),
    Column("event_id", TEXT),
    Column("operation", TEXT),
    Column("sequence", WHOLE),
    Column("effective_ms", WHOLE),
    Column("retracts", WHOLE),
    Column("slate_id", TEXT),
    Column("position", WHOLE),
)
SLATES = (
    Column("slate_id", TEXT, required=True),
    Column("person", TEXT),
    Column("surface", TEXT, required=True),
    Column("time_ms", WHOLE, required=True),
    Column("items", SHOWN, required=True),
    Column("history_sequence", WHOLE),
    Column("related_item_ids", TEXTS),
    Column("query_text", TEXT),
    Column("query_embedding", NUMBERS),
    Column("features", OBJECT),
    Column("foreign", FLAG),
    Column("degraded", TEXTS),
)
ITEMS = (
    Column("item_id", TEXT, required=True),
    Column("embedding", NUMBERS, required=True),
    Column("title", TEXT),
    Column("attributes", OBJECT),
    Column("born_ms", WHOLE),
)
