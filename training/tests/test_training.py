"""Losses, and what a run learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from onepass_training.learn.losses import action_loss, log_inclusion, retrieval_loss
from onepass_training.learn.sketch import DEPTH, WIDTH, CountMinSketch
from onepass_training.learn.train import Trainer, learning_rate
from onepass_training.learn.validation import Validation


def test_log_q_is_the_chance_to_be_in_the_pool():
    """Counted over many pools, drawn as training draws them."""
    random, counts = np.random.default_rng(0), np.array([50, 10, 3, 1, 0, 0])
    pools = np.zeros(6)
    for _ in range(20_000):
        drawn = random.choice(6, 2, p=counts / counts.sum())
        pools[np.unique(np.concatenate([drawn, random.integers(0, 6, 1)]))] += 1
    expected = np.exp(log_inclusion(counts / counts.sum(), 2, 1, 6))
    # The Poisson form is exact for rare items, which are all in a real catalogue, and errs low for an item in most pools.
    np.testing.assert_allclose(pools[2:] / 20_000, expected[2:], rtol=0.1)
    assert expected[0] < pools[0] / 20_000


def test_the_sketch_counts_a_small_catalogue_exactly():
    things = np.random.default_rng(1).zipf(1.3, 50_000) % WIDTH
    sketch = CountMinSketch()
    sketch.add(things)
    np.testing.assert_array_equal(sketch.estimate(np.arange(WIDTH)), np.bincount(things, minlength=WIDTH))


@pytest.mark.parametrize("width", [WIDTH, 1_000])
def test_the_sketch_is_seldom_far_above_the_count_in_a_large_catalogue(width):
    """Things a multiple of the width apart must not share their cells in all rows."""
    random, items = np.random.default_rng(2), 40 * width
    counts = np.zeros(items, np.int64)
    counts[:width] = 20  # of the rest each was seen once at most
    counts[width:] = random.random(items - width) < 0.1
    sketch = CountMinSketch(width=width)
    sketch.add(np.repeat(np.arange(items), counts))
    over = sketch.estimate(np.arange(items)) - counts
    assert over.min() == 0
    assert (over > np.e * sketch.total / width).mean() <= np.exp(-DEPTH)
    apart = CountMinSketch(width=width)
    apart.add(np.zeros(1_000, np.int64))
    assert not apart.estimate(np.arange(1, 40) * width).any()


def test_log_q_lets_a_common_negative_count_for_less():
    query, pool = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8], [0.6, -0.8]])
    scale = torch.tensor(1.0)
    rare = retrieval_loss(query, pool, torch.tensor([-2.0, -6.0]), torch.tensor([1]), scale)
    common = retrieval_loss(query, pool, torch.tensor([-2.0, -1.0]), torch.tensor([1]), scale)
    assert rare < common
    assert rare.item() == pytest.approx(np.log1p(np.exp(-4)), rel=1e-4)


def test_action_loss_weighs_each_action_and_each_row():
    logits, labels = torch.zeros(4, 2), torch.ones(4, 2)
    weights = torch.tensor([1.0, 3.0])
    assert action_loss(logits, labels, weights, torch.ones(4)).item() == pytest.approx(4 * np.log(2), rel=1e-5)
    logits[0] = 9.0  # all but certain, and right
    one = action_loss(logits, labels, weights, torch.tensor([0.0, 1.0, 1.0, 0.0]))
    assert one.item() == pytest.approx(4 * np.log(2), rel=1e-5)


def test_a_seed_gives_one_result_and_the_model_learns(config, dataset, model, tmp_path):
    again = Trainer(config, dataset, tmp_path)
    before = again._validation.losses()
    again.run()
    for name, tensor in again.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    after = again._validation.losses()
    assert after["action"] < 0.9 * before["action"]
    assert after["item"] < 0.95 * before["item"]


def test_learning_rate_warms_up_and_decays(config):
    rates = [learning_rate(config, step) for step in range(config.steps)]
    assert max(rates) == pytest.approx(config.learning_rate)
    assert rates[0] < rates[config.warmup - 1]
    assert rates[-1] < 0.1 * config.learning_rate


def test_validation_looks_at_labels_of_its_own_days_only(config, dataset, tmp_path):
    trainer = Trainer(config, dataset, tmp_path)
    validation, bucket = trainer._validation, dataset.bucket(0)
    slates = np.concatenate([batch.slates[batch.slates >= 0] for batch in validation._batches])
    assert len(slates) == len(np.unique(slates)) > 0
    times = bucket.slate_time_ms[slates]
    assert ((times >= dataset.splits.validation_ms) & (times < dataset.splits.test_ms)).all()
    assert sum(len(batch.prefix) for batch in validation._batches) <= config.validation_histories
    assert not any(batch.past_scored.any() for batch in validation._batches)
    assert validation.losses() == validation.losses()


def test_validation_never_falls_on_data_without_such_days(config, dataset, tmp_path):
    splits = replace(dataset.splits, validation_ms=dataset.splits.test_ms)
    without = replace(dataset, splits=splits)
    trainer = Trainer(replace(config, steps=2), without, tmp_path)
    trainer.run()
    assert isinstance(trainer._validation, Validation)
    assert not trainer._validation
    with pytest.raises(ValueError, match="no slate on the validation days"):
        Trainer(replace(config, patience=1), without, tmp_path)
