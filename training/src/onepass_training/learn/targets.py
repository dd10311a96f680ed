"""Where L_item is taken, and what is to be found there."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import Parts
from ..data.dataset import BITS, Bucket, Vocabulary
from ..model.rows import FLOAT, INT, RowLayout
from .examples import Example

AHEAD = 16
"""How many events ahead a target may lie where the head is told how far to look."""
FURTHER = 0.25
"""Share of past positions that learn from such a target, in place of the next event."""
LATER, LATER_WEIGHT = 2, 0.5
"""Such targets of each context row, beside the one on its slate, and what each counts for. At a higher weight recall of what
is wanted now falls; with fewer, what context rows learn of other times is drowned by what past positions do."""


@dataclass(frozen=True)
class RetrievalTargets:
    """Positions that L_item is taken at; rows index the flattened past (b * P + position) and contexts (b * M + slate)."""

    past_rows: Tensor
    context_rows: Tensor
    outcomes: Tensor
    """[R, A + 1], past first, then contexts; the other [R, ...] alike."""
    offsets: Tensor
    surfaces: Tensor
    items: INT
    """[R] target item rows."""
    now: Tensor
    """[R] bool: contexts whose target is on the slate itself."""
    weights: Tensor
    """[R] what each counts for."""


@dataclass(frozen=True)
class _Picked:
    """Targets of one kind of position."""

    rows: INT
    bits: BITS
    surfaces: INT
    items: INT
    ahead: FLOAT
    """log1p(seconds ahead) / delta scale."""
    now: bool


class TargetPicker:
    """Picks one target a position: what was done next, or (with offsets) one of the things done later, and how much later.

    PinRec (arXiv 2504.10507): the head is conditioned on the outcome and on the time ahead, so that one hidden state answers
    for several outcomes and several times.
    """

    def __init__(self, vocabulary: Vocabulary, layout: RowLayout, parts: Parts) -> None:
        self._positive, self._actions = np.uint32(vocabulary.positive_bits), len(vocabulary.actions)
        self._layout, self._parts = layout, parts

    def pick(
        self, bucket: Bucket, examples: list[Example], masked: np.ndarray, slates: INT, random: np.random.Generator
    ) -> RetrievalTargets:
        """`masked` [B, P] past positions, `slates` [B, M] indices or -1."""
        past = self._of_past(bucket, examples, masked, random)
        kinds = [past, self._of_slates(bucket, slates, random)]
        if self._parts.offsets:
            kinds.append(self._of_later(bucket, examples, slates, random))
        surfaces = np.concatenate([kind.surfaces for kind in kinds])
        bits = np.concatenate([kind.bits for kind in kinds])
        sizes = [len(kind.rows) for kind in kinds]
        return RetrievalTargets(
            past_rows=torch.from_numpy(past.rows),
            context_rows=torch.from_numpy(np.concatenate([kind.rows for kind in kinds[1:]])),
            outcomes=torch.from_numpy(self._outcomes(bits, random)),
            offsets=torch.from_numpy(np.concatenate([kind.ahead for kind in kinds])[:, None]),
            surfaces=torch.from_numpy((surfaces[:, None] == np.arange(len(self._layout.surfaces))).astype(np.float32)),
            items=np.concatenate([kind.items for kind in kinds]).astype(np.int64),
            now=torch.from_numpy(np.repeat([kind.now for kind in kinds], sizes)),
            weights=torch.from_numpy(np.repeat(np.float32([1, 1, LATER_WEIGHT][: len(kinds)]), sizes)),
        )

    def _events(self, bucket: Bucket, rows: INT, events: INT, now_ms: INT) -> _Picked:
        """Targets that are events, seen from `now_ms`."""
        ahead = self._layout.delta(bucket.event_time_ms[events], now_ms)
        bits = bucket.event_actions[events]
        return _Picked(rows, bits, bucket.event_surface[events], bucket.event_item[events], ahead, now=False)

    def _of_past(self, bucket: Bucket, examples: list[Example], masked: np.ndarray, random: np.random.Generator) -> _Picked:
        """At unmasked past positions: the next event, or with offsets now and then one of the next 16, if it is a good one."""
        starts = np.array([example.start for example in examples])[:, None]
        ends = np.array([example.end for example in examples])[:, None]
        event = starts + np.arange(masked.shape[1])
        step = np.ones(masked.shape, np.int64)
        if self._parts.offsets:
            further = random.random(masked.shape) < FURTHER
            step = np.where(further, random.integers(1, AHEAD + 1, masked.shape), step)
        target = np.minimum(event + step, ends - 1)
        usable = (target > event) & ~masked & np.array([example.past for example in examples])[:, None]
        usable[usable] = (bucket.event_actions[target[usable]] & self._positive) != 0
        return self._events(bucket, np.flatnonzero(usable), target[usable], bucket.event_time_ms[event[usable]])

    def _of_slates(self, bucket: Bucket, slates: INT, random: np.random.Generator) -> _Picked:
        """At context rows: one engaged item of the slate itself, offset 0."""
        where = np.flatnonzero(slates >= 0)
        mine = slates.ravel()[where]
        sizes = np.diff(bucket.shown_start)[mine]
        shown = np.repeat(bucket.shown_start[mine], sizes) + np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        of = np.repeat(np.arange(len(mine)), sizes)
        good = (bucket.shown_actions[shown] & self._positive) != 0
        shown, of = shown[good], of[good]
        order = np.lexsort((random.random(len(of)), of))
        of, first = np.unique(of[order], return_index=True)
        shown = shown[order][first]
        surfaces = bucket.slate_surface[mine[of]]
        nothing = np.zeros(len(of), np.float32)
        return _Picked(where[of], bucket.shown_actions[shown], surfaces, bucket.shown_item[shown], nothing, now=True)

    def _of_later(self, bucket: Bucket, examples: list[Example], slates: INT, random: np.random.Generator) -> _Picked:
        """At context rows, beside that: some of the next 16 events of the window, with the time until them."""
        where = np.tile(np.flatnonzero(slates >= 0), LATER)
        mine = slates.ravel()[where]
        ends = np.array([example.end for example in examples])[where // slates.shape[1]]
        target = bucket.slate_prefix[mine] + random.integers(0, AHEAD, len(mine))
        usable = target < ends
        usable[usable] = (bucket.event_actions[target[usable]] & self._positive) != 0
        return self._events(bucket, where[usable], target[usable], bucket.slate_time_ms[mine[usable]])

    def _outcomes(self, bits: BITS, random: np.random.Generator) -> FLOAT:
        """[R, A + 1] one-hot: half the time "any", else one of the positive actions that were done (PinRec's conditioning).

        Of several the one is likelier that is rarer in the batch: a save comes with a click, and would hardly be learnt.
        """
        done = ((bits & self._positive)[:, None] >> np.arange(self._actions, dtype=np.uint32)) & 1
        weight = done / np.maximum(1, done.sum(axis=0))
        one = (weight / random.standard_exponential(done.shape)).argmax(axis=-1)  # a draw by weight
        chosen = np.where(random.random(len(bits)) < 0.5, self._actions, one)
        return np.eye(self._actions + 1, dtype=np.float32)[chosen]
