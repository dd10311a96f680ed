"""Training examples as UniPinRec blends them: a past sequence, and future slates with labels, in one row of a batch.

To use the machine well, several slates hang on one history, each at the prefix of it that was there when the slate was shown.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import ModelConfig, TrainConfig
from ..model.rows import CANDIDATE, CONTEXT, FLOAT, INT, NO_TIME, PAST_ACTION, PAST_QUERY, RowLayout
from ..model.tokenizer import Tokenizer
from ..world import World
from ..world.config import POSITIVE_ACTIONS, SEARCH


@dataclass(frozen=True)
class Example:
    """One history window and the slates that hang on it."""

    start: int
    end: int
    """Window of events, indices into the world's events."""
    slates: INT
    """[M] slate indices; each one's prefix lies within the window."""


@dataclass(frozen=True)
class RetrievalTargets:
    """Positions that L_item is taken at; rows index the flattened past (b * P + position) and contexts (b * M + slate)."""

    past_rows: Tensor
    context_rows: Tensor
    outcomes: Tensor
    """[R, A + 1], past first, then contexts; the other [R, ...] alike."""
    offsets: Tensor
    surfaces: Tensor
    items: INT
    """[R] target item rows."""


@dataclass(frozen=True)
class Batch:
    """B examples, padded behind: P past positions, M slates of K candidates. Embeddings come from the live item tower."""

    query_ids: Tensor
    """[Q, T] tokens of the distinct texts in the batch, at least one."""
    query_weights: Tensor
    """[Q, T]"""
    past_items: Tensor
    """[B, P] item rows; any where there is a query."""
    past_queries: Tensor
    """[B, P] index into the texts, -1 for an action."""
    past_features: Tensor
    """[B, P, F - E]"""
    past_actions: Tensor
    """[B, P, A] labels."""
    past_scored: Tensor
    """[B, P] bool: masked positions, where L_action is taken."""
    prefix: Tensor
    """[B, M]"""
    context_upstream: Tensor
    """[B, M, U]"""
    context_known: Tensor
    """[B, M, 1] 1 where there is a related item or a query without text."""
    context_queries: Tensor
    """[B, M] index into the texts, -1 without one."""
    context_features: Tensor
    """[B, M, F - E]"""
    candidates: Tensor
    """[B, M, K]"""
    candidate_features: Tensor
    """[B, M, F - E], the same for all candidates of a slate."""
    labels: Tensor
    """[B, M, K, A]"""
    slate_valid: Tensor
    """[B, M] bool."""
    slates: INT
    """[B, M] slate indices, -1 where padded."""
    targets: RetrievalTargets

    @property
    def tokens(self) -> int:
        """Positions that go through the trunk, padding included."""
        return self.past_items.numel() + self.candidates.numel() + self.prefix.numel()


def action_bits(bits: NDArray[np.uint8], actions: int) -> FLOAT:
    """[...] bit sets to [..., A] multi-hot float32."""
    return ((bits[..., None] >> np.arange(actions, dtype=np.uint8)) & 1).astype(np.float32)


class ExampleReader:
    """Reads a world's logs as examples and collates batches. Stateless: every draw comes from the caller's generator."""

    def __init__(self, world: World, layout: RowLayout, model: ModelConfig, train: TrainConfig) -> None:
        self._world, self._layout, self._model, self._train = world, layout, model, train
        self._tokenizer = Tokenizer(buckets=model.query_buckets)
        self._event_item = world.event_item
        self._event_query = world.event_query
        self._event_bits = world.event_actions
        self._event_surface = world.event_surface
        self._slate_prefix = np.searchsorted(world.event_slate, np.arange(len(world.slate_person)))
        """[S] index of the first event that is not before the slate, over all people."""
        self._slate_bounds = np.searchsorted(world.slate_person, np.arange(world.config.people + 1))
        self._engaged = world.slate_engaged
        keep = np.random.default_rng([train.seed, 11]).random(len(world.slate_person)) < train.keep_non_engaged
        before = world.situation.time_ms < world.config.split_ms
        self._trains = before & (keep | (world.slate_actions > 0).any(axis=1))
        first = self._slate_bounds[:-1]
        self._first_event = np.searchsorted(world.event_slate, first)
        counts = np.add.reduceat(before.astype(np.int64), first)
        self._train_end = np.searchsorted(world.event_slate, first + counts)

    def training_people(self) -> INT:
        """People with something to train on."""
        return np.flatnonzero(self._train_end - self._first_event >= 2)

    def training_lengths(self, people: INT) -> INT:
        """Events a training window of each of `people` holds."""
        return np.minimum(self._train_end[people] - self._first_event[people], self._model.window)

    def training_example(self, person: int, random: np.random.Generator) -> Example:
        """A random window of the person's training events, and random training slates whose prefix lies within."""
        first, end = int(self._first_event[person]), int(self._train_end[person])
        slack = max(0, end - first - self._model.window)
        start = first + int(random.integers(0, slack + 1))
        end = min(end, start + self._model.window)
        mine = np.arange(self._slate_bounds[person], self._slate_bounds[person + 1])
        prefix = self._slate_prefix[mine]
        able = mine[self._trains[mine] & (prefix >= start) & (prefix <= end)]
        chosen = np.sort(random.permutation(able)[: self._train.slates])
        return Example(start, end, chosen)

    def evaluation_examples(self, people: INT, most: int) -> Iterator[Example]:
        """All later slates of `people`, at most `most` a time, behind the window of events that ends at the last of them.

        Slates that share a window are at most a quarter of it apart, so that the first still sees three quarters.
        """
        window = self._model.window
        for person in people:
            mine = np.arange(self._slate_bounds[person], self._slate_bounds[person + 1])
            later = mine[self._world.situation.time_ms[mine] >= self._world.config.split_ms]
            while len(later):
                prefix = self._slate_prefix[later]
                count = min(most, int(np.searchsorted(prefix, prefix[0] + window // 4, side="right")))
                chunk, later = later[:count], later[count:]
                end = int(self._slate_prefix[chunk[-1]])
                yield Example(max(int(self._first_event[person]), end - window), end, chunk)

    def collate(self, examples: list[Example], random: np.random.Generator, training: bool) -> Batch:
        """One padded batch. Masks, outcome choices and dropped contexts are drawn only when training."""
        past = self._past(examples, random, self._train.mask_probability if training else 0.0)
        slates = self._slates(examples, random, training)
        targets = self._targets(examples, past, slates, random)
        used, where = np.unique(
            np.concatenate([past["past_queries"].ravel(), slates["context_queries"].ravel()]), return_inverse=True
        )
        texts = [self._world.queries[query] for query in used if query >= 0]
        ids, weights = self._tokenizer.batch(texts or [""])
        # -1 sorts first, if it is there at all.
        past_at, context_at = np.split(where.ravel() - int(used[0] < 0), [past["past_queries"].size])
        return Batch(
            **past | {"past_queries": torch.from_numpy(past_at.reshape(past["past_queries"].shape))},
            **slates | {"context_queries": torch.from_numpy(context_at.reshape(slates["context_queries"].shape))},
            query_ids=torch.from_numpy(ids),
            query_weights=torch.from_numpy(weights),
            targets=targets,
        )

    def _past(self, examples: list[Example], random: np.random.Generator, mask_probability: float) -> dict:
        lengths = np.array([example.end - example.start for example in examples])
        starts = np.array([example.start for example in examples])
        columns = np.arange(max(1, lengths.max()))
        valid = columns < lengths[:, None]
        index = np.where(valid, starts[:, None] + columns, starts[:, None])
        index = np.minimum(index, len(self._event_item) - 1)
        world, actions = self._world, len(self._layout.actions)
        time = world.event_time_ms[index]
        same = world.slate_person[world.event_slate[index]] == world.slate_person[world.event_slate[index - 1]]
        previous = np.where((index > 0) & same, world.event_time_ms[index - 1], NO_TIME)
        queries = np.where(valid, self._event_query[index], -1)
        masked = valid & (queries < 0) & (random.random(index.shape) < mask_probability)
        done = action_bits(self._event_bits[index], actions)
        kind = np.where(queries < 0, PAST_ACTION, PAST_QUERY)
        features = self._layout.feature_rows(done, masked, self._event_surface[index], time, previous, kind)
        return {
            "past_items": torch.from_numpy(np.maximum(self._event_item[index], 0)),
            "past_queries": queries,
            "past_features": torch.from_numpy(features),
            "past_actions": torch.from_numpy(done),
            "past_scored": torch.from_numpy(masked),
        }

    def _slates(self, examples: list[Example], random: np.random.Generator, training: bool) -> dict:
        world, layout = self._world, self._layout
        most = max(1, *(len(example.slates) for example in examples))
        slates = np.full((len(examples), most), -1)
        for row, example in enumerate(examples):
            slates[row, : len(example.slates)] = example.slates
        valid = slates >= 0
        starts = np.array([example.start for example in examples])[:, None]
        index = np.where(valid, slates, 0)
        ends = np.array([example.end for example in examples])[:, None]
        prefix = np.where(valid, self._slate_prefix[index] - starts, 0)
        search = valid & (world.situation.surface[index] == SEARCH)
        logged = training & search & (starts + prefix < ends) & (random.random(index.shape) < self._train.query_first)
        prefix += logged  # the search itself is the first event that is not before the slate
        now = world.situation.time_ms[index]
        last = np.maximum(starts + prefix - 1, 0)
        previous = np.where(prefix > 0, world.event_time_ms[last], NO_TIME)
        surface = world.situation.surface[index]
        nothing = np.zeros((*index.shape, len(layout.actions)), np.float32)
        context = layout.feature_rows(nothing, np.zeros(index.shape), surface, now, previous, CONTEXT)
        candidate = layout.feature_rows(nothing, np.ones(index.shape), surface, now, previous, CANDIDATE)
        upstream = world.context_upstream(index.ravel()).reshape(*index.shape, -1)
        dropped, given = self._train.drop_context, self._train.given_query
        draw = random.random(index.shape) if training else np.ones(index.shape)
        by_text = search & (draw >= dropped + given)
        known = (surface > 0) & ~by_text & (draw >= dropped)
        return {
            "prefix": torch.from_numpy(prefix),
            "context_upstream": torch.from_numpy(upstream),
            "context_known": torch.from_numpy(known[..., None].astype(np.float32)),
            "context_queries": np.where(by_text, world.slate_query[index], -1),
            "context_features": torch.from_numpy(context),
            "candidates": torch.from_numpy(world.slate_items[index].astype(np.int64)),
            "candidate_features": torch.from_numpy(candidate),
            "labels": torch.from_numpy(action_bits(world.slate_actions[index], len(layout.actions))),
            "slate_valid": torch.from_numpy(valid),
            "slates": slates,
        }

    def _targets(self, examples: list[Example], past: dict, slates: dict, random: np.random.Generator) -> RetrievalTargets:
        """Past: the next event, at unmasked positions, where something positive was done. Contexts: one engaged item."""
        world = self._world
        length = past["past_items"].shape[1]
        starts = np.array([example.start for example in examples])[:, None]
        ends = np.array([example.end for example in examples])[:, None]
        event = np.minimum(starts + np.arange(length), len(self._event_item) - 2)
        good = (self._event_bits[event + 1] & POSITIVE_ACTIONS) != 0
        usable = (event + 1 < ends) & good & ~past["past_scored"].numpy()
        following = event[usable] + 1
        index = slates["slates"]
        engaged = self._engaged[index] & slates["slate_valid"].numpy()[..., None]
        position = np.where(engaged, random.random(engaged.shape), -1).argmax(axis=-1)
        contexts = engaged.any(axis=-1)
        slate, at = index[contexts], position[contexts]
        ahead = self._layout.delta(world.event_time_ms[following], world.event_time_ms[event[usable]])
        surfaces = np.concatenate([self._event_surface[following], world.situation.surface[slate]])
        bits = np.concatenate([self._event_bits[following], world.slate_actions[slate, at]])
        return RetrievalTargets(
            past_rows=torch.from_numpy(np.flatnonzero(usable)),
            context_rows=torch.from_numpy(np.flatnonzero(contexts)),
            outcomes=torch.from_numpy(self._outcomes(bits, random)),
            offsets=torch.from_numpy(np.concatenate([ahead, np.zeros(len(slate), np.float32)])[:, None]),
            surfaces=torch.from_numpy(np.eye(len(self._layout.surfaces), dtype=np.float32)[surfaces]),
            items=np.concatenate([self._event_item[following], world.slate_items[slate, at]]).astype(np.int64),
        )

    def _outcomes(self, bits: NDArray[np.uint8], random: np.random.Generator) -> FLOAT:
        """[R, A + 1] one-hot: half the time "any", else one of the positive actions that were done (PinRec's conditioning)."""
        actions = len(self._layout.actions)
        done = action_bits(bits & POSITIVE_ACTIONS, actions)
        one = (done * random.random(done.shape)).argmax(axis=-1)
        chosen = np.where(random.random(len(bits)) < 0.5, actions, one)
        return np.eye(actions + 1, dtype=np.float32)[chosen]

    def surface_counts(self, wanted: int) -> INT:
        """[S, N] how often each item was acted on before the split with any of the action bits `wanted`."""
        world = self._world
        use = (world.event_time_ms < world.config.split_ms) & ((self._event_bits & wanted) != 0)
        surfaces, items = len(self._layout.surfaces), world.config.items
        flat = self._event_surface[use] * items + self._event_item[use]
        return np.bincount(flat, minlength=surfaces * items).reshape(surfaces, items)

    def seen_before(self, slate: int) -> INT:
        """Items that the slate's person had acted on before it."""
        first = self._first_event[self._world.slate_person[slate]]
        items = self._event_item[first : self._slate_prefix[slate]]
        return items[items >= 0]


class TrainingBatches:
    """The batch of any step from (seed, step) alone, so that a resumed run sees what an uninterrupted one sees."""

    def __init__(self, reader: ExampleReader, config: TrainConfig) -> None:
        self._reader, self._config = reader, config
        self._people = reader.training_people()
        self._per_epoch = max(1, len(self._people) // config.batch)

    def at(self, step: int) -> Batch:
        """Batch of `step`, counted from 0. People of like length share a batch, which saves padding."""
        epoch, within = divmod(step, self._per_epoch)
        shuffle = np.random.default_rng([self._config.seed, 21, epoch])
        people = shuffle.permutation(self._people)
        lengths = self._reader.training_lengths(people)
        people = people[np.argsort(lengths, kind="stable")]
        chosen = shuffle.permutation(self._per_epoch)[within] * self._config.batch
        random = np.random.default_rng([self._config.seed, 22, step])
        rows = people[chosen : chosen + self._config.batch]
        return self._reader.collate([self._reader.training_example(int(p), random) for p in rows], random, training=True)
