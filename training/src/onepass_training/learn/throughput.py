"""What a training step of ours costs beside a plain one: both in processes of their own, taking turns on the same machine."""

import multiprocessing
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from ..config import TrainConfig
from ..data.synthetic import synthetic_dataset
from ..world import simulate
from .device import device_named, prepare
from .plain import PlainTrainer
from .train import Trainer

OURS, PLAIN = "ours", "plain"
LOOPS = {OURS: Trainer, PLAIN: PlainTrainer}
UNITS = ("tokens", "slates", "candidates")


@dataclass(frozen=True)
class Effort:
    """How long is measured."""

    rounds: int = 7
    """Turns of each loop; their medians count."""
    steps: int = 6
    """Steps of a turn."""
    warm: int = 3
    """Steps before the first."""
    threads: int = 1
    device: str = "auto"


@dataclass(frozen=True)
class Turn:
    """One turn of one loop."""

    seconds: float
    cpu_seconds: float
    """Of all threads: what a busy machine changes less."""
    tokens: int
    slates: int
    candidates: int


def compare(config: TrainConfig, effort: Effort) -> dict:
    """Plain values: for each loop medians per second, and our ratio to the plain loop. The world is the configuration's."""
    context = multiprocessing.get_context("spawn")
    lines: dict[str, Connection] = {}
    children = []
    try:
        for name in LOOPS:
            lines[name], theirs = context.Pipe()
            children.append(context.Process(target=_serve, args=(theirs, name, config, effort), daemon=True))
            children[-1].start()
            theirs.close()
        for name, line in lines.items():
            _ask(name, line, effort.warm)
        turns: dict[str, list[Turn]] = {name: [] for name in LOOPS}
        for _ in range(effort.rounds):
            for name, line in lines.items():
                turns[name].append(_ask(name, line, effort.steps))
        memory = {name: _ask(name, line, 0) for name, line in lines.items()}
    finally:
        for child in children:
            child.terminate()
            child.join()
    loops = {name: _summary(turns[name], effort.steps) | memory[name] for name in LOOPS}
    return {
        "name": config.name,
        "shape": {
            "width": config.model.width, "layers": config.model.layers, "heads": config.model.heads,
            "window": config.model.window, "batch": config.batch, "slates": config.slates,
            "slateItems": config.slate_items, "negatives": config.negatives,
        },
        "threads": effort.threads, "rounds": effort.rounds, "stepsOfRound": effort.steps,
        **loops, "ratio": _ratios(loops[OURS], loops[PLAIN]),
    }  # fmt: skip


def _summary(turns: list[Turn], steps: int) -> dict[str, float]:
    """Medians over turns."""

    def median(values: list[float]) -> float:
        return round(statistics.median(values), 4)

    return {
        "secondsPerStep": median([turn.seconds / steps for turn in turns]),
        "cpuSecondsPerStep": median([turn.cpu_seconds / steps for turn in turns]),
        **{f"{unit}PerSecond": median([getattr(turn, unit) / turn.seconds for turn in turns]) for unit in UNITS},
        **{f"{unit}PerCpuSecond": median([getattr(turn, unit) / turn.cpu_seconds for turn in turns]) for unit in UNITS},
    }  # fmt: skip


def _ratios(ours: dict[str, float], plain: dict[str, float]) -> dict[str, float]:
    """Ours divided by the plain loop's, of all that both have."""
    return {name: round(ours[name] / plain[name], 3) for name in ours if plain.get(name)}


def _ask(name: str, line: Connection, steps: int) -> Turn | dict:
    """Has a child do `steps` and tell of them; 0 asks for its memory. ValueError if it is gone."""
    try:
        line.send(steps)
        return line.recv()
    except (EOFError, ConnectionError) as error:
        raise ValueError(f"the {name} loop's process ended; its own message is above") from error


def _serve(line: Connection, name: str, config: TrainConfig, effort: Effort) -> None:
    """The child: answers until its parent ends it."""
    device = device_named(effort.device)
    prepare(device, effort.threads)
    dataset = synthetic_dataset(simulate(config.seed, config.world))
    with tempfile.TemporaryDirectory() as directory:
        trainer = LOOPS[name](config, dataset, Path(directory), device)
        _forget_peak()
        start = _status_mib("VmRSS")
        while True:
            steps = line.recv()
            line.send(_turn(trainer, steps) if steps else _memory(device, start))


def _turn(trainer: Trainer, steps: int) -> Turn:
    before = vars(trainer.done).copy()
    cpu, began = time.process_time(), time.perf_counter()
    for _ in range(steps):
        trainer._advance()  # it waits for the device: it reads the losses
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    done = {unit: vars(trainer.done)[unit] - before[unit] for unit in UNITS}
    return Turn(seconds, cpu_seconds, **done)


def _memory(device: torch.device, start: int) -> dict[str, int]:
    """The peak, and how much of it the steps took above the data, the model and the libraries."""
    peak = _status_mib("VmHWM")
    found = {"peakMib": peak, "stepsMib": peak - start}
    if device.type == "cuda":
        found["deviceMib"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return found


def _forget_peak() -> None:
    """Lets the peak begin at what is held now; what the data's making took is no concern here."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _status_mib(field: str) -> int:
    """VmRSS (held now) or VmHWM (most held) of this process. Elsewhere than on Linux the most it ever held."""
    status = Path("/proc/self/status")
    if not status.exists():
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    line = next(line for line in status.read_text().splitlines() if line.startswith(f"{field}:"))
    return round(int(line.split()[1]) / 1024)
