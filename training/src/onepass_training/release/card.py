"""model-card.md of a draft: for people, short, from what the run knows."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import numpy as np
import onnx
import onnxruntime
import torch

from ..config import TrainConfig
from ..data.dataset import NONE, Dataset
from ..machine import machine
from ..model.onepass_model import OnepassModel
from .trial import FP32, Outcome

HEADLINES = {
    "ndcgAt10": "NDCG@10",
    "slateLogLoss": "log loss of a slate's item, all actions together",
    "coverageAt10": "share of the items in anybody's first ten",
}


@dataclass(frozen=True)
class Data:
    """What a model learnt from, counted; times as dates."""

    name: str
    items: int
    people: int
    events: int
    queries: int
    slates: int
    first: str
    validation: str
    test: str
    end: str


def describe(dataset: Dataset) -> Data:
    """One pass over the buckets."""
    people, events, queries, slates, first = 0, 0, 0, 0, dataset.splits.end_ms
    for bucket in dataset.each_bucket():
        people += len(set(bucket.history_person))
        events += len(bucket.event_item)
        queries += int((bucket.event_query != NONE).sum())
        slates += len(bucket.slate_time_ms)
        first = min(first, *(int(times.min(initial=first)) for times in (bucket.event_time_ms, bucket.slate_time_ms)))
    splits = dataset.splits
    dates = (_date(moment) for moment in (first, splits.validation_ms, splits.test_ms, splits.end_ms))
    return Data(dataset.name, len(dataset.items), people, events, queries, slates, *dates)


def _date(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M")


def model_card(
    model: OnepassModel,
    dataset: Dataset,
    data: Data,
    config: TrainConfig,
    metrics: Mapping,
    outcome: Outcome,
    notes: Sequence[str] = (),
) -> str:
    """The whole text. `notes`: sentences about the training."""
    sections = (
        ("", _what(model, config, outcome)),
        ("Data", _data(dataset, data)),
        ("Model", _model(model, config)),
        ("Training", _training(config, notes)),
        ("Metrics", _metrics(metrics)),
        ("Precision", _precision(outcome)),
        ("Limits", _limits(dataset)),
        ("Made with", _versions()),
    )
    head = f"# {config.name}\n\n"
    return head + "\n\n".join((f"## {title}\n\n" if title else "") + "\n".join(lines) for title, lines in sections) + "\n"


def _what(model: OnepassModel, config: TrainConfig, outcome: Outcome) -> list[str]:
    count = sum(parameter.numel() for parameter in model.parameters())
    tower = sum(parameter.numel() for parameter in model.query_tower.parameters())
    return [
        f"One transformer that retrieves and ranks items for a person: {config.model.layers} layers, width "
        f"{config.model.width}, {config.model.heads} heads, a window of {config.model.window} events, {count:,} parameters "
        f"({tower:,} of them the query tower's). Its {outcome.served} graphs serve.",
    ]


def _data(dataset: Dataset, data: Data) -> list[str]:
    vocabulary = dataset.vocabulary
    negative = [action.name for action in vocabulary.actions if action.negative]
    return [
        f"- {data.name}: {data.items:,} items, {data.people:,} people, {data.events:,} events ({data.queries:,} of them "
        f"queries), {data.slates:,} slates.",
        f"- {data.first} to {data.end} UTC. What is before {data.validation} trained, what is before {data.test} validated, "
        "the rest tested.",
        f"- Actions: {', '.join(vocabulary.names)}; negative: {', '.join(negative) or 'none'}. Surfaces: "
        f"{', '.join(vocabulary.surfaces)}. Features of requests: {', '.join(vocabulary.features) or 'none'}.",
    ]


def _model(model: OnepassModel, config: TrainConfig) -> list[str]:
    parts = asdict(config.model.parts)
    names = [[name.replace("_", " ") for name, on in parts.items() if on is wanted] for wanted in (True, False)]
    return [f"- Parts that are on: {', '.join(names[0]) or 'none'}.", f"- Parts that are off: {', '.join(names[1]) or 'none'}."]


def _training(config: TrainConfig, notes: Sequence[str]) -> list[str]:
    return [
        f"- {config.steps:,} steps at most of {config.batch} histories with up to {config.slates} slates each; seed "
        f"{config.seed}.",
        f"- Learning rate {config.learning_rate}, weight decay {config.weight_decay}, p_mask {config.mask_probability}, "
        f"{config.negatives} random negatives, logQ from {config.log_q}. All settings: `training.config` in the manifest.",
        *(f"- {note}" for note in notes),
    ]


def _metrics(metrics: Mapping) -> list[str]:
    """Of an evaluation's summary: by slice, by action, and in all. docs/training.md says what they mean."""
    counts = metrics.get("slates", {})
    lines = []
    if "recallAt10" in metrics:
        lines += ["| slates | number | Recall@10 | Recall@100 |", "|---|---|---|---|"]
        lines += [
            f"| {name} | {_number(counts.get('recallAt10', {}).get(name))} | {_number(value)} | "
            f"{_number(metrics.get('recallAt100', {}).get(name))} |"
            for name, value in metrics["recallAt10"].items()
            if value is not None
        ]
        lines += [""]
    if "hitAt3" in metrics:
        lines += ["| action | slates with it | Hit@3 | AUC | ECE | Recall@10 of it, asked for any | asked for it |",
                  "|---|---|---|---|---|---|---|"]  # fmt: skip
        for name, hit in metrics["hitAt3"].items():
            asked = metrics.get("askedFor", {}).get(name, {})
            found = [asked.get(way, {}).get("recallAt10") for way in ("any", "outcome")]
            pooled = [metrics.get(metric, {}).get(name) for metric in ("auc", "ece")]
            values = (counts.get(f"hitAt3/{name}", {}).get("all"), hit["all"], *pooled)
            lines.append(f"| {name} | " + " | ".join(_number(value) for value in (*values, *found)) + " |")
        lines += [""]
    named = {title: metrics[key] for key, title in HEADLINES.items() if metrics.get(key) is not None}
    lines += [", ".join(f"{title} {_number(value)}" for title, value in named.items()) + "."] if named else []
    return [*lines, "All of them: `metrics` in the manifest."] if lines else ["None were taken."]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _precision(outcome: Outcome) -> list[str]:
    lines = [outcome.why, "", "| graphs | rank ms | encode ms | append ms | largest | mean | order | Hit@3 | Recall@10 |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, precision in outcome.precisions.items():
        speed, cost = precision.speed, precision.cost
        costs = ("-",) * 5 if cost is None else (
            cost.maxProbabilityDifference, cost.meanProbabilityDifference, cost.rankCorrelation,
            cost.hitAt3Difference, cost.recallAt10Difference,
        )  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(str(value) for value in (*speed.as_row(), *costs)) + " |")
    lines += [
        "",
        "Times are medians on one thread: 200 candidates behind a full window, a full window, one row behind it. Differences "
        f"are from {FP32}'s probabilities; order is the rank correlation by utility.",
        f"Laws held by all graphs: the largest difference is {max(outcome.laws.values(), default=0.0):.2g}.",
    ]
    return lines


def _limits(dataset: Dataset) -> list[str]:
    return [
        "- It knows the people, items, habits and times of its data, with their biases: what was shown more was acted on more.",
        "- Its probabilities are those of being acted on once shown, on these surfaces. They say nothing of what is good for "
        "anybody.",
        "- It must not be used to decide about people (credit, work, housing, health, insurance, prices, policing), nor to "
        "infer who somebody is or what they believe.",
        *(["- It learnt from an invented world. It is for trying the system out, not for real people."]
          if dataset.name.startswith("synthetic") else []),
    ]  # fmt: skip


def _versions() -> list[str]:
    of = machine()
    libraries = {
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
    }
    versions = ", ".join(f"{name} {version}" for name, version in libraries.items())
    return [f"- {of['cpu']}, {of['cores']} cores, {of['system']}.", f"- Python {platform.python_version()}, {versions}."]
