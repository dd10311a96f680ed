"""Angles of rotary positions (RoFormer, arXiv 2104.09864), for those who build graphs without PyTorch."""

import numpy as np
from numpy.typing import NDArray

ROPE_BASE = 10_000.0


def rope_frequencies(head_size: int) -> NDArray[np.float32]:
    """[D / 2] radians per position; those of the trunk but for the last bit of some."""
    return np.float32(ROPE_BASE) ** (-np.arange(0, head_size, 2, dtype=np.float32) / np.float32(head_size))
