"""What a draft holds, and the command line from nothing to a draft."""

import gzip
import json
from collections import Counter

import numpy as np
import onnx
import pytest

from onepass_training.__main__ import main
from onepass_training.evaluation.evaluate import item_table
from onepass_training.model.rows import RawEvent, history_rows
from onepass_training.model.tokenizer import Tokenizer
from onepass_training.release.reference import GraphRunner

OPERATORS = {
    "Add", "And", "Cast", "Concat", "Cos", "Div", "Expand", "Gather", "Gemm", "Greater", "Identity", "LayerNormalization",
    "Less", "MatMul", "Max", "Mul", "Neg", "Range", "ReduceL2", "ReduceSum", "Relu", "Reshape", "Shape", "Sigmoid", "Sin",
    "Slice", "Softmax", "Split", "Sub", "Transpose", "Unsqueeze",
}  # fmt: skip


@pytest.fixture(scope="module")
def draft(tmp_path_factory):
    out = tmp_path_factory.mktemp("release")
    assert main(["train", "--smoke", "--steps", "25", "--threads", "1", "--out", str(out)]) == 0
    return out / "draft"


def test_the_draft_is_complete_and_says_what_it_is(draft):
    manifest = json.loads((draft / "manifest.draft.json").read_text())
    assert not {"id", "index", "files"} & set(manifest)
    for path in (*manifest["graphs"].values(), *(manifest["items"][name] for name in ("table", "metadata", "popular"))):
        assert path is None or (draft / path).is_file()
    size = manifest["items"]["count"] * manifest["model"]["itemDimension"] * 2
    assert (draft / "items/table.f16").stat().st_size == size
    for budget in manifest["budgets"].values():
        assert sum(entry["share"] for entry in budget) == pytest.approx(1)
    assert [action["name"] for action in manifest["vocabulary"]["actions"] if action["negative"]] == ["hide"]
    assert manifest["metrics"]["recallAt10"] == manifest["metrics"]["detail"]["recallAt10"]["model"]["all"]


def test_items_are_in_table_order(draft, config, world):
    packed = (draft / "items/items.jsonl.gz").read_bytes()
    assert packed[4:8] == bytes(4), "no time in the gzip header"
    items = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    assert [item["id"] for item in items] == world.catalogue.ids
    popular = json.loads((draft / "items/popular.json").read_text())
    assert set(popular) == {"home", "search", "related"}
    assert all(0 < len(ids) <= 500 and len(set(ids)) == len(ids) for ids in popular.values())


def test_vectors_hold_for_rows_and_graphs(draft, layout, world, config):
    vectors = json.loads((draft / "vectors/tokens.json").read_text())
    raw = np.fromfile(draft / "items/table.f16", "<f2").reshape(-1, layout.embedding).astype(np.float32)
    row_of = {item: row for row, item in enumerate(world.catalogue.ids)}
    graphs = GraphRunner(draft / "graphs", config.model.layers)
    tokenizer = Tokenizer(buckets=config.model.query_buckets)

    def item_embedding(item):
        return raw[row_of[item]] if item in row_of else None

    def query_embedding(text):
        ids, weights = tokenizer.batch([text])
        return graphs.embed_queries(ids, weights)[0] if weights.any() else None

    width = config.model.width
    for history in vectors["histories"]:
        events = [RawEvent(e["item"], tuple(e["actions"]), e["surface"], e["timeMs"], e["query"]) for e in history["events"]]
        rows, _ = history_rows(layout, events, item_embedding, query_embedding)
        expected = np.array(history["rows"], np.float32).reshape(-1, layout.columns)
        np.testing.assert_array_equal(rows[:, layout.embedding :], expected[:, layout.embedding :])
        np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-6)
        empty = [(np.zeros((0, width), np.float32),) * 2] * config.model.layers
        cache = graphs.encode(rows, np.arange(len(rows), dtype=np.float32), empty)[1] if len(rows) else empty
        for request in history["requests"]:
            if request["queryText"] is not None:
                np.testing.assert_allclose(
                    query_embedding(request["queryText"]), request["contextEmbedding"], rtol=0, atol=1e-6
                )
            numbers = {name: np.array(request[name], np.float32) for name in ("contextRow", "candidateRow")}
            at, after = (np.array([request[name]], np.float32) for name in ("contextPosition", "candidatePosition"))
            chosen = raw[[row_of[item] for item in request["candidates"]]]
            got = graphs.rank(numbers["contextRow"][None], at, chosen, numbers["candidateRow"][None], after, cache)
            np.testing.assert_allclose(got, request["probabilities"], rtol=0, atol=1e-4)
    upstream, embeddings = (np.array(vectors["itemTower"][name], np.float32) for name in ("upstream", "embeddings"))
    np.testing.assert_allclose(graphs.embed_items(upstream), embeddings, rtol=0, atol=1e-4)


def test_the_tokenizers_vectors_hold(draft, config):
    vectors = json.loads((draft / "vectors/tokenizer.json").read_text())
    manifest = json.loads((draft / "manifest.draft.json").read_text())
    assert vectors["tokenizer"] == manifest["queryTokenizer"]
    tokenizer = Tokenizer(buckets=config.model.query_buckets)
    graphs = GraphRunner(draft / "graphs", config.model.layers)
    for case in vectors["texts"]:
        assert tokenizer.tokens(case["text"]) == case["ids"], case["name"]
        ids, weights = tokenizer.batch([case["text"]])
        if case["ids"]:
            np.testing.assert_allclose(graphs.embed_queries(ids, weights)[0], case["embedding"], rtol=0, atol=1e-5)
        else:
            assert case["embedding"] is None
    assert {len(case["text"].encode()) for case in vectors["texts"]} >= {0, 1024}


def test_graphs_use_common_operators_and_share_their_weights(graphs, model):
    parameters = sum(parameter.numel() for parameter in model.parameters()) * 4
    assert (graphs / "weights.bin").stat().st_size < 1.35 * parameters
    for path in graphs.glob("*.onnx"):
        loaded = onnx.load(path)
        onnx.checker.check_model(str(path))
        assert {node.op_type for node in loaded.graph.node} <= OPERATORS
        assert loaded.opset_import[0].version <= 20
        assert path.stat().st_size < 20_000
        external = [t for t in onnx.load(path, load_external_data=False).graph.initializer if t.data_location == 1]
        assert {entry.value for t in external for entry in t.external_data if entry.key == "location"} == {"weights.bin"}


def test_equal_content_is_stored_once(graphs):
    places = Counter()
    for path in graphs.glob("*.onnx"):
        for tensor in onnx.load(path, load_external_data=False).graph.initializer:
            if tensor.data_location == 1:
                places[next(entry.value for entry in tensor.external_data if entry.key == "offset")] += 1
    assert sum(count > 1 for count in places.values()) > 10, "encode and rank have the trunk in common"


def test_the_item_table_is_unit_length(model, world):
    table = item_table(model, world.catalogue.upstream)
    assert table.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(table.astype(np.float32), axis=1), 1, atol=2e-3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["train"], "the following arguments are required: --out"),
        (["train", "--out", "x", "--threads", "0"], "'0' is not a whole number above 0"),
        (["train", "--out", "x", "--seed", "-3"], "--seed"),
        (["train", "--out", "x", "--sed", "3"], "unrecognized arguments"),
        (["tran"], "invalid choice"),
    ],
)
def test_bad_arguments_get_one_sentence(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    said = capsys.readouterr().err
    assert error.value.code == 2
    assert sentence in said
    assert said.count("\n") == 1


def test_failures_get_one_sentence(tmp_path, capsys):
    assert main(["train", "--smoke", "--threads", "1", "--resume", "--out", str(tmp_path)]) == 1
    assert "no checkpoint to resume from" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["train", "--smoke", "--threads", "1", "--out", str(tmp_path / "file")]) == 1


@pytest.mark.parametrize("command", [["--help"], ["train", "--help"]])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as error:
        main(command)
    assert error.value.code == 0
    assert "usage" in capsys.readouterr().out
