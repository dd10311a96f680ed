"""What a person had acted on before."""

import numpy as np
from numpy.typing import NDArray

from .dataset import INT, NONE


def seen_before(event_item: INT, first: INT, prefix: INT, rows: INT, items: INT) -> NDArray[np.bool_]:
    """[n] whether `items` [n] were acted on in events first .. prefix of their `rows` [n]; histories do not overlap."""
    base = int(max(event_item.max(initial=0), items.max(initial=0))) + 1
    starts = np.unique(first)
    history = np.searchsorted(starts, np.arange(len(event_item)), side="right")
    known = np.flatnonzero(event_item != NONE)
    pairs, earliest = np.unique(history[known] * base + event_item[known], return_index=True)
    asked = (np.searchsorted(starts, first[rows]) + 1) * base + items
    at = np.minimum(np.searchsorted(pairs, asked), max(len(pairs) - 1, 0))
    if not len(pairs):
        return np.zeros(len(rows), bool)
    return (pairs[at] == asked) & (known[earliest[at]] < prefix[rows])
