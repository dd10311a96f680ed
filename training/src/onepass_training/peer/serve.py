"""The peer's process: a request a line of JSON on standard input, its answer a line on standard output, one at a time.

    {"do": "hello"}                                  what PyTorch and which device this is
    {"do": "model", "device": ..., "dtype": ..., "seed": ..., and the fields of Sizes}
    {"do": "prepare", and the fields of Case}        compiles and warms; answers its number
    {"do": "time", "case": number, "runs": number}   microseconds of each run
    {"do": "outputs", "case": number}                numbers of one run, flat
    {"do": "copy", "bytes": number, "runs": number}  microseconds of copies of so many bytes to the device
    {"do": "release"}                                forgets all cases, and gives their memory back

An answer is {"ok": ...} or {"error": "one sentence"}. The process ends when its input does.
Before all answers comes {"here": true}: from then on it ends with whoever started it, even while it is stopped.
"""

import gc
import json
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TextIO

import torch

from ..device.sizes import Sizes
from .attention import ATTENTION
from .cases import Case, Prepared, time_copies
from .shape import DTYPES, made_up_model
from .trunk import PeerTrunk


class Peer:
    """What a process holds from one request to the next."""

    def __init__(self) -> None:
        self._trunk: PeerTrunk | None = None
        self._seed = 1
        self._cases: list[Prepared] = []
        self._requests: dict[str, Callable[[dict[str, Any]], Any]] = {
            "hello": lambda _: described(), "model": self._model, "prepare": self._prepare,
            "time": lambda asked: self._case(asked).time(_whole(asked, "runs")),
            "outputs": lambda asked: self._case(asked).outputs().flatten().tolist(), "copy": self._copy,
            "release": self._release,
        }  # fmt: skip

    def answer(self, line: str) -> dict[str, Any]:
        """To one line."""
        try:
            asked = json.loads(line)
            do = asked.pop("do", None)
            if do not in self._requests:
                raise ValueError(f"{do!r} is none of {', '.join(self._requests)}")
            return {"ok": self._requests[do](asked)}
        except Exception as error:
            return {"error": _sentence(error)}

    def _model(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._release({})
        self._trunk = None
        device, self._seed = torch.device(asked.pop("device", "cpu")), int(asked.pop("seed", 1))
        dtype = asked.pop("dtype", "float32")
        if dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
        sizes = Sizes(**_known(Sizes, asked))
        if device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError("PyTorch finds no GPU here")
        if device.type == "cuda":
            torch.cuda.set_device(device)
        self._trunk = PeerTrunk(made_up_model(sizes, self._seed), device, DTYPES[dtype])
        return {"parameters": sum(parameter.numel() for parameter in self._trunk.model.trunk.parameters())}

    def _prepare(self, asked: dict[str, Any]) -> int:
        self._cases.append(Prepared(self._model_there(), Case(**_known(Case, asked)), self._seed))
        return len(self._cases) - 1

    def _case(self, asked: dict[str, Any]) -> Prepared:
        number = _whole(asked, "case")
        if number >= len(self._cases):
            raise ValueError(f"there is no case {number}")
        return self._cases[number]

    def _copy(self, asked: dict[str, Any]) -> dict[str, list[float]]:
        return time_copies(self._model_there().device, _whole(asked, "bytes"), _whole(asked, "runs"))

    def _model_there(self) -> PeerTrunk:
        if self._trunk is None:
            raise ValueError("there is no model yet")
        return self._trunk

    def _release(self, _: dict[str, Any]) -> None:
        self._cases.clear()
        torch.compiler.reset()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def described() -> dict[str, Any]:
    """Versions and device, and which attention there is, the best first."""
    cuda = torch.cuda.is_available()
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "attention": list(ATTENTION) if cuda and _has_flex() else ["sdpa"],
        "compiles": cuda,
    }


def serve(requests: TextIO, answers: TextIO) -> None:
    """Until there is no more input."""
    peer = Peer()
    for line in requests:
        if line.strip():
            print(json.dumps(peer.answer(line)), file=answers, flush=True)


def main() -> None:
    """On standard input and output; what libraries print goes to standard error, answers stay alone."""
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(1)
    serve(sys.stdin, answers)


def _has_flex() -> bool:
    try:
        from torch.nn.attention.flex_attention import flex_attention  # noqa: F401
    except ImportError:
        return False
    return True


def _known(of: type, asked: dict[str, Any]) -> dict[str, Any]:
    known = {field.name for field in fields(of)}
    if unknown := sorted(asked.keys() - known):
        raise ValueError(f"{unknown[0]!r} is none of {', '.join(sorted(known))}")
    needed = {field.name for field in fields(of) if field.default is MISSING}
    if missing := sorted(needed - asked.keys()):
        raise ValueError(f"{missing[0]!r} is missing")
    return asked


def _whole(asked: dict[str, Any], name: str) -> int:
    value = asked.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be a whole number, not {value!r}")
    return value


def _sentence(error: Exception) -> str:
    """The first line of what went wrong: compilers say much more."""
    lines = str(error).strip().splitlines()
    said = lines[0] if lines else type(error).__name__
    return said if isinstance(error, ValueError) else f"{type(error).__name__}: {said}"
