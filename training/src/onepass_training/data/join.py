"""A bucket's records as histories, and slates that hang on them: each at the prefix it was made from, with its outcomes.

Nothing that came after a split tells anything about what is before it: a slate before validation has the outcomes that were
there when validation began, one before test those that were there when the test began.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrange import NEVER, Arranged, Wrong, arrange
from .dataset import FLOAT, INT, NONE, Bucket, Splits
from .description import Sessions
from .form import with_formed_slates
from .records import ABSENT, ACTED, NOBODY, TOOK_BACK
from .schema import LATEST_MS


@dataclass(frozen=True)
class Raw:
    """What a bucket's files hold, in the order it was read."""

    events: NDArray
    slates: NDArray
    shown: NDArray
    event_texts: list[str]
    slate_texts: list[str]
    given: FLOAT


@dataclass(frozen=True)
class _Placed:
    """[S] slates in the order of their rows, placed among arranged events."""

    person: INT
    prefix: INT
    """Index of the first arranged event that a slate was not made from."""
    moment_ms: INT
    """When it was made: never before the last event that it was made from."""
    of_event: INT
    """[V] the slate that each event happened on; ABSENT."""
    kept: NDArray[np.bool_]


@dataclass(frozen=True)
class _Histories:
    """Events by history, and where slates hang."""

    person: INT
    """[H] index into the people."""
    start: INT
    """[H + 1]"""
    events: INT
    """Indices of arranged events."""
    slate_history: INT
    """[S]"""
    slate_prefix: INT
    """[S] absolute, into `events`."""


def join_bucket(
    raw: Raw, splits: Splits, dimension: int, contiguous: bool, sessions: Sessions | None
) -> tuple[Bucket, dict[str, int]]:
    """The bucket, and how many slates are left out for which reason. Raises Wrong where a row contradicts another."""
    people = np.unique(np.concatenate([raw.events["person"], raw.slates["person"]]))
    arranged = arrange(raw.events, people, contiguous)
    placed, left_out = _place(raw, arranged)
    outcomes = _outcomes(raw, arranged, placed, splits)
    histories = _histories(arranged, placed)
    kept = np.flatnonzero(placed.kept)
    order = kept[np.lexsort((histories.slate_prefix[kept], placed.moment_ms[kept], histories.slate_history[kept]))]
    slates, counts = raw.slates[order], raw.slates["shown"][order].astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    first = np.cumsum(raw.slates["shown"], dtype=np.int64) - raw.slates["shown"]
    shown = np.repeat(first[order] - starts[:-1], counts) + np.arange(starts[-1])
    events, texts = arranged.events[histories.events], _Texts()
    event_query, slate_query = texts.add(raw.event_texts, events["text"]), texts.add(raw.slate_texts, slates["text"])
    bucket = Bucket(
        history_person=["" if key == NOBODY else f"{key:016x}" for key in people[histories.person].tolist()],
        event_start=histories.start,
        event_item=np.where(events["kind"] == ACTED, events["item"], NONE).astype(np.int64),
        event_query=event_query,
        event_actions=np.where(events["kind"] == ACTED, events["actions"], 0).astype(np.uint32),
        event_surface=events["surface"].astype(np.int64),
        event_time_ms=arranged.effective_ms[histories.events],
        slate_start=np.searchsorted(histories.slate_history[order], np.arange(len(histories.person) + 1)),
        slate_prefix=histories.slate_prefix[order],
        slate_surface=slates["surface"].astype(np.int64),
        slate_time_ms=placed.moment_ms[order],
        slate_related=slates["related"].astype(np.int64),
        slate_query=slate_query,
        slate_given=_given(slates["given"], raw.given, dimension),
        slate_features=slates["features"].astype(np.float32),
        shown_start=starts,
        shown_item=raw.shown["item"][shown].astype(np.int64),
        shown_actions=outcomes[shown],
        shown_position=raw.shown["position"][shown].astype(np.int64),
        shown_visible=raw.shown["visible"][shown].astype(np.int8),
        texts=texts.held or [""],
    )
    return (with_formed_slates(bucket, splits, sessions) if sessions else bucket), left_out


def _place(raw: Raw, arranged: Arranged) -> tuple[_Placed, dict[str, int]]:
    """Where among the events each slate was made."""
    slates, events = raw.slates, arranged.events
    person = np.searchsorted(arranged.people, slates["person"])
    offset, mine = arranged.person * LATEST_MS, person * LATEST_MS
    by_time = np.searchsorted(offset + arranged.effective_ms, mine + slates["time_ms"])
    told = slates["sequence"] != ABSENT
    sequence = np.clip(slates["sequence"], 0, LATEST_MS - 1)
    by_sequence = np.searchsorted(offset + events["sequence"], mine + sequence, side="right")
    # A slate that somebody else served was logged later, with the history of that later moment.
    prefix = np.where(told, np.where(slates["foreign"] != 0, np.minimum(by_time, by_sequence), by_sequence), by_time)
    of_event = _slates_of_events(raw, arranged, person)
    acted = np.flatnonzero((of_event != ABSENT) & (events["kind"] != TOOK_BACK))
    np.minimum.at(prefix, of_event[acted], acted)
    start, end = arranged.start[person], arranged.start[person + 1]
    last = np.zeros(len(slates), np.int64)
    last[end > start] = events["sequence"][end[end > start] - 1]
    gone, empty = told & (slates["sequence"] > last), slates["shown"] == 0
    moment = slates["time_ms"].astype(np.int64)
    some = prefix > start
    moment[some] = np.maximum(moment[some], arranged.effective_ms[prefix[some] - 1])
    left_out = {
        "slates with a history that is not there": int(gone.sum()),
        "slates without an item that is known": int((empty & ~gone).sum()),
    }
    return _Placed(person, prefix, moment, of_event, ~gone & ~empty & (slates["surface"] >= 0)), left_out


def _slates_of_events(raw: Raw, arranged: Arranged, person: INT) -> INT:
    """[V] index of the person's slate that each event happened on; ABSENT. Raises Wrong for a slate that is there twice."""
    ids, dense = np.unique(raw.slates["slate"], return_inverse=True)
    if not len(ids):
        return np.full(len(arranged.events), ABSENT, np.int64)
    pair = person * len(ids) + dense
    order = np.argsort(pair, kind="stable")
    again = np.flatnonzero(np.diff(pair[order]) == 0)
    if len(again):
        first, second = (int(raw.slates["row"][order[at]]) for at in (again[0], again[0] + 1))
        raise Wrong(second, "slate_id", "is that of {} as well", "slates", first)
    named = np.minimum(np.searchsorted(ids, arranged.events["slate"]), len(ids) - 1)
    wanted = arranged.person * len(ids) + named
    at = np.minimum(np.searchsorted(pair[order], wanted), len(pair) - 1)
    found = (ids[named] == arranged.events["slate"]) & (pair[order][at] == wanted)
    return np.where(found, order[at], ABSENT)


def _outcomes(raw: Raw, arranged: Arranged, placed: _Placed, splits: Splits) -> NDArray[np.uint32]:
    """[X] what was done on each shown item: told with the slate, or logged with its id before the next split and not taken
    back before it."""
    until = np.array([splits.validation_ms, splits.test_ms, NEVER])
    cut = until[np.searchsorted(until[:2], placed.moment_ms, side="right")]
    events, effective = arranged.events, np.append(arranged.effective_ms, NEVER)
    at = np.flatnonzero((placed.of_event != ABSENT) & (events["kind"] == ACTED) & (events["item"] >= 0))
    limit, gone_ms = cut[placed.of_event[at]], effective[np.minimum(arranged.gone_at[at], len(events))]
    at = at[(effective[at] < limit) & (gone_ms >= limit)]
    owner = np.repeat(np.arange(len(raw.slates)), raw.slates["shown"])
    width = int(raw.shown["item"].max(initial=0)) + 1
    pairs, back = np.unique(owner * width + raw.shown["item"], return_inverse=True)
    done = np.zeros(len(pairs), np.uint32)
    if len(pairs):
        wanted = placed.of_event[at] * width + events["item"][at]
        found = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
        hit = (pairs[found] == wanted) & (events["item"][at] < width)
        np.bitwise_or.at(done, found[hit], events["actions"][at[hit]])
    return raw.shown["actions"] | done[back]


def _histories(arranged: Arranged, placed: _Placed) -> _Histories:
    """One history for whoever took nothing back; for others one for each state that a slate was made in, and the last."""
    back = arranged.events["kind"] == TOOK_BACK
    several = np.bincount(arranged.person[back], minlength=len(arranged.people)) > 0
    plain = arranged.usable & ~several[arranged.person]
    people = np.flatnonzero(~several)
    chosen = [np.flatnonzero(plain)]
    lengths = [np.bincount(arranged.person[plain], minlength=len(arranged.people))[people]]
    owners = [people]
    history = np.full(len(placed.person), ABSENT, np.int64)
    history[~several[placed.person]] = np.searchsorted(people, placed.person[~several[placed.person]])
    prefix = np.concatenate([[0], np.cumsum(plain)])[placed.prefix]
    made, held = len(people), len(chosen[0])
    kept = np.flatnonzero(placed.kept & several[placed.person])
    kept = kept[np.argsort(placed.person[kept], kind="stable")]
    for one in np.flatnonzero(several):
        mine = kept[slice(*np.searchsorted(placed.person[kept], [one, one + 1]))]
        for events, slates, places in _states(arranged, placed, int(one), mine):
            chosen.append(events)
            lengths.append(np.array([len(events)]))
            owners.append(np.array([one]))
            history[slates], prefix[slates] = made, held + places
            made, held = made + 1, held + len(events)
    start = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return _Histories(np.concatenate(owners), start, np.concatenate(chosen), history, prefix)


def _states(arranged: Arranged, placed: _Placed, person: int, slates: INT) -> list[tuple[INT, INT, INT]]:
    """Of one person: events in effect, the slates made then, and how many of the events each was made from."""
    first, end = (int(bound) for bound in arranged.start[person : person + 2])
    retracts = first + np.flatnonzero(arranged.events["kind"][first:end] == TOOK_BACK)
    usable, gone = arranged.usable[first:end], arranged.gone_at[first:end]
    state = np.searchsorted(retracts, placed.prefix[slates])
    out = []
    for one in np.union1d(state, [len(retracts)]):
        mine = slates[state == one]
        # What came after a state's last slate is told by the histories of later states.
        until = end if one == len(retracts) else int(placed.prefix[mine].max())
        known = retracts[one - 1] if one else first - 1
        held = usable & (gone > known) & (np.arange(first, end) < until)
        before = np.concatenate([[0], np.cumsum(held)])
        out.append((first + np.flatnonzero(held), mine, before[placed.prefix[mine] - first]))
    return out


class _Texts:
    """Distinct texts, numbered in the order they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    @property
    def held(self) -> list[str]:
        return list(self._numbers)

    def add(self, texts: list[str], chosen: NDArray) -> INT:
        """[n] the number of each chosen text; NONE where `chosen` is ABSENT."""
        known = np.array([*(self._numbers.setdefault(text, len(self._numbers)) for text in texts), NONE], np.int64)
        return known[chosen]


def _given(at: NDArray, embeddings: FLOAT, dimension: int) -> FLOAT:
    """[S, U] zeros where there is no embedding; one row seen S times where there is none at all."""
    if not (at != ABSENT).any():
        return np.broadcast_to(np.zeros((1, dimension), np.float32), (len(at), dimension))
    out = np.zeros((len(at), dimension), np.float32)
    out[at != ABSENT] = embeddings[at[at != ABSENT]]
    return out
