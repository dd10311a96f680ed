"""Examples of one bucket as one padded batch of tensors."""

from dataclasses import dataclass, fields, is_dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import TrainConfig
from ..data.dataset import BITS, HIDDEN, NONE, Bucket, Dataset
from ..model.onepass_model import POSITIONS
from ..model.rows import CANDIDATE, CONTEXT, FLOAT, INT, NO_TIME, PAST_ACTION, PAST_QUERY, RowLayout
from ..model.tokenizer import Tokenizer
from .examples import Example
from .targets import RetrievalTargets, TargetPicker

FRESH_MS = 7 * 86_400_000
"""An item is fresh this long after it could first be shown."""


def on_device(value: object, device: torch.device) -> object:
    """`value` with every tensor of it, and of dataclasses in it, on `device`."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if is_dataclass(value):
        return type(value)(**{field.name: on_device(getattr(value, field.name), device) for field in fields(value)})
    return value


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
    """[B, M, K] item rows; any where padded."""
    candidate_features: Tensor
    """[B, M, F - E], the same for all candidates of a slate."""
    candidate_valid: Tensor
    """[B, M, K] bool."""
    candidate_position: Tensor
    """[B, M, K] place on the page, at most POSITIONS - 1."""
    candidate_fresh: Tensor
    """[B, M, K] bool: shown within FRESH_MS of its first moment."""
    labels: Tensor
    """[B, M, K, A]"""
    labelled: Tensor
    """[B, M, K] what each label counts for in L_action; 0 where padded or known not to have been looked at."""
    slate_valid: Tensor
    """[B, M] bool."""
    slates: INT
    """[B, M] the bucket's slates, -1 where padded."""
    shown: INT
    """[B, M, K] the bucket's shown items, -1 where padded."""
    targets: RetrievalTargets

    @property
    def tokens(self) -> int:
        """Positions that go through the trunk, padding included."""
        return self.past_items.numel() + self.candidates.numel() + self.prefix.numel()

    def to(self, device: torch.device) -> "Batch":
        """The batch with its tensors on `device`."""
        return on_device(self, device)


def action_bits(bits: BITS, actions: int) -> FLOAT:
    """[...] bit sets to [..., A] multi-hot float32."""
    return ((bits[..., None] >> np.arange(actions, dtype=np.uint32)) & 1).astype(np.float32)


class Collator:
    """Collates batches. Stateless: every draw comes from the caller's generator."""

    def __init__(self, dataset: Dataset, layout: RowLayout, config: TrainConfig) -> None:
        self._dataset, self._layout, self._train = dataset, layout, config
        self._tokenizer = Tokenizer(buckets=config.model.query_buckets)
        self._picker = TargetPicker(dataset.vocabulary, layout, config.model.parts)

    def collate(self, bucket: Bucket, examples: list[Example], random: np.random.Generator, training: bool) -> Batch:
        """One padded batch. Masks, outcome choices and dropped contexts are drawn only when training."""
        past = self._past(bucket, examples, random, self._train.mask_probability if training else 0.0)
        slates = self._slates(bucket, examples, random, training)
        targets = self._picker.pick(bucket, examples, past["past_scored"].numpy(), slates["slates"], random)
        used, where = np.unique(
            np.concatenate([past["past_queries"].ravel(), slates["context_queries"].ravel()]), return_inverse=True
        )
        ids, weights = self._tokenizer.batch([bucket.texts[query] for query in used if query >= 0] or [""])
        # -1 sorts first, if it is there at all.
        past_at, context_at = np.split(where.ravel() - int(used[0] < 0), [past["past_queries"].size])
        return Batch(
            **past | {"past_queries": torch.from_numpy(past_at.reshape(past["past_queries"].shape))},
            **slates | {"context_queries": torch.from_numpy(context_at.reshape(slates["context_queries"].shape))},
            query_ids=torch.from_numpy(ids),
            query_weights=torch.from_numpy(weights),
            targets=targets,
        )

    def _past(self, bucket: Bucket, examples: list[Example], random: np.random.Generator, mask_probability: float) -> dict:
        lengths = np.array([example.end - example.start for example in examples])
        starts = np.array([example.start for example in examples])
        columns = np.arange(max(1, lengths.max()))
        valid = columns < lengths[:, None]
        index = np.where(valid, starts[:, None] + columns, 0)
        if not len(bucket.event_item):
            bucket = _one_event(bucket)
        first = bucket.event_start[[example.history for example in examples]][:, None]
        time = bucket.event_time_ms[index]
        previous = np.where(valid & (index > first), bucket.event_time_ms[index - 1], NO_TIME)
        queries = np.where(valid, bucket.event_query[index], NONE)
        masked = valid & (queries < 0) & (random.random(index.shape) < mask_probability)
        masked &= np.array([example.past for example in examples])[:, None]
        done = action_bits(bucket.event_actions[index], len(self._layout.actions))
        kind = np.where(queries < 0, PAST_ACTION, PAST_QUERY)
        features = self._layout.feature_rows(done, masked, bucket.event_surface[index], time, previous, kind)
        return {
            "past_items": torch.from_numpy(np.maximum(bucket.event_item[index], 0)),
            "past_queries": queries,
            "past_features": torch.from_numpy(features),
            "past_actions": torch.from_numpy(done),
            "past_scored": torch.from_numpy(masked),
        }

    def _slates(self, bucket: Bucket, examples: list[Example], random: np.random.Generator, training: bool) -> dict:
        most = max(1, *(len(example.slates) for example in examples))
        slates = np.full((len(examples), most), -1)
        for row, example in enumerate(examples):
            slates[row, : len(example.slates)] = example.slates
        if not len(bucket.slate_prefix):
            return _no_slates(slates, self._layout, self._dataset.items.upstream.shape[1])
        index, valid = np.maximum(slates, 0), slates >= 0
        starts = np.array([example.start for example in examples])[:, None]
        ends = np.array([example.end for example in examples])[:, None]
        prefix = np.where(valid, bucket.slate_prefix[index] - starts, 0)
        if training:
            prefix = prefix + self._query_first(bucket, index, valid, starts + prefix, ends, random)
        last = np.maximum(starts + prefix - 1, 0)
        times = bucket.event_time_ms if len(bucket.event_time_ms) else np.zeros(1, np.int64)
        now, surface = bucket.slate_time_ms[index], bucket.slate_surface[index]
        previous = np.where(prefix > 0, times[np.minimum(last, len(times) - 1)], NO_TIME)
        layout, nothing = self._layout, np.zeros((*index.shape, len(self._layout.actions)), np.float32)
        told = bucket.slate_features[index]
        context = layout.feature_rows(nothing, np.zeros(index.shape), surface, now, previous, CONTEXT, told)
        candidate = layout.feature_rows(nothing, np.ones(index.shape), surface, now, previous, CANDIDATE)
        return {
            "prefix": torch.from_numpy(prefix),
            "context_features": torch.from_numpy(context),
            "candidate_features": torch.from_numpy(candidate),
            "slate_valid": torch.from_numpy(valid),
            "slates": slates,
            **self._contexts(bucket, index, valid, random, training),
            **self._candidates(bucket, index, valid, training),
        }

    def _query_first(
        self, bucket: Bucket, index: INT, valid: NDArray, at: INT, ends: INT, random: np.random.Generator
    ) -> NDArray:
        """[B, M] 1 where the search's own query, which is the first event not before the slate, counts as logged before it."""
        following = np.minimum(at, len(bucket.event_query) - 1)
        own = valid & (at < ends) & (bucket.slate_query[index] >= 0)
        own &= bucket.event_query[following] == bucket.slate_query[index]
        return (own & (random.random(index.shape) < self._train.query_first)).astype(np.int64)

    def _contexts(
        self, bucket: Bucket, index: INT, valid: NDArray, random: np.random.Generator, training: bool
    ) -> dict[str, object]:
        """What each slate was about: a text, a query's embedding, a related item, or nothing."""
        dropped, given = self._train.drop_context, self._train.given_query
        draw = random.random(index.shape) if training else np.ones(index.shape)
        text, related = bucket.slate_query[index], bucket.slate_related[index]
        embedding = bucket.slate_given[index]
        has_embedding = valid & embedding.any(axis=-1)
        by_text = valid & (text >= 0) & ((draw >= dropped + given) | (~has_embedding & (draw >= dropped)))
        about_item = valid & (related >= 0) & (draw >= dropped)
        by_embedding = has_embedding & ~by_text & ~about_item & (draw >= dropped)
        upstream = np.where(about_item[..., None], self._dataset.items.upstream[np.maximum(related, 0)], embedding)
        return {
            "context_upstream": torch.from_numpy(upstream),
            "context_known": torch.from_numpy((about_item | by_embedding)[..., None].astype(np.float32)),
            "context_queries": np.where(by_text, text, NONE),
        }

    def _candidates(self, bucket: Bucket, index: INT, valid: NDArray, training: bool) -> dict[str, object]:
        sizes = np.where(valid, np.diff(bucket.shown_start)[index], 0)
        columns = np.arange(max(1, int(sizes.max())))
        there = columns < sizes[..., None]
        shown = np.where(there, bucket.shown_start[index][..., None] + columns, 0)
        # By all of the slate, as those that are kept are chosen.
        unengaged = ~((bucket.shown_actions[shown] > 0) & there).any(axis=-1, keepdims=True)
        there, shown = (part[..., : self._train.slate_items] for part in (there, shown))
        bits, item = bucket.shown_actions[shown], bucket.shown_item[shown]
        weight = (there & (bucket.shown_visible[shown] != HIDDEN)).astype(np.float32)
        if training:
            weight *= np.where(unengaged, self._train.non_engaged_weight, 1.0).astype(np.float32)
        born = self._dataset.items.born_ms[item]
        fresh = there & (born > 0) & (bucket.slate_time_ms[index][..., None] - born < FRESH_MS)
        return {
            "candidates": torch.from_numpy(item),
            "candidate_valid": torch.from_numpy(there),
            "candidate_position": torch.from_numpy(np.minimum(bucket.shown_position[shown], POSITIONS - 1)),
            "candidate_fresh": torch.from_numpy(fresh),
            "labels": torch.from_numpy(action_bits(np.where(there, bits, 0), len(self._layout.actions))),
            "labelled": torch.from_numpy(weight),
            "shown": np.where(there, shown, -1),
        }


def _one_event(bucket: Bucket) -> Bucket:
    """A bucket without events, with one that nobody sees, so that padding has something to point at."""
    one = {"event_item": 0, "event_query": NONE, "event_surface": 0, "event_time_ms": 0}
    actions = np.zeros(1, np.uint32)
    return replace(bucket, event_actions=actions, **{name: np.array([value], np.int64) for name, value in one.items()})


def _no_slates(slates: INT, layout: RowLayout, upstream: int) -> dict[str, object]:
    """The slate part of a batch of a bucket without slates: all padding."""
    shape = slates.shape
    rows = torch.zeros(*shape, layout.features)
    return {
        "prefix": torch.zeros(shape, dtype=torch.long), "context_features": rows, "candidate_features": rows,
        "slate_valid": torch.zeros(shape, dtype=torch.bool), "slates": slates,
        "context_upstream": torch.zeros(*shape, upstream), "context_known": torch.zeros(*shape, 1),
        "context_queries": np.full(shape, NONE), "candidates": torch.zeros(*shape, 1, dtype=torch.long),
        "candidate_valid": torch.zeros(*shape, 1, dtype=torch.bool), "labelled": torch.zeros(*shape, 1),
        "candidate_position": torch.zeros(*shape, 1, dtype=torch.long),
        "candidate_fresh": torch.zeros(*shape, 1, dtype=torch.bool),
        "labels": torch.zeros(*shape, 1, len(layout.actions)), "shown": np.full((*shape, 1), -1),
    }  # fmt: skip
