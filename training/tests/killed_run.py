"""A run that stops in the middle of a step, for test_practice to kill: python killed_run.py DIR STEP."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from onepass_training.config import SMOKE, Parts
from onepass_training.data.synthetic import synthetic_dataset
from onepass_training.learn.train import Trainer
from onepass_training.world import simulate

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)

directory, stop = Path(sys.argv[1]), int(sys.argv[2])
every_part = replace(SMOKE.model, parts=Parts(offsets=True))
config = replace(
    SMOKE, steps=12, checkpoint_every=5, validate_every=5, validation_histories=8, evaluation_people=40, evaluation_slates=60,
    model=every_part,
)  # fmt: skip
trainer = Trainer(config, synthetic_dataset(simulate(config.seed, config.world)), directory)
losses = trainer._losses.losses


def halting(*arguments, training=True):
    """The losses of the step; at step STEP it says so and waits for its end."""
    found = losses(*arguments, training=training)
    if training and trainer.step == stop:
        print(f"inside step {stop}", flush=True)
        sys.stdin.read()
    return found


trainer._losses.losses = halting
trainer.run()
