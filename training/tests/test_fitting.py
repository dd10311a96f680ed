from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onepass_training.config import TrainConfig
from onepass_training.data.dataset import Action, Bucket, Items, MemoryDataset, Splits, Vocabulary
from onepass_training.data.open import open_dataset
from onepass_training.fitting import (
    LEAST_STEPS,
    MOST_STEPS,
    PATIENCE,
    SMALL_BATCH,
    SMALL_SLATES,
    SMALL_WINDOW,
    SMOKE_STEPS,
    choice,
    fitting,
    measure,
)

FIXTURES = Path(__file__).parent / "fixtures"
SPLITS = Splits(800, 900, 1_000)


def dataset(people=10, events=20, slates=4, shown=3, items=30, upstream=5):
    """Everybody's events and slates at times 0, 50, 100 ..; all slates after their first event."""
    v, s = people * events, people * slates
    bucket = Bucket(
        [f"p{person}" for person in range(people)], np.arange(people + 1) * events, np.arange(v) % items, np.full(v, -1),
        np.ones(v, np.uint32), np.zeros(v, np.int64), np.tile(np.linspace(0, 999, events).astype(np.int64), people),
        np.arange(people + 1) * slates, np.repeat(np.arange(people) * events + 1, slates), np.zeros(s, np.int64),
        np.tile(np.linspace(50, 999, slates).astype(np.int64), people), np.full(s, -1), np.full(s, -1),
        np.zeros((s, upstream), np.float32), np.zeros((s, 0), np.float32), np.arange(s + 1) * shown,
        np.arange(s * shown) % items, np.ones(s * shown, np.uint32), np.tile(np.arange(shown), s),
        np.full(s * shown, -1, np.int8), [],
    )  # fmt: skip
    catalogue = Items([f"i{row}" for row in range(items)], np.ones((items, upstream), np.float32), upstream,
                      np.zeros(items, np.int64), [""] * items, [{}] * items)  # fmt: skip
    return MemoryDataset("mine", Vocabulary((Action("watch"),), ("home",)), catalogue, SPLITS, (bucket,))


def test_only_what_is_before_validation_is_counted():
    amount = measure(dataset())
    assert (amount.people, amount.items, amount.shown) == (10, 30, 3)
    assert amount.events == 10 * 16
    assert amount.slates == 10 * 3
    assert amount.usual_history == 16
    assert measure(dataset(slates=20)).validation_slates == 10 * 2


def test_the_datas_own_dimension_name_and_names():
    config, _ = fitting(dataset(upstream=7), seed=3)
    assert (config.name, config.seed, config.world, config.model.upstream) == ("mine", 3, None, 7)
    assert config.action_weights == {}
    assert (config.slate_items, config.negatives) == (3, 30)


def test_more_data_more_steps_within_an_hour():
    few, some, many = (fitting(dataset(people=people, events=6, slates=20))[0] for people in (2, 1_000, 60_000))
    assert few.steps == LEAST_STEPS
    assert LEAST_STEPS < some.steps < MOST_STEPS
    assert many.steps == MOST_STEPS


def test_windows_fit_histories_and_small_data_a_small_model():
    short, long = fitting(dataset(events=20))[0], fitting(dataset(people=80, events=4_000))[0]
    assert (short.model.window, short.model.width, short.batch, short.slates) == (32, 64, SMALL_BATCH, SMALL_SLATES)
    assert fitting(dataset(people=20, events=4_000))[0].model.window == SMALL_WINDOW
    own = TrainConfig()
    assert (long.model.window, long.model.width, long.batch, long.slates) == (256, own.model.width, own.batch, own.slates)


def test_of_formed_slates_the_drawn_items_count_too(tmp_path):
    formed = open_dataset(FIXTURES / "ml-100k", tmp_path, say=lambda _: None)
    longest = max(int(np.diff(bucket.shown_start).max()) for bucket in formed.each_bucket())
    assert longest > TrainConfig().slate_items
    assert fitting(formed)[0].slate_items == longest


def test_early_stopping_needs_something_to_go_by():
    assert fitting(dataset(slates=20))[0].patience == PATIENCE
    assert fitting(dataset(slates=3))[0].patience == 0


def test_a_smoke_run_is_tiny_whatever_the_data():
    config, _ = fitting(dataset(people=2_000, slates=20), smoke=True)
    assert (config.steps, config.model.width, config.world) == (SMOKE_STEPS, 32, None)


def test_nothing_to_train_on_is_said():
    empty = dataset()
    for splits in (Splits(0, 900, 1_000), Splits(40, 900, 1_000)):
        with pytest.raises(ValueError, match=r"mine has \d+ events and 0 slates before validation begins"):
            measure(replace(empty, splits=splits))


def test_the_choice_is_told():
    told = choice(*fitting(dataset(slates=20)))
    assert "10 people, 30 items; before validation 160 events and 160 slates; 20 slates validate" in told
    assert "window 32, upstream 5; 300 steps of 24 histories" in told


def test_logs_that_nothing_can_be_learnt_from_are_refused():
    held = dataset()
    negative = replace(held, vocabulary=Vocabulary((Action("hide", negative=True), Action("like")), ("home",)))
    with pytest.raises(ValueError, match=r"^mine has no positive action \(like\) before validation begins"):
        measure(negative)
    unborn = replace(held, items=replace(held.items, born_ms=np.full(30, SPLITS.validation_ms)))
    with pytest.raises(ValueError, match=r"^mine has no item that was born before validation begins: are born_ms and time_ms"):
        measure(unborn)
