"""The loop: losses, resuming, repeating."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from onepass_training.evaluation.evaluate import Evaluation, hit_at, ranks
from onepass_training.learn.losses import action_loss, log_inclusion, retrieval_loss
from onepass_training.learn.train import Trainer, learning_rate


def test_log_q_is_the_chance_to_be_in_the_pool():
    """Counted over many pools, drawn as training draws them."""
    random, counts = np.random.default_rng(0), np.array([50, 10, 3, 1, 0, 0])
    pools = np.zeros(6)
    for _ in range(20_000):
        drawn = random.choice(6, 2, p=counts / counts.sum())
        pools[np.unique(np.concatenate([drawn, random.integers(0, 6, 1)]))] += 1
    expected = np.exp(log_inclusion(counts, 2, 1))
    # The Poisson form is exact for rare items, which are all in a real catalogue, and errs low for an item in most pools.
    np.testing.assert_allclose(pools[2:] / 20_000, expected[2:], rtol=0.1)
    assert expected[0] < pools[0] / 20_000


def test_log_q_lets_a_common_negative_count_for_less():
    query, pool = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8], [0.6, -0.8]])
    scale = torch.tensor(1.0)
    rare = retrieval_loss(query, pool, torch.tensor([-2.0, -6.0]), torch.tensor([1]), scale)
    common = retrieval_loss(query, pool, torch.tensor([-2.0, -1.0]), torch.tensor([1]), scale)
    assert rare < common
    assert rare.item() == pytest.approx(np.log1p(np.exp(-4)), rel=1e-4)


def test_action_loss_weighs_each_action():
    logits, labels = torch.zeros(4, 2), torch.ones(4, 2)
    assert action_loss(logits, labels, torch.tensor([1.0, 3.0])).item() == pytest.approx(4 * np.log(2), rel=1e-5)


def test_a_resumed_run_is_the_uninterrupted_run(config, world, tmp_path):
    short = replace(config, steps=12, checkpoint_every=5)
    whole = Trainer(short, world, tmp_path)
    whole.run()
    (tmp_path / "cut").mkdir()
    Trainer(short, world, tmp_path / "cut").run(until=7)
    resumed = Trainer(short, world, tmp_path / "cut")
    resumed.resume()
    assert resumed.step == 7
    resumed.run()
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], tensor, rtol=0, atol=0)


def test_resuming_refuses_other_settings_and_nothing(config, world, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        Trainer(config, world, tmp_path).resume()
    Trainer(replace(config, steps=1), world, tmp_path).run()
    with pytest.raises(ValueError, match="other settings"):
        Trainer(replace(config, steps=1, learning_rate=0.1), world, tmp_path).resume()


def test_a_seed_gives_one_result_and_the_model_learns(config, world, model, layout, tmp_path):
    again = Trainer(config, world, tmp_path)
    again.run()
    evaluation = Evaluation(world, layout, config)
    metrics = evaluation.run(again.model)
    assert metrics == evaluation.run(model)
    untrained = evaluation.run(Trainer(config, world, tmp_path).model)
    assert metrics["recallAt10"]["model"]["all"] > untrained["recallAt10"]["model"]["all"]
    assert metrics["recallAt10"]["oracle"]["all"] > metrics["recallAt10"]["model"]["all"]


def test_learning_rate_warms_up_and_decays(config):
    rates = [learning_rate(config, step) for step in range(config.steps)]
    assert max(rates) == pytest.approx(config.learning_rate)
    assert rates[0] < rates[config.warmup - 1]
    assert rates[-1] < 0.1 * config.learning_rate


def test_ranks_and_hits_break_ties_by_item():
    scores = np.array([[0.5, 0.9, 0.5, 0.5]])
    assert [int(ranks(scores, np.array([item]))[0]) for item in range(4)] == [1, 0, 2, 3]
    items = np.array([[7, 3, 5, 1]])
    labels = np.array([[False, False, True, False]])
    equal = np.zeros((1, 4))
    assert not hit_at(equal, items, labels, 2)[0]
    assert hit_at(equal, items, labels, 3)[0]
