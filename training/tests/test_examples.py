"""Examples and batches: who sees whom, what trains, what is held back."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from onepass_training.data.dataset import HIDDEN, VISIBLE
from onepass_training.learn.collate import Collator
from onepass_training.learn.examples import ExampleSource, TrainingBatches, without_queries
from onepass_training.learn.step import branch_rows, embed_batch_queries, past_rows
from onepass_training.learn.targets import AHEAD
from onepass_training.learn.train import Trainer
from onepass_training.model.onepass_model import OnepassModel
from onepass_training.model.rows import NO_TIME, PAST_ACTION, PAST_QUERY
from onepass_training.model.tokenizer import Tokenizer
from onepass_training.model.trunk import Trunk
from onepass_training.world.config import SEARCH


class Reader:
    """Source and collator of the world's one bucket."""

    def __init__(self, dataset, layout, config):
        self.source, self.collator = ExampleSource(dataset, config), Collator(dataset, layout, config)
        self.view = self.source.view(0)
        self.histories = self.view.histories

    def example(self, history, random):
        return self.source.training_example(self.view, int(history), random)

    def collate(self, examples, random, training):
        return self.collator.collate(self.view.bucket, examples, random, training)


@pytest.fixture(scope="module")
def reader(dataset, layout, config):
    return Reader(dataset, layout, config)


# Rows look at columns: three past tokens (p), then two slates of a context row (c) and two candidates (a, b), the first shown
# after one past token, the second after all three.
GOLDEN = """
    p p p  c a b  c a b
p   x . .  . . .  . . .
p   x x .  . . .  . . .
p   x x x  . . .  . . .
c   x . .  x . .  . . .
a   x . .  x x .  . . .
b   x . .  x . x  . . .
c   x x x  . . .  x . .
a   x x x  . . .  x x .
b   x x x  . . .  x . x
"""


def test_mask_golden(config):
    """Which input can move which output, found by moving each: the M-FALCON picture and nothing else."""
    torch.manual_seed(0)
    trunk = Trunk(config.model)
    prefix = torch.tensor([[1, 3]])

    def run(flat):
        past, branches = trunk.train_pass(flat[None, :3], flat[3:].view(1, 2, 3, -1), prefix)
        return torch.cat([past[0], branches[0].flatten(0, 1)])

    rows = torch.randn(9, config.model.width)
    with torch.no_grad():
        before = run(rows)
        moved = [
            (run(rows + 0.5 * torch.eye(9)[:, [at]] * torch.randn_like(rows)) - before).abs().amax(dim=1) for at in range(9)
        ]
    seen = (torch.stack(moved, dim=1) > 1e-6).tolist()
    picture = ["".join("x" if cell else "." for cell in row) for row in seen]
    assert picture == [line[1:].replace(" ", "") for line in GOLDEN.strip("\n").splitlines()[1:]]


def test_training_batches_equal_the_serving_path(reader, world, model: OnepassModel, layout):
    """A slate attached to a history gets what encode and rank give it on the cache of its prefix."""
    random = np.random.default_rng(3)
    people = reader.histories[:4]
    examples = [reader.example(person, random) for person in people]
    batch = reader.collate(examples, random, training=False)
    with torch.no_grad():
        table = model.embed_items(torch.from_numpy(world.catalogue.upstream))
        texts = embed_batch_queries(model, batch)
        past = past_rows(batch, table[batch.past_items], texts)
        branches = branch_rows(model, batch, table[batch.candidates], texts)
        _, hidden = model.train_pass(past, branches, batch.prefix)
        trained = model.score(hidden[:, :, 0], hidden[:, :, 1:], table[batch.candidates]).sigmoid()
        for row in range(len(examples)):
            for slate in range(len(examples[row].slates)):
                p = int(batch.prefix[row, slate])
                _, cache = model.encode(past[row, :p], torch.arange(p), model.trunk.empty_cache())
                context = branches[row, slate, :1]
                after, _ = model.encode(context, torch.tensor([p]), cache)
                torch.testing.assert_close(after[0], hidden[row, slate, 0], rtol=0, atol=1e-4)
                shared = branches[row, slate, 1:2, layout.embedding :]
                candidates = table[batch.candidates[row, slate]]
                served = model.rank(context, torch.tensor([p]), candidates, shared, torch.tensor([p + 1]), cache)
                torch.testing.assert_close(served, trained[row, slate], rtol=0, atol=1e-4)


def test_a_slates_prefix_is_what_had_happened_when_it_was_shown(reader, world):
    random = np.random.default_rng(1)
    for person in reader.histories[:20]:
        example = reader.example(person, random)
        batch = reader.collate([example], random, training=False)
        times = world.event_time_ms[example.start : example.end]
        for slate, prefix in zip(example.slates, batch.prefix[0].tolist(), strict=True):
            assert prefix == (times < world.situation.time_ms[slate]).sum()
            assert world.situation.time_ms[slate] < world.config.validation_ms
        assert (times < world.config.validation_ms).all()
        assert example.end - example.start <= 32


def test_slates_nobody_acted_on_are_kept_at_a_tenth_for_training_only(reader, world, dataset):
    random = np.random.default_rng(2)
    acted = (world.slate_actions > 0).any(axis=1)
    drawn = np.concatenate([reader.example(p, random).slates for p in reader.histories for _ in range(4)])
    before = world.situation.time_ms < world.config.validation_ms
    kept = len(np.unique(drawn[~acted[drawn]])) / (before & ~acted).sum()
    assert 0.03 < kept < 0.13
    people = np.arange(50)
    since, until = dataset.splits.test_ms, dataset.splits.end_ms
    examples = list(reader.source.evaluation_examples(reader.view.bucket, people, since, until, 24))
    later = np.concatenate([example.slates for example in examples])
    mine = np.flatnonzero(np.isin(world.slate_person, people) & (world.situation.time_ms >= since))
    np.testing.assert_array_equal(later, mine)
    batch = reader.collate(examples, random, training=False)
    assert batch.prefix.min() >= 0
    assert batch.prefix.max() <= 32


def test_masked_positions_tell_nothing_of_their_actions(reader, world, layout):
    random = np.random.default_rng(4)
    examples = [reader.example(person, random) for person in reader.histories[:64]]
    batch = reader.collate(examples, random, training=True)
    masked = batch.past_features[batch.past_scored]
    assert (masked[:, : layout.mask] == 0).all()
    assert (masked[:, layout.mask] == 1).all()
    actions = sum((world.event_item[example.start : example.end] >= 0).sum() for example in examples)
    assert 0.15 < len(masked) / actions < 0.25
    assert (batch.candidate_features[..., layout.mask] == 1).all()
    assert (batch.context_features[..., layout.mask] == 0).all()
    assert batch.past_actions[batch.past_scored].sum(dim=-1).min() > 0, "queries are never masked: there is nothing to predict"
    past_rows = set(batch.targets.past_rows.tolist())
    assert not past_rows & set(batch.past_scored.flatten().nonzero()[:, 0].tolist()), "L_item is taken at unmasked positions"


def test_batches_depend_on_seed_and_step_alone(reader, config):
    one, two = (TrainingBatches(reader.source, config, np.array([len(reader.histories)])) for _ in range(2))
    collate = reader.collator.collate
    one.at(0)
    mine, same, other = (
        collate(*one.at(7), training=True),
        collate(*two.at(7), training=True),
        collate(*two.at(8), training=True),
    )
    torch.testing.assert_close(mine.past_features, same.past_features)
    np.testing.assert_array_equal(mine.slates, same.slates)
    assert mine.slates.shape != other.slates.shape or not np.array_equal(mine.slates, other.slates)


def test_an_epoch_goes_through_every_bucket(dataset, config):
    both = replace(dataset, held=(dataset.held[0], dataset.held[0]))
    source = ExampleSource(both, config)
    count = len(source.view(0).histories)
    batches = TrainingBatches(source, config, np.array([count, count]))
    drawn = [example.history for step in range(batches.per_epoch) for example in batches.at(step)[1]]
    assert np.bincount(drawn).max() == 2
    assert len(drawn) == 2 * (count // config.batch) * config.batch


def test_without_query_tokens_the_past_holds_actions_only(reader, world):
    bucket, before = without_queries(reader.view.bucket), reader.view.bucket
    assert (bucket.event_item >= 0).all()
    actions = np.flatnonzero(before.event_item >= 0)
    np.testing.assert_array_equal(bucket.event_item, before.event_item[actions])
    np.testing.assert_array_equal(np.searchsorted(actions, before.slate_prefix), bucket.slate_prefix)


def test_unengaged_slates_weigh_what_was_left_out(reader, config):
    random = np.random.default_rng(5)
    batch = reader.collate([reader.example(person, random) for person in reader.histories], random, training=True)
    engaged = batch.labels.flatten(2).any(dim=-1)[batch.slate_valid]
    weights = batch.labelled[batch.slate_valid]
    assert (weights[engaged] == 1).all()
    assert (weights[~engaged] == config.non_engaged_weight).all()
    assert (reader.collate([reader.example(0, random)], random, training=False).labelled <= 1).all()


def test_a_person_with_several_histories_is_learnt_from_once(dataset, layout, config):
    """Their actions that were taken back make histories that repeat each other; each trains its own slates."""
    bucket = dataset.held[0]
    people = [f"p{max(0, history - (history % 3 == 2))}" for history in range(bucket.histories)]
    reader = Reader(replace(dataset, held=(replace(bucket, history_person=people),)), layout, config)
    lengths, tells, random = reader.view.lengths, reader.view.tells, np.random.default_rng(5)
    alone, first = np.arange(0, bucket.histories, 3), np.arange(1, bucket.histories - 1, 3)
    assert tells[alone].all()
    np.testing.assert_array_equal(tells[first], lengths[first] > lengths[first + 1])
    np.testing.assert_array_equal(tells[first + 1], lengths[first] <= lengths[first + 1])
    untold = [history for history in reader.histories if not tells[history]][:5]
    examples = [reader.example(history, random) for history in untold]
    batch = reader.collate(examples, random, training=True)
    assert batch.slate_valid.any(dim=1).all()
    assert not batch.past_scored.any()
    assert not len(batch.targets.past_rows)
    assert len(batch.targets.context_rows)
    once = [bucket.event_item[bucket.event_start[h] : reader.view.train_end[h]] for h in np.flatnonzero(tells)]
    counted = np.bincount(np.concatenate(once) + 1, minlength=len(dataset.items) + 1)[1:]
    np.testing.assert_array_equal(reader.source.dataset.training_counts(2**32 - 1).sum(axis=0), counted)


def test_a_slate_with_an_action_below_those_that_train_is_no_unengaged_one(dataset, layout, config):
    short = replace(config, slate_items=4)
    random, reader = np.random.default_rng(5), Reader(dataset, layout, short)
    batch = reader.collate([reader.example(person, random) for person in reader.histories], random, training=True)
    assert batch.labels.shape[2] == 4
    bucket, valid = dataset.held[0], batch.slate_valid.numpy()
    acted = bucket.engaged(2**32 - 1)[batch.slates[valid]]
    below = acted & ~batch.labels.flatten(2).any(dim=-1).numpy()[valid]
    assert below.any()
    weights = batch.labelled.numpy()[valid]
    assert (weights[acted] == 1).all()
    assert (weights[~acted] == config.non_engaged_weight).all()


def test_mixup_takes_nothing_from_padding_or_from_what_nobody_looked_at(dataset, layout, config, tmp_path):
    bucket = dataset.held[0]
    visible = np.where(bucket.shown_position % 3 == 2, HIDDEN, VISIBLE).astype(np.int8)
    seen = replace(dataset, held=(replace(bucket, shown_visible=visible),))
    trainer, reader = Trainer(replace(config, steps=1), seen, tmp_path), Reader(seen, layout, config)
    random = np.random.default_rng(5)
    batch = reader.collate([reader.example(person, random) for person in reader.histories[:9]], random, training=True)
    embeddings = torch.randn(*batch.candidates.shape, 4, generator=torch.Generator().manual_seed(1))
    mixed, labels = trainer._losses._mixed(embeddings, batch, np.random.default_rng(1))
    changed = (mixed != embeddings).any(dim=-1)
    assert changed.any()
    assert not changed[(batch.candidate_position % 3 == 1) & batch.candidate_valid].any(), "the next one was not looked at"
    assert ((labels != batch.labels).any(dim=-1) <= changed).all()


def test_items_known_not_to_have_been_looked_at_are_no_labels(dataset, layout, config):
    bucket = dataset.held[0]
    hidden = replace(bucket, shown_visible=np.where(bucket.shown_position > 5, HIDDEN, VISIBLE).astype(np.int8))
    reader = Reader(replace(dataset, held=(hidden,)), layout, config)
    random = np.random.default_rng(5)
    batch = reader.collate([reader.example(person, random) for person in reader.histories[:9]], random, training=True)
    assert (batch.labelled[batch.candidate_position > 5] == 0).all()
    assert (batch.labelled[(batch.candidate_position <= 5) & batch.candidate_valid] > 0).all()


def test_targets_lie_ahead_within_the_window_and_offsets_say_how_far(reader, layout, config, dataset):
    random, bucket = np.random.default_rng(8), reader.view.bucket
    examples = [reader.example(person, random) for person in reader.histories[:40]]
    targets = reader.collate(examples, random, training=True).targets
    positive = np.uint32(dataset.vocabulary.positive_bits)
    after = {}
    for row, example in enumerate(examples):
        events = np.arange(example.start, example.end)
        good = events[(bucket.event_actions[events] & positive) != 0]
        after[row] = good
    length = max(example.end - example.start for example in examples)
    for place, at in enumerate(targets.past_rows.tolist()):
        row, position = divmod(at, length)
        event = examples[row].start + position
        later = after[row][(after[row] > event) & (after[row] <= event + AHEAD)]
        offsets = layout.delta(bucket.event_time_ms[later], bucket.event_time_ms[[event]])
        fits = (bucket.event_item[later] == targets.items[place]) & np.isclose(offsets, targets.offsets[place, 0].item())
        assert fits.any()
    plain = replace(config, model=replace(config.model, parts=replace(config.model.parts, offsets=False)))
    near = Reader(dataset, layout, plain).collate(examples, random, training=True).targets
    assert near.now[len(near.past_rows) :].all()
    assert targets.offsets.max() > near.offsets[~near.now].median()


def test_a_bucket_without_slates_or_events_still_collates(dataset, layout, config):
    bucket, random = dataset.held[0], np.random.default_rng(0)
    nothing = np.zeros(0, np.int64)
    bare = replace(
        bucket, slate_start=np.zeros_like(bucket.slate_start), slate_prefix=nothing, slate_time_ms=nothing,
        shown_start=np.zeros(1, np.int64), shown_actions=np.zeros(0, np.uint32),
        slate_features=np.zeros((0, bucket.slate_features.shape[1]), np.float32),
    )  # fmt: skip
    reader = Reader(replace(dataset, held=(bare,)), layout, config)
    batch = reader.collate([reader.example(person, random) for person in reader.histories[:3]], random, training=True)
    assert not batch.slate_valid.any()
    assert len(batch.targets.past_rows) > 0


def test_past_rows_carry_the_time_since_the_previous_event(reader, world, layout):
    example = reader.example(reader.histories[0], np.random.default_rng(0))
    batch = reader.collate([example], np.random.default_rng(0), training=False)
    times = world.event_time_ms[example.start : example.end]
    expected = layout.delta(times[1:], times[:-1])
    np.testing.assert_array_equal(
        batch.past_features[0, 1 : len(times), layout.kind_at - 2 - layout.embedding].numpy(), expected
    )
    first = world.event_slate[example.start]
    begins = example.start == 0 or world.slate_person[world.event_slate[example.start - 1]] != world.slate_person[first]
    assert batch.past_features[0, 0, layout.kind_at - 1 - layout.embedding] == (0 if begins else 1)
    kinds = np.where(world.event_query[example.start : example.end] >= 0, PAST_QUERY, PAST_ACTION)
    found = batch.past_features[0, : len(times), layout.kind_at - layout.embedding : layout.values_at - layout.embedding]
    np.testing.assert_array_equal(found.argmax(dim=-1).numpy(), kinds)
    assert set(kinds) == {PAST_ACTION, PAST_QUERY}
    assert NO_TIME < 0


def test_searches_go_by_text_mostly_and_their_query_may_be_logged_before(reader, world, config):
    random = np.random.default_rng(6)
    examples = [reader.example(person, random) for person in reader.histories]
    batch = reader.collate(examples, random, training=True)
    search = (world.situation.surface[batch.slates] == SEARCH) & batch.slate_valid.numpy()
    typed, known = batch.context_queries.numpy() >= 0, batch.context_known.numpy()[..., 0] > 0
    assert not (typed & ~search).any()
    assert not (typed & known).any()
    assert (typed & search).sum() / search.sum() == pytest.approx(0.7, abs=0.1)
    assert (known & search).sum() / search.sum() == pytest.approx(config.given_query, abs=0.1)
    ids, weights = reader_texts(batch, typed), batch.query_weights
    expected = Tokenizer(buckets=config.model.query_buckets).batch(
        [world.queries[world.slate_query[slate]] for slate in batch.slates[typed]]
    )[0]
    np.testing.assert_array_equal(ids[:, : expected.shape[1]], expected)
    assert not ids[:, expected.shape[1] :].any()
    np.testing.assert_allclose((weights**2).sum(dim=1), 1, atol=1e-5)
    starts = np.array([example.start for example in examples])[:, None]
    first = np.searchsorted(world.event_slate, batch.slates) - starts
    before = batch.prefix.numpy() - first
    assert set(before[search].tolist()) == {0, 1}
    assert not before[batch.slate_valid.numpy() & ~search].any()
    clean = reader.collate(examples, random, training=False)
    assert ((clean.context_queries.numpy() >= 0) == search).all()
    assert not (clean.prefix.numpy() - first)[search].any()


def reader_texts(batch, typed):
    """Token ids of each typed context's text."""
    return batch.query_ids.numpy()[batch.context_queries.numpy()[typed]]
