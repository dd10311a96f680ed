"""The command line: python -m onepass_training train --out DIR."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from .config import SMOKE, TrainConfig
from .evaluation.evaluate import Evaluation, format_table, item_table
from .evaluation.probe import Probe
from .learn.train import Trainer, layout_of, require_checkpoint
from .release.draft import write_draft
from .world import simulate


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> None:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _natural(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    top = _Parser(prog="onepass_training", description="Trains the Onepass model and writes a release draft.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    train = commands.add_parser(
        "train", help="make the synthetic world, train on it, evaluate, and write a release draft",
        description="Makes the synthetic world, trains on it, prints the metrics and writes a release draft to DIR/draft. "
        "The checkpoint stays in DIR.",
    )  # fmt: skip
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory of the run")
    train.add_argument("--seed", type=_natural, default=1, help="seed of the world, the weights and all draws (default 1)")
    train.add_argument("--smoke", action="store_true", help="a tiny world and model, done in under a minute")
    train.add_argument("--threads", type=_positive, default=2, help="CPU threads; results repeat for one number (default 2)")
    train.add_argument("--steps", type=_positive, help="optimiser steps (default: enough for the release)")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR")
    return top


def _train(arguments: argparse.Namespace) -> None:
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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; 0 if it went well, 1 for a failure, 2 for a bad argument."""
    arguments = parser().parse_args(argv)
    try:
        _train(arguments)
    except (FileNotFoundError, FileExistsError, NotADirectoryError, PermissionError, ValueError, FloatingPointError) as error:
        print(f"onepass_training: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
