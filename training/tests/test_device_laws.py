"""Laws of batches, for every variant: nothing reaches from a person, slate or candidate to another, nor from padding to any."""

import numpy as np
import pytest
from device_fixtures import TOKENS, requests, rows
from device_people import PADDING, ZEROS

KNOWN = {"a": 9, "b": 1, "c": 4}


@pytest.fixture
def known(people):
    """Three people in the pools, and a fourth of whom nothing is known."""
    people.encode({person: rows(count) for person, count in KNOWN.items()})
    people.room("nobody", 1)
    return people


def only(request, *indexes):
    """Some people's requests."""
    return tuple(part[list(indexes)] for part in request)


def test_append_is_the_full_pass(people, equal):
    history = rows(14)
    whole = people.encode({"whole": history})["whole"]
    for cut in (1, TOKENS, 9, 13):
        people.encode({f"cut{cut}": history[:cut]})
        equal(people.encode({f"cut{cut}": history[cut:]})[f"cut{cut}"], whole)
    for row in history:
        last = people.encode({"one by one": row[None]})["one by one"]
    equal(last, whole)
    for pool in people.pools.values():
        for person in ("cut1", "cut9", "one by one"):
            equal(pool[people.rows_of(person)], pool[people.rows_of("whole")])


def test_rank_on_held_tokens_is_recompute(people, equal):
    histories = {person: rows(count) for person, count in KNOWN.items()}
    people.encode(histories)
    everybody = [*histories, "nobody"]
    people.room("nobody", 1)
    asked = requests(4, contexts=3)
    asked[1][:] = [[1], [3], [2], [3]]
    most = max(KNOWN.values()) + 3
    past = np.full((4, most, asked[0].shape[-1]), np.nan, np.float32)
    for index, person in enumerate(histories):
        past[index, : len(histories[person])] = histories[person]
    lengths = np.array([*KNOWN.values(), 0])
    equal(people.rank(everybody, *asked), people.recompute(past, lengths, *asked))


def test_company_and_padding_change_nothing(people, equal):
    """Alone with no padding at all, and among others with rows and pages to spare."""
    start, more = rows(6), rows(3)
    people.encode({"alone": start}), people.encode({"among": start, "other": rows(17), "third": rows(1)}, padding=5)
    alone = people.encode({"alone": more})["alone"]
    among = people.encode({"third": rows(4), "among": more, "other": rows(1)}, padding=2, extra=3)["among"]
    equal(among, alone)
    asked = requests(3, slates=2)
    equal(people.rank(["other", "among", "third"], *asked, extra=4)[1], people.rank(["alone"], *only(asked, 1))[0])


def test_a_neighbour_s_nan_stays_with_the_neighbour(known, equal):
    """Nor does NaN in rows of padding, in contexts behind the last, or in the pools behind somebody's tokens reach anybody."""
    asked = requests(3, slates=2, contexts=3)
    asked[1][:] = 2
    expected = known.rank(["a", "b", "c"], *asked)
    poisoned = tuple(part.copy() for part in asked)
    poisoned[0][:, :, 2:] = np.nan
    equal(known.rank(["a", "b", "c"], *poisoned), expected)
    for part in (poisoned[0], poisoned[2], poisoned[3]):
        part[1] = np.nan
    everybody = known.rank(["a", "b", "c"], *poisoned)
    equal(everybody[[0, 2]], expected[[0, 2]])
    assert np.isnan(everybody[1]).all()

    for pool in known.pools.values():
        own = [row for person in ("a", "b", "c") for row in known.rows_of(person)]
        mine = pool[own].copy()
        pool[TOKENS:] = np.nan
        pool[own] = mine
    equal(known.rank(["a", "b", "c"], *asked), expected)
    more = rows(2)
    sick = known.encode({"a": more, "b": rows(1) * np.nan}, padding=1, filler=np.nan)
    assert np.isfinite(sick["a"]).all()
    assert np.isnan(sick["b"]).all()
    equal(known.rank(["c"], *only(asked, 2))[0], expected[2])


def test_one_candidate_s_nan_is_its_own(known, equal):
    asked = requests(2, slates=2)
    expected = known.rank(["a", "b"], *asked)
    asked[2][0, 1, 3] = np.nan
    found = known.rank(["a", "b"], *asked)
    assert np.isnan(found[0, 1, 3]).all()
    keep = np.ones(found.shape[:3], bool)
    keep[0, 1, 3] = False
    equal(found[keep], expected[keep])


def test_a_candidate_has_no_neighbours_and_no_place(known, equal):
    context, counts, candidates, shared = requests(2, slates=2, candidates=7)
    together = known.rank(["a", "nobody"], context, counts, candidates, shared)
    order = np.random.default_rng(2).permutation(7)
    equal(known.rank(["a", "nobody"], context, counts, candidates[:, :, order], shared), together[:, :, order])
    for row in (0, 6):
        one = slice(row, row + 1)
        equal(known.rank(["a", "nobody"], context, counts, candidates[:, :, one], shared), together[:, :, one])


def test_slates_of_a_person_are_as_each_alone(known, equal):
    asked = requests(2, slates=4, contexts=2)
    asked[1][:] = [[1, 2, 2, 1], [2, 1, 1, 2]]
    together = known.rank(["b", "a"], *asked)
    for slate in range(4):
        one = tuple(part[:, slate : slate + 1] for part in asked)
        equal(known.rank(["b", "a"], *one), together[:, slate : slate + 1])


@pytest.mark.parametrize("contexts", [1, 2, 5, 8])
def test_contexts_behind_the_last_are_not_there(known, equal, contexts):
    asked = requests(2, contexts=8)
    few = (asked[0][:, :, :contexts], np.full((2, 1), contexts), *asked[2:])
    asked[1][:] = contexts
    equal(known.rank(["a", "nobody"], *asked), known.rank(["a", "nobody"], *few))


def test_nothing_else_in_the_pools_is_touched(known):
    """Bit for bit: an encode writes its targets, a rank nothing."""
    before = {name: pool.copy() for name, pool in known.pools.items()}
    known.rank(["a", "b", "c"], *requests(3))
    assert all((known.pools[name] == pool).all() for name, pool in before.items())
    known.encode({"a": rows(2), "new": rows(3)}, padding=2)
    written = [*known.rows_of("a")[-2:], *known.rows_of("new"), *range(PADDING * TOKENS, (PADDING + 1) * TOKENS)]
    for name, pool in known.pools.items():
        untouched = np.ones(len(pool), bool)
        untouched[written] = False
        assert (pool[untouched] == before[name][untouched]).all()
        assert not pool[ZEROS : TOKENS].any()


def test_what_must_matter_does(known):
    """Laws that hold because nothing reaches anything would be worth little."""
    asked = requests(1)
    found = known.rank(["a"], *asked)
    for part in (0, 2, 3):
        changed = tuple(one + 0.5 * (index == part) if index != 1 else one for index, one in enumerate(asked))
        assert np.abs(known.rank(["a"], *changed) - found).max() > 1e-3, part
    for name, pool in known.pools.items():
        row = known.rows_of("a")[2]
        kept = pool[row].copy()
        pool[row] += 2
        assert np.abs(known.rank(["a"], *asked) - found).max() > 1e-4, name
        pool[row] = kept


def test_gather_gives_whole_pages(known):
    gathered = known.gather(["a", "c"])
    for name, pool in known.pools.items():
        found = gathered["gathered_" + name.replace("_pool", "")]
        for index, person in enumerate(["a", "c"]):
            whole = np.concatenate([pool[page * TOKENS : (page + 1) * TOKENS] for page in known.pages[person]])
            assert (found[index, : len(whole)] == whole).all()
            assert not found[index, len(whole) :].any()
