"""The input row, column by column."""

import math

import numpy as np

from onepass_training.model.rows import CANDIDATE, CONTEXT, NO_TIME, PAST_ACTION, RawEvent, RowLayout
from onepass_training.model.rows import history_rows as rows_of
from onepass_training.world.config import ACTIONS, SURFACES

LAYOUT = RowLayout(2, ACTIONS, SURFACES)
TABLE = np.array([[1, 0], [0, 1]], np.float32)
ROWS = {"a": 0, "b": 1}
MONDAY = 1_767_571_200_000
TEXT = np.array([0.6, 0.8], np.float32)


def history_rows(events):
    """Of a release that knows the items a and b, and every text but "..."."""
    return rows_of(
        LAYOUT, events, lambda item: TABLE[ROWS[item]] if item in ROWS else None, lambda text: None if text == "..." else TEXT
    )


def test_columns_add_up():
    assert RowLayout(64, ACTIONS, SURFACES).columns == 64 + 6 + 3 + 8 + 4
    assert LAYOUT.columns == LAYOUT.embedding + LAYOUT.features


def test_a_past_row_column_by_column():
    events = [RawEvent("a", ("click",), "home", MONDAY), RawEvent("b", ("save", "click"), "related", MONDAY + 6 * 3_600_000)]
    rows, last = history_rows(events)
    week = 2 * math.pi * ((MONDAY + 6 * 3_600_000) % 604_800_000) / 604_800_000
    quarter = 2 * math.pi * ((MONDAY + 6 * 3_600_000) % 7_889_400_000) / 7_889_400_000
    expected = [
        0, 1,  # embedding
        1, 0, 1, 0, 0,  # actions
        0,  # [MASK]
        0, 0, 1,  # surface
        1, 0, math.sin(week), math.cos(week), math.sin(quarter), math.cos(quarter),
        math.log1p(6 * 3600) / 20, 1,  # since the previous token
        1, 0, 0, 0,  # kind
    ]  # fmt: skip
    np.testing.assert_allclose(rows[1], expected, atol=1e-6)
    assert rows.dtype == np.float32
    assert rows[0, -6:].tolist() == [0, 0, 1, 0, 0, 0], "nothing before the first"
    assert last == MONDAY + 6 * 3_600_000


def test_what_a_release_does_not_know_makes_no_row_and_is_nobodys_previous():
    known = [RawEvent("a", ("click",), "home", 1_000), RawEvent("b", ("save", "wave"), "home", 61_000)]
    others = [RawEvent("nowhere", ("click",), "home", 30_000), RawEvent("a", ("wave",), "home", 40_000)]
    clean = [known[0], RawEvent("b", ("save",), "home", 61_000)]
    with_others, last = history_rows([known[0], *others, known[1]])
    np.testing.assert_array_equal(with_others, history_rows(clean)[0])
    assert last == 61_000
    nothing, last = history_rows(others)
    assert nothing.shape == (0, LAYOUT.columns)
    assert last == NO_TIME


def test_a_past_row_depends_on_earlier_events_only():
    events = [RawEvent("ab"[k % 2], ("click",), "home", 1_000 * k * k) for k in range(6)]
    whole, _ = history_rows(events)
    for cut in range(1, 6):
        np.testing.assert_array_equal(history_rows(events[:cut])[0], whole[:cut])


def test_a_query_is_a_row_of_its_text_without_actions():
    events = [RawEvent(None, ("click",), "search", 1_000, "teal mug"), RawEvent("a", ("click",), "search", 61_000)]
    rows, last = history_rows(events)
    np.testing.assert_array_equal(rows[0, :2], TEXT)
    assert rows[0, 2:8].tolist() == [0] * 6, "neither actions nor [MASK]"
    assert rows[0, 8:11].tolist() == [0, 1, 0]
    assert rows[0, -4:].tolist() == [0, 1, 0, 0]
    assert rows[1, -6] == np.float32(np.log1p(60) / 20), "a query is the next row's previous one"
    assert last == 61_000


def test_a_text_without_a_token_makes_no_row():
    known = [RawEvent("a", ("click",), "home", 1_000), RawEvent("b", ("click",), "home", 61_000)]
    with_text = [known[0], RawEvent(None, ("search",), "search", 30_000, "..."), known[1]]
    np.testing.assert_array_equal(history_rows(with_text)[0], history_rows(known)[0])


def test_kinds_and_mask():
    def row(kind, masked):
        at = np.array([5_000])
        return LAYOUT.feature_rows(np.ones((1, 5), np.float32), [masked], np.array([0]), at, at - 4_000, kind)[0]

    assert row(PAST_ACTION, False)[:6].tolist() == [1, 1, 1, 1, 1, 0]
    assert row(PAST_ACTION, True)[:6].tolist() == [0, 0, 0, 0, 0, 1]
    assert row(CONTEXT, False)[-4:].tolist() == [0, 0, 1, 0]
    assert row(CANDIDATE, True)[-4:].tolist() == [0, 0, 0, 1]


def test_time_that_runs_backwards_counts_as_none():
    assert LAYOUT.delta(np.array([1_000]), np.array([5_000])).tolist() == [0]
