"""Settings for somebody's own data, chosen from how much of it there is: trained within the hour on two cores."""

from dataclasses import dataclass, replace

import numpy as np

from .config import SMOKE, ModelConfig, TrainConfig
from .data.dataset import Dataset
from .data.disk import DiskDataset

SMALL_BELOW = 200_000
"""Training events under which a smaller model is enough; it would learn the data by heart sooner."""
SMALL = {"width": 64, "layers": 2, "heads": 2, "item_dimension": 64, "hidden": 256}
"""Items keep 64 columns: what people did with them, which is most of what is known, is told in as many."""
SMALL_WINDOW = 64
SMALL_BATCH, SMALL_SLATES = 24, 4
"""Events, histories a step and slates on each, for the small model: what its settings were tried with (docs/training.md)."""
MOST_FORMED = 48
"""Most items of a formed slate that count; more are left out, those that were drawn before those that were acted on."""
SLATE_VISITS, SMALL_VISITS = 16, 3.5
"""Times that a run sees each training slate, where it is not cut short; of the small model, on fewer slates a history."""
LEAST_STEPS, MOST_STEPS = 300, 2_500
"""At most what two cores do in an hour with the larger model."""
SMOKE_STEPS = 100
WINDOWS = (32, 64, 128, 256)
LONG_HISTORIES = 0.9
"""Share of the people whose whole history fits the window, where that is not longer than the longest window."""
VALIDATIONS = 10
PATIENCE = 6
"""Validations without a lower loss. The best weights are kept, so patience costs time only."""


@dataclass(frozen=True)
class Amount:
    """How much there is, and of that what is before validation."""

    items: int
    people: int
    events: int
    slates: int
    validation_slates: int
    shown: int
    """Items of the longest slate."""
    usual_history: int
    """Events that at most a tenth of the people with any have more of."""


def measure(dataset: Dataset) -> Amount:
    """Reads all buckets once. ValueError where there is nothing to train on."""
    people = slates = validation = shown = 0
    lengths, engaged = [], False
    positive = np.uint32(dataset.vocabulary.positive_bits)
    for bucket in dataset.each_bucket():
        people += len(set(bucket.history_person) - {""})
        training = bucket.event_time_ms < dataset.splits.validation_ms
        lengths.append(np.bincount(bucket.event_history[training], minlength=bucket.histories))
        times = bucket.slate_time_ms
        early = bucket.engaged(int(positive))[times < dataset.splits.validation_ms]
        engaged = engaged or bool((bucket.event_actions[training] & positive).any() or early.any())
        slates += int((times < dataset.splits.validation_ms).sum())
        validation += int(((times >= dataset.splits.validation_ms) & (times < dataset.splits.test_ms)).sum())
        shown = max(shown, int(np.diff(bucket.shown_start).max(initial=0)))
    length = np.concatenate(lengths) if lengths else np.zeros(0, np.int64)
    length = length[length > 0]
    if not len(length) or not slates:
        raise ValueError(
            f"{dataset.name} has {length.sum()} events and {slates} slates before validation begins: "
            "there is nothing to train on"
        )
    if not engaged:
        names = ", ".join(action.name for action in dataset.vocabulary.actions if not action.negative)
        raise ValueError(f"{dataset.name} has no positive action ({names}) before validation begins: there is nothing to learn")
    if (dataset.items.born_ms >= dataset.splits.validation_ms).all():
        raise ValueError(
            f"{dataset.name} has no item that was born before validation begins: are born_ms and time_ms both in milliseconds?"
        )
    usual = int(np.quantile(length, LONG_HISTORIES))
    return Amount(len(dataset.items), people, int(length.sum()), slates, validation, shown, usual)


def fitting(dataset: Dataset, seed: int = 1, smoke: bool = False) -> tuple[TrainConfig, Amount]:
    """The settings for a dataset, and what they were chosen from."""
    amount = measure(dataset)
    base = SMOKE if smoke else TrainConfig()
    own = {"upstream": dataset.items.upstream.shape[1], "parts": base.model.parts}
    small = amount.events < SMALL_BELOW
    if smoke:
        model = replace(base.model, **own)
    else:
        windows = [window for window in WINDOWS if not small or window <= SMALL_WINDOW]
        window = next((window for window in windows if window >= amount.usual_history), windows[-1])
        model = ModelConfig(window=window, **(SMALL if small else {}), **own)
        base = replace(base, batch=SMALL_BATCH, slates=SMALL_SLATES) if small else base
    steps = SMOKE_STEPS if smoke else _steps(base, amount, SMALL_VISITS if small else SLATE_VISITS)
    formed = isinstance(dataset, DiskDataset) and dataset.formed
    config = replace(
        base, name=dataset.name, seed=seed, world=None, model=model, steps=steps, action_weights={},
        slate_items=max(2, min(amount.shown, MOST_FORMED if formed else base.slate_items)),
        negatives=min(base.negatives, amount.items),
        warmup=min(base.warmup, max(1, steps // 10)), validate_every=max(1, steps // (2 if smoke else VALIDATIONS)),
        patience=PATIENCE if amount.validation_slates and not smoke else 0,
    )  # fmt: skip
    return config, amount


def _steps(base: TrainConfig, amount: Amount, visits: float) -> int:
    """Enough for each training slate to be seen so many times, within bounds."""
    return min(MOST_STEPS, max(LEAST_STEPS, round(visits * amount.slates / (base.batch * base.slates))))


def choice(config: TrainConfig, amount: Amount) -> str:
    """What was chosen and from what, in two lines."""
    model = config.model
    visits = config.steps * config.batch * config.slates / amount.slates
    return (
        f"data: {amount.people:,} people, {amount.items:,} items; before validation {amount.events:,} events and "
        f"{amount.slates:,} slates; {amount.validation_slates:,} slates validate\n"
        f"chosen: width {model.width}, {model.layers} layers, window {model.window}, upstream {model.upstream}; "
        f"{config.steps:,} steps of {config.batch} histories with {config.slates} slates: "
        f"each training slate is seen about {visits:.1f} times"
    )
