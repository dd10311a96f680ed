"""What a mesh logged: an export (docs/data.md) as histories and the slates that hang on them, each as it was served.

The whole export is held in memory, as a synthetic world is.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from ..model.rows import RawEvent

SCHEMA_VERSION = 1
EVENTS, SLATES, MANIFEST = "events.parquet", "slates.parquet", "manifest.json"


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


@dataclass(frozen=True)
class LoggedItem:
    """One item of a slate, and what became of it."""

    item: str
    position: int
    visible: bool | None
    """None: nobody told."""
    actions: tuple[str, ...]
    """Told of the slate, or logged with its id; what was taken back is not among them."""
    utility: float
    probabilities: tuple[float, ...]
    """As served, in the order of the slate's `actions`."""


@dataclass(frozen=True)
class LoggedSlate:
    """One page as it was served."""

    slate: str
    prefix: int
    """Events of its history that it was made from: the first `prefix` ones."""
    surface: str
    time_ms: int
    release: str
    """Empty where `foreign`."""
    foreign: bool
    degraded: tuple[str, ...]
    related: tuple[str, ...]
    query: str | None
    query_embedding: NDArray[np.float32] | None
    actions: tuple[str, ...]
    items: tuple[LoggedItem, ...]


@dataclass(frozen=True)
class LoggedHistory:
    """Events in effect, and slates that were made from prefixes of them.

    A person is as many of these as actions were taken back between slates: a slate saw what was taken back after it.
    """

    person: str | None
    events: tuple[RawEvent, ...]
    slates: tuple[LoggedSlate, ...]

    def window(self, slate: LoggedSlate, length: int) -> tuple[RawEvent, ...]:
        """The newest `length` events that the slate was made from."""
        return self.events[max(0, slate.prefix - length) : slate.prefix]


@dataclass(frozen=True)
class Logs:
    """An export, checked."""

    manifest: dict
    histories: tuple[LoggedHistory, ...]
    """By person, in the order of their events; nobody's slates last, one history without events."""
    left_out: int
    """Slates whose history is not in the export: their person was forgotten while it was written."""


def read_logs(directory: Path) -> Logs:
    """The export in `directory`. ValueError or FileNotFoundError names the file, the row (from 0) and the column."""
    manifest = json.loads((directory / MANIFEST).read_text())
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(
            f"{directory / MANIFEST}: schema_version is {manifest.get('schema_version')}, must be {SCHEMA_VERSION}"
        )
    events, slates = _read(directory, EVENTS), _read(directory, SLATES)
    people = {person: _person_events(events, rows) for person, rows in _rows_by_person(events)}
    by_person: dict[str | None, list[int]] = {person: rows for person, rows in _rows_by_person(slates)}
    left_out = [0]
    histories: list[LoggedHistory] = []
    for person in sorted(by_person, key=lambda person: (person is None, person)):
        mine = [_slate(slates, row) for row in by_person[person]]
        histories.extend(_histories(person, people.get(person, []), mine, left_out))
    return Logs(manifest, tuple(histories), left_out[0])


class _Table:
    """A file's rows; errors name file, row and column."""

    def __init__(self, path: Path, rows: list[dict]) -> None:
        self.path, self.rows = path, rows

    def error(self, row: int, column: str, problem: str) -> ValueError:
        return ValueError(f"{self.path}, row {row}, {column}: {problem}")


def _read(directory: Path, name: str) -> _Table:
    path = directory / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: {directory} is no whole export")
    try:
        table = parquet.read_table(path)
    except pa.ArrowException as error:
        raise ValueError(f"{path} is not a Parquet file: {error}") from error
    for column, wanted in COLUMNS[name].items():
        if column not in table.column_names:
            raise ValueError(f"{path}: there is no column {column}")
        if table.schema.field(column).type != wanted:
            raise ValueError(f"{path}: column {column} is {table.schema.field(column).type}, must be {wanted}")
    return _Table(path, table.to_pylist())


def _rows_by_person(table: _Table) -> Iterator[tuple[str | None, list[int]]]:
    rows: dict[str | None, list[int]] = {}
    for row, values in enumerate(table.rows):
        rows.setdefault(values["person"], []).append(row)
    yield from rows.items()


def _person_events(table: _Table, rows: Sequence[int]) -> list[dict]:
    """The person's rows, event n of them at n - 1."""
    time = 0
    for place, row in enumerate(rows):
        event = table.rows[row]
        if event["sequence"] != place + 1:
            raise table.error(row, "sequence", f"is {event['sequence']}, must be {place + 1}: they count from 1 without gaps")
        if event["operation"] not in ("add", "retract"):
            raise table.error(row, "operation", f"is {event['operation']!r}, must be add or retract")
        if event["effective_ms"] < time:
            raise table.error(row, "effective_ms", f"is {event['effective_ms']}, before the event's before it, {time}")
        time = event["effective_ms"]
        _check_subject(table, row, place)
    return [table.rows[row] for row in rows]


def _check_subject(table: _Table, row: int, place: int) -> None:
    event = table.rows[row]
    if event["operation"] == "retract":
        if not 1 <= (event["retracts"] or 0) <= place:
            raise table.error(row, "retracts", f"is {event['retracts']}, must be a sequence before its own")
    elif event["retracts"] is not None:
        raise table.error(row, "retracts", "is set, though the event takes nothing back")
    elif (event["item_id"] is None) == (event["query_text"] is None):
        raise table.error(row, "item_id", "or query_text must be set, one of them")


def _slate(table: _Table, row: int) -> tuple[int, LoggedSlate]:
    """The sequence it was made from, and the slate; its prefix is still to be found."""
    values = table.rows[row]
    if values["history_sequence"] < 0:
        raise table.error(row, "history_sequence", f"is {values['history_sequence']}, must not be negative")
    for place, item in enumerate(values["items"]):
        column = f"items[{place}]"
        if len(item["probabilities"]) != len(values["actions"]):
            got, wanted = len(item["probabilities"]), len(values["actions"])
            raise table.error(row, f"{column}.probabilities", f"has {got} entries, actions has {wanted}")
        if not np.isfinite([item["utility"], *item["probabilities"]]).all():
            raise table.error(row, column, "holds a number that is not finite")
        if item["position"] < 0:
            raise table.error(row, f"{column}.position", f"is {item['position']}, must not be negative")
    items = tuple(
        LoggedItem(
            item["item_id"], item["position"], item["visible"], tuple(item["actions"] or ()),
            item["utility"], tuple(item["probabilities"]),
        )
        for item in values["items"]
    )  # fmt: skip
    embedding = values["query_embedding"]
    slate = LoggedSlate(
        values["slate_id"], 0, values["surface"], values["time_ms"], values["release_id"], values["foreign"],
        tuple(values["degraded"]), tuple(values["related_item_ids"]), values["query_text"],
        None if embedding is None else np.array(embedding, np.float32), tuple(values["actions"]), items,
    )  # fmt: skip
    return values["history_sequence"], slate


def _histories(
    person: str | None, events: list[dict], slates: list[tuple[int, LoggedSlate]], left_out: list[int]
) -> Iterator[LoggedHistory]:
    """The person's slates, by what had been taken back when they were made."""
    done = _actions_on_slates(events)
    groups: dict[frozenset[int], list[tuple[int, LoggedSlate]]] = {}
    for sequence, slate in sorted(slates, key=lambda entry: (entry[0], entry[1].time_ms)):
        if sequence > len(events):
            left_out[0] += 1
            continue
        taken_back = frozenset(event["retracts"] for event in events[:sequence] if event["operation"] == "retract")
        groups.setdefault(taken_back, []).append((sequence, _with_actions(slate, done)))
    for taken_back, mine in groups.items():
        last = mine[-1][0]
        held = [event for event in events[:last] if event["operation"] == "add" and event["sequence"] not in taken_back]
        sequences = np.array([event["sequence"] for event in held], np.int64)
        placed = tuple(
            replace(slate, prefix=int(np.searchsorted(sequences, sequence, side="right"))) for sequence, slate in mine
        )
        yield LoggedHistory(person, tuple(map(_raw, held)), placed)


def _raw(event: dict) -> RawEvent:
    return RawEvent(event["item_id"], tuple(event["actions"]), event["surface"], event["effective_ms"], event["query_text"])


def _actions_on_slates(events: list[dict]) -> dict[tuple[str, str], tuple[str, ...]]:
    """By slate and item: actions that were logged with the slate's id and not taken back since."""
    taken_back = {event["retracts"] for event in events}
    done: dict[tuple[str, str], tuple[str, ...]] = {}
    for event in events:
        if event["slate_id"] is None or event["item_id"] is None or event["sequence"] in taken_back:
            continue
        key = (event["slate_id"], event["item_id"])
        done[key] = tuple(dict.fromkeys((*done.get(key, ()), *event["actions"])))
    return done


def _with_actions(slate: LoggedSlate, done: dict[tuple[str, str], tuple[str, ...]]) -> LoggedSlate:
    items = tuple(
        replace(item, actions=tuple(dict.fromkeys((*item.actions, *done.get((slate.slate, item.item), ())))))
        for item in slate.items
    )
    return replace(slate, items=items)
