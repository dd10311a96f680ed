"""Runs what of the grid has no result yet: each run a process of its own, a line in the results file when it is done."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ..config import TrainConfig
from ..evaluation.result import Result
from ..progress import duration
from .grid import BASE, VARIANTS, Run
from .metrics import METRICS, Interval, differences
from .results import Line, alone, append, key_of, read, succeeded

RESULT, ARRAYS, LOG = "result.json", "result.npz", "run.log"
LIMIT_SECONDS = 900.0
"""A run that takes longer hangs: it is ended and counts as failed."""
_PR_SET_PDEATHSIG = 1
Start = Callable[[Run, Path], list[str]]
"""The command of a run that leaves RESULT and ARRAYS in a directory."""
Compare = Callable[[Path, Path], dict]
"""Differences of a run's arrays (first) against the base's."""


def run_command(smoke: bool) -> Start:
    """Runs of the grid as they are."""

    def command(run: Run, directory: Path) -> list[str]:
        parts = [sys.executable, "-m", "onepass_training.report.run", run.variant.name, str(run.seed), str(directory)]
        return [*parts, "--smoke"] if smoke else parts

    return command


@dataclass
class _Child:
    run: Run
    process: subprocess.Popen
    began: float


@dataclass
class Runner:
    """The state of a grid that is being run in `work`, with results in `results`."""

    base: TrainConfig
    results: Path
    work: Path
    command: Start
    compare: Compare
    jobs: int = 2
    _running: list[_Child] = field(default_factory=list)
    _finished: list[Run] = field(default_factory=list)
    """Runs whose line is not written yet: one that is compared with a base which still runs waits for it."""

    def run(self, runs: Sequence[Run]) -> int:
        """Runs all that have no good line yet. Returns how many failed. ValueError if another process has the place."""
        with alone(self.work), _ending_children(self._running):
            known = succeeded(read(self.results))
            todo = [run for run in runs if key_of(run, self.base) not in known]
            print(f"{len(runs)} runs, {len(runs) - len(todo)} of them done before; {self.jobs} at once", flush=True)
            return self._all(todo, known)

    def _all(self, todo: list[Run], known: dict[str, Line]) -> int:
        waiting, lasted, failed, began = list(todo), [], 0, time.monotonic()
        while waiting or self._running:
            self._fill(waiting)
            for child in self._wait():
                lasted.append(time.monotonic() - child.began)
                good = child.process.returncode == 0 and (self._directory(child.run) / RESULT).exists()
                failed += not good
                if good:
                    self._finished.append(child.run)
                else:
                    append(self.results, self._failure(child, lasted[-1]))
                self._collect(known, waiting)
                left = sum(lasted) / len(lasted) * (len(waiting) + len(self._running)) / self.jobs
                place, said = len(todo) - len(waiting) - len(self._running), "done" if good else "FAILED"
                print(
                    f"{place}/{len(todo)} {child.run.name}: {said} in {duration(lasted[-1])}, {duration(left)} left", flush=True
                )
            self._collect(known, waiting)
        if todo:
            print(f"{len(todo) - failed} runs done, {failed} failed, in {duration(time.monotonic() - began)}", flush=True)
        return failed

    def _fill(self, waiting: list[Run]) -> None:
        """Starts runs until `jobs` are under way."""
        while waiting and len(self._running) < self.jobs:
            run = waiting.pop(0)
            if (self._directory(run) / RESULT).exists():  # finished before, but its line was not written
                self._finished.append(run)
            else:
                self._running.append(self._start(run))

    def _directory(self, run: Run) -> Path:
        return self.work / "runs" / key_of(run, self.base)

    def _start(self, run: Run) -> _Child:
        directory = self._directory(run)
        shutil.rmtree(directory, ignore_errors=True)  # what a killed run left: its time would not be a whole run's
        directory.mkdir(parents=True)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        log = (directory / LOG).open("w")
        command = self.command(run, directory)
        with log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment,
                start_new_session=True, preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )  # fmt: skip
        return _Child(run, process, time.monotonic())

    def _wait(self) -> list[_Child]:
        """The children that ended; waits for the first."""
        while self._running:
            now = time.monotonic()
            for child in self._running:
                if child.process.poll() is None and now - child.began > LIMIT_SECONDS:
                    _end(child.process)
            done = [child for child in self._running if child.process.poll() is not None]
            if done:
                self._running[:] = [child for child in self._running if child not in done]
                return done
            time.sleep(0.05)
        return []

    def _collect(self, known: dict[str, Line], waiting: Sequence[Run]) -> None:
        """Writes the lines of finished runs whose base, if it is still to come, is there."""
        coming = {run.name for run in waiting} | {child.run.name for child in self._running}
        self._finished.sort(key=lambda run: run.variant.name != BASE)
        later = []
        for run in self._finished:
            if run.variant.name != BASE and f"{BASE}-seed{run.seed}" in coming:
                later.append(run)
                continue
            lines = self._lines(run)
            append(self.results, *lines)
            (self._directory(run) / RESULT).unlink()  # told once: a results file that is begun anew is filled by new runs
            known |= {line["key"]: line for line in lines}
        self._finished = later

    def _lines(self, run: Run) -> list[Line]:
        """The run's line, and those of what was evaluated beside it."""
        directory = self._directory(run)
        line = {**json.loads((directory / RESULT).read_text()), "status": "ok", "jobs": self.jobs}
        others = line.pop("others", [])
        base = self._directory(Run(VARIANTS[BASE], run.seed)) / ARRAYS
        line["differences"] = self.compare(directory / ARRAYS, base) if base.exists() else None
        for other in others:
            other |= {"differences": self.compare(directory / f"{other['variant']}.npz", base), "status": "ok"}
        return [line, *others]

    def _failure(self, child: _Child, seconds: float) -> Line:
        log = (self._directory(child.run) / LOG).read_text(errors="replace").strip().splitlines()
        code = child.process.returncode
        last = log[-1] if log else "it said nothing"
        return {
            "key": key_of(child.run, self.base), "variant": child.run.variant.name, "seed": child.run.seed, "status": "failed",
            "error": f"ended by signal {-code}" if code < 0 else f"exit code {code}: {last}"[:400],
            "date": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": {"total": round(seconds, 1)},
        }  # fmt: skip


def _die_with_parent() -> None:
    """In the child before it begins: Linux ends it when its parent is gone, however that went."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(process: subprocess.Popen) -> None:
    """Ends a child and what it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def _ending_children(children: list[_Child]) -> Iterator[None]:
    """No child outlives this, whatever ends it."""

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        for child in children:
            _end(child.process)
        signal.signal(signal.SIGTERM, before)


def compare_files(first: Path, second: Path) -> dict[str, Interval]:
    """Differences of two runs' arrays; of one with itself only those between two metrics."""
    found = differences(Result.load(first), Result.load(second))
    return {name: apart for name, apart in found.items() if first != second or name not in METRICS}
