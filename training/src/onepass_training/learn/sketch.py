"""How often things were seen, in a table of fixed size however many things there are."""

import numpy as np
from numpy.typing import NDArray

from ..data.dataset import INT

DEPTH, WIDTH = 4, 1 << 16


class CountMinSketch:
    """Cormode & Muthukrishnan 2005: an estimate is never below the count, and above it by more than e * total / WIDTH with a
    chance of at most exp(-DEPTH). Things are whole numbers from 0 to 2^31 - 1; up to WIDTH of them are counted exactly."""

    def __init__(self, depth: int = DEPTH, width: int = WIDTH, seed: int = 1) -> None:
        random = np.random.default_rng([seed, 51])
        self._table = np.zeros((depth, width), np.int64)
        self._factor, self._offset = random.integers(0, 1 << 64, (2, depth, 1), dtype=np.uint64)
        self.total = 0

    def _cells(self, things: INT) -> NDArray[np.int64]:
        """[depth, n] Things of one block of WIDTH never share a cell. Each row turns each block by a step of its own, drawn by
        multiply-shift (Dietzfelbinger 1996), so that things of two blocks share one with a chance of 1 / WIDTH, row by row."""
        block, within = np.divmod(things, self._table.shape[1])
        turned = (self._factor * block.astype(np.uint64) + self._offset) >> np.uint64(32)
        return (within + turned.astype(np.int64)) % self._table.shape[1]

    def add(self, things: INT) -> None:
        """Counts each of `things` [n] once more."""
        for row, cells in zip(self._table, self._cells(things), strict=True):
            row += np.bincount(cells, minlength=len(row))
        self.total += len(things)

    def estimate(self, things: INT) -> INT:
        """[n] how often each was counted, or a little more."""
        return np.take_along_axis(self._table, self._cells(things), axis=1).min(axis=0)
