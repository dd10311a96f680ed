"""What can be evaluated: anything that scores the catalogue for a slate, or the items on it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.dataset import NONE
from .metrics import FLOAT, INT
from .slates import SlateSet

CHUNK = 250
"""Slates whose scores of all items are in memory at a time."""


@dataclass(frozen=True)
class Ask:
    """What a retrieval is asked for."""

    action: int = NONE
    """The wanted outcome: index of an action; NONE is any."""
    offset_ms: int = 0
    """How far ahead."""


ANY = Ask()


class Retriever(Protocol):
    """Scores all items."""

    def scores(self, slates: SlateSet, rows: INT, ask: Ask) -> FLOAT:
        """[r, N] for the slates at `rows`, in an array that the caller may write to. Who cannot tell asks apart answers ANY."""


class Ranker(Protocol):
    """Predicts what will be done with the items of a slate."""

    def probabilities(self, slates: SlateSet, rows: INT) -> FLOAT:
        """[r, K, A]; anything where there is no item."""


@dataclass(frozen=True)
class Contender:
    """What is evaluated under a name."""

    retriever: Retriever | None = None
    ranker: Ranker | None = None
    table: NDArray[np.float32] | None = None
    """[N, E] unit-length item embeddings of its own, if it has any."""
    outcomes: bool = False
    """The retriever's answer depends on the wanted outcome."""
    offsets: bool = False
    """And on how far ahead."""


class Truth(Protocol):
    """A world's own best answers, which know what no model can (docs/training.md)."""

    def retrieval(self, slates: INT, action: str | None = None) -> FLOAT:
        """[R, N] by index of slates of the world's only bucket; for one outcome where it is named."""

    def probabilities(self, slates: INT) -> FLOAT:
        """[R, K, A]"""


@dataclass(frozen=True)
class Oracle:
    """A world's truth as a retriever and a ranker."""

    truth: Truth
    actions: tuple[str, ...]

    def scores(self, slates: SlateSet, rows: INT, ask: Ask) -> FLOAT:
        """[r, N]"""
        return self.truth.retrieval(slates.slate[rows], None if ask.action == NONE else self.actions[ask.action])

    def probabilities(self, slates: SlateSet, rows: INT) -> FLOAT:
        """[r, K, A]"""
        return self.truth.probabilities(slates.slate[rows])[:, : slates.items.shape[1]]


def take_out_seen(scores: FLOAT, slates: SlateSet, rows: INT) -> FLOAT:
    """`scores` [r, N] with -inf for what each slate's person had acted on before."""
    at, items = slates.seen(rows)
    scores[at, items] = -np.inf
    return scores
