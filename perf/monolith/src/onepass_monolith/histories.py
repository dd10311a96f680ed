"""Histories in memory, resolved to the release when they are written, and the rows that are made of them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onepass_training.model.rows import FLOAT, NO_TIME, PAST_ACTION, PAST_QUERY, RowLayout

NONE = -1
MAX_AHEAD_MS = 5 * 60_000
DUPLICATE_SPAN = 4_096
TOKEN = np.dtype([("item", "<i8"), ("bits", "<u4"), ("surface", "i1"), ("time_ms", "<i8"), ("text", "<i4"), ("live", "?")])
"""One event. item and text: NONE where it is of the other. live: it makes a row; not where it was taken back or is unknown."""
FIRST = 64


@dataclass
class Told:
    """One event as the contract brings it, names resolved."""

    event_id: str
    item: int = NONE
    text: str | None = None
    bits: int = 0
    surface: int = NONE
    time_ms: int = 0
    retract: bool = False


@dataclass(frozen=True)
class Written:
    """What became of an event."""

    sequence: int = 0
    duplicate: bool = False
    refused: str = ""


@dataclass(frozen=True)
class Snapshot:
    """A history at one moment; what is written later does not change it."""

    sequence: int
    epoch: int
    """Changes where something was taken back: KV of another epoch is of another history."""
    tokens: NDArray
    """[T] of TOKEN, all live."""
    texts: Sequence[str]
    seen: NDArray[np.int64]
    """Rows of the items acted on."""


@dataclass
class History:
    """One person's."""

    sequence: int = 0
    epoch: int = 0
    effective_ms: int = 0
    count: int = 0
    tokens: NDArray = field(default_factory=lambda: np.zeros(FIRST, TOKEN))
    texts: list[str] = field(default_factory=list)
    place_of: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By event id: its sequence, and its index in `tokens`, NONE once it was taken back."""
    acted: dict[int, int] = field(default_factory=dict)
    """How many events of each item row are in effect."""
    all_live: bool = True

    def write(self, told: Told) -> Written:
        """Appends one event, or takes one back."""
        known = self.place_of.get(told.event_id)
        if known is not None and (not told.retract or known[1] == NONE):
            return Written(known[0], duplicate=True)
        if told.retract and known is None:
            return Written(refused="event_id is not among the events that can be retracted")
        now = time.time_ns() // 1_000_000
        if told.time_ms < 0:
            return Written(refused="time_ms must be a whole number of milliseconds since 1970")
        if told.time_ms - now > MAX_AHEAD_MS:
            return Written(refused=f"time_ms lies more than {MAX_AHEAD_MS} ms ahead of the server")
        self.sequence += 1
        self.effective_ms = max(self.effective_ms, told.time_ms or now)
        if told.retract:
            self._take_back(told.event_id, *known)
        else:
            self._append(told)
        return Written(self.sequence)

    def _append(self, told: Told) -> None:
        if self.count == len(self.tokens):
            # A new array: snapshots go on reading the old one.
            self.tokens = np.concatenate([self.tokens, np.zeros(len(self.tokens), TOKEN)])
        text = NONE
        if told.text is not None:
            text = len(self.texts)
            self.texts.append(told.text)
        live = told.text is not None or (told.item != NONE and told.bits != 0)
        self.tokens[self.count] = (told.item, told.bits, told.surface, self.effective_ms, text, live)
        self.all_live &= live
        self.place_of[told.event_id] = (self.sequence, self.count)
        if len(self.place_of) > DUPLICATE_SPAN:
            del self.place_of[next(iter(self.place_of))]
        self.count += 1
        if told.item != NONE:
            self.acted[told.item] = self.acted.get(told.item, 0) + 1

    def _take_back(self, event_id: str, sequence: int, place: int) -> None:
        item = int(self.tokens["item"][place])
        self.tokens = self.tokens.copy()
        self.tokens["live"][place] = self.all_live = False
        self.place_of[event_id] = (sequence, NONE)
        self.epoch += 1
        if item != NONE:
            self.acted[item] -= 1
            if self.acted[item] == 0:
                del self.acted[item]

    def snapshot(self) -> Snapshot:
        """As it is now."""
        tokens = self.tokens[: self.count]
        live = tokens if self.all_live else tokens[tokens["live"]]
        return Snapshot(self.sequence, self.epoch, live, self.texts, np.fromiter(self.acted, np.int64, len(self.acted)))


NOBODY = History().snapshot()


def window_length(tokens: int, window: int) -> int:
    """Of a history that is encoded anew: all of it, or three quarters of the window, so that appending goes on for the rest."""
    return tokens if tokens <= window else max(1, window * 3 // 4)


def past_rows(
    layout: RowLayout,
    tokens: NDArray,
    previous_ms: int,
    table: FLOAT,
    texts: Sequence[str],
    embed_texts: Callable[[Sequence[str]], FLOAT],
) -> FLOAT:
    """[n, F] of tokens [n], `previous_ms` being the time of the one before them (NO_TIME if none)."""
    rows = np.empty((len(tokens), layout.columns), np.float32)
    if not len(tokens):
        return rows
    rows[:, : layout.embedding] = table[tokens["item"]]
    queries = np.flatnonzero(tokens["text"] != NONE)
    if len(queries):
        rows[queries, : layout.embedding] = embed_texts([texts[at] for at in tokens["text"][queries]])
    actions = (tokens["bits"][:, None] >> np.arange(len(layout.actions), dtype=np.uint32)) & 1
    previous = np.concatenate([[previous_ms], tokens["time_ms"][:-1]])
    kinds = np.where(tokens["text"] != NONE, PAST_QUERY, PAST_ACTION)
    rows[:, layout.embedding :] = layout.feature_rows(
        actions, np.zeros(len(tokens), bool), tokens["surface"], tokens["time_ms"], previous, kinds
    )
    return rows


def last_ms(tokens: NDArray) -> int:
    """Time of the last token, NO_TIME of none."""
    return int(tokens["time_ms"][-1]) if len(tokens) else NO_TIME
