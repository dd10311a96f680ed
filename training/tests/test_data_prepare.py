"""Logs in our schema, in each format: what becomes of them, what is refused and how, and what is left behind."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from logs import DAY, DESCRIPTION, ITEMS, asked, event, prepared, slate, write_logs, write_table

from onepass_training.__main__ import main
from onepass_training.data.dataset import NONE, UNKNOWN, VISIBLE
from onepass_training.data.open import open_dataset
from onepass_training.data.prepare import prepare

CLICK, SAVE, HIDE = 1, 2, 4
BY_SHARES = DESCRIPTION | {"splits": {}}
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


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_each_format_gives_the_same_buckets(tmp_path, ending):
    said = []
    dataset = prepared(tmp_path, EVENTS, SLATES, said=said, ending=ending)
    bucket, one = dataset.bucket(0), 1 if ending != ".csv" else 2
    row = "row" if ending == ".parquet" else "line"

    def place(table, number):
        return f"{tmp_path / 'logs' / table}{ending}, {row} {number}"

    assert said[:2] == [
        "events: 6 (1 queries, 0 retracts) of 3 people, in 1 buckets",
        "slates: 3, of which 3 are used, 2 with something positive",
    ]
    assert said[2] == f"left out: 1 events of unknown items (first: 'gone' at {place('events', 5 + one)}, item_id)"
    assert said[3] == f"left out: 1 shown items that are unknown (first: 'gone' at {place('slates', one)}, items[1])"
    assert dataset.items.ids == [f"i{at}" for at in range(6)]
    np.testing.assert_array_equal(dataset.items.upstream[2], [2.5, 1, -2])
    assert dataset.items.titles[5] == "Item 5"
    assert (dataset.items.born_ms == np.arange(6)).all()
    ann = int(np.flatnonzero(np.diff(bucket.event_start) == 4)[0])
    events = slice(*bucket.event_start[ann : ann + 2])
    assert bucket.event_item[events].tolist() == [1, 2, NONE, 3]
    assert bucket.event_actions[events].tolist() == [CLICK, CLICK | SAVE, 0, CLICK]
    assert bucket.texts[bucket.event_query[events][2]] == "blue lamp"
    first, second = range(*bucket.slate_start[ann : ann + 2])
    assert (bucket.slate_prefix[[first, second]] - bucket.event_start[ann]).tolist() == [0, 3]
    shown = [slice(*bucket.shown_start[at : at + 2]) for at in (first, second)]
    assert bucket.shown_item[shown[0]].tolist() == [1, 2]
    assert bucket.shown_position[shown[0]].tolist() == [0, 2]
    assert bucket.shown_actions[shown[0]].tolist() == [CLICK, 0]
    # i3 was clicked on the slate after validation had begun, and the slate is from before: it does not count.
    assert bucket.shown_actions[shown[1]].tolist() == [0, HIDE]
    assert bucket.shown_visible[shown[1]].tolist() == [UNKNOWN, VISIBLE]
    assert bucket.slate_related[second] == 2
    np.testing.assert_array_equal(bucket.slate_given[second], [1, 2, 3])
    np.testing.assert_array_equal(bucket.slate_features[second], [30, np.nan])
    nobody = bucket.history_person.index("")
    assert bucket.texts[bucket.slate_query[bucket.slate_start[nobody]]] == "blue lamp"
    assert np.isnan(bucket.slate_features[bucket.slate_start[nobody]]).all()


def test_parquet_has_objects_as_maps_and_other_widths_of_numbers_too(tmp_path):
    source = write_logs(tmp_path / "logs", EVENTS, SLATES, ending=".parquet")
    table = parquet.read_table(source / "slates.parquet")
    maps = pa.array([None, [("age", 30.0)], []], pa.map_(pa.string(), pa.float64()))
    table = table.set_column(table.column_names.index("features"), "features", maps)
    table = table.set_column(table.column_names.index("time_ms"), "time_ms", table["time_ms"].cast(pa.uint64()))
    parquet.write_table(table, source / "slates.parquet")
    items = parquet.read_table(source / "items.parquet")
    halves = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(18), pa.float16()), 3)
    items = items.set_column(items.column_names.index("embedding"), "embedding", halves)
    parquet.write_table(items.set_column(0, "item_id", items["item_id"].dictionary_encode()), source / "items.parquet")
    dataset = prepare(source, tmp_path / "dataset", say=lambda line: None)
    assert np.nansum(dataset.bucket(0).slate_features) == 30
    assert dataset.items.upstream[1].tolist() == [3, 4, 5]


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


def test_a_byte_order_mark_and_dos_lines_change_nothing(tmp_path):
    (tmp_path / "plain").mkdir()
    plain = prepared(tmp_path / "plain", EVENTS, SLATES)
    for ending in (".jsonl", ".csv"):
        (tmp_path / ending).mkdir()
        source = write_logs(tmp_path / ending / "logs", EVENTS, SLATES, ending=ending)
        for path in source.iterdir():
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        dataset = prepare(source, tmp_path / ending / "dataset", say=lambda line: None)
        for name, values in vars(plain.bucket(0)).items():
            np.testing.assert_array_equal(getattr(dataset.bucket(0), name), values, name)


def test_times_that_look_like_seconds_are_doubted(tmp_path):
    def said(name, factor):
        folder, lines = tmp_path / name, []
        rows = [[row | {"time_ms": (20_000 * DAY + row["time_ms"]) // factor} for row in table] for table in (EVENTS, SLATES)]
        prepare(write_logs(folder, *rows, description=BY_SHARES), tmp_path / f"{name}-out", say=lines.append)
        return [line for line in lines if "are these seconds" in line]

    assert said("milliseconds", 1) == []
    assert [line.split(":")[0] for line in said("seconds", 1000)] == ["events.jsonl", "slates.jsonl"]


def test_slates_are_needed_or_formed(tmp_path):
    with pytest.raises(
        ValueError, match=r'has no slates: give some, or have them formed from the events with "sessions": \{\}'
    ):
        prepared(tmp_path, EVENTS)


def test_what_was_prepared_is_reused_and_anew_when_the_logs_change(tmp_path):
    said = []
    prepared(tmp_path, EVENTS, SLATES)
    source, out = tmp_path / "logs", tmp_path / "dataset"
    before = (out / "prepared.json").stat().st_mtime_ns
    again = open_dataset(source, tmp_path, say=said.append)
    first = again.bucket(0)
    assert said == [f"{out} was prepared from these logs already"]
    assert (out / "prepared.json").stat().st_mtime_ns == before
    assert open_dataset(out, tmp_path / "elsewhere").splits == again.splits
    write_table(source / "events.jsonl", EVENTS[:-1])
    assert open_dataset(source, tmp_path, say=said.append).bucket(0).histories == first.histories - 1
    assert said[1] == f"{out} was prepared from other logs, or these have changed: it is prepared anew"


def test_a_failure_leaves_the_old_dataset_and_a_killed_run_nothing(tmp_path):
    prepared(tmp_path, EVENTS, SLATES)
    source, out = tmp_path / "logs", tmp_path / "dataset"
    write_table(source / "events.jsonl", [*EVENTS, event("ann", "i1", -1)])
    with pytest.raises(ValueError, match="line 7, time_ms"):
        prepare(source, out, say=lambda line: None)
    assert open_dataset(out, tmp_path).buckets == 1
    # What a killed run leaves behind is in the way of nobody.
    (tmp_path / ".dataset.partial" / "buckets" / "0000").mkdir(parents=True)
    (tmp_path / ".dataset.partial" / "buckets" / "0000" / "events.bin").write_bytes(b"half")
    write_table(source / "events.jsonl", EVENTS)
    assert prepare(source, out, say=lambda line: None).bucket(0).event_item.tolist().count(3) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "logs"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    source, out = write_logs(tmp_path / "logs", EVENTS, SLATES), tmp_path / "mine"
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="is there already and is no prepared dataset"):
        prepare(source, out)
    assert (out / "letter.txt").read_text() == "dear"


def test_the_command_prints_what_was_read_and_left_out(tmp_path, capsys):
    source = write_logs(tmp_path / "logs", [row | {"mood": "good"} for row in EVENTS], SLATES)
    assert main(["prepare", "--data", str(source), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "not read of events.jsonl: mood" in printed
    assert "left out: 1 events of unknown items" in printed
    assert printed.endswith(f"dataset: {tmp_path / 'out' / 'dataset'}\n")
    (source / "items.jsonl").write_text("")
    assert main(["prepare", "--data", str(source), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == f"onepass_training: {source / 'items.jsonl'} is empty\n"


def test_other_items_and_another_vocabulary(tmp_path):
    source = write_logs(tmp_path / "logs", EVENTS, SLATES)
    items = write_table(tmp_path / "more.csv", [*ITEMS, {"item_id": "gone", "embedding": [0, 0, 1]}])
    vocabulary = tmp_path / "other.json"
    vocabulary.write_text(json.dumps(BY_SHARES | {"name": "other"}))
    dataset = open_dataset(source, tmp_path, items=items, vocabulary=vocabulary, say=lambda line: None)
    assert (dataset.name, len(dataset.items)) == ("other", 7)
    assert sorted(np.diff(dataset.bucket(0).event_start).tolist()) == [0, 1, 1, 4]


def test_people_are_spread_over_buckets_and_each_is_in_one(tmp_path):
    people = [f"p{at}" for at in range(200)]
    events = [event(name, f"i{at % 6}", DAY + at) for at in range(3) for name in people]
    slates = [slate(f"s{name}", name, 6 * DAY, ["i1", "i2"]) for name in people]
    source = write_logs(tmp_path / "logs", events, slates, description=BY_SHARES)
    dataset = prepare(source, tmp_path / "dataset", say=lambda line: None, bucket_bytes=5_000)
    assert dataset.buckets > 5
    buckets = list(dataset.each_bucket())
    seen = [name for bucket in buckets for name in bucket.history_person]
    assert len(seen) == len(set(seen)) == 200
    assert all((np.diff(bucket.event_start) == 3).all() and (np.diff(bucket.slate_start) == 1).all() for bucket in buckets)
    assert max(bucket.histories for bucket in buckets) < 200 / dataset.buckets * 4
    assert dataset.bucket(3) is dataset.bucket(3)
    with pytest.raises(IndexError):
        dataset.bucket(dataset.buckets)


def test_splits_by_shares_of_the_slates(tmp_path):
    events = [event("ann", "i1", 1)]
    slates = [slate(f"s{at}", "ann", 1_000 * at, ["i1"]) for at in range(1, 101)]
    splits = prepared(tmp_path, events, slates, description=BY_SHARES).splits
    assert (splits.validation_ms, splits.test_ms, splits.end_ms) == (80_001, 85_001, 100_001)


MEASURE = """
import sys
from pathlib import Path
from onepass_training.data import prepare as module
module.EVENT_ROWS, module.SLATE_ROWS = 1_000, 250
dataset = module.prepare(Path(sys.argv[1]), Path(sys.argv[2]), say=lambda line: None, bucket_bytes=100_000)
rows = sum(len(bucket.event_item) for bucket in dataset.each_bucket())
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(rows, dataset.buckets, int(peak.split()[1]) // 1024)
"""


def _peak(tmp_path, people):
    """(events, buckets, MiB) of a process of its own."""
    events = (
        event(f"p{at % people}", f"i{at % 6}", DAY + at, slate_id=f"s{at}", event_id=f"e{at}") for at in range(20 * people)
    )
    slates = (slate(f"s{at}", f"p{at % people}", DAY + at, ["i1", "i2", "i3"]) for at in range(5 * people))
    source = write_logs(tmp_path / str(people), list(events), list(slates), description=BY_SHARES)
    run = [sys.executable, "-c", MEASURE, str(source), str(tmp_path / f"out{people}")]
    done = subprocess.run(run, capture_output=True, text=True, env={"PYTHONPATH": str(Path(__file__).parents[1] / "src")})
    assert done.returncode == 0, done.stderr
    return [int(value) for value in done.stdout.split()]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_memory_does_not_grow_with_the_logs(tmp_path):
    few, many = _peak(tmp_path, 250), _peak(tmp_path, 2_000)
    assert many[0] == 8 * few[0] == 40_000
    assert many[1] > 4 * few[1]
    # 8 times the rows, which are some 10 MB of JSON and several times that as Python has them.
    assert many[2] <= few[2] + 10, (few, many)
