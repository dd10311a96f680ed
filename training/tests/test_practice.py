"""A run's practice: kills, checkpoints, logs, early stopping, precision."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from onepass_training.config import LARGE, SMOKE, TrainConfig
from onepass_training.learn import train
from onepass_training.learn.checkpoint import CHECKPOINT
from onepass_training.learn.device import device_named, threads_for, trunk_precision
from onepass_training.learn.tensorboard import ScalarLog
from onepass_training.learn.train import Trainer, optimizers
from onepass_training.model.onepass_model import OnepassModel
from onepass_training.progress import duration

CHILD = Path(__file__).with_name("killed_run.py")


def weights(trainer):
    return trainer.model.state_dict()


def assert_same_weights(one, two):
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


@pytest.fixture
def short(config):
    return replace(config, steps=12, checkpoint_every=5, validate_every=5, validation_histories=8)


def test_a_killed_run_resumes_to_the_uninterrupted_runs_weights(short, dataset, tmp_path):
    """Killed for good (SIGKILL) between the forward and the backward pass of step 8, after the checkpoint of step 5."""
    environment = {**os.environ, "PYTHONPATH": str(CHILD.parents[1] / "src")}
    with subprocess.Popen(
        [sys.executable, str(CHILD), str(tmp_path), "8"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as child:
        assert any("inside step 8" in line for line in child.stdout)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    resumed = Trainer(short, dataset, tmp_path)
    resumed.resume()
    assert resumed.step == 5
    resumed.run()
    whole = Trainer(short, dataset, tmp_path / "whole")
    whole.run()
    assert_same_weights(weights(whole), weights(resumed))
    assert [step for step, _ in scalars(tmp_path)["loss/total"]] == [10, 12]


def test_a_torn_write_leaves_the_old_checkpoint_whole(short, dataset, tmp_path, monkeypatch):
    trainer = Trainer(short, dataset, tmp_path)
    trainer.run(until=5)

    def torn(state, file):
        file.write(b"half of a ")
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", torn)
        with pytest.raises(OSError, match="no space"):
            trainer.run(until=7)
    assert not list(tmp_path.glob("*.partial"))
    resumed = Trainer(short, dataset, tmp_path)
    resumed.resume()
    assert resumed.step == 5


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 torn"])
def test_a_torn_or_foreign_checkpoint_is_refused_in_one_sentence(short, dataset, tmp_path, content):
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint\.pt is torn or no checkpoint at all"):
        Trainer(short, dataset, tmp_path).resume()


def test_half_a_checkpoint_and_another_programs_are_refused(short, dataset, tmp_path):
    trainer, path = Trainer(short, dataset, tmp_path), tmp_path / CHECKPOINT
    trainer.save()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is torn"):
        trainer.resume()
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="no checkpoint of this version"):
        trainer.resume()
    path.unlink()
    with pytest.raises(FileNotFoundError, match="no checkpoint to resume from"):
        trainer.resume()


def test_resuming_with_other_settings_says_which(short, dataset, tmp_path):
    Trainer(short, dataset, tmp_path).save()
    with pytest.raises(ValueError, match=r"learning_rate was 0\.004, is now 0\.1$"):
        Trainer(replace(short, learning_rate=0.1), dataset, tmp_path).resume()
    other = replace(short, model=replace(short.model, parts=replace(short.model.parts, mixup=False)))
    with pytest.raises(ValueError, match=r"model\.parts\.mixup was true, is now false$"):
        Trainer(other, dataset, tmp_path).resume()
    with pytest.raises(ValueError, match=r'data\.name was "synthetic", is now "other"$'):
        Trainer(short, replace(dataset, name="other"), tmp_path).resume()


def scalars(directory):
    """What TensorBoard itself reads: by tag, (step, value)."""
    events = EventAccumulator(str(directory / "tensorboard")).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_reads_a_resumed_log_without_doubled_steps(short, dataset, tmp_path):
    Trainer(short, dataset, tmp_path).run(until=5)
    lost = Trainer(short, dataset, tmp_path)
    lost.resume()
    lost.config = replace(short, checkpoint_every=100)
    lost.save = lambda: None  # as if killed behind step 11, whose log is there and whose checkpoint is not
    lost.run(until=11)
    resumed = Trainer(short, dataset, tmp_path)
    resumed.resume()
    resumed.run()
    found = scalars(tmp_path)
    assert [step for step, _ in found["validation/total"]] == [5, 10, 12]
    for tag in ("loss/total", "loss/item", "loss/action", "loss/query", "learning_rate", "gradient_norm", "tokens_per_second"):
        assert [step for step, _ in found[tag]] == [10, 12]
        assert all(value > 0 for _, value in found[tag])


def test_a_log_goes_on_behind_its_step_even_if_torn(tmp_path):
    log = ScalarLog(tmp_path)
    for step in (100, 200, 300):
        log.write(step, {"loss/total": step / 2, "näme": 1.0})
    log.close()
    file = next((tmp_path / "tensorboard").iterdir())
    file.write_bytes(file.read_bytes()[:-3])  # killed while it wrote step 300
    log = ScalarLog(tmp_path, step=100)
    log.write(200, {"loss/total": 7.0})
    log.close()
    assert scalars(tmp_path) == {"loss/total": [(100, 50.0), (200, 7.0)], "näme": [(100, 1.0)]}


def test_early_stopping_ends_with_the_best_weights(short, dataset, tmp_path, monkeypatch):
    stopping = replace(short, steps=100, patience=2, validate_every=2)
    kept, losses = [], iter([5.0, 4.0, 4.5, 4.0, 1.0])
    trainer = Trainer(stopping, dataset, tmp_path)

    def validate():
        kept.append({name: tensor.clone() for name, tensor in weights(trainer).items()})
        return {"total": next(losses)}

    monkeypatch.setattr(trainer._validation, "losses", validate)
    trainer.run()
    assert (trainer.step, trainer.stopped, trainer.best.step) == (8, True, 4)
    assert_same_weights(kept[1], weights(trainer))
    assert "stopped early, best validation loss 4.0000 at step 4" in trainer.summary()
    resumed = Trainer(stopping, dataset, tmp_path)
    resumed.resume()
    resumed.run()
    assert resumed.step == 8
    assert_same_weights(kept[1], weights(resumed))


def test_without_patience_a_run_ends_with_its_last_weights(short, dataset, tmp_path):
    trainer = Trainer(short, dataset, tmp_path)
    trainer.run()
    assert (trainer.step, trainer.stopped, trainer.best) == (12, False, None)


def test_bf16_is_finite_and_close_and_leaves_weights_and_losses_fp32(short, dataset, tmp_path):
    seen = {}
    for precision in ("fp32", "bf16", "auto"):
        trainer = Trainer(replace(short, precision=precision, steps=6), dataset, tmp_path / precision)
        seen[precision] = trainer._advance()[0]
        trainer.run()
        assert all(parameter.dtype == torch.float32 for parameter in trainer.model.parameters())
    assert seen["auto"] == seen["fp32"]  # on a CPU
    assert seen["bf16"] != seen["fp32"]
    for tag, value in seen["fp32"].items():
        assert seen["bf16"][tag] == pytest.approx(value, rel=0.02), tag


def test_devices_and_precisions_are_named(monkeypatch):
    assert device_named("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_named("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match="finds no GPU"):
        device_named("cuda")
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        assert device_named("auto") == torch.device("cuda")
    assert not isinstance(trunk_precision("auto", torch.device("cpu")), torch.autocast)
    assert isinstance(trunk_precision("bf16", torch.device("cpu")), torch.autocast)
    with pytest.raises(ValueError, match="none of auto, fp32, bf16"):
        trunk_precision("fp8", torch.device("cpu"))


def test_the_loss_is_not_let_run_to_infinity(short, dataset, tmp_path):
    trainer = Trainer(short, dataset, tmp_path)
    with torch.no_grad():
        trainer.model.action_head[2].bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"the loss is nan .* at step 0"):
        trainer.run()


def test_the_large_configuration_builds(layout):
    """Without memory: parameters on the meta device, and the optimisers over them."""
    with torch.device("meta"):
        model = OnepassModel(LARGE.model, replace(layout, embedding=LARGE.model.item_dimension))
    assert sum(parameter.numel() for parameter in model.parameters()) > 35e6
    assert len(optimizers(model, LARGE)) == 2
    assert LARGE.model.width % LARGE.model.heads == 0
    assert json.dumps(LARGE.as_json())


def test_a_run_says_what_it_did(short, dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train, "LOG_EVERY", 6)
    trainer = Trainer(replace(short, steps=6), dataset, tmp_path)
    trainer.run()
    out = capsys.readouterr().out
    assert "train 6/6, loss total" in out
    assert "validation at step 5: total" in out
    assert trainer.summary().startswith("trained: 6 of 6 steps (6 now, in ")
    assert "slates/s with" in trainer.summary()


def test_durations_are_for_people():
    assert [duration(seconds) for seconds in (0.2, 59.7, 200, 7_500)] == ["0 s", "1 min 0 s", "3 min 20 s", "2 h 5 min"]


def test_small_models_train_on_one_thread():
    assert [threads_for(config.model.width) for config in (SMOKE, TrainConfig(), LARGE)] == [1, 2, 2]


def test_ctrl_c_ends_a_run_in_one_sentence(tmp_path):
    command = [sys.executable, "-m", "onepass_training", "train", "--smoke", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(CHILD.parents[1] / "src")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
        assert any(line.startswith("data: ") for line in child.stdout)
        child.send_signal(signal.SIGINT)
        said = child.stderr.read()
    assert child.returncode == 130
    sentence = "stopped; the same command with --resume goes on from the last checkpoint, if there is one"
    assert said == f"\nonepass_training: {sentence}\n"
