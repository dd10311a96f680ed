"""Events of a bucket in order of arrival, with the moments they count from and what took them back. Design, section 2."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .dataset import INT
from .records import ABSENT, ACTED, ASKED, NOBODY, TOOK_BACK
from .schema import LATEST_MS

NEVER = np.iinfo(np.int64).max
"""In place of the index or time of a retract where there is none."""


class Wrong(ValueError):
    """What is wrong with one row of the events' file, or of the slates'."""

    def __init__(self, row: int, column: str, problem: str, table: str = "events", other: int = 0) -> None:
        """`problem` says {} where the row `other` is to be named."""
        super().__init__(f"{table}, row {row}, {column}: {problem.format(f'row {other}')}")
        self.row, self.column, self.problem, self.table, self.other = row, column, problem, table, other


@dataclass(frozen=True)
class Arranged:
    """[V] a bucket's events by person, each one's in order of arrival, retracts among them."""

    events: NDArray
    """EVENT records. Sequences are whole: counted from 1 where none were given."""
    people: NDArray[np.uint64]
    """[P] keys in ascending order."""
    start: INT
    """[P + 1] events of person p: start[p] .. start[p + 1]."""
    person: INT
    """[V] index into `people`."""
    effective_ms: INT
    """[V] never runs backwards within a person."""
    gone_at: INT
    """[V] index of the first retract that takes the event back; NEVER."""

    @property
    def usable(self) -> NDArray[np.bool_]:
        """[V] actions on known items, and queries, on known surfaces."""
        acted = (self.events["kind"] == ACTED) & (self.events["item"] >= 0) & (self.events["actions"] != 0)
        return (acted | (self.events["kind"] == ASKED)) & (self.events["surface"] >= 0)


def arrange(events: NDArray, people: NDArray[np.uint64], contiguous: bool) -> Arranged:
    """Orders and checks. `people` has at least all that have events. `contiguous`: a mesh's own, whose rows lie in order and
    count from 1 without gaps. Raises Wrong.
    """
    person = np.searchsorted(people, events["person"])
    sequenced = len(events) > 0 and events["sequence"][0] != ABSENT
    moment = np.where(events["effective_ms"] == ABSENT, events["time_ms"], events["effective_ms"])
    arrival = events["row"] if contiguous else events["sequence"] if sequenced else moment
    order = np.lexsort((events["row"], arrival, person))
    events, person, moment = events[order].copy(), person[order], moment[order]
    start = np.searchsorted(person, np.arange(len(people) + 1))
    counted = np.arange(len(events)) - start[person] + 1
    if contiguous:
        _wrong(events, events["sequence"] != counted, "sequence", lambda at: (
            f"is {events['sequence'][at]}, must be {counted[at]}: they count from 1 without gaps"))  # fmt: skip
    elif sequenced:
        again = np.concatenate([[False], (np.diff(person) == 0) & (np.diff(events["sequence"]) == 0)])
        _wrong(events, again, "sequence", lambda at: f"is {events['sequence'][at]}, as that of {{}} of the same person is")
    else:
        events["sequence"] = counted
    offset = person * LATEST_MS
    effective = np.maximum.accumulate(moment + offset) - offset
    backwards = (events["effective_ms"] != ABSENT) & (moment < effective)
    _wrong(events, backwards, "effective_ms", lambda at: f"is {moment[at]}, before the event's before it, {effective[at]}")
    if not contiguous:
        _unique_ids(events)
    return Arranged(events, people, start, person, effective, _gone_at(events, person, start))


def _unique_ids(events: NDArray) -> None:
    """A mesh's own events may repeat an id once it has forgotten it; other people's may not."""
    named = np.flatnonzero((events["event"] != NOBODY) & (events["kind"] != TOOK_BACK))
    order = named[np.lexsort((events["row"][named], events["event"][named], events["person"][named]))]
    same = (np.diff(events["person"][order]) == 0) & (np.diff(events["event"][order]) == 0)
    if same.any():
        at = int(np.flatnonzero(same)[0])
        first, second = events["row"][order[at]], events["row"][order[at + 1]]
        raise Wrong(int(second), "event_id", "is that of {} of the same person as well", other=int(first))


def _gone_at(events: NDArray, person: INT, start: INT) -> INT:
    """[V] index of the first retract of each event. Retracts are few: they are gone through one by one."""
    gone = np.full(len(events), NEVER)
    for at in np.flatnonzero(events["kind"] == TOOK_BACK):
        before = events[start[person[at]] : at]
        retract = events[at]
        if retract["retracts"] != ABSENT:
            column, meant = "retracts", np.flatnonzero(before["sequence"] == retract["retracts"])
            problem = f"is {retract['retracts']}, must be a sequence before its own"
        else:
            column, meant = "event_id", np.flatnonzero((before["event"] == retract["event"]) & (before["kind"] != TOOK_BACK))
            problem = "takes back nothing: no event of the person before it has that id"
        if not len(meant):
            raise Wrong(int(retract["row"]), column, problem)
        target = int(start[person[at]] + meant[-1])
        if events["kind"][target] == TOOK_BACK:
            raise Wrong(int(retract["row"]), column, "takes a retract back")
        gone[target] = min(gone[target], at)
    return gone


def _wrong(events: NDArray, wrong: NDArray[np.bool_], column: str, problem: Callable[[int], str]) -> None:
    """Raises Wrong for the row that comes first in the file; the other row is that of the event before."""
    if wrong.any():
        bad = np.flatnonzero(wrong)
        at = int(bad[events["row"][bad].argmin()])
        raise Wrong(int(events["row"][at]), column, problem(at), other=int(events["row"][at - 1]))
