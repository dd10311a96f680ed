"""What training and evaluation learn from, wherever it comes from: items, and histories with their slates, by bucket."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FLOAT = NDArray[np.float32]
INT = NDArray[np.int64]
BITS = NDArray[np.uint32]
"""Sets of actions: bit a = action a of the vocabulary."""
NONE = -1
"""In place of an item row, a text or a person where there is none, or none that is known."""
MAX_ACTIONS = 32
UNKNOWN, HIDDEN, VISIBLE = -1, 0, 1
"""Whether an item of a slate was looked at."""


@dataclass(frozen=True)
class Action:
    """One action of the vocabulary."""

    name: str
    negative: bool = False
    utility_weight: float = 1.0
    """What it is worth to a page by default."""


@dataclass(frozen=True)
class Vocabulary:
    """Names, in the order that bits, columns and the release's manifest have them."""

    actions: tuple[Action, ...]
    surfaces: tuple[str, ...]
    features: tuple[str, ...] = ()
    """Numbers that describe a request or its person, known when the page is asked for."""

    @property
    def names(self) -> tuple[str, ...]:
        """[A] names of the actions."""
        return tuple(action.name for action in self.actions)

    @property
    def positive_bits(self) -> int:
        """The actions that count as engagement: all that are not negative."""
        return sum(1 << at for at, action in enumerate(self.actions) if not action.negative)

    def bit(self, name: str) -> int:
        """The bit of an action; 0 for a name that is not in the vocabulary."""
        return 1 << self.names.index(name) if name in self.names else 0


@dataclass(frozen=True)
class Items:
    """The catalogue; row r of every array is item r."""

    ids: Sequence[str]
    upstream: FLOAT
    """[N, U] all that the model sees of an item. The leading `content` columns are known of an item from its first moment; the
    others describe what people did with it and are zero for an item that had no past when the embedding was made."""
    content: int
    """Leading columns of `upstream` that need no past; U where no such difference is known."""
    born_ms: INT
    """[N] first moment an item could be shown; 0 where that is not known."""
    titles: Sequence[str]
    attributes: Sequence[dict[str, str | list[str] | float]]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row by id."""
        return {item: row for row, item in enumerate(self.ids)}


@dataclass(frozen=True)
class Bucket:
    """Some people's histories with all their slates. H histories, V events, S slates, X shown items, Q texts.

    A history is a person's events in effect. Where an action was taken back, the slates made before and after that hang on
    histories of their own, so a person may be several. Events of a history lie together in order of arrival; their times
    never run backwards. Slates of a history lie together in order of time.
    """

    history_person: Sequence[str]
    """[H] the person each history is of; histories of one person lie together."""
    event_start: INT
    """[H + 1] events of history h: event_start[h] .. event_start[h + 1]."""
    event_item: INT
    """[V] item row; NONE for a query."""
    event_query: INT
    """[V] index into `texts`; NONE for an action."""
    event_actions: BITS
    """[V] never empty for an action, 0 for a query."""
    event_surface: INT
    event_time_ms: INT
    slate_start: INT
    """[H + 1] slates of history h."""
    slate_prefix: INT
    """[S] absolute index of the first event that the slate was NOT made from; within the history's bounds."""
    slate_surface: INT
    slate_time_ms: INT
    slate_related: INT
    """[S] item row a related page was about; NONE."""
    slate_query: INT
    """[S] index into `texts` of what was searched for; NONE."""
    slate_given: FLOAT
    """[S, U] upstream embedding of a query, where there is one; else zeros."""
    slate_features: FLOAT
    """[S, R] the vocabulary's features; NaN where one was not given."""
    shown_start: INT
    """[S + 1] items of slate s."""
    shown_item: INT
    """[X] item row; an item that has no row is not here."""
    shown_actions: BITS
    """[X] what was done; 0 = nothing."""
    shown_position: INT
    """[X] place on the page, from 0."""
    shown_visible: NDArray[np.int8]
    """[X] VISIBLE, HIDDEN or UNKNOWN."""
    texts: Sequence[str]

    @property
    def histories(self) -> int:
        """H."""
        return len(self.event_start) - 1

    @cached_property
    def person(self) -> INT:
        """[H] number of the person each history is of, from 0."""
        people = np.array(self.history_person, dtype=object)
        return np.cumsum(np.concatenate([[False], people[1:] != people[:-1]]))[: len(people)]

    def tells(self, before_ms: int) -> NDArray[np.bool_]:
        """[H] whether a history tells what its person did before a time: of several the one that has most of it, or the last
        such. The others repeat it, and are there for their slates alone."""
        done = np.concatenate([[0], np.cumsum(self.event_time_ms < before_ms)])
        events = done[self.event_start[1:]] - done[self.event_start[:-1]]
        order = np.lexsort((events, self.person))
        tells = np.zeros(self.histories, bool)
        tells[order[np.append(np.diff(self.person[order]) != 0, True)[: self.histories]]] = True
        return tells

    def told_before(self, before_ms: int) -> NDArray[np.bool_]:
        """[V] events before a time, without those that another history of the person repeats: for counting."""
        return (self.event_time_ms < before_ms) & self.tells(before_ms)[self.event_history]

    def with_events(self, keep: NDArray[np.bool_]) -> "Bucket":
        """The bucket with the events of `keep` [V] alone, its slates at what is left before them."""
        before = np.concatenate([[0], np.cumsum(keep)])
        columns = ("event_item", "event_query", "event_actions", "event_surface", "event_time_ms")
        kept = {name: getattr(self, name)[keep] for name in columns}
        return replace(self, event_start=before[self.event_start], slate_prefix=before[self.slate_prefix], **kept)

    @cached_property
    def slate_history(self) -> INT:
        """[S] history of each slate."""
        return np.repeat(np.arange(self.histories), np.diff(self.slate_start))

    @cached_property
    def event_history(self) -> INT:
        """[V] history of each event."""
        return np.repeat(np.arange(self.histories), np.diff(self.event_start))

    @cached_property
    def shown_slate(self) -> INT:
        """[X] slate of each shown item."""
        return np.repeat(np.arange(len(self.slate_prefix)), np.diff(self.shown_start))

    def engaged(self, positive_bits: int) -> NDArray[np.bool_]:
        """[S] whether anything positive was done on the slate."""
        done = np.concatenate([[0], np.cumsum((self.shown_actions & np.uint32(positive_bits)) != 0)])
        return done[self.shown_start[1:]] > done[self.shown_start[:-1]]


@dataclass(frozen=True)
class Splits:
    """By time: events and slates before `validation_ms` train, those before `test_ms` validate, later ones test."""

    validation_ms: int
    test_ms: int
    end_ms: int
    """First millisecond after the last event and slate."""

    def __post_init__(self) -> None:
        if not self.validation_ms <= self.test_ms <= self.end_ms:
            raise ValueError(f"the splits must lie in order of time: {self.validation_ms}, {self.test_ms}, {self.end_ms}")


class Dataset(ABC):
    """A catalogue, and buckets of people that are loaded one at a time. A person's bucket is a hash of who they are."""

    name: str
    vocabulary: Vocabulary
    items: Items
    splits: Splits
    buckets: int

    @abstractmethod
    def bucket(self, index: int) -> Bucket:
        """One bucket, from 0. Events and slates of one person are in one and the same bucket: the join is here."""

    def each_bucket(self) -> Iterator[Bucket]:
        """All buckets, one in memory at a time."""
        return (self.bucket(index) for index in range(self.buckets))

    def training_counts(self, wanted_bits: int) -> INT:
        """[S, N] by surface, how often each item was acted on before validation with any of the actions `wanted_bits`."""
        surfaces, items = len(self.vocabulary.surfaces), len(self.items)
        counts = np.zeros(surfaces * items, np.int64)
        for bucket in self.each_bucket():
            use = bucket.told_before(self.splits.validation_ms) & ((bucket.event_actions & np.uint32(wanted_bits)) != 0)
            use &= bucket.event_surface >= 0
            counts += np.bincount(bucket.event_surface[use] * items + bucket.event_item[use], minlength=len(counts))
        return counts.reshape(surfaces, items)


@dataclass(frozen=True)
class MemoryDataset(Dataset):
    """A dataset that is held whole."""

    name: str
    vocabulary: Vocabulary
    items: Items
    splits: Splits
    held: tuple[Bucket, ...] = field(repr=False)

    @property
    def buckets(self) -> int:
        """Number of buckets."""
        return len(self.held)

    def bucket(self, index: int) -> Bucket:
        """One bucket, from 0."""
        return self.held[index]
