"""Encode, append, rank on KV and recompute over a batch of people who all hold as many tokens."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..model.onepass_model import OnepassModel
from ..model.trunk import Block, Rotation, rope_frequencies, rotate, rotation_of
from .attention import ATTENTION, Attend, Pass

Cache = list[tuple[Tensor, Tensor]]
"""Keys (after rotation) and values of each layer, [b, H, capacity, D]."""


@dataclass(frozen=True)
class Way:
    """A pass with what is the same whenever it is run: made ahead, since a captured pass can copy nothing from the host."""

    of: Pass
    attend: Attend
    attend_last: Attend
    """Of the last layer, where only rows that are read look at keys."""
    rotation: Rotation


class PeerTrunk:
    """A model's trunk in one precision on one device."""

    def __init__(self, model: OnepassModel, device: torch.device, dtype: torch.dtype) -> None:
        self.model = model.to(device=device, dtype=dtype)
        # Angles of far positions need all their digits.
        self.model.trunk.frequencies = rope_frequencies(model.config.head_size).to(device)
        self.config, self.layout, self.device, self.dtype = model.config, model.layout, device, dtype

    def cache(self, batch: int, capacity: int) -> Cache:
        """Zeros for `batch` people of so many tokens, and the rows of a pass behind them."""
        shape = (batch, self.config.heads, capacity, self.config.head_size)
        return [
            (torch.zeros(shape, device=self.device, dtype=self.dtype), torch.zeros(shape, device=self.device, dtype=self.dtype))
            for _ in range(self.config.layers)
        ]

    def way(self, of: Pass, attention: str) -> Way:
        """`attention`: a name in ATTENTION."""
        cos, sin = rotation_of(of.positions(self.device), self.model.trunk.frequencies)
        every, last = (ATTENTION[attention](some, self.device) for some in (of, of.last_layer))
        return Way(of, every, last, (cos.to(self.dtype), sin.to(self.dtype)))

    def encode(self, rows: Tensor, way: Way, cache: Cache) -> Tensor:
        """rows [b, m, F] behind the held ones, whose keys and values they join, to the last row's hidden state [b, W]."""
        return self._through(self._tokens(rows), way, cache)[:, -1].float()

    def rank(self, context: Tensor, candidates: Tensor, candidate_row: Tensor, way: Way, cache: Cache) -> Tensor:
        """context [b, s, c, F], candidates [b, s, k, E], candidate_row [b, s, F - E] on held KV to probabilities [b, s, k, A],
        float32. The rows' own keys and values take the cache's places behind the held ones, which stay as they are."""
        return self._scored(self._slates(context, candidates, candidate_row), candidates, way, cache)

    def recompute(self, rows: Tensor, context: Tensor, candidates: Tensor, candidate_row: Tensor, way: Way) -> Tensor:
        """The same of a past of rows [b, n, F] in the same pass, nothing held."""
        slates = self._slates(context, candidates, candidate_row)
        return self._scored(torch.cat([self._tokens(rows), slates], dim=1), candidates, way, None)

    def _tokens(self, rows: Tensor) -> Tensor:
        return self.model.tokens(rows.to(self.dtype))

    def _slates(self, context: Tensor, candidates: Tensor, candidate_row: Tensor) -> Tensor:
        """[b, s * (c + k), W]."""
        shared = candidate_row[:, :, None].expand(-1, -1, candidates.shape[2], -1)
        return self._tokens(torch.cat([context, torch.cat([candidates, shared], dim=-1)], dim=2)).flatten(1, 2)

    def _through(self, x: Tensor, way: Way, cache: Cache | None) -> Tensor:
        """x [b, rows, W] through all layers, to the rows that are read in the last one."""
        *blocks, last = self.model.trunk.blocks
        for layer, block in enumerate(blocks):
            q, k, v = block.project(x, way.rotation)
            x = _attended(block, x, q, _keys(k, v, way.of, cache and cache[layer]), way.attend)
        unread = way.of.last_layer.unread
        q, k, v = _project_last(last, x, way.rotation, unread)
        return self.model.final_norm(
            _attended(last, x[:, unread:], q, _keys(k, v, way.of, cache and cache[-1]), way.attend_last)
        )

    def _scored(self, x: Tensor, candidates: Tensor, way: Way, cache: Cache | None) -> Tensor:
        of = way.of
        hidden = self._through(x, way, cache).unflatten(1, (of.slates, -1))
        context, own = hidden[:, :, of.contexts - 1], hidden[:, :, of.contexts :]
        return self.model.score(context, own, candidates.to(self.dtype)).float().sigmoid()


def _keys(k: Tensor, v: Tensor, of: Pass, held: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
    """Keys and values [b, H, u, D] of the held rows and of the pass's own [b, rows, H, D], which take their places behind."""
    own = k.transpose(1, 2), v.transpose(1, 2)
    if held is None:
        return own
    for there, new in zip(held, own, strict=True):
        there[:, :, of.held : of.keys].copy_(new)
    return held[0][:, :, : of.keys], held[1][:, :, : of.keys]


def _attended(block: Block, x: Tensor, q: Tensor, keys: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
    return block.finish(x, attend(q.transpose(1, 2), *keys).transpose(1, 2))


def _project_last(block: Block, x: Tensor, rotation: Rotation, unread: int) -> tuple[Tensor, Tensor, Tensor]:
    """As Block.project, without queries of the first rows."""
    if unread == 0:
        return block.project(x, rotation)
    width, heads = x.shape[-1], (block.heads, block.head_size)
    normed, weight = block.attention_norm(x), block.qkv.weight
    q = functional.linear(normed[:, unread:], weight[:width]).unflatten(-1, heads)
    k, v = functional.linear(normed, weight[width:]).unflatten(-1, (2, *heads)).unbind(-3)
    # Here no dimension of queries and keys stands between rows and heads.
    cos, sin = (part.squeeze(-3) for part in rotation)
    return rotate(q, (cos[unread:], sin[unread:])) * block.head_size**-0.5, rotate(k, (cos, sin)), v
