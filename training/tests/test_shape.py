"""Releases of any shape with synthetic weights: whole drafts, the same for a seed, which nobody takes for trained ones."""

import json

import numpy as np
import pytest

from onepass_training.__main__ import main
from onepass_training.config import usual_heads
from onepass_training.release.laws import EQUAL, positions
from onepass_training.release.opened import OpenedRelease
from onepass_training.release.reference import empty_cache
from onepass_training.release.shape import Shape, write_shape

SHAPE = Shape(n=24, k=30, layers=3, width=32, heads=2, items=400)


@pytest.fixture(scope="module")
def draft(tmp_path_factory):
    out = tmp_path_factory.mktemp("shape") / "draft"
    outcome = write_shape(SHAPE, out)
    assert max(outcome.laws.values()) <= EQUAL
    return out


def test_a_draft_has_the_shape_and_says_that_its_weights_are_synthetic(draft):
    manifest = json.loads((draft / "manifest.draft.json").read_text())
    model = manifest["model"]
    assert (model["window"], model["layers"], model["width"], model["heads"]) == (24, 3, 32, 2)
    assert model["maxCandidates"] >= SHAPE.k
    assert manifest["name"] == "synthetic-weights-n24-k30-L3-d32"
    assert manifest["metrics"]["syntheticWeights"] is True
    assert set(manifest["precisions"]) == {"fp32"}
    assert manifest["training"]["config"]["steps"] == 0
    popular = json.loads((draft / manifest["items"]["popular"]).read_text())
    assert all(len(popular[surface]) > 10 for surface in manifest["vocabulary"]["surfaces"])
    assert "never trained" in (draft / "model-card.md").read_text()


def test_probabilities_differ_and_depend_on_every_layer_s_kv(draft):
    opened = OpenedRelease.open(draft)
    random, layout, run = np.random.default_rng(1), opened.layout, opened.runner
    rows = random.standard_normal((SHAPE.n, layout.columns)).astype(np.float32)
    _, cache = run.encode(rows, positions(SHAPE.n), empty_cache(SHAPE.layers, SHAPE.width))
    context = random.standard_normal((1, layout.columns)).astype(np.float32)
    shared = np.zeros((1, layout.features), np.float32)
    after = np.array([SHAPE.n + 1.0], np.float32)

    def rank(past):
        return run.rank(context, positions(1, SHAPE.n), opened.table[: SHAPE.k], shared, after, past)

    found = rank(cache)
    assert np.isfinite(found).all()
    assert (found.std(axis=0) > 0.005).all()
    for layer in range(SHAPE.layers):
        without = [pair if at != layer else tuple(np.zeros_like(part) for part in pair) for at, pair in enumerate(cache)]
        assert np.abs(rank(without) - found).max() > 1e-4


def test_the_same_seed_gives_the_same_graphs_and_items(draft, tmp_path):
    write_shape(SHAPE, tmp_path / "draft")
    for path in ("graphs/weights.bin", "graphs/rank.onnx", "items/table.f16", "items/popular.json"):
        assert (draft / path).read_bytes() == (tmp_path / "draft" / path).read_bytes(), path


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"heads": 5}, "--heads must cut --width 32 into heads of an even size, which 5 does not"),
        ({"k": 401}, "--k must be from 1 to 400, not 401"),
        ({"n": 0}, "--n must be from 1 to 8192, not 0"),
    ],
)
def test_a_shape_that_cannot_be_is_told(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        Shape(**{"n": 24, "k": 30, "layers": 3, "width": 32, "heads": 2, "items": 400} | change)


def test_the_command_refuses_in_one_sentence(tmp_path, capsys):
    wanted = ["shape", "--n", "8", "--k", "9", "--layers", "1", "--width", "33", "--out", str(tmp_path / "draft")]
    assert main(wanted) == 1
    assert "--heads must cut --width 33" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_heads_are_as_in_the_trained_configurations():
    assert [usual_heads(width) for width in (16, 32, 128, 256, 512)] == [1, 1, 4, 8, 8]
