"""One tiny world, model and set of graphs for all tests."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from onepass_training.config import SMOKE, TrainConfig
from onepass_training.data.synthetic import synthetic_dataset
from onepass_training.learn.train import Trainer, layout_of
from onepass_training.model.onepass_model import OnepassModel
from onepass_training.model.rows import RowLayout
from onepass_training.model.tokenizer import Tokenizer
from onepass_training.release.export import export_graphs
from onepass_training.release.reference import GraphRunner
from onepass_training.world import World, simulate

torch.set_num_threads(1)  # the tensors are tiny: a second thread would only wait
torch.use_deterministic_algorithms(True)


@pytest.fixture(scope="session")
def config():
    return replace(SMOKE, steps=60, evaluation_people=40, evaluation_slates=60)


@pytest.fixture(scope="session")
def world(config):
    return simulate(config.seed, config.world)


@pytest.fixture(scope="session")
def dataset(world):
    return synthetic_dataset(world)


@pytest.fixture(scope="session")
def layout(config, dataset):
    return layout_of(dataset, config)


@pytest.fixture(scope="session")
def model(config, dataset, tmp_path_factory):
    trainer = Trainer(config, dataset, tmp_path_factory.mktemp("run"))
    trainer.run()
    return trainer.model.eval()


@pytest.fixture(scope="session")
def graphs(model, tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("graphs")
    export_graphs(model, directory)
    return directory


class TorchRunner:
    """The PyTorch model with GraphRunner's calls: arrays in, arrays out."""

    def __init__(self, model: OnepassModel):
        self._model = model

    def __getattr__(self, name):
        def call(*inputs):
            with torch.no_grad():
                return _convert(getattr(self._model, name)(*_convert(inputs, torch.from_numpy)), lambda tensor: tensor.numpy())

        return call


def _convert(value, change):
    if isinstance(value, (tuple, list)):
        return type(value)(_convert(part, change) for part in value)
    return change(value)


@dataclass(frozen=True)
class Case:
    """A runner and random inputs of the right shapes."""

    run: GraphRunner | TorchRunner
    config: TrainConfig
    world: World
    layout: RowLayout

    @property
    def features(self):
        return self.layout.features

    @property
    def columns(self):
        return self.layout.columns

    def rows(self, n: int, seed: int = 0):
        return np.random.default_rng(seed).standard_normal((n, self.columns)).astype(np.float32)

    def positions(self, n: int, start: int = 0):
        return np.arange(start, start + n, dtype=np.float32)

    def empty(self):
        width = self.config.model.width
        return [(np.zeros((0, width), np.float32), np.zeros((0, width), np.float32)) for _ in range(self.config.model.layers)]

    def cache(self, n: int, seed: int = 0):
        """What encoding n rows leaves behind."""
        return self.run.encode(self.rows(n, seed), self.positions(n), self.empty())[1] if n else self.empty()

    @property
    def tokenizer(self):
        return Tokenizer(buckets=self.config.model.query_buckets)

    def candidates(self, k: int, seed: int = 1):
        embeddings = np.random.default_rng(seed).standard_normal((k, self.columns - self.features)).astype(np.float32)
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)

    def rank(self, cache, candidates, contexts: int = 1, now: float = 0.1):
        """Probabilities; `now` goes into the context and candidate rows only."""
        p = len(cache[0][0])
        context, shared = self.rows(contexts, 2), self.rows(1, 3)[:, : self.features]
        times = slice(self.layout.kind_at - 3, self.layout.kind_at)
        context[:, times] = now
        shared[:, times.start - self.layout.embedding : times.stop - self.layout.embedding] = now
        after = np.array([p + contexts], np.float32)
        return self.run.rank(context, self.positions(contexts, p), candidates, shared, after, cache)


@pytest.fixture(params=["torch", "onnx"])
def case(request, model, graphs, config, world, layout):
    run = TorchRunner(model) if request.param == "torch" else GraphRunner(graphs, config.model.layers)
    return Case(run, config, world, layout)
