"""What a draft holds: of the synthetic world, and of data with another vocabulary, no texts and features of requests."""

import gzip
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from onepass_training.__main__ import main
from onepass_training.config import Parts
from onepass_training.data.dataset import NONE, Action, Bucket, Items, MemoryDataset, Splits, Vocabulary
from onepass_training.evaluation.predict import item_table
from onepass_training.learn.train import layout_of, new_model
from onepass_training.model.rows import CONTEXT, RawEvent, history_rows
from onepass_training.model.tokenizer import Tokenizer
from onepass_training.release.budgets import default_budgets
from onepass_training.release.draft import plain, write_draft
from onepass_training.release.opened import OpenedRelease
from onepass_training.release.reference import GraphRunner, empty_cache

OPERATORS = {
    "Add", "And", "Cast", "Concat", "Cos", "Div", "Expand", "Gather", "Gemm", "Greater", "Identity", "LayerNormalization",
    "Less", "MatMul", "Max", "Mul", "Neg", "Range", "ReduceL2", "ReduceSum", "Relu", "Reshape", "Shape", "Sigmoid", "Sin",
    "Slice", "Softmax", "Split", "Sub", "Transpose", "Unsqueeze",
}  # fmt: skip
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def draft(model, dataset, config, tmp_path_factory):
    out = tmp_path_factory.mktemp("release") / "draft"
    metrics = {"recallAt10": {"all": np.float32(0.25)}, "auc": {"save": float("nan")}}
    write_draft(model, dataset, config, metrics, out, notes=["trained in no time"])
    return out


def foreign_dataset():
    """Two surfaces, three actions, features; nobody has ever typed anything. 30 people, an event and a slate every hour."""
    people, each, items, upstream = 30, 12, 40, 5
    random = np.random.default_rng(3)
    events, slates = people * each, people * each
    times = np.tile(1_000_000_000_000 + HOUR_MS * np.arange(each), people)
    shown = random.permuted(np.tile(np.arange(items), (slates, 1)), axis=1)[:, :4]
    done = np.where(random.random((slates, 4)) < 0.4, random.integers(1, 8, (slates, 4)), 0)
    features = random.normal(50, 20, (slates, 2)).astype(np.float32)
    features[random.random((slates, 2)) < 0.3] = np.nan
    bucket = Bucket(
        history_person=[f"u{person}" for person in range(people)],
        event_start=np.arange(people + 1) * each, event_item=random.integers(0, items, events),
        event_query=np.full(events, NONE), event_actions=random.integers(1, 8, events).astype(np.uint32),
        event_surface=random.integers(0, 2, events), event_time_ms=times + 60_000,
        slate_start=np.arange(people + 1) * each, slate_prefix=np.arange(slates), slate_surface=random.integers(0, 2, slates),
        slate_time_ms=times, slate_related=np.full(slates, NONE), slate_query=np.full(slates, NONE),
        slate_given=np.zeros((slates, upstream), np.float32), slate_features=features,
        shown_start=np.arange(slates + 1) * 4, shown_item=shown.ravel(), shown_actions=done.ravel().astype(np.uint32),
        shown_position=np.tile(np.arange(4), slates), shown_visible=np.full(slates * 4, -1, np.int8), texts=[],
    )  # fmt: skip
    actions = (Action("view"), Action("buy", utility_weight=9.0), Action("report", negative=True, utility_weight=-5.0))
    catalogue = Items(
        ids=[f"sku-{row}" for row in range(items)], upstream=random.standard_normal((items, upstream)).astype(np.float32),
        content=upstream, born_ms=np.zeros(items, np.int64), titles=[f"Thing {row}" for row in range(items)],
        attributes=[{"price": float(row)} for row in range(items)],
    )  # fmt: skip
    start = 1_000_000_000_000
    splits = Splits(start + 8 * HOUR_MS, start + 10 * HOUR_MS, start + 13 * HOUR_MS)
    vocabulary = Vocabulary(actions, ("shop", "basket"), ("age", "spent"))
    return MemoryDataset("shop", vocabulary, catalogue, splits, (bucket,))


@pytest.fixture(scope="module")
def foreign(config, tmp_path_factory):
    """(draft directory, model, dataset, config) of the foreign data, untrained but for its last layers, which are random."""
    data = foreign_dataset()
    own = replace(config, name="shop", world=None, model=replace(config.model, upstream=5))
    model = new_model(own, data)
    torch.nn.init.normal_(model.wanted.weight, std=0.1)
    model.standardise(np.array([50, 50], np.float32), np.array([20, 20], np.float32))
    directory = tmp_path_factory.mktemp("foreign") / "draft"
    write_draft(model, data, own, {}, directory)
    return directory, model, data, own


def test_the_draft_is_complete_and_says_what_it_is(draft, dataset):
    manifest = json.loads((draft / "manifest.draft.json").read_text())
    assert not {"id", "index", "files"} & set(manifest)
    for precision in manifest["precisions"].values():
        assert all((draft / path).is_file() for path in precision["graphs"].values())
        assert set(precision["speed"]) == {"rankMs", "encodeMs", "appendMs"}
    assert set(manifest["precisions"]) == {"fp32", "int8"}
    assert manifest["precisions"]["fp32"]["cost"] is None
    assert manifest["precisions"]["int8"]["cost"]["slates"] > 100
    assert manifest["graphs"] == manifest["precisions"][manifest["model"]["precision"]]["graphs"]
    assert all((draft / manifest["items"][name]).is_file() for name in ("table", "metadata", "popular"))
    size = manifest["items"]["count"] * manifest["model"]["itemDimension"] * 2
    assert (draft / "items/table.f16").stat().st_size == size
    for budget in manifest["budgets"].values():
        assert sum(entry["share"] for entry in budget) == pytest.approx(1)
    assert [action["name"] for action in manifest["vocabulary"]["actions"] if action["negative"]] == ["hide"]
    assert manifest["metrics"] == {"recallAt10": {"all": 0.25}, "auc": {"save": None}}
    assert manifest["training"]["dataset"]["slates"] == len(dataset.bucket(0).slate_time_ms)
    assert manifest["training"]["config"]["world"]["items"] == manifest["items"]["count"]


def test_the_model_card_tells_what_matters(draft, dataset):
    card = (draft / "model-card.md").read_text()
    for said in ("synthetic", "fp32 graphs serve", "## Limits", "must not be used", "int8", "trained in no time", "seed 1",
                 "| all | - | 0.25 |", "torch", "hide", f"{len(dataset.items):,} items"):  # fmt: skip
        assert said in card, said
    assert len(card) < 6_000


def test_the_same_again_is_the_same(draft, model, dataset, config, tmp_path):
    """Everything but what was measured and when."""
    write_draft(model, dataset, config, {}, tmp_path / "draft")
    paths = sorted(path.relative_to(draft) for path in draft.rglob("*") if path.is_file())
    assert paths == sorted(path.relative_to(tmp_path / "draft") for path in (tmp_path / "draft").rglob("*") if path.is_file())
    for path in paths:
        if path.name not in ("manifest.draft.json", "model-card.md"):
            assert (draft / path).read_bytes() == (tmp_path / "draft" / path).read_bytes(), path


def test_a_draft_takes_the_place_of_one_and_of_nothing_else(model, dataset, config, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="holds something that is not a release draft"):
        write_draft(model, dataset, config, {}, tmp_path / "letters")
    assert [path.name for path in tmp_path.rglob("*")] == ["letters", "love.txt"]
    without = copy_of(model, Parts(context_rows=False))
    with pytest.raises(ValueError, match="a model without context_rows is for comparison only"):
        write_draft(without[0], dataset, replace(config, model=without[1]), {}, tmp_path / "draft")


def copy_of(model, parts):
    """A model's shape with other parts."""
    return model, replace(model.config, parts=parts)


def test_items_are_in_table_order(draft, dataset):
    packed = (draft / "items/items.jsonl.gz").read_bytes()
    assert packed[4:8] == bytes(4), "no time in the gzip header"
    items = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    assert [item["id"] for item in items] == list(dataset.items.ids)
    popular = json.loads((draft / "items/popular.json").read_text())
    assert set(popular) == {"home", "search", "related"}
    assert all(0 < len(ids) <= 500 and len(set(ids)) == len(ids) for ids in popular.values())


def hold_vectors(draft, layout, dataset, config, graphs):
    """Rows and probabilities of vectors/tokens.json against the graphs. Gives the vectors."""
    vectors = json.loads((draft / "vectors/tokens.json").read_text())
    raw = np.fromfile(draft / "items/table.f16", "<f2").reshape(-1, layout.embedding).astype(np.float32)
    row_of = dataset.items.row_of
    tokenizer = Tokenizer(buckets=config.model.query_buckets)
    texts = (draft / "vectors/tokenizer.json").is_file()

    def item_embedding(item):
        return raw[row_of[item]] if item in row_of else None

    def query_embedding(text):
        ids, weights = tokenizer.batch([text])
        return graphs.embed_queries(ids, weights)[0] if texts and weights.any() else None

    for history in vectors["histories"]:
        events = [RawEvent(e["item"], tuple(e["actions"]), e["surface"], e["timeMs"], e["query"]) for e in history["events"]]
        rows, last_ms = history_rows(layout, events, item_embedding, query_embedding)
        expected = np.array(history["rows"], np.float32).reshape(-1, layout.columns)
        np.testing.assert_array_equal(rows[:, layout.embedding :], expected[:, layout.embedding :])
        np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-6)
        empty = empty_cache(config.model.layers, config.model.width)
        cache = graphs.encode(rows, np.arange(len(rows), dtype=np.float32), empty)[1] if len(rows) else empty
        assert {request["surface"] for request in history["requests"]} == set(layout.surfaces)
        for request in history["requests"]:
            if request["queryText"] is not None:
                np.testing.assert_allclose(
                    query_embedding(request["queryText"]), request["contextEmbedding"], rtol=0, atol=1e-6
                )
            told = np.array([[request.get("features", {}).get(name, np.nan) for name in layout.request_features]])
            at, now = np.array([layout.surfaces.index(request["surface"])]), np.array([request["nowMs"]])
            nothing = np.zeros((1, len(layout.actions)))
            context = layout.feature_rows(nothing, [False], at, now, np.array([last_ms]), CONTEXT, told)[0]
            np.testing.assert_array_equal(context, np.array(request["contextRow"], np.float32)[layout.embedding :])
            numbers = {name: np.array(request[name], np.float32) for name in ("contextRow", "candidateRow")}
            at, after = (np.array([request[name]], np.float32) for name in ("contextPosition", "candidatePosition"))
            chosen = raw[[row_of[item] for item in request["candidates"]]]
            got = graphs.rank(numbers["contextRow"][None], at, chosen, numbers["candidateRow"][None], after, cache)
            np.testing.assert_allclose(got, request["probabilities"], rtol=0, atol=1e-4)
    upstream, embeddings = (np.array(vectors["itemTower"][name], np.float32) for name in ("upstream", "embeddings"))
    np.testing.assert_allclose(graphs.embed_items(upstream), embeddings, rtol=0, atol=1e-4)
    return vectors


def test_vectors_hold_for_rows_and_graphs(draft, layout, dataset, config):
    vectors = hold_vectors(draft, layout, dataset, config, GraphRunner(draft / "graphs", config.model.layers))
    given = [len(request["features"]) for request in vectors["histories"][0]["requests"]]
    assert sorted(given) == [0, 1, 2], "features: none, some, all"


def test_data_of_another_kind_gets_a_release_too(foreign):
    directory, _, data, own = foreign
    manifest = json.loads((directory / "manifest.draft.json").read_text())
    assert manifest["graphs"]["queryTower"] is None
    assert "queryTokenizer" not in manifest
    assert not (directory / "graphs/query_tower.onnx").exists()
    assert not (directory / "vectors/tokenizer.json").exists()
    assert manifest["vocabulary"]["requestFeatures"] == ["age", "spent"]
    assert manifest["vocabulary"]["surfaces"] == list(manifest["budgets"]) == ["shop", "basket"]
    assert json.loads((directory / "items/popular.json").read_text()).keys() == {"shop", "basket"}
    assert manifest["training"]["config"]["world"] is None
    runner = GraphRunner(directory, own.model.layers, manifest["graphs"])
    vectors = hold_vectors(directory, layout_of(data, own), data, own, runner)
    queries = next(history for history in vectors["histories"] if history["name"] == "queries")
    assert len(queries["rows"]) == 1, "a logged query makes no row where no text is taken"
    with pytest.raises(ValueError, match="no query tower"):
        runner.embed_queries(np.zeros((1, 1), np.int64), np.ones((1, 1), np.float32))


def test_features_of_the_request_reach_the_graphs_as_they_are(foreign):
    """Raw numbers and flags go in; what training standardised them by is in the weights."""
    directory, model, data, own = foreign
    opened = OpenedRelease.open(directory)
    layout = opened.layout
    assert layout == layout_of(data, own)
    context = np.zeros((1, layout.columns), np.float32)
    context[0, layout.kind_at + CONTEXT] = 1
    embeddings, shared, at = opened.table[:3], np.zeros((1, layout.features), np.float32), np.zeros(1, np.float32)
    empty = empty_cache(own.model.layers, own.model.width)
    answers = []
    for values, given in (((0, 0), (0, 0)), ((70, 0), (1, 0)), ((70, 30), (1, 1))):
        context[0, layout.values_at :] = (*values, *given)
        answers.append(opened.runner.rank(context, at, embeddings, shared, at + 1, empty))
        with torch.no_grad():
            inputs = (torch.from_numpy(part) for part in (context, at, embeddings, shared, at + 1))
            expected = model.rank(*inputs, model.trunk.empty_cache())
        np.testing.assert_allclose(answers[-1], expected, rtol=0, atol=1e-5)
    assert min(np.abs(answers[0] - answers[1]).max(), np.abs(answers[1] - answers[2]).max()) > 1e-4


def test_budgets_come_of_what_people_did(dataset):
    vocabulary = dataset.vocabulary
    counts = np.array([[9_000, 4_000, 3_000, 100, 900], [9_000, 0, 900, 0, 0], [10, 10, 10, 10, 10]])
    budgets = default_budgets(vocabulary, counts, Parts())
    assert budgets["home"] == [
        {"outcome": "any", "share": 0.5}, {"outcome": "save", "share": 0.29}, {"outcome": "click", "share": 0.21}
    ]  # fmt: skip
    assert budgets["search"] == [
        {"outcome": "any", "share": 0.5}, {"outcome": "click", "share": 0.36}, {"outcome": "save", "share": 0.14}
    ]  # fmt: skip
    assert budgets["related"] == [{"outcome": "any", "share": 1.0}], "too few of anything"
    assert default_budgets(vocabulary, counts, Parts(outcome_conditioning=False))["home"] == [{"outcome": "any", "share": 1.0}]


def test_plain_values():
    assert plain({"a": (np.int64(1), float("inf")), 2: [np.float32(0.5), None, True]}) == {
        "a": [1, None],
        "2": [0.5, None, True],
    }


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


def test_the_item_table_is_unit_length(model, dataset):
    table = item_table(model, dataset.items.upstream)
    assert table.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(table.astype(np.float32), axis=1), 1, atol=2e-3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["train"], "the following arguments are required: --out"),
        (["train", "--out", "x", "--threads", "0"], "'0' is not a whole number above 0"),
        (["train", "--out", "x", "--seed", "-3"], "--seed"),
        (["train", "--out", "x", "--seed", "9" * 20], "is too large: it must be below 1000000000"),
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
    assert capsys.readouterr().err == f"onepass_training: {tmp_path / 'file'}: File exists\n"


@pytest.mark.parametrize("command", [["--help"], ["train", "--help"]])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as error:
        main(command)
    assert error.value.code == 0
    assert "usage" in capsys.readouterr().out
