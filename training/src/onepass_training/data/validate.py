"""Checks events and slates a batch at a time and turns names into numbers. Errors name file, row and column."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .checks import fail, floats, lengths_of, present, texts_of, times
from .dataset import BITS, FLOAT, INT, UNKNOWN
from .description import Description
from .records import ABSENT, ACTED, ASKED, EVENT, NOBODY, SHOWN, TOOK_BACK, index_of, keys, numbers, slate_record
from .rows import Rows, is_number, place, short
from .schema import LATEST_MS

MOST = float(np.finfo(np.float32).max)
"""Of a feature: it is kept as float32."""


@dataclass
class LeftOut:
    """What is not in the dataset, and why: numbers, and the first place of each."""

    counts: dict[str, int] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, count: int, where: str = "") -> None:
        """`count` more for a reason."""
        if count:
            self.counts[reason] = self.counts.get(reason, 0) + int(count)
            self.places.setdefault(reason, where)

    def lines(self) -> list[str]:
        """One for each reason."""
        return [
            f"left out: {count:,} {reason}" + (f" (first: {self.places[reason]})" if self.places[reason] else "")
            for reason, count in self.counts.items()
        ]


@dataclass(frozen=True)
class SlateBatch:
    """Slates with what hangs on them."""

    slates: NDArray
    shown: NDArray
    """Items of all slates, in their order; `slates["shown"]` counts them."""
    texts: list[str]
    given: FLOAT
    """[n, U] embeddings of queries; `slates["given"]` is the row."""


class Encoder:
    """Turns rows into records. `row_of` has the catalogue's rows by id; `dimension` is U, 0 where embeddings are computed."""

    def __init__(self, description: Description, row_of: Mapping[str, int], dimension: int, left_out: LeftOut) -> None:
        vocabulary = description.vocabulary
        self._description, self._row_of, self._dimension, self._left_out = description, row_of, dimension, left_out
        self._actions = {name: at for at, name in enumerate(vocabulary.names)}
        self._surfaces = {name: at for at, name in enumerate(vocabulary.surfaces)}
        self._features = {name: at for at, name in enumerate(vocabulary.features)}
        self._sequenced: bool | None = None

    def events(self, rows: Rows) -> tuple[NDArray, list[str]]:
        """EVENT records, and the texts that their `text` counts up to."""
        columns = rows.columns
        out = np.zeros(len(rows), EVENT)
        fail(rows, "person", pc.equal(columns["person"], ""), "is empty")
        back = self._operation(rows)
        has_item, has_query = present(columns["item_id"]), present(columns["query_text"])
        fail(rows, "item_id", ~back & (has_item == has_query), "or query_text must be set, one of them")
        for name in ("item_id", "query_text"):
            fail(rows, name, pc.equal(columns[name], ""), "is empty")
        out["kind"] = np.where(back, TOOK_BACK, np.where(has_item, ACTED, ASKED))
        out["time_ms"] = times(rows, "time_ms")
        out["effective_ms"] = times(rows, "effective_ms")
        out["sequence"] = self._sequence(rows)
        out["retracts"] = numbers(columns["retracts"])
        for name in ("person", "event", "slate"):
            out[name] = keys(columns[name if name == "person" else f"{name}_id"])
        fail(
            rows,
            "retracts",
            back & ~present(columns["retracts"]) & (out["event"] == NOBODY),
            "or event_id must say what is taken back",
        )
        fail(rows, "retracts", ~back & present(columns["retracts"]), "is set, though the event takes nothing back")
        out["row"] = rows.numbers
        out["item"] = self._items(rows, "item_id", columns["item_id"], "events of unknown items", ~back & has_item)
        out["surface"] = self._surface(rows, "events", ~back)
        out["actions"] = self._done(rows, "actions", columns["actions"], np.arange(len(rows)), ~back & has_item)
        acted = out["kind"] == ACTED
        if not self._description.served:
            fail(rows, "actions", acted & (out["actions"] == 0), "must name at least one action")
        else:
            self._note(rows, "actions", "events without an action that the release knows", acted & (out["actions"] == 0))
        texts = texts_of(columns["query_text"], out["kind"] == ASKED)
        out["text"] = np.where(out["kind"] == ASKED, np.cumsum(out["kind"] == ASKED) - 1, ABSENT)
        return out, texts

    def slates(self, rows: Rows) -> SlateBatch:
        """Slate records with their shown items."""
        columns, out = rows.columns, np.zeros(len(rows), slate_record(len(self._features)))
        fail(rows, "slate_id", pc.equal(columns["slate_id"], ""), "is empty")
        fail(rows, "person", pc.equal(columns["person"], ""), "is empty; leave it out for nobody in particular")
        out["person"], out["slate"], out["row"] = keys(columns["person"]), keys(columns["slate_id"]), rows.numbers
        out["time_ms"] = times(rows, "time_ms")
        sequence = numbers(columns["history_sequence"], ABSENT)
        wrong = present(columns["history_sequence"]) & (sequence < 0)
        fail(rows, "history_sequence", wrong, lambda at: f"is {sequence[at]}, must not be negative")
        blind = self._without_history(columns["degraded"])
        out["sequence"] = np.where(blind, ABSENT, sequence)
        out["foreign"] = columns["foreign"].fill_null(False).to_numpy(zero_copy_only=False)
        out["surface"] = self._surface(rows, "slates", np.ones(len(rows), bool))
        out["related"] = self._related(columns["related_item_ids"])
        asked = present(columns["query_text"])
        out["text"] = np.where(asked, np.cumsum(asked) - 1, ABSENT)
        embeddings = self._given_embeddings(rows)
        has = present(columns["query_embedding"])
        out["given"] = np.where(has, np.cumsum(has) - 1, ABSENT)
        out["features"] = self._feature_values(rows)
        shown = self._shown(rows, out)
        return SlateBatch(out, shown, texts_of(columns["query_text"], asked), embeddings)

    def _operation(self, rows: Rows) -> NDArray[np.bool_]:
        """[n] whether an event takes another back."""
        operation = rows.columns["operation"].fill_null("add")
        code = index_of(operation, {"add": 0, "retract": 1})
        fail(rows, "operation", code == ABSENT, lambda at: f"is {operation[at].as_py()!r}, must be add or retract")
        return code == 1

    def _sequence(self, rows: Rows) -> INT:
        """[n] sequences: in all rows of a file, or in none."""
        has = present(rows.columns["sequence"])
        if self._sequenced is None:
            self._sequenced = bool(has[0])
        word = "is missing, though rows before it have one" if self._sequenced else "is set, though rows before it have none"
        fail(rows, "sequence", has != self._sequenced, word)
        values = numbers(rows.columns["sequence"])
        wrong = has & ((values < 0) | (values >= LATEST_MS))
        fail(rows, "sequence", wrong, lambda at: f"is {values[at]}, must be from 0 to {LATEST_MS - 1}")
        return values

    def _items(self, rows: Rows, column: str, ids: pa.Array, reason: str, wanted: NDArray[np.bool_]) -> INT:
        """[n] item rows; ABSENT for an item that is not in the catalogue."""
        found = index_of(ids, self._row_of)
        self._note(rows, column, reason, wanted & (found == ABSENT), lambda at: repr(ids[at].as_py()))
        return found

    def _surface(self, rows: Rows, what: str, wanted: NDArray[np.bool_]) -> INT:
        """[n] surfaces; ABSENT where a release does not know one."""
        texts = rows.columns["surface"]
        fail(rows, "surface", wanted & ~present(texts), "is missing")
        found = index_of(texts, self._surfaces)
        unknown = wanted & (found == ABSENT)
        self._refuse(rows, "surface", unknown, lambda at: texts[at].as_py(), "surface")
        self._note(rows, "surface", f"{what} of a surface that the release does not know", unknown)
        return found

    def _done(self, rows: Rows, column: str, lists: pa.Array, owner: INT, wanted: NDArray[np.bool_] | None = None) -> BITS:
        """[n] sets of actions. Entry e of `lists` is of the row at owner[e], which an error names."""
        flat, parent = lists.flatten(), np.repeat(np.arange(len(lists)), lengths_of(lists))
        found = index_of(flat, self._actions)
        unknown = (found == ABSENT) & (wanted[parent] if wanted is not None else True)
        if unknown.any():
            at = int(np.flatnonzero(unknown)[0])
            name, row = flat[at].as_py(), int(owner[parent[at]])
            if not self._description.served:
                raise rows.error(row, column, self._unknown(name, "action"))
            where = f"{name!r} at " + place(rows.path, int(rows.numbers[row]), column)
            self._left_out.add("names of actions that the release does not know", unknown.sum(), where)
        bits = np.zeros(len(lists), np.uint32)
        use = found != ABSENT
        np.bitwise_or.at(bits, parent[use], np.uint32(1) << found[use].astype(np.uint32))
        return bits

    def _without_history(self, degraded: pa.Array) -> NDArray[np.bool_]:
        """[n] slates that were made without the history that was there."""
        flat, parent = degraded.flatten(), np.repeat(np.arange(len(degraded)), lengths_of(degraded))
        out = np.zeros(len(degraded), bool)
        out[parent[index_of(flat, {"ENCODER": 0, "HISTORY": 1}) != ABSENT]] = True
        return out

    def _related(self, lists: pa.Array) -> INT:
        """[n] row of the first related item that is known."""
        flat, parent = lists.flatten(), np.repeat(np.arange(len(lists)), lengths_of(lists))
        found = index_of(flat, self._row_of)
        out, use = np.full(len(lists), ABSENT, np.int64), np.flatnonzero(found != ABSENT)[::-1]
        out[parent[use]] = found[use]
        return out

    def _given_embeddings(self, rows: Rows) -> FLOAT:
        lists = rows.columns["query_embedding"]
        lengths, has = lengths_of(lists), present(lists)
        if self._dimension == 0:
            fail(
                rows,
                "query_embedding",
                has,
                "is set, though the items' embeddings are computed: there is no space for it to be in",
            )
        wrong = has & (lengths != self._dimension)
        fail(
            rows,
            "query_embedding",
            wrong,
            lambda at: f"has {lengths[at]} numbers, the items' embeddings have {self._dimension}",
        )
        values = floats(lists).reshape(-1, max(1, self._dimension))
        bad = np.flatnonzero(has)[~np.isfinite(values).all(axis=1)]
        if len(bad):
            raise rows.error(int(bad[0]), "query_embedding", "holds a number that is missing or not finite")
        return values

    def _feature_values(self, rows: Rows) -> FLOAT:
        """[n, R] NaN where one was not given."""
        out = np.full((len(rows), len(self._features)), np.nan, np.float32)
        for at, held in enumerate(rows.columns["features"]):
            for name, value in (held or {}).items():
                column = f"features.{name}"
                if name not in self._features:
                    if not self._description.served:
                        raise rows.error(at, column, self._unknown(name, "feature"))
                    self._left_out.add(
                        "features that the release does not know", 1, place(rows.path, int(rows.numbers[at]), column)
                    )
                    continue
                if value is None:
                    continue
                if not is_number(value) or not abs(value) <= MOST:
                    raise rows.error(at, column, f"is {short(value)}, must be a finite number")
                out[at, self._features[name]] = value
        return out

    def _shown(self, rows: Rows, slates: NDArray) -> NDArray:
        """SHOWN records; counts go to `slates`."""
        lists = rows.columns["items"]
        flat, counts = lists.flatten(), lengths_of(lists)
        owner = np.repeat(np.arange(len(rows)), counts)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        ids, out = pc.struct_field(flat, "item_id"), np.zeros(len(owner), SHOWN)

        def fail_item(name: str, wrong: NDArray[np.bool_], problem: str) -> None:
            if wrong.any():
                at = int(np.flatnonzero(wrong)[0])
                raise rows.error(int(owner[at]), f"items[{within[at]}].{name}", problem)

        fail_item("item_id", ~present(ids), "is missing")
        position = pc.struct_field(flat, "position")
        place_on_page = numbers(position, 0)
        fail_item("position", (place_on_page < 0) | (place_on_page >= 1 << 31), "must be a place on a page, from 0")
        out["position"] = np.where(present(position), place_on_page, within)
        visible = pc.struct_field(flat, "visible")
        out["visible"] = np.where(present(visible), visible.fill_null(False).to_numpy(zero_copy_only=False), UNKNOWN)
        out["item"] = index_of(ids, self._row_of)
        out["actions"] = self._done(rows, "items.actions", pc.struct_field(flat, "actions"), owner)
        unknown = out["item"] == ABSENT
        if unknown.any():
            at = int(np.flatnonzero(unknown)[0])
            where = place(rows.path, int(rows.numbers[owner[at]]), f"items[{within[at]}]")
            self._left_out.add("shown items that are unknown", unknown.sum(), f"{ids[at].as_py()!r} at {where}")
        slates["shown"] = np.bincount(owner[~unknown], minlength=len(rows))
        return out[~unknown]

    def _unknown(self, name: object, what: str) -> str:
        return f"{name!r} is no {what} of {self._description.path}: mend the row, or add it to `{what}s` there"

    def _refuse(self, rows: Rows, column: str, wrong: NDArray[np.bool_], name: object, what: str) -> None:
        if not self._description.served:
            fail(rows, column, wrong, lambda at: self._unknown(name(at), what))

    def _note(self, rows: Rows, column: str, reason: str, out: NDArray[np.bool_], name: object = None) -> None:
        if out.any():
            at = int(np.flatnonzero(out)[0])
            where = place(rows.path, int(rows.numbers[at]), column)
            self._left_out.add(reason, out.sum(), f"{name(at)} at {where}" if name else where)
