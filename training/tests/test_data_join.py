"""Histories and slates joined from records: order of arrival, retracts, prefixes, and that nothing leaks over a split."""

import numpy as np
import pytest
from logs import DAY, DESCRIPTION, asked, event, prepared, slate

from onepass_training.config import TrainConfig
from onepass_training.data.dataset import NONE
from onepass_training.data.disk import DiskDataset
from onepass_training.data.records import key
from onepass_training.learn.examples import ExampleSource

NO_SPLITS = DESCRIPTION | {"splits": {"validation": 0, "test": 0}}
CLICK, SAVE, HIDE = 1, 2, 4


def _histories(dataset, person):
    """(items of events, [(prefix, items, actions) of slates]) of each history of a person."""
    out = []
    for bucket in dataset.each_bucket():
        for at, name in enumerate(bucket.history_person):
            if name != f"{key(person):016x}":
                continue
            first, end = bucket.event_start[at : at + 2]
            slates = []
            for one in range(*bucket.slate_start[at : at + 2]):
                shown = slice(*bucket.shown_start[one : one + 2])
                done = bucket.shown_actions[shown].tolist()
                slates.append((int(bucket.slate_prefix[one] - first), bucket.shown_item[shown].tolist(), done))
            out.append((bucket.event_item[first:end].tolist(), slates))
    return out


def test_arrival_is_by_sequence_and_effective_time_never_runs_backwards(tmp_path):
    events = [event("ann", "i2", 300, sequence=2), event("ann", "i1", 500, sequence=1), event("ann", "i3", 700, sequence=7)]
    bucket = prepared(tmp_path, events, [slate("s", "ann", 900, ["i1"])], description=NO_SPLITS).bucket(0)
    assert bucket.event_item.tolist() == [1, 2, 3]
    assert bucket.event_time_ms.tolist() == [500, 500, 700]


def test_arrival_without_sequences_is_by_time_and_then_by_place_in_the_file(tmp_path):
    events = [event("ann", "i3", 700), event("ann", "i1", 500), event("ann", "i2", 500)]
    bucket = prepared(tmp_path, events, [slate("s", "ann", 900, ["i1"])], description=NO_SPLITS).bucket(0)
    assert bucket.event_item.tolist() == [1, 2, 3]


def test_a_slate_hangs_where_its_sequence_says_or_its_time(tmp_path):
    events = [event("ann", f"i{at}", 100 * at, sequence=at) for at in range(1, 5)]
    slates = [
        slate("told", "ann", 1_000, ["i5"], history_sequence=2),
        slate("by-time", "ann", 300, ["i5"]),
        slate("blind", "ann", 350, ["i5"], history_sequence=0, degraded=["ENCODER"]),
        slate("foreign", "ann", 150, ["i5"], history_sequence=4, foreign=True),
        slate("forgotten", "ann", 2_000, ["i5"], history_sequence=5),
    ]
    said = []
    dataset = prepared(tmp_path, events, slates, description=NO_SPLITS, said=said)
    bucket = dataset.bucket(0)
    assert dict(zip(bucket.slate_time_ms.tolist(), bucket.slate_prefix.tolist(), strict=True)) == {
        150: 1, 300: 2, 350: 3, 1_000: 2,
    }  # fmt: skip
    assert "left out: 1 slates with a history that is not there" in said


def test_a_slate_is_never_made_from_its_own_actions_and_never_older_than_its_past(tmp_path):
    events = [event("ann", "i1", 100), event("ann", "i2", 200, slate_id="s"), event("ann", "i3", 300)]
    events = [row | {"sequence": at + 1} for at, row in enumerate(events)]
    bucket = prepared(
        tmp_path, events, [slate("s", "ann", 50, ["i2"], history_sequence=3)], description=NO_SPLITS
    ).bucket(0)  # fmt: skip
    assert bucket.slate_prefix.tolist() == [1]
    assert bucket.slate_time_ms.tolist() == [100]
    assert bucket.shown_actions.tolist() == [CLICK]


def test_what_was_taken_back_is_in_the_history_of_slates_before_it_only(tmp_path):
    events = [
        event("ann", "i1", 100, sequence=1, slate_id="a", event_id="e1"),
        event("ann", "i2", 200, sequence=2),
        {"person": "ann", "operation": "retract", "time_ms": 300, "sequence": 3, "retracts": 1},
        asked("ann", "lamp", 400, sequence=4),
        {"person": "ann", "operation": "retract", "time_ms": 500, "sequence": 5, "event_id": "e9"},
    ]
    events[3] |= {"event_id": "e9"}
    slates = [slate("a", "ann", 50, ["i1", "i5"]), slate("b", "ann", 250, ["i5"]), slate("c", "ann", 450, ["i5"])]
    held = _histories(prepared(tmp_path, events, slates, description=NO_SPLITS), "ann")
    assert held == [
        ([1, 2], [(0, [1, 5], [0, 0]), (2, [5], [0])]),
        ([2, NONE], [(2, [5], [0])]),
        ([2], []),
    ]


def test_a_person_with_one_event_and_one_with_none_are_there(tmp_path):
    dataset = prepared(
        tmp_path, [event("ann", "i1", DAY)], [slate("a", "ann", 2 * DAY, ["i2"]), slate("b", "bob", 9 * DAY, ["i3"])]
    )
    assert _histories(dataset, "ann") == [([1], [(1, [2], [0])])]
    assert _histories(dataset, "bob") == [([], [(0, [3], [0])])]


def test_slates_are_formed_of_sessions(tmp_path):
    minute = 60_000
    events = [
        event("ann", "i1", 0), asked("ann", "lamp", 1), event("ann", "i2", 2), event("ann", "i1", 3, actions=["save"]),
        event("ann", "i3", 4), event("ann", "i4", 31 * minute), event("ann", "i5", 62 * minute), event("bob", "i2", 5),
    ]  # fmt: skip
    splits = {"validation_ms": 40 * minute, "test_ms": 62 * minute}
    description = DESCRIPTION | {"sessions": {"gap_minutes": 60, "items": 2, "drawn": 0}, "splits": splits}
    said = []
    dataset = prepared(tmp_path, events, description=description, said=said)
    assert dataset.formed
    assert "slates: none were logged; they are formed from events, and were never served" in said
    assert _histories(dataset, "ann") == [
        ([1, NONE, 2, 1, 3, 4, 5], [(0, [1, 2], [CLICK | SAVE, CLICK]), (4, [3, 4], [CLICK, CLICK]), (6, [5], [CLICK])])
    ]
    assert _histories(dataset, "bob") == [([2], [(0, [2], [CLICK])])]


def test_items_of_a_formed_slate_lie_in_the_order_they_were_acted_on(tmp_path):
    """Recall asks for the first: not for that of the lowest row, which in a catalogue by age is the oldest and best known."""
    events = [event("ann", item, at) for at, item in enumerate(["i4", "i1", "i3", "i1"])]
    events[3]["actions"] = ["save"]
    splits = {"validation_ms": 4, "test_ms": 4}
    dataset = prepared(tmp_path, events, description=DESCRIPTION | {"sessions": {}, "splits": splits})
    assert _histories(dataset, "ann") == [([4, 1, 3, 1], [(0, [4, 1, 3], [CLICK, CLICK | SAVE, CLICK])])]


@pytest.mark.parametrize("each", [1, 3])
def test_a_formed_slate_holds_drawn_items_that_nothing_was_done_with(tmp_path, each):
    random = np.random.default_rng(each)
    items = [{"item_id": f"i{at}", "embedding": [1.0, at]} for at in range(80)]
    events = [
        event(f"p{person}", items[random.integers(10 + 70 * at // 400)]["item_id"], at * 20_000 + person)
        for person in range(8)
        for at in range(400)
        if random.random() < 0.2
    ]
    description = NO_SPLITS | {"sessions": {"gap_minutes": 1, "items": 3, "drawn": each}}
    dataset = prepared(tmp_path, events, description=description, items=items)
    bucket, again = (DiskDataset(dataset.directory).bucket(0) for _ in range(2))
    np.testing.assert_array_equal(bucket.shown_item, again.shown_item)
    acted = bucket.event_item
    drawn_in_all = possible = 0
    for one, prefix in enumerate(bucket.slate_prefix):
        shown = slice(*bucket.shown_start[one : one + 2])
        shown, done = bucket.shown_item[shown], bucket.shown_actions[shown]
        here = int((done > 0).sum())
        assert 1 <= here <= 3
        assert (done[:here] > 0).all(), "what was acted on comes first"
        assert len(np.unique(shown)) == len(shown)
        drawn, now = shown[here:], bucket.slate_time_ms[one]
        assert len(drawn) <= each * here
        assert not np.isin(drawn, acted[bucket.event_start[bucket.slate_history[one]] : prefix]).any(), "acted on before"
        assert np.isin(drawn, acted[bucket.event_time_ms < now]).all(), "nobody knew of it"
        drawn_in_all, possible = drawn_in_all + len(drawn), possible + each * here
    assert drawn_in_all > 0.3 * possible


def _random_logs(seed):
    """Events with a mark each: the item's number is that of the event. Late ones, retracts, pages told and not told."""
    random = np.random.default_rng(seed)
    events, slates, people = [], [], {}
    for moment in range(1, 240):
        person = f"p{random.integers(6)}"
        mine = people.setdefault(person, [])
        now, sequence = moment * 1_000, len(mine) + 1
        if random.random() < 0.3:
            name, items = f"s{len(slates)}", [f"i{at}" for at in random.choice(240, 4, replace=False)]
            more = {"history_sequence": len(mine)} if random.random() < 0.5 else {}
            if random.random() < 0.2:
                more = {"history_sequence": len(mine) + 3, "foreign": True}
            slates.append(slate(name, person, now, items, **more))
            continue
        if mine and random.random() < 0.12:
            target = int(random.integers(len(mine)))
            if "operation" not in mine[target]:
                mine.append({"person": person, "operation": "retract", "retracts": target + 1})
                events.append(mine[-1] | {"sequence": sequence, "time_ms": now})
                continue
        late = int(random.integers(0, 90_000)) if random.random() < 0.3 else 0
        row = event(person, f"i{moment}", max(1, now - late), sequence=sequence)
        theirs = [page for page in slates if page["person"] == person]
        if theirs and random.random() < 0.7:
            on = theirs[int(random.integers(len(theirs)))]
            row |= {"slate_id": on["slate_id"], "item_id": on["items"][int(random.integers(4))]["item_id"], "actions": ["save"]}
        mine.append(row)
        events.append(row)
    return events, slates


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sequenced", [True, False])
def test_nothing_leaks_from_later_to_earlier(tmp_path, seed, sequenced):
    """The dataset of all logs, seen up to a split, is that of the logs that had arrived by then."""
    events, slates = _random_logs(seed)
    description = DESCRIPTION | {"splits": {"validation_ms": 120_000, "test_ms": 180_000}}
    if not sequenced:
        events = [_without(row, "sequence") for row in events if "retracts" not in row]
        slates = [_without(row, "history_sequence", "foreign") for row in slates]
    items = [{"item_id": f"i{at}", "embedding": [1.0]} for at in range(240)]
    whole = prepared(tmp_path / "whole", events, slates, items=items, description=description)
    for name, split in (("train", whole.splits.validation_ms), ("validate", whole.splits.test_ms)):
        arrived = _arrived(events, split)
        shown = _shown(slates, arrived, split)
        end = {"splits": {"validation": 0, "test": 0}}
        cut = prepared(tmp_path / name, arrived, shown, items=items, description=DESCRIPTION | end)
        since = whole.splits.validation_ms if name == "validate" else 0
        seen, known = _slates(whole, since, split), _slates(cut, since, NEVER)
        assert len(seen) > 10
        assert {made: known.get(made) for made in seen} == seen
        assert _training_events(whole, split) <= {row["item_id"] for row in arrived if "item_id" in row}


NEVER = 1 << 60


def _without(row, *names):
    return {name: value for name, value in row.items() if name not in names}


def _arrived(events, split):
    """Of each person, what came before the first event that counts as happening at the split or later."""
    out, over = [], set()
    for row in events if "sequence" in events[0] else sorted(events, key=lambda row: row["time_ms"]):
        if row["time_ms"] >= split:
            over.add(row["person"])
        if row["person"] not in over:
            out.append(row)
    return out


def _shown(slates, arrived, split):
    """Slates before the split. What somebody else served is logged later, but a history only reaches as far as it does."""
    out = [row for row in slates if row["time_ms"] < split]
    for at, row in enumerate(out):
        if row.get("foreign"):
            events = sum(event["person"] == row["person"] for event in arrived)
            out[at] = row | {"history_sequence": min(events, row["history_sequence"])}
    return out


def _slates(dataset, since, until):
    """By person, moment and items: what each slate was made from, and its outcomes."""
    out = {}
    for bucket in dataset.each_bucket():
        for at in np.flatnonzero((bucket.slate_time_ms >= since) & (bucket.slate_time_ms < until)):
            history, shown = bucket.slate_history[at], slice(*bucket.shown_start[at : at + 2])
            past = slice(bucket.event_start[history], bucket.slate_prefix[at])
            assert (bucket.event_time_ms[past] <= bucket.slate_time_ms[at]).all()
            made = (bucket.history_person[history], int(bucket.slate_time_ms[at]), *bucket.shown_item[shown].tolist())
            out[made] = tuple(
                part.tolist() for part in (bucket.event_item[past], bucket.event_time_ms[past], bucket.shown_actions[shown])
            )
    return out


def _training_events(dataset, split):
    ids = dataset.items.ids
    return {ids[item] for bucket in dataset.each_bucket() for item in bucket.event_item[bucket.event_time_ms < split]}


@pytest.mark.parametrize("seed", range(3))
def test_no_training_example_reaches_over_the_split(tmp_path, seed):
    events, slates = _random_logs(seed)
    items = [{"item_id": f"i{at}", "embedding": [1.0]} for at in range(240)]
    description = DESCRIPTION | {"splits": {"validation_ms": 120_000, "test_ms": 180_000}}
    source = ExampleSource(prepared(tmp_path, events, slates, items=items, description=description), TrainConfig(world=None))
    random, examples = np.random.default_rng(seed), 0
    for view in (source.view(index) for index in range(source.dataset.buckets)):
        bucket = view.bucket
        for history in view.histories:
            example = source.training_example(view, int(history), random)
            examples += len(example.slates)
            assert (bucket.event_time_ms[example.start : example.end] < 120_000).all()
            assert (bucket.slate_time_ms[example.slates] < 120_000).all()
            assert (bucket.slate_prefix[example.slates] <= example.end).all()
    assert examples > 5
