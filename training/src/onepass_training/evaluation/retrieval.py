"""Retrieval metrics of a contender, over chunks of slates: scores of all items are never held for many slates at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.dataset import NONE, Dataset, Items
from .metrics import FLOAT, INT, coverage, distinct_values, diversity, found_share, merge_by_budget, ranks, top_items
from .scorers import ANY, CHUNK, Ask, Contender, take_out_seen
from .slates import SlateSet

AT = (10, 100)
HOUR_MS = 3_600_000
OFFSETS_MS = (0, HOUR_MS, 8 * HOUR_MS)
OFFSET_BUDGETS = (0.5, 0.25, 0.25)
OUTCOME_BUDGETS = (0.5, 0.5)
"""Any outcome, and the one that is asked for."""


@dataclass(frozen=True)
class Retrieved:
    """What was found."""

    values: dict[str, FLOAT]
    """Metric -> [R], NaN where a slate does not count."""
    coverage: float


@dataclass(frozen=True)
class _Values:
    """Attribute values of items as numbers: item i has values[starts[i] : starts[i + 1]]."""

    starts: INT
    values: INT


def attribute_values(items: Items) -> dict[str, _Values]:
    """The attributes that are texts or lists of texts, by name."""
    names = {name for attributes in items.attributes for name, value in attributes.items() if isinstance(value, (str, list))}
    found = {}
    for name in sorted(names):
        held = [attributes.get(name, []) for attributes in items.attributes]
        lists = [value if isinstance(value, list) else [str(value)] for value in held]
        flat = np.array([str(value) for values in lists for value in values], dtype=object)
        starts = np.concatenate([[0], np.cumsum([len(values) for values in lists])])
        numbers = np.unique(flat.astype(str), return_inverse=True)[1] if len(flat) else np.zeros(0, np.int64)
        found[name] = _Values(starts, numbers)
    return found


def plans(contender: Contender, asked_for: int) -> dict[str, tuple[tuple[Ask, ...], tuple[float, ...]]]:
    """Several ways to spend one number of retrieved items: one query, or several with a budget each."""
    found = {"one": ((ANY,), (1.0,))}
    if contender.offsets:
        found["offsets"] = (tuple(Ask(offset_ms=ms) for ms in OFFSETS_MS), OFFSET_BUDGETS)
    if contender.outcomes:
        found["outcomes"] = ((ANY, Ask(asked_for)), OUTCOME_BUDGETS)
    return found


def retrieve(slates: SlateSet, rows: INT, contender: Contender, dataset: Dataset, asked_for: int) -> Retrieved:
    """All retrieval metrics of `rows` [Q]; `asked_for` is the action that has a budget of its own among several queries."""
    ways = plans(contender, asked_for)
    asks = list(dict.fromkeys(ask for way, _ in ways.values() for ask in way))
    names = [f"recallAt{at}" for at in AT]
    names += [f"{kind}At{at}/{way}" for kind in ("unorderedRecall", "laterRecall") for at in AT for way in ways]
    values = {name: np.full(len(slates), np.nan) for name in names}
    outcomes = _outcomes(slates, dataset)
    for action, told in ((a, t) for a in outcomes for t in (("any", "outcome") if contender.outcomes else ("any",))):
        name = dataset.vocabulary.names[action]
        values |= {f"askedFor/{name}/{told}/recallAt{at}": np.full(len(slates), np.nan) for at in AT}
    tops: list[INT] = []
    for start in range(0, len(rows), CHUNK):
        some = rows[start : start + CHUNK]
        lists = {}
        for ask in asks:
            scores = take_out_seen(contender.retriever.scores(slates, some, ask), slates, some)
            lists[ask] = top_items(scores, max(AT))
            if ask == ANY:
                _note(values, "", some, ranks(scores, slates.target[some]))
                for action, wanted in outcomes.items():
                    mine = np.flatnonzero(wanted[some] != NONE)
                    name = f"askedFor/{dataset.vocabulary.names[action]}/any/"
                    _note(values, name, some[mine], ranks(scores[mine], wanted[some[mine]]))
        tops.append(lists[ANY][:, : min(AT)])
        part = slates.take(some)
        for at in AT:
            for way, (asked, budgets) in ways.items():
                merged = merge_by_budget([lists[ask] for ask in asked], budgets, at)
                for kind, use in (("unorderedRecall", np.ones_like(part.wanted_later)), ("laterRecall", part.wanted_later)):
                    share = found_share(merged, part.wanted_row[use], part.wanted_item[use], len(dataset.items))
                    values[f"{kind}At{at}/{way}"][some] = share
    if contender.outcomes:
        _ask_outcomes(values, slates, rows, contender, dataset, outcomes)
    best = np.concatenate(tops) if tops else np.zeros((0, min(AT)), np.int64)
    values |= _variety(best, rows, len(slates), contender.table, dataset.items)
    return Retrieved(values, coverage(best, len(dataset.items)) if len(best) else float("nan"))


def _outcomes(slates: SlateSet, dataset: Dataset) -> dict[int, INT]:
    """By positive action, [R] the first item of each slate that it was done on and that is new to the person; NONE."""
    actions = dataset.vocabulary.actions
    return {at: slates.first_unseen(slates.labels(1 << at)) for at, action in enumerate(actions) if not action.negative}


def _ask_outcomes(
    values: dict[str, FLOAT], slates: SlateSet, rows: INT, contender: Contender, dataset: Dataset, outcomes: dict[int, INT]
) -> None:
    """Each action is asked for on the slates where it was done."""
    for action, wanted in outcomes.items():
        able = rows[wanted[rows] != NONE]
        for start in range(0, len(able), CHUNK):
            some = able[start : start + CHUNK]
            scores = take_out_seen(contender.retriever.scores(slates, some, Ask(action)), slates, some)
            _note(values, f"askedFor/{dataset.vocabulary.names[action]}/outcome/", some, ranks(scores, wanted[some]))


def _note(values: dict[str, FLOAT], prefix: str, rows: INT, places: INT) -> None:
    """Enters whether what `rows` want was found at its place."""
    for at in AT:
        values[f"{prefix}recallAt{at}"][rows] = places < at


def _variety(best: INT, rows: INT, slates: int, table: FLOAT | None, items: Items) -> dict[str, FLOAT]:
    """How different the best ten of each of `rows` are: in the contender's own space, in that of the upstream embeddings, which
    is the same for all contenders, and by attribute."""
    size = np.linalg.norm(items.upstream, axis=1, keepdims=True)
    upstream: NDArray[np.float32] = items.upstream / np.maximum(size, 1e-12)
    found = {"diversityAt10/upstream": diversity(best, upstream)}
    if table is not None:
        found["diversityAt10/own"] = diversity(best, table)
    for name, values in attribute_values(items).items():
        found[f"distinctAt10/{name}"] = distinct_values(best, values.starts, values.values).astype(np.float64)
    spread = {}
    for name, values in found.items():
        spread[name] = np.full(slates, np.nan)
        spread[name][rows] = values
    return spread
