"""Small folders of logs for tests, in any of the formats."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from onepass_training.data.prepare import prepare

DAY = 86_400_000
DESCRIPTION = {
    "name": "shop",
    "actions": [{"name": "click"}, {"name": "save", "utility_weight": 4.0}, {"name": "hide", "negative": True}],
    "surfaces": ["home", "search"],
    "features": ["age", "hour"],
    "splits": {"validation_ms": 5 * DAY, "test_ms": 8 * DAY},
}
ITEMS = [{"item_id": f"i{at}", "embedding": [at + 0.5, 1.0, -at], "title": f"Item {at}", "born_ms": at} for at in range(6)]


def event(person, item, time_ms, **more):
    return {"person": person, "item_id": item, "actions": ["click"], "surface": "home", "time_ms": time_ms} | more


def asked(person, text, time_ms, **more):
    return {"person": person, "query_text": text, "surface": "search", "time_ms": time_ms} | more


def slate(name, person, time_ms, items, **more):
    shown = [{"item_id": item} if isinstance(item, str) else item for item in items]
    return {"slate_id": name, "person": person, "surface": "home", "time_ms": time_ms, "items": shown} | more


EVENTS = [
    event("ann", "i1", 1 * DAY, event_id="e1", slate_id="s1"),
    asked("ann", "blue lamp", 2 * DAY),
    event("ann", "i2", 1 * DAY + 5, event_id="e2", actions=["save", "click"]),
    event("ann", "i3", 6 * DAY, event_id="e3", slate_id="s2"),
    event("bob", "i3", 9 * DAY),
    event("cy", "gone", 1 * DAY),
]
SLATES = [
    slate("s1", "ann", 1 * DAY - 1, ["i1", "gone", "i2"]),
    slate("s2", "ann", 3 * DAY, ["i3", {"item_id": "i4", "position": 7, "visible": True, "actions": ["hide"]}],
          features={"age": 30}, query_embedding=[1, 2, 3], related_item_ids=["gone", "i2"]),
    slate("s3", None, 4 * DAY, ["i0"], query_text="blue lamp", surface="search"),
]  # fmt: skip


def write_table(path: Path, rows: list[dict]) -> Path:
    """Rows as the file's ending says."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            for row in rows:
                writer.writerow([_field(row.get(name)) for name in names])
    else:
        # Parquet has no objects of any names: they are JSON, as in CSV.
        texts = [{name: json.dumps(value) if isinstance(value, dict) else value for name, value in row.items()} for row in rows]
        parquet.write_table(pa.Table.from_pylist(texts, _types(texts, names)), path)
    return path


def _types(rows, names):
    fields = []
    for name in names:
        found = pa.array([row.get(name) for row in rows]).type
        fields.append((name, found))
    return pa.schema(fields)


def _field(value):
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, (list, dict, bool)) else str(value)


def write_logs(folder: Path, events, slates=(), items=ITEMS, description=DESCRIPTION, ending=".jsonl") -> Path:
    """A folder in our schema."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(description))
    write_table(folder / f"items{ending}", items)
    write_table(folder / f"events{ending}", events)
    if slates:
        write_table(folder / f"slates{ending}", slates)
    return folder


def prepared(folder: Path, *logs, said=None, **more):
    """The dataset of a folder that is written here."""
    source = write_logs(folder / "logs", *logs, **more)
    return prepare(source, folder / "dataset", say=(said.append if said is not None else lambda line: None))
