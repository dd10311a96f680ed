"""Examples and batches: who sees whom, what trains, what is held back."""

import numpy as np
import pytest
import torch

from onepass_training.learn.examples import ExampleReader, TrainingBatches
from onepass_training.learn.step import branch_rows, embed_batch_queries, past_rows
from onepass_training.model.onepass_model import OnepassModel
from onepass_training.model.rows import NO_TIME, PAST_ACTION, PAST_QUERY
from onepass_training.model.tokenizer import Tokenizer
from onepass_training.model.trunk import Trunk
from onepass_training.world.config import SEARCH


@pytest.fixture(scope="module")
def reader(world, layout, config):
    return ExampleReader(world, layout, config.model, config)


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
    people = reader.training_people()[:4]
    examples = [reader.training_example(int(person), random) for person in people]
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
    for person in reader.training_people()[:20]:
        example = reader.training_example(int(person), random)
        batch = reader.collate([example], random, training=False)
        times = world.event_time_ms[example.start : example.end]
        for slate, prefix in zip(example.slates, batch.prefix[0].tolist(), strict=True):
            assert prefix == (times < world.situation.time_ms[slate]).sum()
            assert world.situation.time_ms[slate] < world.config.split_ms
        assert (times < world.config.split_ms + 60_000).all()
        assert example.end - example.start <= 32


def test_slates_nobody_acted_on_are_kept_at_a_tenth_for_training_only(reader, world, config):
    random = np.random.default_rng(2)
    acted = (world.slate_actions > 0).any(axis=1)
    drawn = np.concatenate([reader.training_example(int(p), random).slates for p in reader.training_people() for _ in range(4)])
    before = world.situation.time_ms < world.config.split_ms
    kept = len(np.unique(drawn[~acted[drawn]])) / (before & ~acted).sum()
    assert 0.03 < kept < 0.13
    people = np.arange(50)
    examples = list(reader.evaluation_examples(people, 24))
    later = np.concatenate([example.slates for example in examples])
    mine = np.flatnonzero(np.isin(world.slate_person, people) & ~before)
    np.testing.assert_array_equal(later, mine)
    batch = reader.collate(examples, random, training=False)
    assert batch.prefix.min() >= 0
    assert batch.prefix.max() <= 32


def test_masked_positions_tell_nothing_of_their_actions(reader, world, layout):
    random = np.random.default_rng(4)
    examples = [reader.training_example(int(person), random) for person in reader.training_people()[:64]]
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
    one, two = TrainingBatches(reader, config), TrainingBatches(reader, config)
    one.at(0)
    torch.testing.assert_close(one.at(7).past_features, two.at(7).past_features)
    np.testing.assert_array_equal(one.at(7).slates, two.at(7).slates)
    assert not np.array_equal(one.at(7).slates, two.at(8).slates)


def test_past_rows_carry_the_time_since_the_previous_event(reader, world, layout):
    example = reader.training_example(int(reader.training_people()[0]), np.random.default_rng(0))
    batch = reader.collate([example], np.random.default_rng(0), training=False)
    times = world.event_time_ms[example.start : example.end]
    expected = layout.delta(times[1:], times[:-1])
    np.testing.assert_array_equal(batch.past_features[0, 1 : len(times), -6].numpy(), expected)
    first = world.event_slate[example.start]
    begins = example.start == 0 or world.slate_person[world.event_slate[example.start - 1]] != world.slate_person[first]
    assert batch.past_features[0, 0, -5] == (0 if begins else 1)
    kinds = np.where(world.event_query[example.start : example.end] >= 0, PAST_QUERY, PAST_ACTION)
    np.testing.assert_array_equal(batch.past_features[0, : len(times), -4:].argmax(dim=-1).numpy(), kinds)
    assert set(kinds) == {PAST_ACTION, PAST_QUERY}
    assert NO_TIME < 0


def test_searches_go_by_text_mostly_and_their_query_may_be_logged_before(reader, world, config):
    random = np.random.default_rng(6)
    examples = [reader.training_example(int(person), random) for person in reader.training_people()]
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
