"""Calibration: what it finds, what it leaves alone, and that it changes no order and no graph."""

import copy

import numpy as np
import pytest
import torch

from onepass_training.evaluation.metrics import auc, calibration_error
from onepass_training.learn.calibration import LEAST_OF_A_KIND, Calibration, apply, fit, identity

ROWS = 20_000


def drawn(scale, bias, seed=1, rows=ROWS):
    """Logits, and labels whose true logit is scale * logit + bias."""
    random = np.random.default_rng(seed)
    logits = random.normal(-2, 1.5, (rows, 1))
    return logits, random.random((rows, 1)) < 1 / (1 + np.exp(-(scale * logits + bias)))


@pytest.mark.parametrize(("scale", "bias"), [(1, 0), (0.5, -1), (2, 0.7)])
def test_it_finds_what_is_wrong_with_logits(scale, bias):
    logits, labels = drawn(scale, bias)
    found = fit(logits, labels)
    assert found.fitted == (True,)
    assert found.scale[0] == pytest.approx(scale, abs=0.06)
    assert found.bias[0] == pytest.approx(bias, abs=0.12)
    after = 1 / (1 + np.exp(-(logits * found.scale + found.bias)))[:, 0]
    assert calibration_error(after, labels[:, 0]) < 0.01


def test_each_action_is_fitted_by_itself_and_rare_ones_are_left_alone():
    logits, labels = drawn(0.5, -1)
    rare = np.zeros_like(labels)
    rare[: LEAST_OF_A_KIND - 1] = True
    found = fit(np.concatenate([logits, logits, logits], axis=1), np.concatenate([labels, rare, ~rare], axis=1))
    assert found.fitted == (True, False, False)
    np.testing.assert_array_equal(found.scale[1:], 1)
    np.testing.assert_array_equal(found.bias[1:], 0)
    assert found.scale[0] == fit(logits, labels).scale[0]
    assert "rare as it was" in found.sentence(("often", "rare", "always"))


def test_logits_that_point_the_wrong_way_keep_their_order():
    logits, labels = drawn(-1, -3)
    found = fit(logits, labels)
    assert found.scale[0] == pytest.approx(0.1)
    after = 1 / (1 + np.exp(-(logits * found.scale + found.bias)))
    assert after.mean() == pytest.approx(labels.mean(), abs=2e-3), "the bias still makes them as frequent as they are"


def test_separable_labels_do_not_run_away():
    logits = np.linspace(-3, 3, 400)[:, None]
    found = fit(logits, logits > 0)
    assert np.isfinite(found.scale[0])
    assert found.scale[0] > 1


def test_weights_count_as_repeats():
    logits, labels = drawn(0.7, 0.4, rows=2_000)
    twice = fit(np.concatenate([logits, logits[:1_000]]), np.concatenate([labels, labels[:1_000]]))
    weighted = fit(logits, labels, np.where(np.arange(2_000) < 1_000, 2.0, 1.0))
    np.testing.assert_allclose(weighted.scale, twice.scale, atol=2e-3)
    np.testing.assert_allclose(weighted.bias, twice.bias, atol=2e-3)
    halved = fit(logits, labels, np.where(np.arange(2_000) < 1_000, 1.0, 0.0))
    np.testing.assert_allclose(halved.scale, fit(logits[:1_000], labels[:1_000]).scale, atol=1e-6)


@pytest.mark.parametrize(
    ("logits", "labels", "weights", "sentence"),
    [
        (np.zeros((3, 2)), np.zeros((3, 1)), None, "do not fit each other"),
        (np.full((3, 1), np.nan), np.zeros((3, 1)), None, "must be finite"),
        (np.zeros((3, 1)), np.zeros((3, 1)), np.array([1, -1, 1]), "not negative"),
    ],
)
def test_bad_input_gets_a_sentence(logits, labels, weights, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit(logits, labels, weights)


def test_applied_it_scales_every_actions_logit_and_nothing_else(model):
    random = np.random.default_rng(2)
    actions, width, size = len(model.layout.actions), model.config.width, model.layout.embedding
    context, hidden = torch.randn(4, width), torch.randn(4, 6, width)
    embeddings = torch.nn.functional.normalize(torch.randn(4, 6, size), dim=-1)
    with torch.no_grad():
        before = model.score(context, hidden, embeddings)
        changed = copy.deepcopy(model)
        calibration = Calibration(
            random.uniform(0.3, 2, actions).astype(np.float32),
            random.normal(size=actions).astype(np.float32),
            (True,) * actions,
        )
        apply(changed, calibration)
        after = changed.score(context, hidden, embeddings)
    expected = before * torch.from_numpy(calibration.scale) + torch.from_numpy(calibration.bias)
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-4)
    for action in range(actions):
        labels = random.random(24) < 0.5
        assert auc(after[..., action].flatten().numpy(), labels) == auc(before[..., action].flatten().numpy(), labels)
    same = copy.deepcopy(model)
    apply(same, identity(actions))
    for name, value in model.state_dict().items():
        torch.testing.assert_close(same.state_dict()[name], value, rtol=0, atol=0)
    with pytest.raises(ValueError, match="does not fit a model"):
        apply(same, identity(actions + 1))
