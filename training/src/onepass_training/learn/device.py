"""Where a run computes, and in which precision. Everything else asks for neither."""

import ctypes
import sys
from contextlib import AbstractContextManager, nullcontext

import torch

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
"""Of glibc's malloc.h."""


def device_named(name: str) -> torch.device:
    """auto: a GPU where there is one. ValueError for a GPU that is not there."""
    if name not in DEVICES:
        raise ValueError(f"the device {name!r} is none of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("the device cuda was asked for, and PyTorch finds no GPU here")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def trunk_precision(precision: str, device: torch.device) -> AbstractContextManager:
    """What the trunk runs under: bf16 autocast for bf16, and for auto on a GPU. Weights, towers, heads and losses stay fp32."""
    if precision not in PRECISIONS:
        raise ValueError(f"the precision {precision!r} is none of {', '.join(PRECISIONS)}")
    if precision == "bf16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def threads_for(width: int) -> int:
    """CPU threads that a model of this width is trained with unless somebody says otherwise: by its shape alone, never by a
    measurement, since the digits of a run depend on it. Below width 128 a second thread costs more than it brings (width 64:
    .113 s a step with one, .140 s with two, 2026-11-21, two cores of an AMD EPYC)."""
    return 1 if width < 128 else 2


def prepare(device: torch.device, threads: int) -> None:
    """Sets PyTorch up for a run: `threads` of the CPU, and on it the same numbers every time.

    On a GPU, where some operators have no deterministic form, products of fp32 matrices may use TF32 instead.
    """
    _keep_freed_memory()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(device.type == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False  # all memory is written before it is read
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")


def _keep_freed_memory() -> None:
    """Lets freed tensors' memory be used again, in place of giving it back and taking it page by page every step: at width 64
    that was 4,100 page faults a step, a twelfth of its time. Does nothing where the C library is not glibc."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "gnu_get_libc_version"):
        for option, size in ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 << 20)):
            library.mallopt(option, size)
