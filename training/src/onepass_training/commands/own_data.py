"""`train --data`: somebody's own logs in place of the synthetic world."""

import argparse
from dataclasses import replace
from pathlib import Path

from ..config import TrainConfig
from ..data.dataset import Dataset
from ..data.open import open_dataset
from ..fitting import choice, fitting


def add_data_options(train: argparse.ArgumentParser) -> None:
    """Declares the options of `train` that say whose data it is."""
    group = train.add_argument_group("own data")
    group.add_argument(
        "--data", type=Path, metavar="FOLDER",
        help="learn from these logs: a folder in our schema, a mesh's export, or a MovieLens data set (docs/data.md)",
    )  # fmt: skip
    group.add_argument(
        "--items", type=Path, metavar="FILE", help="the items, where the folder has none (.parquet, .csv or .jsonl)"
    )
    group.add_argument(
        "--vocabulary", type=Path, metavar="PATH",
        help="a release or a dataset.json that names actions and surfaces, where the folder has no dataset.json",
    )  # fmt: skip


def check_data_options(arguments: argparse.Namespace) -> None:
    """ValueError or FileNotFoundError before anything slow begins."""
    for option in ("items", "vocabulary"):
        if getattr(arguments, option) is not None and arguments.data is None:
            raise ValueError(f"--{option} says something about --data, which is not there")
    for option in ("data", "items", "vocabulary"):
        path = getattr(arguments, option)
        if path is not None and not path.exists():
            raise FileNotFoundError(f"--{option}: {path} does not exist")
    if arguments.data is not None and not arguments.data.is_dir():
        raise ValueError(f"--data: {arguments.data} is no folder; unpack it first")


def own_data(arguments: argparse.Namespace) -> tuple[Dataset, TrainConfig]:
    """Opens --data, prepared into --out, and chooses the settings of the run, which it prints."""
    dataset = open_dataset(arguments.data, arguments.out, items=arguments.items, vocabulary=arguments.vocabulary)
    config, amount = fitting(dataset, arguments.seed, arguments.smoke)
    if arguments.steps is not None:
        config = replace(config, steps=arguments.steps)
    print(choice(config, amount), flush=True)
    return dataset, config
