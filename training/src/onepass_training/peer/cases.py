"""Passes that are timed again and again over the same memory, copies from and to the host included."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .attention import Pass
from .shape import made_up_numbers
from .trunk import Cache, PeerTrunk

KINDS = ("encode", "append", "rank", "recompute")
WARM_UP = 3
"""Runs before a pass is captured; PyTorch wants some on the capturing stream."""
OFF = {torch.float32: 1e-3, torch.float16: 2e-2}
"""Largest difference that compiled attention may make. A compiler that is wrong would be no peer."""


@dataclass(frozen=True)
class Case:
    """What one prepared pass is. ValueError where there can be none."""

    kind: str
    """encode (n rows, nothing held), append (m rows behind n - m held ones), rank (on n held ones), recompute (all n rows and
    the slates, nothing held)."""
    batch: int
    n: int
    """Tokens of each person, the new ones of an append included."""
    k: int = 0
    """Candidates of each slate."""
    contexts: int = 1
    slates: int = 1
    rows: int = 1
    """m: new rows of an append."""
    attention: str = "sdpa"
    compiled: bool = False
    graphs: bool = False
    """Captured once as a CUDA graph and replayed, as torch.compile's mode reduce-overhead does it."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        for name in ("batch", "n", "contexts", "slates", "rows", *(("k",) if self.scores else ())):
            if not isinstance(value := getattr(self, name), int) or value < 1:
                raise ValueError(f"{name} must be a whole number above 0, not {value!r}")
        if self.kind == "append" and self.rows >= self.n:
            raise ValueError(f"an append of {self.rows} rows to {self.n} tokens in all leaves none that are held")

    @property
    def scores(self) -> bool:
        """Whether there are candidates."""
        return self.kind in ("rank", "recompute")

    def of(self) -> Pass:
        """Its rows."""
        if self.kind == "encode":
            return Pass(held=0, new=self.n)
        if self.kind == "append":
            return Pass(held=self.n - self.rows, new=self.rows)
        slates = {"slates": self.slates, "contexts": self.contexts, "candidates": self.k}
        return Pass(held=self.n, **slates) if self.kind == "rank" else Pass(held=0, new=self.n, **slates)


class Prepared:
    """One case, ready to be timed."""

    def __init__(self, trunk: PeerTrunk, case: Case, seed: int) -> None:
        """ValueError when the compiled pass does not give what PyTorch's own operators give."""
        self.case, self._trunk = case, trunk
        self._cuda = trunk.device.type == "cuda"
        rows, slates = self._inputs(seed)
        self._host = [self._pinned(part) for part in (*self._new(rows), *slates)]
        self._inside = [part.to(trunk.device) for part in self._host]
        with torch.no_grad():
            cache = self._held(rows)
            self._run = self._pass(case.attention, cache)
            if case.compiled:
                self._run = torch.compile(self._run, fullgraph=True, dynamic=False)
            self._result = self._capture() if case.graphs else self._run(*self._inside)
            self._answer = self._pinned(torch.zeros(self._result.shape))
            if case.compiled:
                self._check(self._pass("sdpa", cache))

    def outputs(self) -> Tensor:
        """Of one run: hidden [b, W] or probabilities [b, s, k, A], on the host, float32."""
        self.time(1)
        return self._answer.clone()

    def time(self, runs: int) -> dict[str, list[float]]:
        """Microseconds of each of so many runs: on the device, copies of inputs and answer included, and for the caller."""
        with torch.no_grad():
            return _times(self._once, runs, self._cuda)

    def _once(self) -> None:
        for inside, host in zip(self._inside, self._host, strict=True):
            inside.copy_(host, non_blocking=True)
        if self.case.graphs:
            self._graph.replay()
        else:
            self._result = self._run(*self._inside)
        self._answer.copy_(self._result, non_blocking=True)

    def _capture(self) -> Tensor:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self._run(*self._inside)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            return self._run(*self._inside)

    def _inputs(self, seed: int) -> tuple[Tensor, list[Tensor]]:
        """Everybody's whole past [b, n, F], and the slates."""
        case, layout = self.case, self._trunk.layout
        slates = (case.batch, case.slates)
        shapes = [(case.batch, case.n, layout.columns)]
        if case.scores:
            shapes += [(*slates, case.contexts, layout.columns), (*slates, case.k, layout.embedding)]
            shapes += [(*slates, layout.features)]
        scale = (3 / layout.embedding) ** 0.5
        rows, *others = (torch.from_numpy(made_up_numbers(shape, seed, part, scale)) for part, shape in enumerate(shapes))
        return rows, others

    def _new(self, rows: Tensor) -> list[Tensor]:
        """The rows of the past that the pass itself takes: none when it ranks."""
        new = self.case.of().new
        return [rows[:, -new:].contiguous()] if new else []

    def _held(self, rows: Tensor) -> Cache | None:
        """A cache with what the pass needs held, encoded."""
        of = self.case.of()
        if self.case.kind == "recompute":
            return None
        cache = self._trunk.cache(self.case.batch, of.keys)
        if of.held:
            before = rows[:, : of.held].to(self._trunk.device)
            self._trunk.encode(before, self._trunk.way(Pass(held=0, new=of.held), "sdpa"), cache)
        return cache

    def _pass(self, attention: str, cache: Cache | None) -> Callable[..., Tensor]:
        trunk, way = self._trunk, self._trunk.way(self.case.of(), attention)
        if cache is None:
            return lambda *inputs: trunk.recompute(*inputs, way)
        call = trunk.rank if self.case.kind == "rank" else trunk.encode
        return lambda *inputs: call(*inputs, way, cache)

    def _check(self, plain: Callable[..., Tensor]) -> None:
        found, wanted = self.outputs(), plain(*self._inside).cpu()
        off = (found - wanted).abs().max().item()
        if not off <= OFF[self._trunk.dtype]:
            raise ValueError(f"compiled {self.case.attention} attention of {self.case.kind} is off by {off:.2g}")

    def _pinned(self, part: Tensor) -> Tensor:
        """Host memory that the device copies from by itself."""
        return part.pin_memory() if self._cuda else part


def time_copies(device: torch.device, size: int, runs: int) -> dict[str, list[float]]:
    """Microseconds of copies of so many bytes from the host to the device, from pinned memory, in one piece."""
    cuda = device.type == "cuda"
    host = torch.zeros(size, dtype=torch.uint8)
    host, inside = host.pin_memory() if cuda else host, torch.zeros(size, dtype=torch.uint8, device=device)
    return _times(lambda: inside.copy_(host, non_blocking=True), runs, cuda)


def _times(once: Callable[[], object], runs: int, cuda: bool) -> dict[str, list[float]]:
    on_device, waited = [], []
    for _ in range(runs):
        began = time.perf_counter()
        elapsed = _on_gpu(once) if cuda else once()
        waited.append(1e6 * (time.perf_counter() - began))
        on_device.append(elapsed if cuda else waited[-1])
    return {"deviceMicros": on_device, "wallMicros": waited}


def _on_gpu(once: Callable[[], object]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    once()
    end.record()
    end.synchronize()
    return 1e3 * start.elapsed_time(end)
