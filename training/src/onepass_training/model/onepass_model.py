"""The whole model: item and query tower, input MLP, trunk, retrieval head, action head (UniPinRec, arXiv 2606.00422)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..config import ModelConfig
from .rows import FLOAT, RowLayout
from .tokenizer import Tokenizer
from .trunk import LayerCache, Trunk

INITIAL_SCALE = 15.0


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class QueryTower(nn.Module):
    """Token ids of texts to the items' space: a table's rows summed by weight, then as in the item tower."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.table = nn.Embedding(config.query_buckets, config.query_dimension)
        self.skip = nn.Linear(config.query_dimension, config.item_dimension, bias=False)
        self.mlp = _mlp(config.query_dimension, config.hidden, config.item_dimension)
        nn.init.normal_(self.table.weight, std=0.3)

    def forward(self, ids: Tensor, weights: Tensor) -> Tensor:
        """ids and weights [b, t] to unit-length embeddings [b, E]. Padding weighs 0."""
        summed = (weights[:, None] @ self.table(ids))[:, 0]
        return functional.normalize(self.skip(summed) + self.mlp(summed), dim=-1)


class OnepassModel(nn.Module):
    """One set of weights for retrieval and ranking."""

    def __init__(self, config: ModelConfig, layout: RowLayout) -> None:
        super().__init__()
        self.config, self.layout = config, layout
        conditions = len(layout.actions) + 1 + 1 + len(layout.surfaces)
        self.item_tower = _mlp(config.upstream, config.hidden, config.item_dimension)
        self.item_skip = nn.Linear(config.upstream, config.item_dimension, bias=False)
        """Keeps what the retrieval loss has no use for yet; without it the tower forgets factors that ranking needs later."""
        self.input = _mlp(layout.columns, config.hidden, config.width)
        self.trunk = Trunk(config)
        self.final_norm = nn.LayerNorm(config.width)
        self.retrieve_head = _mlp(config.width + conditions, config.hidden, config.item_dimension)
        self.action_head = _mlp(config.width, config.width, len(layout.actions))
        self.wanted = nn.Linear(config.width, config.item_dimension * len(layout.actions), bias=False)
        """From a context row: for each action, the direction in which items make it more likely."""
        row_scale = torch.ones(layout.columns)
        row_scale[: layout.embedding] = math.sqrt(layout.embedding)
        self.register_buffer("row_scale", row_scale, persistent=False)
        """[F] brings a unit vector's components to the size of the other columns; without it items are learnt slowly."""
        self.log_scale = nn.Parameter(torch.tensor(math.log(INITIAL_SCALE)))
        """log lambda of the sampled softmax; serving needs only the order and does without it."""
        self._initialise()
        self.tokenizer = Tokenizer(buckets=config.query_buckets)
        self.query_tower = QueryTower(config)

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

    def embed_items(self, upstream: Tensor) -> Tensor:
        """upstream [m, U] to unit-length embeddings [m, E]."""
        upstream = upstream * math.sqrt(self.config.upstream)
        return functional.normalize(self.item_skip(upstream) + self.item_tower(upstream), dim=-1)

    def embed_queries(self, ids: Tensor, weights: Tensor) -> Tensor:
        """The tokenizer's batch [b, t] to unit-length embeddings [b, E]."""
        return self.query_tower(ids, weights)

    def embed_text(self, text: str) -> FLOAT | None:
        """[E] of one text; None when it has no token."""
        ids, weights = self.tokenizer.batch([text])
        return self.embed_queries(torch.from_numpy(ids), torch.from_numpy(weights))[0].numpy() if weights.any() else None

    def tokens(self, rows: Tensor) -> Tensor:
        """Rows [..., F] to the trunk's stream [..., W]."""
        return self.input(rows * self.row_scale)

    def train_pass(self, past: Tensor, branches: Tensor, prefix: Tensor) -> tuple[Tensor, Tensor]:
        """Rows past [B, P, F] and branches [B, M, 1 + K, F] to final hidden states [.., W]."""
        past, branches = self.trunk.train_pass(self.tokens(past), self.tokens(branches), prefix)
        return self.final_norm(past), self.final_norm(branches)

    def score(self, context: Tensor, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """Action logits [..., K, A] of candidates: hidden [..., K, W], embeddings [..., K, E], their context row [..., W].

        Beside what the trunk says of a candidate there is a dot product of its embedding with what its context row wants, as in
        InteractRank: a product that a feed-forward layer is slow to learn.
        """
        wanted = self.wanted(context).unflatten(-1, (embeddings.shape[-1], -1))
        return self.action_head(hidden) + (embeddings * math.sqrt(embeddings.shape[-1])) @ wanted

    def retrieve(self, hidden: Tensor, outcomes: Tensor, offsets: Tensor, surfaces: Tensor) -> Tensor:
        """hidden [q, W] (or [1, W] for all), outcomes [q, A + 1], offsets [q, 1], surfaces [q, S] to unit queries [q, E]."""
        joined = torch.cat([hidden.expand(len(outcomes), -1), outcomes, offsets, surfaces], dim=-1)
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
