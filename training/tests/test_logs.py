"""Exports as training reads them, written by a mesh: each slate with the history it was served with."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from onepass_training.data.mesh_export import EVENTS, MANIFEST, SLATES, read_logs
from onepass_training.model.rows import CANDIDATE, CONTEXT, RowLayout, history_rows
from onepass_training.model.tokenizer import Tokenizer
from onepass_training.release.reference import GraphRunner

PROGRAM = Path(__file__).parent / "make_export.mjs"
BUILT = PROGRAM.parents[2] / "deploy" / "export" / "dist" / "index.js"
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not BUILT.exists(), reason="needs node and a built repository (npm run build)"
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(export, release) directories."""
    folder = tmp_path_factory.mktemp("mesh")
    done = subprocess.run(["node", str(PROGRAM), str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / "export", Path(done.stdout.strip())


@needs_node
def test_histories_and_slates_are_as_they_were_served(exported):
    logs = read_logs(exported[0])
    assert logs.left_out == 0
    assert logs.manifest["slates"] == sum(len(history.slates) for history in logs.histories) == 5
    before, after, nobody = logs.histories
    # The second event was taken back between the second slate and the third: two histories.
    assert [event.actions for event in before.events] == [("click", "save"), ("click",), ("click",), ("click",)]
    assert [slate.prefix for slate in before.slates] == [0, 4]
    assert [event.query for event in after.events] == [None, None, None, "blue lamp"]
    assert [slate.prefix for slate in after.slates] == [3, 4]
    assert after.slates[0].related == (after.events[0].item,)
    # An event that is late counts as having happened when the one before it did.
    assert before.events[2].time_ms == before.events[1].time_ms
    assert before.window(before.slates[1], 3) == before.events[1:]
    # What was logged with the slate's id, without what was taken back; what was told of a slate.
    assert [item.actions for item in before.slates[0].items] == [("click", "save"), (), ("click",), ()]
    told = [(item.visible, item.actions) for item in after.slates[1].items]
    assert told == [(True, ("long_view",)), (False, ()), (None, ()), (None, ())]
    assert nobody.person is None
    assert nobody.events == ()
    assert [item.visible for item in nobody.slates[0].items] == [True, None]


@needs_node
def test_the_graphs_give_every_slate_the_probabilities_it_was_served_with(exported):
    """From the export alone: the windows are those of serving."""
    directory, release = exported
    manifest = json.loads((release / "manifest.json").read_text())
    model, vocabulary = manifest["model"], manifest["vocabulary"]
    layout = RowLayout(
        model["itemDimension"], tuple(action["name"] for action in vocabulary["actions"]), tuple(vocabulary["surfaces"])
    )
    table = np.fromfile(release / manifest["items"]["table"], "<f2").reshape(-1, layout.embedding).astype(np.float32)
    lines = gzip.decompress((release / manifest["items"]["metadata"]).read_bytes()).splitlines()
    row_of = {json.loads(line)["id"]: row for row, line in enumerate(lines)}
    graphs = GraphRunner(release / "graphs", model["layers"])
    tokenizer = Tokenizer(buckets=manifest["queryTokenizer"]["buckets"])

    def item_embedding(item):
        return table[row_of[item]] if item in row_of else None

    def query_embedding(text):
        return graphs.embed_queries(*tokenizer.batch([text]))[0]

    compared = 0
    for history in read_logs(directory).histories:
        for slate in history.slates:
            events = history.window(slate, model["window"])
            rows, previous = history_rows(layout, events, item_embedding, query_embedding)
            empty = [(np.zeros((0, model["width"]), np.float32),) * 2 for _ in range(model["layers"])]
            cache = graphs.encode(rows, np.arange(len(rows), dtype=np.float32), empty)[1] if len(rows) else empty
            context = np.zeros((1, layout.columns), np.float32)
            if slate.related:
                context[0, : layout.embedding] = item_embedding(slate.related[0])
            shared = _features(layout, slate, previous, CANDIDATE, masked=1)
            context[:, layout.embedding :] = _features(layout, slate, previous, CONTEXT, masked=0)
            at = np.array([len(rows)], np.float32)
            candidates = np.stack([item_embedding(item.item) for item in slate.items])
            probabilities = graphs.rank(context, at, candidates, shared, at + 1, cache)
            assert slate.actions == layout.actions
            np.testing.assert_allclose(probabilities, [item.probabilities for item in slate.items], rtol=0, atol=1e-4)
            compared += 1
    assert compared == 5


def _features(layout, slate, previous, kind, masked):
    time, surface = np.array([slate.time_ms]), np.array([layout.surfaces.index(slate.surface)])
    nothing = np.zeros((1, len(layout.actions)), np.float32)
    return layout.feature_rows(nothing, np.array([masked]), surface, time, np.array([previous]), kind)


def _changed(exported, folder, file, change):
    """A copy of the export with one file's rows changed."""
    copy = folder / "export"
    shutil.copytree(exported[0], copy)
    table = parquet.read_table(copy / file)
    rows = table.to_pylist()
    change(rows)
    parquet.write_table(pa.Table.from_pylist(rows, table.schema), copy / file)
    return copy


@needs_node
@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        (EVENTS, lambda rows: rows[1].update(sequence=7), "row 1, sequence: is 7, must be 2"),
        (EVENTS, lambda rows: rows[0].update(operation="like"), "row 0, operation: is 'like', must be add or retract"),
        (EVENTS, lambda rows: rows[3].update(effective_ms=1), "row 3, effective_ms: is 1, before"),
        (EVENTS, lambda rows: rows[4].update(retracts=9), "row 4, retracts: is 9, must be a sequence before its own"),
        (EVENTS, lambda rows: rows[0].update(item_id=None), "row 0, item_id: or query_text must be set"),
        (SLATES, lambda rows: rows[1]["items"][2].update(probabilities=[0.5]), r"items\[2\].probabilities: has 1 entries"),
        (SLATES, lambda rows: rows[1]["items"][1].update(utility=float("nan")), r"items\[1\]: holds a number that is not fin"),
        (SLATES, lambda rows: rows[0].update(history_sequence=-1), "history_sequence: is -1, must not be negative"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(exported, tmp_path, file, change, says):
    with pytest.raises(ValueError, match=f"{file}, .*{says}"):
        read_logs(_changed(exported, tmp_path, file, change))


@needs_node
def test_a_slate_whose_history_is_gone_is_left_out(exported, tmp_path):
    def cut(rows):
        del rows[2:]

    logs = read_logs(_changed(exported, tmp_path, EVENTS, cut))
    assert logs.left_out == 3
    assert [len(history.slates) for history in logs.histories] == [1, 1]


@needs_node
def test_another_schema_or_another_file_is_named(exported, tmp_path):
    copy = _changed(exported, tmp_path, EVENTS, lambda rows: None)
    table = parquet.read_table(copy / SLATES)
    parquet.write_table(table.drop_columns(["surface"]), copy / SLATES)
    with pytest.raises(ValueError, match=r"slates\.parquet: there is no column surface"):
        read_logs(copy)
    at = table.column_names.index("time_ms")
    parquet.write_table(table.set_column(at, "time_ms", table["time_ms"].cast(pa.float64())), copy / SLATES)
    with pytest.raises(ValueError, match=r"slates\.parquet: column time_ms is double, must be int64"):
        read_logs(copy)
    (copy / SLATES).write_bytes(b"no table at all")
    with pytest.raises(ValueError, match=r"slates\.parquet is not a Parquet file"):
        read_logs(copy)
    (copy / SLATES).unlink()
    with pytest.raises(FileNotFoundError, match=r"slates\.parquet is missing"):
        read_logs(copy)
    (copy / MANIFEST).write_text('{"schema_version": 2}')
    with pytest.raises(ValueError, match="schema_version is 2, must be 1"):
        read_logs(copy)
