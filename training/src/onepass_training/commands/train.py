"""`train`: from data to a release draft."""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from ..config import SMOKE, TrainConfig
from ..evaluation.evaluate import Evaluation, format_table, item_table
from ..evaluation.probe import Probe
from ..learn.train import Trainer, layout_of, require_checkpoint
from ..release.draft import write_draft
from ..world import simulate
from .arguments import natural, positive


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Declares the command."""
    train = commands.add_parser(
        "train", help="make the synthetic world, train on it, evaluate, and write a release draft",
        description="Makes the synthetic world, trains on it, prints the metrics and writes a release draft to DIR/draft. "
        "The checkpoint stays in DIR.",
    )  # fmt: skip
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory of the run")
    train.add_argument("--seed", type=natural, default=1, help="seed of the world, the weights and all draws (default 1)")
    train.add_argument("--smoke", action="store_true", help="a tiny world and model, done in under a minute")
    train.add_argument("--threads", type=positive, default=2, help="CPU threads; results repeat for one number (default 2)")
    train.add_argument("--steps", type=positive, help="optimiser steps (default: enough for the release)")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR")
    return train


def run(arguments: argparse.Namespace) -> None:
    """Trains, evaluates, exports."""
    began = time.monotonic()
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # all memory is written before it is read
    base = SMOKE if arguments.smoke else TrainConfig()
    config = replace(base, seed=arguments.seed, steps=arguments.steps or base.steps)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.resume:
        require_checkpoint(arguments.out)
    world = simulate(config.seed, config.world)
    print(
        f"world: {len(world.slate_person)} slates, {len(world.event_slate)} events, {time.monotonic() - began:.0f} s",
        flush=True,
    )
    trainer = Trainer(config, world, arguments.out)
    if arguments.resume:
        trainer.resume()
    started = time.monotonic()
    trainer.run()
    if trainer.tokens:
        seconds = time.monotonic() - started
        print(f"trained: {trainer.tokens} tokens in {seconds:.0f} s, {trainer.tokens / seconds:.0f} tokens/s", flush=True)
    metrics = Evaluation(world, layout_of(config), config).run(trainer.model)
    print(format_table(metrics), flush=True)
    table = item_table(trainer.model, world.catalogue.upstream).astype("float32")
    metrics["categoryShareAfterSaves"] = Probe(trainer.model, world, table, config.seed).run()
    shares = ", ".join(f"{count}: {share:.1%}" for count, share in metrics["categoryShareAfterSaves"].items())
    print(f"share of a category in the top 50, by saves just added in it: {shares}", flush=True)
    write_draft(trainer.model, world, config, metrics, arguments.out / "draft")
    print(f"release draft: {arguments.out / 'draft'} ({time.monotonic() - began:.0f} s in all)")
