"""An untrained model, its device graphs in both types, and people in pools, for each variant of attention."""

import numpy as np
import pytest
import torch
from device_people import DevicePeople

from onepass_training.config import ModelConfig
from onepass_training.device.sizes import Sizes
from onepass_training.device.write import VARIANTS, Options, write_device_graphs
from onepass_training.model.onepass_model import OnepassModel
from onepass_training.model.rows import RowLayout

LAYERS, WIDTH, HEADS, TOKENS = 2, 32, 2, 4
EQUAL = {"float32": 1e-4, "float16": 1e-2}
LAYOUT = RowLayout(8, ("click", "save", "hide"), ("home", "search"), request_features=("mobile",))


@pytest.fixture(scope="session")
def device_model():
    """Untrained, but so that every layer counts."""
    torch.manual_seed(5)
    config = ModelConfig(width=WIDTH, layers=LAYERS, heads=HEADS, window=32, item_dimension=8, hidden=48, query_buckets=16)
    made = OnepassModel(config, LAYOUT)
    for name, parameter in made.named_parameters():
        if name.endswith(("out.weight", "down.weight", "wanted.weight", "norm.bias")):
            torch.nn.init.normal_(parameter, std=0.1)
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def device_sizes():
    return Sizes(LAYERS, WIDTH, HEADS, LAYOUT.columns, LAYOUT.embedding, len(LAYOUT.actions), 32)


@pytest.fixture(scope="session", params=["float32", "float16"])
def device_directory(request, device_model, device_sizes, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param) / "graphs"
    write_device_graphs(device_model.serving_state(), device_sizes, out, Options(request.param, page_tokens=TOKENS))
    return out


@pytest.fixture(scope="session")
def device_sessions():
    return {}


@pytest.fixture(params=[name for name in VARIANTS if name != "gqa"])
def people(request, device_directory, device_sessions):
    """Nobody yet, in pools full of numbers that nobody must see."""
    made = DevicePeople(device_directory, request.param, sessions=device_sessions.setdefault(device_directory, {}))
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
