"""The evaluation set and what is held out, against loops over hand-made buckets."""

from dataclasses import replace

import hand_made
import numpy as np
import pytest
from hand_made import HOUR, VOCABULARY

from onepass_training.data.dataset import HIDDEN
from onepass_training.evaluation.held_out import LEAST, LeaveOneOut
from onepass_training.evaluation.slates import HORIZON_MS, LATER_MS, person_hashes, slate_set

ALL_PEOPLE = 10_000
POSITIVE = VOCABULARY.positive_bits


@pytest.fixture(scope="module")
def data():
    return hand_made.dataset()


@pytest.fixture(scope="module")
def slates(data):
    return slate_set(data, data.splits.test_ms, data.splits.end_ms, ALL_PEOPLE, 4)


def test_every_slate_of_the_period_that_holds_an_item_is_there_once(data, slates):
    expected = [
        (index, slate)
        for index, bucket in enumerate(data.each_bucket())
        for slate in range(len(bucket.slate_prefix))
        if bucket.slate_time_ms[slate] >= data.splits.test_ms and bucket.shown_start[slate + 1] > bucket.shown_start[slate]
    ]
    assert list(zip(slates.bucket.tolist(), slates.slate.tolist(), strict=True)) == expected
    assert len(np.unique(slates.key)) == len(slates) > 20


def test_rows_say_what_a_loop_over_the_logs_says(data, slates):
    at, items = slates.seen(np.arange(len(slates)))
    for row in range(len(slates)):
        bucket, slate = data.bucket(slates.bucket[row]), slates.slate[row]
        history = bucket.slate_history[slate]
        past = range(bucket.event_start[history], bucket.slate_prefix[slate])
        seen = [int(bucket.event_item[event]) for event in past if bucket.event_item[event] >= 0]
        assert items[at == row].tolist() == seen
        shown = list(range(bucket.shown_start[slate], bucket.shown_start[slate + 1]))[:4]
        assert slates.shown[row, : len(shown)].tolist() == shown
        assert (slates.shown[row, len(shown) :] == -1).all()
        judged = [bool(bucket.shown_visible[place] != HIDDEN) for place in shown]
        assert slates.judged[row].tolist() == judged + [False] * (4 - len(shown))
        good = [
            int(bucket.shown_item[place])
            for place, ok in zip(shown, judged, strict=True)
            if ok and bucket.shown_actions[place] & POSITIVE and bucket.shown_item[place] not in seen
        ]
        assert slates.target[row] == (good[0] if good else -1)
        until = bucket.slate_time_ms[slate] + HORIZON_MS
        first_at = {}
        for event in range(bucket.slate_prefix[slate], bucket.event_start[history + 1]):
            if bucket.event_time_ms[event] < until and bucket.event_actions[event] & POSITIVE:
                first_at.setdefault(int(bucket.event_item[event]), bucket.event_time_ms[event] - bucket.slate_time_ms[slate])
        wanted = sorted(set(first_at) - set(seen))
        assert wanted == slates.wanted_item[slates.wanted_row == row].tolist()
        later = slates.wanted_later[slates.wanted_row == row].tolist()
        assert later == [bool(first_at[item] >= LATER_MS) for item in wanted]


def test_a_sample_of_people_is_whole_and_the_same_whatever_else_is_asked(data, slates):
    some = slate_set(data, data.splits.test_ms, data.splits.end_ms, 9, 4)
    people = np.unique(some.person)
    assert len(people) == 9
    assert some.key.tolist() == slates.key[np.isin(slates.person, people)].tolist()
    assert people.tolist() == np.sort(np.unique(slates.person))[:9].tolist()
    assert len(slate_set(data, data.splits.end_ms, data.splits.end_ms, 9, 4)) == 0


def test_taking_rows_keeps_what_they_want(slates):
    rows = np.arange(1, len(slates), 3)
    part = slates.take(rows)
    for place, row in enumerate(rows):
        assert part.wanted_item[part.wanted_row == place].tolist() == slates.wanted_item[slates.wanted_row == row].tolist()
    assert part.seen(np.array([2]))[1].tolist() == slates.seen(rows[2:3])[1].tolist()


def engaged_events(bucket, history):
    events = range(bucket.event_start[history], bucket.event_start[history + 1])
    return [event for event in events if bucket.event_item[event] >= 0 and bucket.event_actions[event] & POSITIVE]


def test_leave_one_out_hides_the_last_two_and_asks_for_them(data):
    view = LeaveOneOut(data)
    asked = 0
    for index, whole in enumerate(data.each_bucket()):
        left, tests, checks = view.bucket(index), view.held_out().bucket(index), view.held_out(test=False).bucket(index)
        for history in range(whole.histories):
            last = [h for h in range(whole.histories) if whole.history_person[h] == whole.history_person[history]][-1]
            good = engaged_events(whole, last)
            kept = slice(left.event_start[history], left.event_start[history + 1])
            mine = slice(whole.event_start[history], whole.event_start[history + 1])
            if len(good) < LEAST:
                assert left.event_item[kept].tolist() == whole.event_item[mine].tolist()
                continue
            cut = whole.event_time_ms[good[-2]]
            expected = good[-2] - mine.start if history == last else (whole.event_time_ms[mine] < cut).sum()
            assert left.event_item[kept].tolist() == whole.event_item[mine].tolist()[:expected]
            if history != last:
                continue
            asked += 1
            for questions, event in ((tests, good[-1]), (checks, good[-2])):
                slate = questions.slate_start[history]
                assert questions.slate_start[history + 1] == slate + 1
                assert questions.slate_prefix[slate] == event
                assert questions.shown_item[slate] == whole.event_item[event]
    assert asked > 15


def test_no_training_slate_of_a_held_out_person_tells_of_what_is_held_out(data):
    view = LeaveOneOut(data)
    for index, whole in enumerate(data.each_bucket()):
        left = view.bucket(index)
        assert (left.slate_prefix >= left.event_start[left.slate_history]).all()
        assert (left.slate_prefix <= left.event_start[left.slate_history + 1]).all()
        for history in range(whole.histories):
            good = engaged_events(whole, history)
            last = history + 1 == whole.histories or whole.history_person[history + 1] != whole.history_person[history]
            if len(good) < LEAST or not last:
                continue
            cut = whole.event_time_ms[good[-2]]
            for slate in range(left.slate_start[history], left.slate_start[history + 1]):
                assert left.slate_time_ms[slate] < cut
                places = slice(left.shown_start[slate], left.shown_start[slate + 1])
                acted = left.shown_item[places][left.shown_actions[places] > 0]
                assert not set(acted) & set(whole.event_item[good[-2:]])


def test_hashes_are_stable():
    assert person_hashes(["p1", ""]).tolist() == [int(value) for value in person_hashes(["p1"])] + person_hashes([""]).tolist()
    assert HORIZON_MS == 24 * HOUR


def test_buckets_without_anything_are_passed_over(data):
    empty = hand_made.bucket(7, histories=1)
    more = replace(data, held=(empty, *data.held))
    found, plain = (slate_set(one, 1, one.splits.end_ms, ALL_PEOPLE, 4) for one in (more, data))
    assert found.key.tolist() == plain.key.tolist()
    assert (found.bucket == plain.bucket + 1).all()
    assert found.seen(np.arange(len(found)))[1].tolist() == plain.seen(np.arange(len(plain)))[1].tolist()
    assert LeaveOneOut(more).held_out().bucket(0).histories == 1
