"""Recall@10 and Hit@3(save) of a model, of popularity, and of the best ranking that the world itself allows.

Protocol: docs/training.md. Everything is taken on slates after the split, none left out,
with the f16 item table that serving has.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import TrainConfig
from ..learn.examples import Batch, ExampleReader
from ..learn.step import branch_rows, embed_batch_queries, past_rows
from ..model.onepass_model import OnepassModel
from ..model.rows import FLOAT, INT, RowLayout
from ..progress import Progress
from ..world import World
from ..world.config import HOME, POSITIVE_ACTIONS, SEARCH, SURFACES
from ..world.truth import action_probabilities, affinity, oracle_retrieval

BATCH = 16
SLATES = 24
RECALL_AT, HIT_AT = 10, 3
SAVE = 2
RANKERS = ("model", "popularity", "oracle")
SEARCH_RANKERS = (*RANKERS, "homeWithoutQuery", "queryTowerAlone")


@dataclass(frozen=True)
class Predictions:
    """What the model says about R evaluation slates."""

    slates: INT
    queries: FLOAT
    """[R, E] outcome "any", offset 0, the slate's surface; a search by its text."""
    home: FLOAT
    """[R, E] the same as if the slate were on home, without what it is about."""
    text: FLOAT
    """[R, E] of a search, what the query tower alone makes of its text; zeros on other surfaces."""
    save: FLOAT
    """[R, K] probability of a save."""


def item_table(model: OnepassModel, upstream: FLOAT) -> NDArray[np.float16]:
    """[N, E] the item tower's output, rounded as the release stores it."""
    with torch.no_grad():
        return model.embed_items(torch.from_numpy(upstream)).numpy().astype(np.float16)


def ranks(scores: FLOAT, target: INT) -> INT:
    """[R] place of `target` [R] in each row of scores [R, N] from 0; ties go to the lower row, which is the lower id."""
    own = np.take_along_axis(scores, target[:, None], axis=1)
    ahead = (scores > own) | ((scores == own) & (np.arange(scores.shape[1]) < target[:, None]))
    return ahead.sum(axis=1)


def hit_at(scores: FLOAT, items: INT, labels: NDArray[np.bool_], top: int) -> NDArray[np.bool_]:
    """[R] whether one of the `top` best of scores [R, K] is labelled; ties by item id."""
    order = np.lexsort((items, -scores), axis=1)[:, :top]
    return np.take_along_axis(labels, order, axis=1).any(axis=1)


class Evaluation:
    """The later slates of a sample of people, with the two baselines' scores for them."""

    def __init__(self, world: World, layout: RowLayout, config: TrainConfig) -> None:
        self._world, self._layout, self._config = world, layout, config
        self._reader = ExampleReader(world, layout, config.model, config)
        random = np.random.default_rng([config.seed, 31])
        people = random.permutation(world.config.people)[: config.evaluation_people]
        self._examples = list(self._reader.evaluation_examples(np.sort(people), SLATES))
        slates = np.concatenate([example.slates for example in self._examples])
        engaged = slates[world.slate_engaged[slates].any(axis=1)]
        self.recall_slates = np.sort(random.permutation(engaged)[: config.evaluation_slates])
        self.hit_slates = slates[((world.slate_actions[slates] >> SAVE) & 1).any(axis=1)]

    def run(self, model: OnepassModel) -> dict:
        """recallAt10 and hitAt3Save: ranker -> surface or "all" -> value; searchRecallAt10: ranker -> value."""
        table = item_table(model, self._world.catalogue.upstream).astype(np.float32)
        predictions = self._predict(model, table)
        recall = self._recall(predictions, table)
        return {
            "recallAt10": {name: recall[name] for name in (*RANKERS, "slates")},
            "hitAt3Save": self._hit(predictions),
            "searchRecallAt10": {name: recall[name][SURFACES[SEARCH]] for name in (*SEARCH_RANKERS, "slates")},
        }

    def _predict(self, model: OnepassModel, table: FLOAT) -> Predictions:
        parts: list[Predictions] = []
        progress = Progress("evaluate", -(-len(self._examples) // BATCH))
        embeddings = torch.from_numpy(table)
        for start in range(0, len(self._examples), BATCH):
            examples = self._examples[start : start + BATCH]
            batch = self._reader.collate(examples, np.random.default_rng(0), training=False)
            parts.append(self._predict_batch(model, embeddings, batch))
            progress.step()
        progress.close()
        return Predictions(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in Predictions.__dataclass_fields__)
        )

    @torch.no_grad()
    def _predict_batch(self, model: OnepassModel, table: torch.Tensor, batch: Batch) -> Predictions:
        texts = embed_batch_queries(model, batch)
        past = past_rows(batch, table[batch.past_items], texts)
        valid = batch.slate_valid
        rows = branch_rows(model, batch, table[batch.candidates], texts)
        _, hidden = model.train_pass(past, rows, batch.prefix)
        _, at_home = model.train_pass(past, self._as_home(rows[:, :, :1]), batch.prefix)
        hidden, candidates = hidden[valid], table[batch.candidates[valid]]
        slates = batch.slates[valid.numpy()]
        surfaces = torch.eye(len(SURFACES))[torch.from_numpy(self._world.situation.surface[slates])]
        outcomes = torch.zeros(len(slates), len(self._layout.actions) + 1)
        outcomes[:, -1] = 1
        offsets = torch.zeros(len(slates), 1)
        queries = model.retrieve(hidden[:, 0], outcomes, offsets, surfaces)
        home = model.retrieve(at_home[valid][:, 0], outcomes, offsets, torch.eye(len(SURFACES))[[HOME] * len(slates)])
        typed = batch.context_queries[valid]
        text = texts[typed.clamp(min=0)] * (typed >= 0)[:, None]
        save = model.score(hidden[:, 0], hidden[:, 1:], candidates)[..., SAVE].sigmoid()
        return Predictions(slates, queries.numpy(), home.numpy(), text.numpy(), save.numpy())

    def _as_home(self, contexts: torch.Tensor) -> torch.Tensor:
        """Context rows [.., F] without embedding and with the surface home."""
        layout, rows = self._layout, contexts.clone()
        surface = layout.embedding + layout.mask + 1
        rows[..., : layout.embedding] = 0
        rows[..., surface : surface + len(layout.surfaces)] = torch.eye(len(layout.surfaces))[HOME]
        return rows

    def _chunks(self, slates: INT) -> Iterator[INT]:
        for start in range(0, len(slates), 250):
            yield slates[start : start + 250]

    def _exclude_seen(self, scores: FLOAT, slates: INT) -> None:
        """Takes what each slate's person had acted on before it out of scores [R, N]."""
        for row, slate in enumerate(slates):
            scores[row, self._reader.seen_before(slate)] = -np.inf

    def _recall(self, predictions: Predictions, table: FLOAT) -> dict:
        world, slates = self._world, self.recall_slates
        where = {int(slate): row for row, slate in enumerate(predictions.slates)}
        counts = self._reader.surface_counts(POSITIVE_ACTIONS).astype(np.float32)
        hits: dict[str, list] = {ranker: [] for ranker in SEARCH_RANKERS}
        for chunk in self._chunks(slates):
            situation = world.situation.take(chunk)
            target = world.slate_items[chunk, world.slate_engaged[chunk].argmax(axis=1)].astype(np.int64)
            at = [where[int(slate)] for slate in chunk]
            scores = {
                "model": predictions.queries[at] @ table.T,
                "homeWithoutQuery": predictions.home[at] @ table.T,
                "queryTowerAlone": predictions.text[at] @ table.T,
                "popularity": counts[situation.surface],
                "oracle": oracle_retrieval(world.catalogue, situation, world.config.slate_size),
            }
            for ranker, score in scores.items():
                self._exclude_seen(score, chunk)
                hits[ranker].append(ranks(score, target) < RECALL_AT)
        return self._by_surface(slates, {ranker: np.concatenate(parts) for ranker, parts in hits.items()})

    def _hit(self, predictions: Predictions) -> dict:
        world, slates = self._world, self.hit_slates
        where = {int(slate): row for row, slate in enumerate(predictions.slates)}
        situation, items = world.situation.take(slates), world.slate_items[slates]
        labels = ((world.slate_actions[slates] >> SAVE) & 1).astype(bool)
        counts = self._reader.surface_counts(1 << SAVE)
        truth = action_probabilities(world.catalogue, situation, affinity(world.catalogue, situation), items)
        scores = {
            "model": predictions.save[[where[int(slate)] for slate in slates]],
            "popularity": counts[situation.surface[:, None], items],
            "oracle": truth[..., SAVE],
        }
        return self._by_surface(slates, {name: hit_at(score, items, labels, HIT_AT) for name, score in scores.items()})

    def _by_surface(self, slates: INT, hits: dict[str, NDArray[np.bool_]]) -> dict:
        surface = self._world.situation.surface[slates]
        groups = {"all": np.ones(len(slates), bool)} | {name: surface == at for at, name in enumerate(SURFACES)}
        table = {
            ranker: {name: round(float(hit[rows].mean()), 4) if rows.any() else None for name, rows in groups.items()}
            for ranker, hit in hits.items()
        }
        return table | {"slates": {name: int(rows.sum()) for name, rows in groups.items()}}


def format_table(metrics: dict) -> str:
    """The metrics as a table for people."""
    lines = []
    for metric, title in (("recallAt10", "Recall@10"), ("hitAt3Save", "Hit@3(save)")):
        groups = metrics[metric]["slates"]
        lines.append(f"{title:<14}" + "".join(f"{name:>10}" for name in groups))
        for ranker in RANKERS:
            values = (metrics[metric][ranker][name] for name in groups)
            lines.append(f"  {ranker:<12}" + "".join(f"{'-' if value is None else f'{value:.4f}':>10}" for value in values))
        lines.append(f"  {'slates':<12}" + "".join(f"{count:>10}" for count in groups.values()))
    search = metrics["searchRecallAt10"]
    lines.append("Recall@10 of searches by text: " + ", ".join(f"{name} {value}" for name, value in search.items()))
    return "\n".join(lines)
