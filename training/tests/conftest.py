"""One tiny world, model and set of graphs for all tests."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from onepass_training.config import SMOKE, Parts
from onepass_training.data.synthetic import synthetic_dataset
from onepass_training.learn.train import Trainer, layout_of
from onepass_training.release.export import export_graphs
from onepass_training.world import simulate

pytest_plugins = ["device_fixtures"]

torch.set_num_threads(1)  # the tensors are tiny: a second thread would only wait
torch.use_deterministic_algorithms(True)


@pytest.fixture(scope="session")
def config():
    every_part = replace(SMOKE.model, parts=Parts(offsets=True))
    return replace(SMOKE, steps=60, evaluation_people=40, evaluation_slates=60, model=every_part)


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
