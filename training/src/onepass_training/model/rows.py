"""The input row of docs/release.md: one place that says which column is what, for training, export and test vectors alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLOAT = NDArray[np.float32]
INT = NDArray[np.int64]
PERIODS_MS = (86_400_000, 604_800_000, 7_889_400_000)
DELTA_SCALE = 20.0
PAST_ACTION, PAST_QUERY, CONTEXT, CANDIDATE = range(4)
KINDS = 4
NO_TIME = -1
"""In place of a previous token's time where there is no previous token."""


@dataclass(frozen=True)
class RowLayout:
    """Columns of a row: embedding | actions | [MASK] | surface | periods | delta | has previous | kind | request features."""

    embedding: int
    actions: tuple[str, ...]
    surfaces: tuple[str, ...]
    periods_ms: tuple[int, ...] = PERIODS_MS
    delta_scale: float = DELTA_SCALE
    request_features: tuple[str, ...] = ()
    """R numbers of a request and its person: R columns of values, then R that say which were given. Context rows only."""

    @property
    def mask(self) -> int:
        """Index of the [MASK] column among the features."""
        return len(self.actions)

    @property
    def features(self) -> int:
        """F - E: columns after the embedding."""
        return self.values_at - self.embedding + 2 * len(self.request_features)

    @property
    def surface_at(self) -> int:
        """Index of the first surface column in a row."""
        return self.embedding + self.mask + 1

    @property
    def time_at(self) -> int:
        """Index of the first time column in a row."""
        return self.surface_at + len(self.surfaces)

    @property
    def kind_at(self) -> int:
        """Index of the first kind column in a row."""
        return self.time_at + 2 * len(self.periods_ms) + 2

    @property
    def values_at(self) -> int:
        """Index of the first request feature's value in a row; that of "was given" lies R columns behind it."""
        return self.kind_at + KINDS

    @property
    def columns(self) -> int:
        """F."""
        return self.embedding + self.features

    def delta(self, time_ms: NDArray, previous_ms: NDArray) -> FLOAT:
        """log1p(seconds since previous) / scale, computed in float64; 0 where there is no previous token."""
        seconds = np.maximum(0, time_ms - previous_ms) / 1000.0
        return np.where(previous_ms == NO_TIME, 0.0, np.log1p(seconds) / self.delta_scale).astype(np.float32)

    def feature_rows(
        self,
        actions: NDArray,
        masked: NDArray,
        surface: NDArray,
        time_ms: NDArray,
        previous_ms: NDArray,
        kind: int | NDArray,
        request: NDArray | None = None,
    ) -> FLOAT:
        """[..., F - E] float32. `actions` [..., A] is zeroed where `masked` [...]; the others are [...] integers, or one.

        `request` [..., R], for context rows: the request's features, NaN where one was not given.
        """
        masked = np.asarray(masked, bool)
        out = np.zeros((*time_ms.shape, self.features), np.float32)
        a, s = len(self.actions), len(self.surfaces)
        out[..., :a] = np.where(masked[..., None], 0, actions)
        out[..., a] = masked
        out[..., a + 1 : a + 1 + s] = surface[..., None] == np.arange(s)
        at = a + 1 + s
        for period in self.periods_ms:
            angle = 2 * np.pi * np.mod(time_ms, period).astype(np.float64) / period
            out[..., at] = np.sin(angle)
            out[..., at + 1] = np.cos(angle)
            at += 2
        out[..., at] = self.delta(time_ms, previous_ms)
        out[..., at + 1] = previous_ms != NO_TIME
        out[..., at + 2 : at + 2 + KINDS] = np.asarray(kind)[..., None] == np.arange(KINDS)
        if request is not None and request.shape[-1] > 0:
            values = self.values_at - self.embedding
            given = ~np.isnan(request)
            out[..., values : values + len(self.request_features)] = np.where(given, request, 0)
            out[..., values + len(self.request_features) :] = given
        return out


@dataclass(frozen=True)
class RawEvent:
    """One logged event as the history store gives it, names, not indices: of an item, or (`item` is None) of a query."""

    item: str | None
    actions: tuple[str, ...]
    surface: str
    time_ms: int
    query: str | None = None


def history_rows(
    layout: RowLayout,
    events: Sequence[RawEvent],
    item_embedding: Callable[[str], FLOAT | None],
    query_embedding: Callable[[str], FLOAT | None],
) -> tuple[FLOAT, int]:
    """Rows [n, F] of a raw history, and the last past token's time (NO_TIME if none).

    The two callables give [E], or None for an item that the release does not know and a text without a token. Such an event,
    and one on an item without a known action, makes no row and is nobody's previous one. A query's row has no actions.
    """
    rows, previous = [np.zeros((0, layout.columns), np.float32)], NO_TIME
    for event in events:
        query = event.item is None
        embedding = query_embedding(event.query or "") if query else item_embedding(event.item)
        actions = np.array([[name in event.actions and not query for name in layout.actions]], np.float32)
        if embedding is None or not (query or actions.any()):
            continue
        surface, time_ms = np.array([layout.surfaces.index(event.surface)]), np.array([event.time_ms])
        kind = PAST_QUERY if query else PAST_ACTION
        features = layout.feature_rows(actions, np.zeros(1), surface, time_ms, np.array([previous]), kind)
        rows.append(np.concatenate([embedding[None].astype(np.float32), features], axis=1))
        previous = event.time_ms
    return np.concatenate(rows), previous
