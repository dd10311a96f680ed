"""People's KV in this process: as many as fit into so many MiB, the one used longest ago makes room."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from .release import Kv

MIB = 2**20


@dataclass
class Entry:
    """One person's KV, and what it was made from."""

    keys: np.ndarray
    """[L, window, W]"""
    values: np.ndarray
    length: int = 0
    """Tokens held."""
    consumed: int = 0
    """Tokens of the history that they end with."""
    epoch: int = 0
    users: int = 0
    """Pages under way that read it: meanwhile nobody else's may be written over it."""

    def past(self) -> Kv:
        """Views of what is held, read in place by the graphs."""
        return [(key[: self.length], value[: self.length]) for key, value in zip(self.keys, self.values, strict=True)]

    def add(self, kv: Kv, rows: int) -> None:
        """Writes the first `rows` of each tensor behind what is held."""
        end = self.length + rows
        for layer, (key, value) in enumerate(kv):
            self.keys[layer, self.length : end] = key[:rows]
            self.values[layer, self.length : end] = value[:rows]
        self.length = end


class KvCache:
    """By person. Every entry has room for a whole window; only the loop's thread calls this."""

    def __init__(self, layers: int, window: int, width: int, mib: float) -> None:
        self._shape = (layers, window, width)
        self.entry_bytes = 2 * 4 * layers * window * width
        self.most = int(mib * MIB // self.entry_bytes)
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, person: str) -> Entry | None:
        """The person's, if it is held."""
        entry = self._entries.get(person)
        if entry is not None:
            self._entries.move_to_end(person)
        return entry

    def claim(self, person: str) -> Entry | None:
        """A new one for a person who has none, in somebody's place if need be; None where all are in use."""
        if len(self._entries) < self.most:
            entry = Entry(np.empty(self._shape, np.float32), np.empty(self._shape, np.float32))
        else:
            oldest = next((name for name, entry in self._entries.items() if entry.users == 0), None)
            if oldest is None:
                return None
            # Its memory is used again: fresh pages would cost as much as a good part of an encode.
            entry = self._entries.pop(oldest)
            entry.length = entry.consumed = 0
        self._entries[person] = entry
        return entry

    def drop(self, person: str) -> None:
        """Forgets the person's."""
        self._entries.pop(person, None)
