"""Logs in our schema, in each format: what becomes of them, and what is left behind."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from logs import DAY, DESCRIPTION, EVENTS, ITEMS, SLATES, event, prepared, slate, write_logs, write_table

from onepass_training.__main__ import main
from onepass_training.data.dataset import NONE, UNKNOWN, VISIBLE
from onepass_training.data.open import open_dataset
from onepass_training.data.prepare import prepare

CLICK, SAVE, HIDE = 1, 2, 4
BY_SHARES = DESCRIPTION | {"splits": {}}


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
