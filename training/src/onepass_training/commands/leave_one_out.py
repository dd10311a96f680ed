"""`leave-one-out`: the protocol of the sequential-recommendation papers, for our model and the baselines."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..arguments import natural, positive
from ..config import SMOKE, TrainConfig
from ..data.dataset import Dataset
from ..data.synthetic import synthetic_dataset
from ..evaluation.baselines.cooccurrence import cooccurrence
from ..evaluation.baselines.popularity import popularity
from ..evaluation.baselines.sasrec import predict_sasrec, train_sasrec
from ..evaluation.held_out import LeaveOneOut
from ..evaluation.leave_one_out import NEGATIVES, LeaveOneOutEvaluation
from ..evaluation.result import Result
from ..evaluation.table import format_leave_one_out
from ..learn.device import device_named, prepare, threads_for
from ..learn.train import Trainer
from ..world import simulate
from .own_data import add_data_options, check_data_options, own_data


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Declares the command."""
    protocol = commands.add_parser(
        "leave-one-out", help="compare with sequential-recommendation papers: each person's last action is to be found",
        description="Trains the model and the baselines without the last two actions of everybody who has five, and asks for "
        f"the last: HR@10 and NDCG@10 among all items, {NEGATIVES} drawn evenly, and {NEGATIVES} drawn by popularity. Of the "
        "synthetic world, or of your own data. Writes no release.",
    )  # fmt: skip
    protocol.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory of the run and of results.json")
    protocol.add_argument("--seed", type=natural, default=1, help="seed of weights and draws (default 1)")
    protocol.add_argument("--steps", type=positive, help="optimiser steps (default: as `train` would choose)")
    protocol.add_argument("--smoke", action="store_true", help="a tiny model, done in under a minute")
    add_data_options(protocol)
    return protocol


def run(arguments: argparse.Namespace) -> None:
    """Trains, asks, prints a table, writes results.json."""
    check_data_options(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    dataset, config = _data(arguments)
    # Everybody is asked; without validation days there is nothing to stop early by.
    config = replace(config, patience=0, evaluation_people=2**31)
    prepare(device_named("cpu"), threads_for(config.model.width))
    view = LeaveOneOut(dataset)
    evaluation = LeaveOneOutEvaluation(view, config)
    results = {result.name: result for result in _contenders(view, evaluation, config, arguments.out)}
    print(format_leave_one_out(results), flush=True)
    summary = {name: result.summary for name, result in results.items()}
    partial = arguments.out / "results.json.partial"
    partial.write_text(
        json.dumps({"data": dataset.name, "seed": config.seed, "steps": config.steps, **summary}, indent=2) + "\n"
    )
    partial.replace(arguments.out / "results.json")
    print(f"results: {arguments.out / 'results.json'}")


def _data(arguments: argparse.Namespace) -> tuple[Dataset, TrainConfig]:
    if arguments.data is not None:
        return own_data(arguments)
    base = SMOKE if arguments.smoke else TrainConfig()
    config = replace(base, seed=arguments.seed, steps=arguments.steps or base.steps)
    return synthetic_dataset(simulate(config.seed, config.world)), config


def _contenders(view: LeaveOneOut, evaluation: LeaveOneOutEvaluation, config: TrainConfig, directory: Path) -> Iterator[Result]:
    """The quick ones first."""
    yield evaluation.of("popularity", popularity(view).contender())
    yield evaluation.of("co-occurrence", cooccurrence(view).contender())
    yield evaluation.of("SASRec-style", predict_sasrec(train_sasrec(view, config), evaluation.slates).contender())
    trainer = Trainer(config, view, directory)
    trainer.run()
    yield evaluation.run(trainer.model.cpu().eval(), "onepass", config)
