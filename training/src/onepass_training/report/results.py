"""The results file: one JSON line a run, appended whole or not at all."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..config import TrainConfig
from .grid import Run

SCHEMA = 1
"""Raised by hand when a change of training or evaluation makes older lines incomparable: they are then run again."""
Line = dict[str, Any]


def config_hash(config: TrainConfig, kind: str) -> str:
    """12 hex digits of everything that decides a run's numbers but the seed of its draws and its name."""
    told = {**config.as_json(), "seed": None, "name": None, "kind": kind, "schema": SCHEMA}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def key_of(run: Run, base: TrainConfig) -> str:
    """What a run is known by: the same key means that it need not be run again."""
    return f"{run.name}-{config_hash(run.variant.config(base, run.seed), run.variant.kind)}"


def read(path: Path) -> list[Line]:
    """All lines, oldest first. ValueError that names the line where one is no result."""
    if not path.exists():
        return []
    lines = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        try:
            line = json.loads(text)
            lines.append({**line, "key": str(line["key"]), "variant": str(line["variant"]), "seed": int(line["seed"])})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: not a run's result ({error})") from None
    return lines


def succeeded(lines: Iterable[Line]) -> dict[str, Line]:
    """The newest good line of each key."""
    return {line["key"]: line for line in lines if line.get("status") == "ok"}


def append(path: Path, *lines: Line) -> None:
    """Adds lines: the file is written beside itself and renamed, so a kill leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text() if path.exists() else ""
    partial = path.with_suffix(".partial")
    with partial.open("w") as file:
        file.write(text + "".join(json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Holds a directory for this process. ValueError if another one has it: both would run the same."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another report is being made in {directory}; wait for it or stop it") from None
        yield
