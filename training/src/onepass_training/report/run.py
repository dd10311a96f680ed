"""One run of the grid, in a process of its own: python -m onepass_training.report.run VARIANT SEED DIR [--smoke].

Leaves the per-slate arrays of what it evaluated and, when all is done, `result.json` in DIR.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from ..arguments import natural
from ..config import TrainConfig
from ..data.dataset import Dataset
from ..data.synthetic import synthetic_dataset
from ..evaluation.baselines.cooccurrence import cooccurrence
from ..evaluation.baselines.popularity import popularity
from ..evaluation.baselines.sasrec import predict_sasrec, train_sasrec
from ..evaluation.evaluate import Evaluation
from ..evaluation.predict import Predictions, calibration_set, predict
from ..evaluation.result import Result
from ..evaluation.scorers import Contender
from ..evaluation.scorers import Oracle as BestRanking
from ..learn.calibration import apply, fit
from ..learn.device import prepare
from ..learn.train import Trainer
from ..machine import commit, machine, peak_memory_mib
from ..model.onepass_model import OnepassModel
from ..world import simulate
from ..world.oracle import Oracle
from .grid import BASE, NO_CALIBRATION, Run, base_config, variant_of
from .metrics import kept, measure, reliability
from .results import SCHEMA, Line, key_of
from .runner import ARRAYS, RESULT


def main(argv: Sequence[str] | None = None) -> None:
    """Trains and evaluates one variant with one seed."""
    parser = argparse.ArgumentParser(prog="onepass_training.report.run")
    parser.add_argument("variant")
    parser.add_argument("seed", type=natural)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args(argv)
    prepare(torch.device("cpu"), threads=1)
    run, base = Run(variant_of(arguments.variant), arguments.seed), base_config(arguments.smoke)
    line = run_one(run, base, arguments.directory)
    partial = arguments.directory / f"{RESULT}.partial"
    partial.write_text(json.dumps(line))
    partial.replace(arguments.directory / RESULT)


def run_one(run: Run, base: TrainConfig, directory: Path) -> Line:
    """The run's line, less what only the runner knows. Writes the arrays of each contender."""
    config, began = run.variant.config(base, run.seed), time.monotonic()
    world = simulate(config.seed, config.world)
    dataset, made = synthetic_dataset(world), time.monotonic()
    evaluation = Evaluation(dataset, config)
    if run.variant.kind == "sasrec":
        model = train_sasrec(dataset, config)
        done, line = time.monotonic(), {"steps": config.steps}
        result = evaluation.of("model", predict_sasrec(model, evaluation.slates).contender())
    else:
        model, line = _train(config, dataset, directory)
        done = time.monotonic()
        predictions = predict(model, dataset, config, evaluation.slates)
        result = evaluation.of("model", predictions.contender())
        if run.variant.name == BASE:
            line["reliability"] = _reliability(evaluation, predictions.logits)
    result.save(directory / ARRAYS)
    ended = time.monotonic()
    shared = {"seed": run.seed, "schema": SCHEMA, "commit": commit(), "machine": machine(),
              "date": datetime.now(UTC).isoformat(timespec="seconds")}  # fmt: skip
    line |= shared | _told(result) | {
        "key": key_of(run, base), "variant": run.variant.name, "peakMemoryMib": peak_memory_mib(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": {"world": round(made - began, 1), "train": round(done - made, 1), "evaluate": round(ended - done, 1)},
    }  # fmt: skip
    if run.variant.name == BASE:
        line["others"] = []
        for name, other, more in _others(evaluation, Oracle(world), predictions, line["calibration"]):
            other.save(directory / f"{name}.npz")
            line["others"].append(shared | _told(other) | more | {"key": f"{name}-{line['key']}", "variant": name})
    line["seconds"] |= {"total": round(time.monotonic() - began, 1), "cpu": round(time.process_time(), 1)}
    return line


def _train(config: TrainConfig, dataset: Dataset, directory: Path) -> tuple[OnepassModel, Line]:
    """The trained and calibrated model, and what training took."""
    trainer = Trainer(config, dataset, directory)
    trainer.run()
    line = {
        "steps": trainer.done.steps, "tokens": trainer.done.tokens,
        "tokensPerSecond": round(trainer.done.tokens / max(trainer.done.seconds, 1e-9)),
    }  # fmt: skip
    if not config.model.parts.calibration:
        return trainer.model, line
    found = fit(*calibration_set(trainer.model, dataset, config))
    apply(trainer.model, found)
    return trainer.model, line | {"calibration": {"scale": found.scale.tolist(), "bias": found.bias.tolist()}}


def _told(result: Result) -> Line:
    values, intervals = measure(result)
    return {"metrics": values, "intervals": intervals, "summary": kept(result.summary)}


def _others(
    evaluation: Evaluation, truth: Oracle, predictions: Predictions, calibration: Line
) -> Iterator[tuple[str, Result, Line]]:
    """What needs no training: the base before its calibration, simple rankers, and the world's own best."""
    raw = (predictions.logits - np.array(calibration["bias"])) / np.array(calibration["scale"])
    before = replace(predictions, logits=raw.astype(np.float32))
    yield NO_CALIBRATION, evaluation.of(NO_CALIBRATION, before.contender()), {"reliability": _reliability(evaluation, raw)}
    yield "popularity", evaluation.of("popularity", popularity(evaluation.dataset).contender()), {}
    yield "cooccurrence", evaluation.of("cooccurrence", cooccurrence(evaluation.dataset).contender()), {}
    best = BestRanking(truth, evaluation.dataset.vocabulary.names)
    yield "oracle", evaluation.of("oracle", Contender(best, best, outcomes=True)), {}


def _reliability(evaluation: Evaluation, logits: np.ndarray) -> dict[str, list[list[float]]]:
    """By action, bins of the probabilities of all judged items."""
    judged, names = evaluation.slates.judged, evaluation.dataset.vocabulary.names
    chances = 1 / (1 + np.exp(-logits[judged]))
    return {name: reliability(chances[:, at], evaluation.slates.labels(1 << at)[judged]) for at, name in enumerate(names)}


if __name__ == "__main__":
    main()
