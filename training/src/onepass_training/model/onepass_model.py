"""The whole model: item and query tower, input MLP, trunk, retrieval head, action head (UniPinRec, arXiv 2606.00422)."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..config import ModelConfig
from .rows import FLOAT, RowLayout
from .tokenizer import Tokenizer
from .trunk import LayerCache, Trunk

INITIAL_SCALE = 15.0
OUTCOME_SCALE, OFFSET_SCALE = 3.0, 10.0
"""Size of a one-hot condition of the retrieval head, and of its time ahead, which is about .2 for a minute and .5 for a day."""
RESIDUAL = 32
"""Width inside the path of its own that content columns have through the item tower."""
POSITIONS = 64
"""Places on a page that the position-bias term tells apart; the ones below count as the last."""


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class QueryTower(nn.Module):
    """Token ids of texts to the items' space: a table's rows summed by weight, then as in the item tower."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.table = nn.Embedding(config.query_buckets, config.query_dimension)
        self.skip = nn.Linear(config.query_dimension, config.item_dimension, bias=False)
        self.mlp = _mlp(config.query_dimension, config.hidden, config.item_dimension)
        nn.init.normal_(self.table.weight, std=0.1)  # small, so that a word never seen in training says little

    def forward(self, ids: Tensor, weights: Tensor) -> Tensor:
        """ids and weights [b, t] to unit-length embeddings [b, E]. Padding weighs 0."""
        summed = (weights[:, None] @ self.table(ids))[:, 0]
        return functional.normalize(self.skip(summed) + self.mlp(summed), dim=-1)


class OnepassModel(nn.Module):
    """One set of weights for retrieval and ranking."""

    def __init__(self, config: ModelConfig, layout: RowLayout, content: int | None = None) -> None:
        """`content`: leading columns of an item's upstream embedding that are known of an item without a past; None: all."""
        super().__init__()
        self.config, self.layout = config, layout
        self.content = config.upstream if content is None else content
        conditions = len(layout.actions) + 1 + 1 + len(layout.surfaces)
        self.item_tower = _mlp(config.upstream, config.hidden, config.item_dimension)
        self.item_skip = nn.Linear(config.upstream, config.item_dimension, bias=False)
        """Keeps what the retrieval loss has no use for yet; without it the tower forgets factors that ranking needs later."""
        self.content_residual = _mlp(self.content, RESIDUAL, config.item_dimension) if config.parts.content_residual else None
        self.input = _mlp(layout.columns, config.hidden, config.width)
        self.trunk = Trunk(config)
        self.final_norm = nn.LayerNorm(config.width)
        self.retrieve_head = _mlp(config.width + conditions, config.hidden, config.item_dimension)
        self.action_head = _mlp(config.width, config.width, len(layout.actions))
        self.wanted = nn.Linear(config.width, config.item_dimension * len(layout.actions), bias=False)
        """From a context row: for each action, the direction in which items make it more likely."""
        self.place = nn.Embedding(POSITIONS, len(layout.actions)) if config.parts.position_bias else None
        """Training only: what a place on the page adds to each action's logit."""
        self.register_buffer("row_scale", self._row_scale(), persistent=False)
        self.register_buffer("condition_scale", self._condition_scale(), persistent=False)
        given = len(layout.request_features)
        self.register_buffer("feature_mean", torch.zeros(given))
        self.register_buffer("feature_std", torch.ones(given))
        self.log_scale = nn.Parameter(torch.tensor(math.log(INITIAL_SCALE)))
        """log lambda of the sampled softmax; serving needs only the order and does without it."""
        self._initialise()
        self.tokenizer = Tokenizer(buckets=config.query_buckets)
        self.query_tower = QueryTower(config)

    def _row_scale(self) -> Tensor:
        """[F] brings a unit vector's components to the size of the other columns, without which items are learnt slowly; 0 for
        the columns of parts that are left out."""
        layout, parts = self.layout, self.config.parts
        scale = torch.ones(layout.columns)
        scale[: layout.embedding] = math.sqrt(layout.embedding)
        if not parts.surfaces:
            scale[layout.surface_at : layout.time_at] = 0
        if not parts.time:
            scale[layout.time_at : layout.kind_at] = 0
        if not parts.features:
            scale[layout.values_at :] = 0
        return scale

    def _condition_scale(self) -> Tensor:
        """[A + 1 + 1 + S] brings what the retrieval head is told (outcomes, offset, surfaces) to the size of a hidden state,
        beside which it would be learnt slowly; 0 for what it is not told."""
        parts, layout = self.config.parts, self.layout
        told = (
            (parts.outcome_conditioning * OUTCOME_SCALE, len(layout.actions) + 1),
            (parts.offsets * OFFSET_SCALE, 1),
            (parts.surfaces * OUTCOME_SCALE, len(layout.surfaces)),
        )
        return torch.cat([torch.full((count,), float(scale)) for scale, count in told])

    def standardise(self, mean: FLOAT, std: FLOAT) -> None:
        """Sets the [R] means and deviations that request features are brought to one size by."""
        self.feature_mean.copy_(torch.from_numpy(mean))
        self.feature_std.copy_(torch.from_numpy(std))

    def _initialise(self) -> None:
        """Small residual outputs, so that depth starts near the identity; actions start rare, as they are."""
        for name, parameter in self.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.config.layers))
            elif name.endswith(("qkv.weight", "up.weight")):
                nn.init.normal_(parameter, std=self.config.width**-0.5)
        nn.init.constant_(self.action_head[2].bias, -2.5)
        nn.init.zeros_(self.wanted.weight)
        nn.init.orthogonal_(self.item_skip.weight)
        if self.place is not None:
            nn.init.zeros_(self.place.weight)
        if self.content_residual is not None:
            nn.init.zeros_(self.content_residual[2].weight)

    def embed_items(self, upstream: Tensor) -> Tensor:
        """upstream [m, U] to unit-length embeddings [m, E]."""
        upstream = upstream * math.sqrt(self.config.upstream)
        embedded = self.item_skip(upstream) + self.item_tower(upstream)
        if self.content_residual is not None:
            embedded = embedded + self.content_residual(upstream[..., : self.content])
        return functional.normalize(embedded, dim=-1)

    def embed_queries(self, ids: Tensor, weights: Tensor) -> Tensor:
        """The tokenizer's batch [b, t] to unit-length embeddings [b, E]."""
        return self.query_tower(ids, weights)

    def embed_text(self, text: str) -> FLOAT | None:
        """[E] of one text; None when it has no token."""
        ids, weights = self.tokenizer.batch([text])
        return self.embed_queries(torch.from_numpy(ids), torch.from_numpy(weights))[0].numpy() if weights.any() else None

    def tokens(self, rows: Tensor) -> Tensor:
        """Rows [..., F] to the trunk's stream [..., W]."""
        return self.input(self._standardised(rows) * self.row_scale)

    def _standardised(self, rows: Tensor) -> Tensor:
        """Rows [..., F] with request features as deviations from their mean where they were given, 0 where not."""
        at, count = self.layout.values_at, len(self.layout.request_features)
        if not count:
            return rows
        values, given = rows[..., at : at + count], rows[..., at + count :]
        return torch.cat([rows[..., :at], (values - self.feature_mean * given) / self.feature_std, given], dim=-1)

    def train_pass(self, past: Tensor, branches: Tensor, prefix: Tensor) -> tuple[Tensor, Tensor]:
        """Rows past [B, P, F] and branches [B, M, 1 + K, F] to final hidden states [.., W].

        Without context rows the last past position (all zeros if there is none) stands where a slate's context row would.
        """
        past, branches = self.trunk.train_pass(self.tokens(past), self.tokens(branches), prefix)
        past, branches = self.final_norm(past), self.final_norm(branches)
        if self.config.parts.context_rows:
            return past, branches
        last = past.gather(1, (prefix - 1).clamp(min=0)[..., None].expand(-1, -1, past.shape[-1]))
        last = last * (prefix > 0)[..., None]
        return past, torch.cat([last[:, :, None], branches[:, :, 1:]], dim=2)

    def place_bias(self, positions: Tensor) -> Tensor:
        """[..., A] what places [...] on the page add to logits, relative to the first; 0 without that part. Training only."""
        if self.place is None:
            return torch.zeros((), device=positions.device)
        return self.place(positions) - self.place.weight[0]

    def score(self, context: Tensor, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """Action logits [..., K, A] of candidates: hidden [..., K, W], embeddings [..., K, E], their context row [..., W].

        Beside what the trunk says of a candidate there is a dot product of its embedding with what its context row wants, as in
        InteractRank: a product that a feed-forward layer is slow to learn.
        """
        wanted = self.wanted(context).unflatten(-1, (embeddings.shape[-1], -1))
        return self.action_head(hidden) + (embeddings * math.sqrt(embeddings.shape[-1])) @ wanted

    def retrieve(self, hidden: Tensor, outcomes: Tensor, offsets: Tensor, surfaces: Tensor) -> Tensor:
        """hidden [q, W] (or [1, W] for all), outcomes [q, A + 1], offsets [q, 1], surfaces [q, S] to unit queries [q, E]."""
        conditions = torch.cat([outcomes, offsets, surfaces], dim=-1) * self.condition_scale
        joined = torch.cat([hidden.expand(len(outcomes), -1), conditions], dim=-1)
        return functional.normalize(self.retrieve_head(joined), dim=-1)

    def encode(self, rows: Tensor, positions: Tensor, cache: list[LayerCache]) -> tuple[Tensor, list[LayerCache]]:
        """The encode graph: rows [n, F] behind a cache to final hidden [n, W] and the rows' keys and values."""
        hidden, new = self.trunk.encode(self.tokens(rows), positions, cache)
        return self.final_norm(hidden), new

    def rank(
        self,
        context: Tensor,
        context_positions: Tensor,
        candidates: Tensor,
        candidate_row: Tensor,
        candidate_position: Tensor,
        cache: list[LayerCache],
    ) -> Tensor:
        """The rank graph: context [c, F], candidates [k, E], candidate_row [1, F - E] to probabilities [k, A]."""
        rows = torch.cat([candidates, candidate_row.expand(len(candidates), -1)], dim=-1)
        hidden = self.trunk.rank(self.tokens(context), context_positions, self.tokens(rows), candidate_position, cache)
        hidden = self.final_norm(hidden)
        return self.score(hidden[len(context) - 1], hidden[len(context) :], candidates).sigmoid()

    @torch.no_grad()
    def serving_state(self) -> dict[str, NDArray[np.float32]]:
        """The weights as the graphs have them, named as in state_dict(): every scale, switch and standardisation folded in, so
        that serving writes raw rows and knows of no part that is left out."""
        state = {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}
        state["input.0.weight"] = self._folded_input(state["input.0.weight"])
        state["retrieve_head.0.weight"] = state["retrieve_head.0.weight"] * np.concatenate(
            [np.ones(self.config.width, np.float32), self.condition_scale.cpu().numpy()]
        )
        if self.content_residual is not None:  # one wider tower: the residual's units see no behaviour column
            padded = np.zeros((RESIDUAL, self.config.upstream), np.float32)
            padded[:, : self.content] = state["content_residual.0.weight"]
            state["item_tower.0.weight"] = np.concatenate([state["item_tower.0.weight"], padded])
            state["item_tower.0.bias"] = np.concatenate([state["item_tower.0.bias"], state["content_residual.0.bias"]])
            state["item_tower.2.weight"] = np.concatenate(
                [state["item_tower.2.weight"], state["content_residual.2.weight"]], axis=1
            )
            state["item_tower.2.bias"] = state["item_tower.2.bias"] + state["content_residual.2.bias"]
        for name in ("item_tower.0.weight", "item_skip.weight"):
            state[name] = state[name] * np.float32(math.sqrt(self.config.upstream))
        state["wanted.weight"] = state["wanted.weight"] * np.float32(math.sqrt(self.layout.embedding))
        return state

    def _folded_input(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """[hidden, F] the first layer on raw rows."""
        weight = weight * self.row_scale.cpu().numpy()
        at, count = self.layout.values_at, len(self.layout.request_features)
        values = weight[:, at : at + count] / self.feature_std.cpu().numpy()
        weight[:, at : at + count] = values
        weight[:, at + count :] -= values * self.feature_mean.cpu().numpy()
        return weight
