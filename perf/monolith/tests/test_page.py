"""Pages with kept KV are those without; the cache's bounds hold; search leaves out what it must."""

import numpy as np
import pytest

from onepass_monolith.blend import apportion, blend
from onepass_monolith.histories import History, Told
from onepass_monolith.kv import KvCache
from onepass_monolith.page import APPEND, EMPTY, RECOMPUTE, SLOT, Ask, Budget

NOW = 1_780_000_000_000
SHARES = [Budget("any", 0.5), Budget("save", 0.3), Budget("click", 0.2)]


def ask(release, **changed):
    settings = {"surface": 0, "now_ms": NOW, "page_size": 10, "candidates": 60, "budgets": SHARES}
    return Ask(**settings | {"weights": release.utility_weights} | changed)


def told(at, retract=False, item=None):
    row = (37 * at) % 400 if item is None else item
    return Told(f"e{at}", row, None, 1 + at % 3, at % 3, NOW - 10_000_000 + 60_000 * at, retract)


def same(kept, fresh):
    assert kept.rows.tolist() == fresh.rows.tolist()
    assert np.abs(kept.probabilities - fresh.probabilities).max() < 1e-4


def test_a_history_that_grows_gives_the_same_pages_with_kv_and_without(release, maker):
    cache, history, random = KvCache(release.layers, release.window, release.width, 1), History(), np.random.default_rng(4)
    entry, sources, at = cache.claim("me"), [], 0
    for _ in range(25):
        for _ in range(int(random.integers(0, 4))):
            history.write(told(at))
            at += 1
        snapshot = history.snapshot()
        kept, fresh = maker.make(ask(release), snapshot, entry), maker.make(ask(release), snapshot, None)
        assert entry.length <= release.window
        sources.append(kept.kv_source)
        if kept.kv_tokens == fresh.kv_tokens:  # past the window, kept KV has more of the history than a new pass would take
            same(kept, fresh)
    assert set(sources) <= {EMPTY, SLOT, APPEND, RECOMPUTE}
    assert {SLOT, APPEND} <= set(sources)


def test_what_is_taken_back_is_out_of_the_kv(release, maker):
    cache, history = KvCache(release.layers, release.window, release.width, 1), History()
    entry = cache.claim("me")
    for at in range(8):
        history.write(told(at))
    maker.make(ask(release), history.snapshot(), entry)
    history.write(told(7, retract=True))
    snapshot = history.snapshot()
    assert (snapshot.sequence, len(snapshot.tokens)) == (9, 7)
    page = maker.make(ask(release), snapshot, entry)
    assert page.kv_source == RECOMPUTE
    same(page, maker.make(ask(release), snapshot, None))
    assert history.write(told(7, retract=True)).duplicate


def test_nothing_seen_or_excluded_is_on_a_page(release, maker):
    history = History()
    for at in range(30):
        history.write(told(at))
    snapshot = history.snapshot()
    excluded = maker.make(ask(release), snapshot, None).rows[:5].tolist()
    page = maker.make(ask(release, excluded=excluded, candidates=400, page_size=100), snapshot, None)
    assert page.ranked == 400 - len({*snapshot.seen.tolist(), *excluded})
    assert not {*snapshot.seen.tolist(), *excluded} & set(page.rows.tolist())
    assert sorted(page.utilities, reverse=True) == page.utilities.tolist()


def test_the_cache_holds_no_more_than_its_bytes_and_nothing_that_is_read(release):
    cache = KvCache(release.layers, release.window, release.width, 3.5 * 8 * 2 * 32 * 32 / 2**20)
    assert cache.most == 3
    entries = [cache.claim(name) for name in "abc"]
    entries[0].users = 1
    assert cache.get("b") is entries[1]
    assert cache.claim("d") is entries[2]
    assert cache.get("c") is None
    entries[1].users = entries[2].users = 1
    assert cache.claim("e") is None
    assert len(cache) == 3


def test_a_late_event_counts_as_having_happened_when_its_predecessor_did():
    history = History()
    history.write(told(5))
    history.write(told(2))
    times = history.snapshot().tokens["time_ms"]
    assert times[0] == times[1]
    assert history.write(told(2)).duplicate
    assert "ahead" in history.write(Told("late", 1, None, 1, 0, 2**53)).refused


@pytest.mark.parametrize(
    ("total", "shares", "available", "expected"),
    [(10, [0.5, 0.33, 0.17], [99, 99, 99], [5, 3, 2]), (10, [0.5, 0.5], [2, 99], [2, 8]), (10, [1.0], [3], [3])],
)
def test_places_go_by_share(total, shares, available, expected):
    assert apportion(total, shares, available) == expected


def test_lists_alternate_in_proportion_and_an_item_counts_once():
    scores = np.zeros(4, np.float32)
    found = blend([(np.array([1, 2, 3, 4]), scores), (np.array([2, 5, 6, 7]), scores)], [0.5, 0.5], 6)
    lists = [[1, 2, 3, 4], [2, 5, 6, 7]]
    assert [lists[at][rank] for at, rank in found] == [1, 2, 3, 5, 4, 6]
