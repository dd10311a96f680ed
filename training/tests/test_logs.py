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

from onepass_training.data.dataset import HIDDEN, NONE, UNKNOWN, VISIBLE
from onepass_training.data.mesh_export import EVENTS, MANIFEST, SLATES
from onepass_training.data.open import open_dataset
from onepass_training.data.prepare import prepare
from onepass_training.model.rows import CANDIDATE, CONTEXT, RawEvent, RowLayout, history_rows
from onepass_training.model.tokenizer import Tokenizer
from onepass_training.release.reference import GraphRunner

PROGRAM = Path(__file__).parent / "make_export.mjs"
BUILT = PROGRAM.parents[2] / "deploy" / "export" / "dist" / "index.js"
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not BUILT.exists(), reason="needs node and a built repository (npm run build)"
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(export, release, items) paths. Items have the release's own embeddings, which are what its graphs take."""
    folder = tmp_path_factory.mktemp("mesh")
    done = subprocess.run(["node", str(PROGRAM), str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    release = Path(done.stdout.strip())
    manifest = json.loads((release / "manifest.json").read_text())
    table = np.fromfile(release / manifest["items"]["table"], "<f2").reshape(-1, manifest["model"]["itemDimension"])
    lines = [json.loads(line) for line in gzip.decompress((release / manifest["items"]["metadata"]).read_bytes()).splitlines()]
    items = folder / "items.parquet"
    parquet.write_table(
        pa.table({"item_id": [line["id"] for line in lines], "embedding": [row.astype(np.float32) for row in table]}), items
    )
    return folder / "export", release, items


@pytest.fixture(scope="module")
def dataset(exported, tmp_path_factory):
    export, release, items = exported
    return open_dataset(export, tmp_path_factory.mktemp("work"), items=items, vocabulary=release, say=lambda line: None)


def test_histories_and_slates_are_as_they_were_served(dataset):
    bucket, ids = dataset.bucket(0), dataset.items.ids
    # Nobody, and one person: the second event was taken back between the second slate and the third, so two histories.
    assert bucket.history_person[0] == ""
    assert bucket.history_person[1] == bucket.history_person[2] != ""
    assert np.diff(bucket.event_start).tolist() == [0, 3, 3]
    assert np.diff(bucket.slate_start).tolist() == [1, 2, 2]
    click, save, long_view = (dataset.vocabulary.bit(name) for name in ("click", "save", "long_view"))
    assert bucket.event_actions.tolist() == [click | save, click, click, click | save, click, 0]
    assert (bucket.slate_prefix - bucket.event_start[bucket.slate_history]).tolist() == [0, 0, 3, 2, 3]
    assert [bucket.texts[at] if at != NONE else None for at in bucket.event_query[3:]] == [None, None, "blue lamp"]
    assert ids[bucket.slate_related[3]] == ids[bucket.event_item[3]]
    # An event that is late counts as having happened when the one before it did.
    assert bucket.event_time_ms[2] == bucket.event_time_ms[1]
    # What was logged with the slate's id, without what was taken back; what was told of a slate.
    actions = np.split(bucket.shown_actions, bucket.shown_start[1:-1])
    assert actions[1].tolist() == [click | save, 0, click, 0]
    assert actions[4].tolist() == [long_view, 0, 0, 0]
    visible = np.split(bucket.shown_visible, bucket.shown_start[1:-1])
    assert visible[4].tolist() == [VISIBLE, HIDDEN, UNKNOWN, UNKNOWN]
    assert visible[0].tolist() == [VISIBLE, UNKNOWN]


def test_the_graphs_give_every_slate_the_probabilities_it_was_served_with(exported, dataset):
    """From the export alone: the windows are those of serving."""
    export, release, _ = exported
    model = json.loads((release / "manifest.json").read_text())["model"]
    items, bucket, vocabulary = dataset.items, dataset.bucket(0), dataset.vocabulary
    layout = RowLayout(model["itemDimension"], vocabulary.names, vocabulary.surfaces, request_features=vocabulary.features)
    graphs = GraphRunner(release / "graphs", model["layers"])
    tokenizer = Tokenizer(buckets=json.loads((release / "manifest.json").read_text())["queryTokenizer"]["buckets"])
    served = {row["time_ms"]: row for row in parquet.read_table(export / SLATES).to_pylist()}
    assert len(served) == len(bucket.slate_prefix) == 5

    def raw(at):
        done = tuple(name for name in vocabulary.names if bucket.event_actions[at] & vocabulary.bit(name))
        item = items.ids[bucket.event_item[at]] if bucket.event_item[at] != NONE else None
        text = bucket.texts[bucket.event_query[at]] if item is None else None
        return RawEvent(item, done, vocabulary.surfaces[bucket.event_surface[at]], int(bucket.event_time_ms[at]), text)

    for at, time_ms in enumerate(bucket.slate_time_ms.tolist()):
        slate, first = served[time_ms], bucket.event_start[bucket.slate_history[at]]
        events = [raw(event) for event in range(max(first, bucket.slate_prefix[at] - model["window"]), bucket.slate_prefix[at])]
        rows, previous = history_rows(
            layout, events, lambda item: items.upstream[items.row_of[item]],
            lambda text: graphs.embed_queries(*tokenizer.batch([text]))[0],
        )  # fmt: skip
        empty = [(np.zeros((0, model["width"]), np.float32),) * 2 for _ in range(model["layers"])]
        cache = graphs.encode(rows, np.arange(len(rows), dtype=np.float32), empty)[1] if len(rows) else empty
        context = np.zeros((1, layout.columns), np.float32)
        if bucket.slate_related[at] != NONE:
            context[0, : layout.embedding] = items.upstream[bucket.slate_related[at]]
        surface = bucket.slate_surface[at]
        shared = _features(layout, time_ms, surface, previous, CANDIDATE, masked=1)
        given = bucket.slate_features[at : at + 1]
        context[:, layout.embedding :] = _features(layout, time_ms, surface, previous, CONTEXT, masked=0, request=given)
        after = np.array([len(rows)], np.float32)
        candidates = items.upstream[bucket.shown_item[bucket.shown_start[at] : bucket.shown_start[at + 1]]]
        probabilities = graphs.rank(context, after, np.array(candidates), shared, after + 1, cache)
        assert tuple(slate["actions"]) == layout.actions
        np.testing.assert_allclose(probabilities, [item["probabilities"] for item in slate["items"]], rtol=0, atol=1e-4)


def _features(layout, time_ms, surface, previous, kind, masked, request=None):
    nothing = np.zeros((1, len(layout.actions)), np.float32)
    return layout.feature_rows(
        nothing, np.array([masked]), np.array([surface]), np.array([time_ms]), np.array([previous]), kind, request
    )


def _changed(exported, folder, file, change):
    """A copy of the export with one file's rows changed."""
    copy = folder / "export"
    shutil.copytree(exported[0], copy)
    table = parquet.read_table(copy / file)
    rows = table.to_pylist()
    change(rows)
    parquet.write_table(pa.Table.from_pylist(rows, table.schema), copy / file)
    return copy


def _prepare(exported, export, said=None):
    out = export.parent / "dataset"
    return prepare(export, out, exported[2], exported[1], say=lambda line: said.append(line) if said is not None else None)


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        (EVENTS, lambda rows: rows[1].update(sequence=7), "row 2, sequence: is 7, must be 2"),
        (EVENTS, lambda rows: rows[0].update(operation="like"), "row 1, operation: is 'like', must be add or retract"),
        (EVENTS, lambda rows: rows[3].update(effective_ms=1), "row 4, effective_ms: is 1, before"),
        (EVENTS, lambda rows: rows[4].update(retracts=9), "row 5, retracts: is 9, must be a sequence before its own"),
        (EVENTS, lambda rows: rows[0].update(item_id=None), "row 1, item_id: or query_text must be set"),
        (SLATES, lambda rows: rows[1]["items"][2].update(probabilities=[0.5]), r"items\[2\].probabilities: has 1 entries"),
        (SLATES, lambda rows: rows[1]["items"][1].update(utility=float("nan")), r"items\[1\]: holds a number that is not fin"),
        (SLATES, lambda rows: rows[0].update(history_sequence=-1), "history_sequence: is -1, must not be negative"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_nothing_is_written(exported, tmp_path, file, change, says):
    with pytest.raises(ValueError, match=f"{file}, .*{says}"):
        _prepare(exported, _changed(exported, tmp_path, file, change))
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_a_slate_whose_history_is_gone_is_left_out(exported, tmp_path):
    def cut(rows):
        del rows[2:]

    said = []
    bucket = _prepare(exported, _changed(exported, tmp_path, EVENTS, cut), said).bucket(0)
    assert "left out: 3 slates with a history that is not there" in said
    assert np.diff(bucket.slate_start).tolist() == [1, 1]


def test_what_the_release_does_not_know_is_left_out_as_in_serving(exported, tmp_path):
    def rename(rows):
        rows[2].update(actions=["stroke"])

    said = []
    bucket = _prepare(exported, _changed(exported, tmp_path, EVENTS, rename), said).bucket(0)
    assert any(
        line.startswith("left out: 1 names of actions that the release does not know (first: 'stroke' at") for line in said
    )
    assert np.diff(bucket.event_start).tolist() == [0, 2, 2]


def test_an_export_needs_items_and_a_vocabulary(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match="--items names a file"):
        prepare(exported[0], tmp_path / "out", vocabulary=exported[1])
    with pytest.raises(FileNotFoundError, match="--vocabulary names one"):
        prepare(exported[0], tmp_path / "out", items=exported[2])


def test_another_schema_or_another_file_is_named(exported, tmp_path):
    copy = _changed(exported, tmp_path, EVENTS, lambda rows: None)
    table = parquet.read_table(copy / SLATES)
    parquet.write_table(table.drop_columns(["surface"]), copy / SLATES)
    with pytest.raises(ValueError, match=r"slates\.parquet: there is no column surface"):
        _prepare(exported, copy)
    at = table.column_names.index("time_ms")
    parquet.write_table(table.set_column(at, "time_ms", table["time_ms"].cast(pa.float64())), copy / SLATES)
    with pytest.raises(ValueError, match=r"slates\.parquet: column time_ms is double, must be int64"):
        _prepare(exported, copy)
    (copy / SLATES).write_bytes(b"no table at all")
    with pytest.raises(ValueError, match=r"slates\.parquet is not a Parquet file"):
        _prepare(exported, copy)
    (copy / SLATES).unlink()
    with pytest.raises(FileNotFoundError, match=r"slates\.parquet is missing"):
        _prepare(exported, copy)
    (copy / MANIFEST).write_text('{"schema_version": 2}')
    with pytest.raises(ValueError, match="schema_version is 2, must be 1"):
        _prepare(exported, copy)
