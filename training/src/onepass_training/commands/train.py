"""`train`: from data to a release draft."""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from ..arguments import natural, positive
from ..config import LARGE, SMOKE, TrainConfig
from ..data.dataset import Dataset
from ..data.synthetic import synthetic_dataset
from ..evaluation.baselines.popularity import popularity
from ..evaluation.evaluate import Evaluation
from ..evaluation.predict import calibration_set, predict
from ..evaluation.probe import Probe
from ..evaluation.search import search_by_text
from ..evaluation.table import format_table
from ..learn.calibration import apply, fit
from ..learn.checkpoint import require_checkpoint
from ..learn.device import DEVICES, PRECISIONS, device_named, prepare, threads_for
from ..learn.train import Trainer
from ..model.onepass_model import OnepassModel
from ..release.draft import write_draft
from ..world import World, simulate
from ..world.oracle import Oracle
from .own_data import add_data_options, check_data_options, own_data


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Declares the command."""
    train = commands.add_parser(
        "train", help="train on the synthetic world or on your own logs, evaluate, and write a release draft",
        description="Trains on the synthetic world or on your own logs, prints the metrics and writes a release draft to "
        "DIR/draft. The checkpoint stays in DIR, logs that TensorBoard reads in DIR/tensorboard.",
    )  # fmt: skip
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory of the run")
    train.add_argument("--seed", type=natural, default=1, help="seed of the world, the weights and all draws (default 1)")
    size = train.add_mutually_exclusive_group()
    size.add_argument("--smoke", action="store_true", help="a tiny world and model, done in under a minute")
    size.add_argument("--large", action="store_true", help="a larger model, for a GPU (synthetic world only)")
    train.add_argument(
        "--threads", type=positive, help="CPU threads; results repeat for one number (default 2, below width 128 1)"
    )
    train.add_argument("--device", choices=DEVICES, default="auto", help="auto: a GPU where there is one (default)")
    train.add_argument("--precision", choices=PRECISIONS, help="of the trunk; auto is bf16 on a GPU, else fp32 (default auto)")
    train.add_argument("--steps", type=positive, help="optimiser steps (default: enough for the release)")
    train.add_argument("--patience", type=natural, help="stop after so many validations without a better loss; 0 never does")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR")
    train.add_argument(
        "--serve", choices=("fp32", "int8", "auto"), default="fp32", help="precision that the release serves in (default fp32)"
    )
    add_data_options(train)
    return train


def run(arguments: argparse.Namespace) -> None:
    """Trains, calibrates, evaluates, exports."""
    began = time.monotonic()
    check_data_options(arguments)
    if arguments.large and arguments.data is not None:
        raise ValueError("--large is for the synthetic world; own data chooses its settings by how much of it there is")
    device = device_named(arguments.device)
    if arguments.resume:
        require_checkpoint(arguments.out)
    arguments.out.mkdir(parents=True, exist_ok=True)
    world, dataset, config = _data(arguments)
    prepare(device, arguments.threads or threads_for(config.model.width))
    print(f"data: {dataset.name}, {len(dataset.items)} items, ready after {time.monotonic() - began:.0f} s", flush=True)
    trainer = Trainer(config, dataset, arguments.out, device)
    if arguments.resume:
        trainer.resume()
    trainer.run()
    print(trainer.summary(), flush=True)
    model, notes = trainer.model.cpu().eval(), [trainer.summary()]
    if config.model.parts.calibration:
        found = fit(*calibration_set(model, dataset, config))
        apply(model, found)
        notes.append(found.sentence(dataset.vocabulary.names))
        print(notes[-1], flush=True)
    metrics = _metrics(model, world, dataset, config)
    write_draft(model, dataset, config, metrics, arguments.out / "draft", arguments.serve, notes)
    print(f"release draft: {arguments.out / 'draft'} ({time.monotonic() - began:.0f} s in all)")


def _data(arguments: argparse.Namespace) -> tuple[World | None, Dataset, TrainConfig]:
    """What is learnt from, with the world if it is one, and the run's settings."""
    changed = {"precision": arguments.precision, "patience": arguments.patience, "steps": arguments.steps}
    changed = {name: value for name, value in changed.items() if value is not None}
    if arguments.data is not None:
        dataset, config = own_data(arguments)
        return None, dataset, replace(config, **changed)
    base = SMOKE if arguments.smoke else LARGE if arguments.large else TrainConfig()
    config = replace(base, seed=arguments.seed, **changed)
    world = simulate(config.seed, config.world)
    return world, synthetic_dataset(world), config


def _metrics(model: OnepassModel, world: World | None, dataset: Dataset, config: TrainConfig) -> dict:
    """The model's metrics. Prints them beside popularity's and, for a world, what its own truth allows."""
    evaluation = Evaluation(dataset, config, Oracle(world) if world else None)
    predictions = predict(model, dataset, config, evaluation.slates)
    results = {
        "model": evaluation.of("model", predictions.contender()),
        "popularity": evaluation.of("popularity", popularity(dataset).contender()),
    } | ({"oracle": evaluation.oracle} if evaluation.oracle else {})
    print(format_table(results), flush=True)
    search = search_by_text(evaluation, model, predictions)
    metrics = results["model"].summary | ({"searchByText": search} if search["slates"] else {})
    if world is not None:
        metrics |= {"categoryShareAfterSaves": Probe(model, dataset, predictions.table, config.seed).run()}
    for name in ("searchByText", "categoryShareAfterSaves"):
        if name in metrics:
            print(f"{name}: " + ", ".join(f"{part} {value}" for part, value in metrics[name].items()), flush=True)
    return metrics
