"""Device graphs: every variant equals PyTorch and keeps the laws of batches; nothing reaches from one person to another."""

import numpy as np
import onnx
import pytest
import torch
from device_people import DevicePeople

from onepass_training.config import ModelConfig
from onepass_training.device.sizes import Sizes
from onepass_training.device.write import VARIANTS, Options, write_device_graphs
from onepass_training.model.onepass_model import OnepassModel
from onepass_training.model.rows import RowLayout
from onepass_training.release.laws import positions
from onepass_training.release.reference import TorchRunner, empty_cache, joined

LAYERS, WIDTH, HEADS, TOKENS = 2, 32, 2, 4
EQUAL = {"float32": 1e-4, "float16": 1e-2}
LAYOUT = RowLayout(8, ("click", "save", "hide"), ("home", "search"), request_features=("mobile",))


@pytest.fixture(scope="module")
def model():
    """Untrained, but so that every layer counts."""
    torch.manual_seed(5)
    config = ModelConfig(width=WIDTH, layers=LAYERS, heads=HEADS, window=32, item_dimension=8, hidden=48, query_buckets=16)
    made = OnepassModel(config, LAYOUT)
    for name, parameter in made.named_parameters():
        if name.endswith(("out.weight", "down.weight", "wanted.weight", "norm.bias")):
            torch.nn.init.normal_(parameter, std=0.1)
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def sizes():
    return Sizes(LAYERS, WIDTH, HEADS, LAYOUT.columns, LAYOUT.embedding, len(LAYOUT.actions), 32)


@pytest.fixture(scope="module", params=["float32", "float16"])
def directory(request, model, sizes, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param) / "graphs"
    write_device_graphs(model.serving_state(), sizes, out, Options(request.param, page_tokens=TOKENS))
    return out


@pytest.fixture(scope="module")
def sessions():
    return {}


@pytest.fixture(params=VARIANTS)
def people(request, directory, sessions):
    """Nobody yet, in pools full of numbers that nobody must see."""
    made = DevicePeople(directory, request.param, sessions=sessions.setdefault(directory, {}))
    random = np.random.default_rng(3)
    for pool in made.pools.values():
        pool[TOKENS:] = random.standard_normal(pool[TOKENS:].shape) * 3
    return made


@pytest.fixture
def equal(people):
    """Holds two arrays of probabilities or hidden states against each other."""

    def hold(first, second):
        assert np.isfinite(first).all()
        np.testing.assert_allclose(first, second, rtol=0, atol=EQUAL[people.dtype.name] * max(1, np.abs(second).max()))

    return hold


class Reference:
    """One person at a time, in PyTorch."""

    def __init__(self, model):
        self.run = TorchRunner(model)
        self.histories, self.caches = {}, {}

    def encode(self, rows):
        hidden = {}
        for person, new in rows.items():
            cache = self.caches.get(person, empty_cache(LAYERS, WIDTH))
            states, added = self.run.encode(new, positions(len(new), len(cache[0][0])), cache)
            self.caches[person] = joined(cache, added)
            self.histories[person] = np.concatenate([self.histories.get(person, new[:0]), new])
            hidden[person] = states[-1]
        return hidden

    def rank(self, person, context, candidates, shared):
        cache = self.caches.get(person, empty_cache(LAYERS, WIDTH))
        p, after = len(cache[0][0]), np.array([len(cache[0][0]) + len(context)], np.float32)
        return self.run.rank(context, positions(len(context), p), candidates, shared[None], after, cache)

    def rank_all(self, people, context, counts, candidates, shared):
        return np.stack([
            np.stack([self.rank(person, context[i, s, : counts[i, s]], candidates[i, s], shared[i, s])
                      for s in range(context.shape[1])])
            for i, person in enumerate(people)
        ])  # fmt: skip


@pytest.fixture
def reference(model):
    return Reference(model)


RANDOM = np.random.default_rng(8)


def rows(count):
    return RANDOM.standard_normal((count, LAYOUT.columns)).astype(np.float32)


def requests(people, slates=1, contexts=1, candidates=5):
    """context, counts, candidates and what they share, of so many people."""
    shape = (people, slates)
    embeddings = RANDOM.standard_normal((*shape, candidates, LAYOUT.embedding)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=-1, keepdims=True)
    context = RANDOM.standard_normal((*shape, contexts, LAYOUT.columns)).astype(np.float32)
    shared = RANDOM.standard_normal((*shape, LAYOUT.features)).astype(np.float32)
    return context, np.full(shape, contexts), embeddings, shared


def test_graphs_are_whole_and_named_as_the_contract_has_it(directory, sizes):
    for path in directory.glob("*.onnx"):
        onnx.checker.check_model(path)
    encode = onnx.load(directory / "encode.plain.onnx", load_external_data=False).graph
    assert [value.name for value in encode.input][:5] == ["rows", "lengths", "counts", "pages", "targets"]
    assert {value.name for value in encode.output} == {
        "hidden", *(f"{part}_pool_out_{layer}" for part in ("key", "value") for layer in range(LAYERS))
    }  # fmt: skip


def test_encode_and_append_equal_pytorch(people, reference, equal):
    for new in ({"a": 9, "b": 1, "c": 4}, {"b": 5, "a": 1}, {"c": 1}, {"a": 2, "b": 1, "c": 8}):
        new = {person: rows(count) for person, count in new.items()}
        found, expected = people.encode(new), reference.encode(new)
        for person in new:
            equal(found[person], expected[person])
    for person, cache in reference.caches.items():
        for layer, pair in enumerate(cache):
            for part, array in zip(("key", "value"), pair, strict=True):
                equal(people.pools[f"{part}_pool_{layer}"][people.rows_of(person)], array)


@pytest.mark.parametrize(("slates", "contexts"), [(1, 1), (1, 8), (3, 2), (2, 1)])
def test_rank_equals_pytorch(people, reference, equal, slates, contexts):
    known = {"a": rows(9), "b": rows(1), "c": rows(4)}
    people.encode(known), reference.encode(known)
    everybody = ["c", "nobody", "a", "b"]
    people.room("nobody", 1)
    asked = requests(4, slates, contexts)
    asked[1][:] = RANDOM.integers(1, contexts + 1, asked[1].shape)
    equal(people.rank(everybody, *asked), reference.rank_all(everybody, *asked))
