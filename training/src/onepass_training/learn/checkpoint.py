"""Checkpoints: written whole or not at all, and refused in one sentence where they do not fit."""

import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

from ..config import TrainConfig
from ..data.dataset import Dataset

CHECKPOINT = "checkpoint.pt"
KIND = "onepass-training/2"
SHOWN = 4
"""Differing settings that a refusal names."""


def require_checkpoint(directory: Path) -> Path:
    """The checkpoint of a run's directory; says so if there is none, before anything slow begins."""
    path = directory / CHECKPOINT
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint to resume from in {directory}")
    return path


def settings_of(config: TrainConfig, dataset: Dataset) -> str:
    """JSON of all that a run's numbers depend on: its configuration, and which data it learns from."""
    data = {
        "name": dataset.name, "items": len(dataset.items), "buckets": dataset.buckets,
        "actions": list(dataset.vocabulary.names), "surfaces": list(dataset.vocabulary.surfaces),
        "features": list(dataset.vocabulary.features),
        "validation_ms": int(dataset.splits.validation_ms), "test_ms": int(dataset.splits.test_ms),
    }  # fmt: skip
    return json.dumps({**config.as_json(), "data": data}, sort_keys=True)


def write_checkpoint(directory: Path, state: dict[str, Any]) -> None:
    """Writes `state` (tensors and plain values). The old checkpoint stays whole until the new one is, on disk."""
    partial = directory / f"{CHECKPOINT}.partial"
    try:
        with partial.open("wb") as file:
            torch.save({"kind": KIND, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(directory / CHECKPOINT)
    finally:
        partial.unlink(missing_ok=True)


def read_checkpoint(directory: Path, settings: str) -> dict[str, Any]:
    """The state in `directory`, on the CPU. ValueError if it is torn, of another program, or of a run with other settings."""
    path = require_checkpoint(directory)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, BadZipFile, KeyError, ValueError) as error:
        raise ValueError(f"{path} is torn or no checkpoint at all: it cannot be read") from error
    if not isinstance(state, dict) or state.get("kind") != KIND:
        raise ValueError(f"{path} is no checkpoint of this version of onepass_training ({KIND})")
    if state["settings"] != settings:
        different = list(_differences(json.loads(state["settings"]), json.loads(settings)))
        more = f" and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
        raise ValueError(f"{path} was written by a run with other settings: {', '.join(different[:SHOWN])}{more}")
    return state


def _differences(saved: Any, now: Any, name: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON value
    """Each setting that differs, by its path: "model.width was 64, is now 128"."""
    if isinstance(saved, dict) and isinstance(now, dict):
        for key in sorted(saved.keys() | now.keys()):
            yield from _differences(saved.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif saved != now:
        yield f"{name} was {json.dumps(saved)}, is now {json.dumps(now)}"
