"""The plain loop beside ours: the same numbers on the same slates, and a measurement that holds together."""

import json

import numpy as np
import pytest
import torch

from onepass_training.__main__ import main
from onepass_training.learn.plain import PlainTrainer, dense_mask
from onepass_training.learn.train import Trainer


def test_the_plain_mask_golden():
    """Three past positions of which two are there, a context row, two candidates."""
    mask = dense_mask(3, 3, torch.tensor([2]))[0].int().tolist()
    assert mask == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 0, 1, 0, 0],
        [1, 1, 0, 1, 1, 0],
        [1, 1, 0, 1, 0, 1],
    ]


def test_the_plain_pass_has_our_numbers_on_the_same_slates(config, dataset, tmp_path):
    ours, plain = (kind(config, dataset, tmp_path) for kind in (Trainer, PlainTrainer))
    bucket, examples, random = plain._batches.at(3)
    assert all(example.end == bucket.slate_prefix[example.slates[0]] for example in examples)
    batch = ours._collator.collate(bucket, examples, random, training=True)
    losses = [trainer._losses.losses(batch, np.random.default_rng(1)) for trainer in (ours, plain)]
    for name, part in losses[0].parts.items():
        assert part.item() == pytest.approx(losses[1].parts[name].item(), rel=1e-4), name
    before = losses[1].total.item()
    plain._advance()
    assert plain.done.slates == plain._batches.size
    assert plain._losses.losses(batch, np.random.default_rng(1)).total.item() != before


def test_a_plain_step_has_about_as_many_positions_as_one_of_ours(config, dataset, tmp_path):
    ours, plain = (kind(config, dataset, tmp_path) for kind in (Trainer, PlainTrainer))
    for trainer in (ours, plain):
        for step in range(20):
            trainer.done.add(trainer._collator.collate(*trainer._batches.at(step), training=True))
    assert plain.done.tokens == pytest.approx(ours.done.tokens, rel=0.25)
    assert plain.done.slates < ours.done.slates


def test_the_command_writes_what_it_measured(tmp_path, capsys):
    out = tmp_path / "new" / "throughput.json"
    assert main(["throughput", "--smoke", "--rounds", "1", "--device", "cpu", "--out", str(out)]) == 0
    (shape,) = json.loads(out.read_text())["shapes"]
    for loop in ("ours", "plain"):
        assert shape[loop]["slatesPerSecond"] > 0
        assert shape[loop]["peakMib"] > shape[loop]["stepsMib"] > 0
    expected = shape["ours"]["slatesPerSecond"] / shape["plain"]["slatesPerSecond"]
    assert shape["ratio"]["slatesPerSecond"] == pytest.approx(expected, abs=0.01)
    assert "slates/s ours" in capsys.readouterr().out
