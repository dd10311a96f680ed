"""Logs that are wrong: each is refused with a sentence that names the file, the row and the column; nothing is written."""

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from logs import DAY, DESCRIPTION, EVENTS, ITEMS, SLATES, event, write_logs, write_table

from onepass_training.data.prepare import prepare


def test_a_parquet_text_that_is_no_utf8_is_named(tmp_path):
    source = write_logs(tmp_path / "logs", EVENTS, SLATES, ending=".parquet")
    items = parquet.read_table(source / "items.parquet")
    broken = pa.Array.from_buffers(pa.string(), len(items), pa.array([b"\xff"] * len(items)).buffers())
    parquet.write_table(items.set_column(items.column_names.index("title"), "title", broken), source / "items.parquet")
    with pytest.raises(ValueError, match=r"items\.parquet, at or after row 1, title: is broken: Invalid UTF8"):
        prepare(source, tmp_path / "dataset", say=lambda line: None)


def _with(rows, at, **changes):
    return [row | changes if place == at else row for place, row in enumerate(rows)]


def _without(rows, name):
    return [{key: value for key, value in row.items() if key != name} for row in rows]


WRONG = [
    ("events", _with(EVENTS, 2, actions=["like"]), r"line 3, actions: 'like' is no action of .*dataset.json: mend the row, or"),
    ("events", _with(EVENTS, 2, surface="hom"), "line 3, surface: 'hom' is no surface of"),
    ("events", _with(EVENTS, 2, surface=None), "line 3, surface: is missing"),
    ("events", _with(EVENTS, 1, person=None), "line 2, person: is missing"),
    ("events", _with(EVENTS, 1, person=17), "line 2, person: is 17, must be a text"),
    ("events", _with(EVENTS, 1, person=""), "line 2, person: is empty"),
    ("events", _with(EVENTS, 1, time_ms=-5), "line 2, time_ms: is -5, must not be negative"),
    ("events", _with(EVENTS, 1, time_ms=1.5), "line 2, time_ms: is 1.5, must be a whole number"),
    ("events", _with(EVENTS, 1, time_ms="today"), "line 2, time_ms: is 'today', must be a whole number"),
    ("events", _with(EVENTS, 1, time_ms=10**16), "line 2, time_ms: is 10000000000000000, must be epoch milliseconds"),
    ("events", _with(EVENTS, 0, actions="click"), "line 1, actions: is 'click', must be a list of texts"),
    ("events", _with(EVENTS, 0, actions=[]), "line 1, actions: must name at least one action"),
    ("events", _with(EVENTS, 0, query_text="blue"), "line 1, item_id: or query_text must be set, one of them"),
    ("events", _with(EVENTS, 0, operation="del"), "line 1, operation: is 'del', must be add or retract"),
    ("events", _with(EVENTS, 2, event_id="e1"), "line 3, event_id: is that of line 1 of the same person as well"),
    ("events", _with(EVENTS, 3, operation="retract", item_id=None, event_id="e9"), "line 4, event_id: takes back nothing"),
    ("events", _with(EVENTS, 3, operation="retract", item_id=None, event_id=None), "line 4, retracts: or event_id must say"),
    ("events", _with(EVENTS, 3, retracts=1), "line 4, retracts: is set, though the event takes nothing back"),
    ("events", _with(EVENTS, 3, sequence=1), "line 4, sequence: is set, though rows before it have none"),
    ("events", [row | {"sequence": 4} for row in EVENTS], "line 2, sequence: is 4, as that of line 1 of the same person is"),
    ("events", _with([row | {"sequence": at} for at, row in enumerate(EVENTS)], 3, effective_ms=5), "line 4, effective_ms: is"),
    ("events", [event("ann", "x", DAY)], "none of its 1 actions is on one of the 6 items of .*items.jsonl"),
    ("slates", [*SLATES, SLATES[0]], "line 4, slate_id: is that of line 1 as well"),
    ("slates", _with(SLATES, 1, items=None), "line 2, items: is missing"),
    ("slates", _with(SLATES, 1, items=[{"position": 1}]), r"line 2, items\[0\].item_id: is missing"),
    ("slates", _with(SLATES, 1, items=[{"item_id": "i1", "position": -1}]), r"line 2, items\[0\].position: must be a place"),
    ("slates", _with(SLATES, 1, items=[{"item_id": "i1", "actions": ["x"]}]), "line 2, items.actions: 'x' is no action"),
    ("slates", _with(SLATES, 1, items=[{"item_id": 5}]), "line 2, items: is .*must be a list of {item_id, position"),
    ("slates", _with(SLATES, 1, features={"agee": 1}), "line 2, features.agee: 'agee' is no feature of"),
    ("slates", _with(SLATES, 1, features={"age": "x"}), "line 2, features.age: is 'x', must be a finite number"),
    ("slates", _with(SLATES, 1, query_embedding=[1.0]), "line 2, query_embedding: has 1 numbers, the items' embeddings have 3"),
    ("slates", _with(SLATES, 1, history_sequence=-1), "line 2, history_sequence: is -1, must not be negative"),
    ("items", _with(ITEMS, 3, embedding=None), "line 4, embedding: is missing"),
    ("items", _with(ITEMS, 3, embedding=[]), "line 4, embedding: is empty|has 0 numbers"),
    ("items", _with(ITEMS, 3, embedding=[1.0, 2.0]), "line 4, embedding: has 2 numbers, those before it have 3"),
    ("items", _with(ITEMS, 3, embedding=[1.0, 2.0, float("nan")]), "line 4, embedding: holds a number that is missing or not"),
    ("items", _with(ITEMS, 3, embedding=[1.0, 2.0, 1e300]), "line 4, embedding: holds a number that is missing or not finite"),
    ("items", _with(ITEMS, 3, item_id="i1"), "line 4, item_id: 'i1' is there already"),
    ("items", _with(ITEMS, 3, item_id="x" * 129), "line 4, item_id: must have from 1 to 128 bytes"),
    ("items", _with(ITEMS, 3, attributes={"size": {}}), r"line 4, attributes.size: is \{\}, must be a text, a list of texts"),
    ("items", _without(ITEMS, "embedding"), "line 1, embedding: is missing"),
    ("items", _with(ITEMS, 3, embedding=[1.0, 2.0, 10**400]), r"line 4, embedding: is \[1.0, 2.0, 1000"),
    ("items", _with(ITEMS, 3, title="a\ud800b"), "line 4, title: holds half a character"),
    ("items", _with(ITEMS, 3, attributes={"color": "\ud800"}), "line 4, attributes: holds half a character"),
    ("items", _with(ITEMS, 3, attributes={"size": 10**400}), r"line 4, attributes.size: is 1000.*must be a text"),
    ("events", _with(EVENTS, 2, actions=["\ud800"]), "line 3, actions: holds half a character"),
    ("events", [row | {"sequence": 1 << 50} for row in EVENTS], "line 1, sequence: is 1125899906842624, must be from 0 to"),
    ("slates", _with(SLATES, 1, items=[{"item_id": "\ud800"}]), "line 2, items: holds half a character"),
    ("slates", _with(SLATES, 1, features={"age": 10**400}), "line 2, features.age: is 1000.*must be a finite number"),
    ("slates", _with(SLATES, 1, features={"age": 1e300}), r"line 2, features.age: is 1e\+300, must be a finite number"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "rows", "says"), WRONG, ids=[says[:45] for _, _, says in WRONG])
def test_what_is_wrong_is_named_and_nothing_is_written(tmp_path, table, rows, says):
    source = write_logs(tmp_path / "logs", EVENTS, SLATES)
    write_table(source / f"{table}.jsonl", rows)
    with pytest.raises(ValueError, match=f"{table}.jsonl.*{says}"):
        prepare(source, tmp_path / "dataset", say=lambda line: None)
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


BROKEN = [
    ("events.jsonl", b"", "events.jsonl is empty"),
    ("events.jsonl", b"\n\n", "events.jsonl holds no events"),
    ("events.jsonl", b'{"person": "a"', "line 1: is no JSON"),
    ("events.jsonl", b"[1]\n", r"line 1: is \[1\], must be an object"),
    ("events.jsonl", b'{"person": "\xff"}\n', "line 1: is not UTF-8"),
    ("events.jsonl", b"[" * 100_000, "line 1: is nested too deeply"),
    ("events.csv", "person,time_ms".encode("utf-16"), "line 1: is not UTF-8"),
    ("events.csv", b"person;time_ms\na;1\n", "there is no column person; there are 'person;time_ms'"),
    ("events.csv", b"person,time_ms,person\na,1,b\n", "events.csv: the column person is there twice"),
    ("items.csv.gz", b"\x1f\x8b", r"items.csv.gz is not read: unpack it or convert it to one that ends with \.parquet or"),
    ("slates.tsv", b"slate_id", "slates.tsv is not read: unpack it or convert it"),
    ("items.csv", b"item_id,title\ni1,One\n", "items.csv: there is no column embedding"),
    ("items.csv", b"item_id,embedding\n", "items.csv holds no items"),
    ("items.csv", b'item_id,embedding\ni1,"[1]"\ni2\n', "items.csv, line 3: has 1 fields, the head has 2"),
    ("items.csv", b'item_id,embedding\ni1,1 2\n', "items.csv, line 2, embedding: is '1 2', must be a list of numbers as JSON"),
    ("items.csv", b'item_id,embedding,title\ni1,"[1]","a\nb"\ni2,"[""x""]",\n', r"items.csv, line 4, embedding: is \['x'\]"),
    ("items.csv", b'item_id,embedding\n"i1,"[1]"\n', "items.csv, line 2: is no CSV"),
    ("items.parquet", b"nothing", "items.parquet is not a Parquet file"),
    ("dataset.json", b"{", "dataset.json is no JSON"),
    ("dataset.json", b"[]", "dataset.json must hold an object"),
    ("dataset.json", b"[" * 100_000, "dataset.json is no JSON"),
    ("dataset.json", b'{"actions": []}', "dataset.json, actions: must be a list of at least one action"),
    ("dataset.json", b'{"actions": [{"name": 1}]}', r"dataset.json, actions\[0\].name: must be a text"),
    ("dataset.json", b'{"actions": [{"name": "a"}]}', "dataset.json, surfaces: names none"),
    ("dataset.json", b'{"actionz": []}', "dataset.json, actionz: is no setting; there are name, actions"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "content", "says"), BROKEN, ids=[says for _, _, says in BROKEN])
def test_a_broken_file_is_named(tmp_path, file, content, says):
    source = write_logs(tmp_path / "logs", EVENTS, SLATES)
    for other in source.glob(f"{file.split('.')[0]}.*"):
        other.unlink()
    (source / file).write_bytes(content)
    with pytest.raises(ValueError, match=says):
        prepare(source, tmp_path / "dataset", say=lambda line: None)
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"splits": {"validation_ms": 5}}, "splits: has validation_ms or test_ms alone"),
        ({"splits": {"validation_ms": 50 * DAY, "test_ms": 60 * DAY}}, "splits: validation_ms and test_ms must lie in"),
        ({"splits": {"validation": 0.7}}, "splits.validation: is 0.7, must be a number from 0 to 0.5"),
        ({"splits": {"when": 1}}, "splits.when: is no setting"),
        ({"content_columns": 4}, "content_columns: is 4, the items' embeddings have 3 numbers"),
        ({"sessions": {}}, "sessions: forms slates, but .*slates.jsonl holds some"),
        ({"embeddings": "magic"}, "embeddings: is 'magic', must be"),
        ({"surfaces": ["home", "home"]}, "surfaces: names one twice"),
        ({"actions": [{"name": f"a{at}"} for at in range(33)]}, "actions: has 33 entries, the most are 32"),
        ({"actions": [{"name": "hide", "negative": True}]}, "actions: are all negative"),
        ({"actions": [{"name": "click"}, {"name": "any"}]}, 'actions: "any" is the name of all of them together'),
        ({"actions": [{"name": "c" * 129}]}, r"actions\[0\].name: 'c+'... has more than 128 bytes"),
        ({"surfaces": ["é" * 65]}, "surfaces: 'é+'... has more than 128 bytes"),
    ],
)  # fmt: skip
def test_a_wrong_description_is_named(tmp_path, change, says):
    source = write_logs(tmp_path / "logs", EVENTS, SLATES, description=DESCRIPTION | change)
    with pytest.raises(ValueError, match=f"dataset.json, {says}"):
        prepare(source, tmp_path / "dataset", say=lambda line: None)


def test_a_missing_file_or_two_of_one_are_named(tmp_path):
    source = write_logs(tmp_path / "logs", EVENTS, SLATES)
    write_table(source / "items.csv", ITEMS)
    with pytest.raises(ValueError, match=r"items\.csv and items\.jsonl: keep one"):
        prepare(source, tmp_path / "dataset")
    for name in ("items.csv", "items.jsonl"):
        (source / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no items\.parquet or items\.csv or items\.jsonl"):
        prepare(source, tmp_path / "dataset")
    (source / "items.parquet").mkdir()
    with pytest.raises(ValueError, match=r"items\.parquet is a directory: write it as one file"):
        prepare(source, tmp_path / "dataset")
    with pytest.raises(FileNotFoundError, match=r"logs is a directory, must be one file"):
        prepare(source, tmp_path / "dataset", items=source)
    with pytest.raises(FileNotFoundError, match=r"holds neither manifest\.json of a release nor dataset\.json"):
        prepare(source, tmp_path / "dataset", vocabulary=tmp_path)
    (source / "dataset.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"dataset\.json is missing"):
        prepare(source, tmp_path / "dataset")
