"""The shared causal transformer: pre-norm blocks, rotary positions, and the M-FALCON pattern of attention."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..config import ModelConfig
from .rope import ROPE_BASE

LayerCache = tuple[Tensor, Tensor]
"""Keys (after rotation) and values of one layer, each [p, W], token-major, heads side by side."""


def rope_frequencies(head_size: int) -> Tensor:
    """[D / 2] radians per position (RoFormer, arXiv 2104.09864)."""
    return ROPE_BASE ** (-torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)


Rotation = tuple[Tensor, Tensor]
"""Cosine and sine of each position's angles, each [..., 1, 1, D / 2]: the same for every layer, head, query and key."""


def rotation_of(positions: Tensor, frequencies: Tensor) -> Rotation:
    """For positions [...]."""
    angle = (positions.to(torch.float32)[..., None] * frequencies)[..., None, None, :]
    return angle.cos(), angle.sin()


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotates x [..., n, H, D]: the first half of a head pairs with the second."""
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class Block(nn.Module):
    """One pre-norm layer. Attention itself is left to the caller: past, branch and cached rows attend differently."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.head_size = config.heads, config.head_size
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.feed_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def project(self, x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """x [..., W] to q (rotated and scaled), k (rotated), v, each [..., H, D]."""
        both, v = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, self.head_size)).split([2, 1], dim=-3)
        q, k = rotate(both, rotation).unbind(-3)
        return q * self.head_size**-0.5, k, v.squeeze(-3)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Adds attention's result ([..., H, D]) and the feed-forward part to the stream x [..., W]."""
        x = x + self.out(attended.flatten(-2))
        return x + self.down(functional.relu(self.up(self.feed_norm(x))))


def attend(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> Tensor:
    """q [n, H, D] over k, v [m, H, D]; `allowed` [n, m] says who sees whom. Gives [n, H, D]."""
    scores = torch.einsum("nhd,mhd->hnm", q, k).masked_fill(~allowed, float("-inf"))
    return torch.einsum("hnm,mhd->nhd", scores.softmax(dim=-1), v)


def attend_branches(
    branch: tuple[Tensor, Tensor, Tensor], past: tuple[Tensor, Tensor], prefix: Tensor, contexts: bool = True
) -> Tensor:
    """M-FALCON (arXiv 2402.17152) for several slates on one history, without any slate x slate or candidate x candidate part.

    branch: q, k, v [B, M, 1 + K, H, D], row 0 of each slate its context row. past: k, v [B, P, H, D]. prefix [B, M]: how many
    past positions slate m may see. Every row sees those, its slate's context row (unless `contexts` is off), and itself.
    Gives [B, M, 1 + K, H, D].
    """
    q, k, v = (part.permute(0, 3, 1, 2, 4) for part in branch)  # [B, H, M, 1 + K, D]
    past_k, past_v = (part.transpose(1, 2) for part in past)  # [B, H, P, D]
    batch, heads, slates, rows, size = q.shape
    flat = q.reshape(batch, heads, slates * rows, size)
    hidden = torch.arange(past_k.shape[2], device=prefix.device) >= prefix[..., None]  # [B, M, P]
    over_past = (flat @ past_k.transpose(2, 3)).view(batch, heads, slates, rows, -1)
    over_past = over_past.masked_fill(hidden[:, None, :, None, :], float("-inf"))
    over_context = (q * k[:, :, :, :1]).sum(dim=-1, keepdim=True)
    closed = (torch.arange(rows, device=prefix.device) == 0)[:, None] | (not contexts)
    over_context = over_context.masked_fill(closed, float("-inf"))  # the context row's own column is its self column
    over_self = (q * k).sum(dim=-1, keepdim=True)
    weights = torch.cat([over_past, over_context, over_self], dim=-1).softmax(dim=-1)
    length = past_k.shape[2]
    attended = (weights[..., :length].reshape(batch, heads, slates * rows, length) @ past_v).view_as(q)
    attended = attended + weights[..., length : length + 1] * v[:, :, :, :1] + weights[..., length + 1 :] * v
    return attended.permute(0, 2, 3, 1, 4)


class Trunk(nn.Module):
    """L blocks. One set of weights, three ways through: training batches, encode with a cache, rank on a cache."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.register_buffer("frequencies", rope_frequencies(config.head_size), persistent=False)

    def train_pass(self, past: Tensor, branches: Tensor, prefix: Tensor) -> tuple[Tensor, Tensor]:
        """past [B, P, W], branches [B, M, 1 + K, W], prefix [B, M] to hidden states of the same shapes.

        A slate's context row stands at position p = prefix, all its candidates at p + 1.
        """
        rows = branches.shape[2]
        of_past = rotation_of(torch.arange(past.shape[1], device=past.device), self.frequencies)
        of_branches = rotation_of(prefix[..., None] + (torch.arange(rows, device=past.device) > 0), self.frequencies)
        for block in self.blocks:
            q, k, v = block.project(past, of_past)
            branch = block.project(branches, of_branches)
            mixed = functional.scaled_dot_product_attention(
                q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True, scale=1.0
            )
            past = block.finish(past, mixed.transpose(1, 2))
            branches = block.finish(branches, attend_branches(branch, (k, v), prefix, self.config.parts.context_rows))
        return past, branches

    def encode(self, rows: Tensor, positions: Tensor, cache: list[LayerCache]) -> tuple[Tensor, list[LayerCache]]:
        """rows [n, W] behind a cache of p positions, causally. Gives hidden [n, W] and the new rows' own keys and values."""
        n, p = len(rows), len(cache[0][0])
        allowed = torch.arange(p + n) <= torch.arange(p, p + n)[:, None]
        new: list[LayerCache] = []
        rotation = rotation_of(positions, self.frequencies)
        for block, (past_k, past_v) in zip(self.blocks, cache, strict=True):
            q, k, v = block.project(rows, rotation)
            keys, values = torch.cat([past_k, k.flatten(-2)]), torch.cat([past_v, v.flatten(-2)])
            rows = block.finish(rows, attend(q, self._heads(keys), self._heads(values), allowed))
            new.append((k.flatten(-2), v.flatten(-2)))
        return rows, new

    def rank(
        self,
        context: Tensor,
        context_positions: Tensor,
        candidates: Tensor,
        candidate_position: Tensor,
        cache: list[LayerCache],
    ) -> Tensor:
        """context [c, W] causal, candidates [k, W] each over past, context and itself. Gives hidden [c + k, W]."""
        c, k, p = len(context), len(candidates), len(cache[0][0])
        rows = torch.cat([context, candidates])
        positions = torch.cat([context_positions, candidate_position.expand(k)])
        allowed = torch.cat([torch.arange(p + c) <= torch.arange(p, p + c)[:, None], torch.ones(k, p + c, dtype=torch.bool)])
        itself = torch.cat([torch.zeros(c, c + k, dtype=torch.bool), torch.eye(c + k, dtype=torch.bool)[c:]])
        allowed = torch.cat([allowed, itself[:, c:]], dim=1)
        rotation = rotation_of(positions, self.frequencies)
        for block, (past_k, past_v) in zip(self.blocks, cache, strict=True):
            q, key, value = block.project(rows, rotation)
            keys, values = (torch.cat([self._heads(old), new]) for old, new in ((past_k, key), (past_v, value)))
            rows = block.finish(rows, attend(q, keys, values, allowed))
        return rows

    def empty_cache(self) -> list[LayerCache]:
        """The cache of nobody: [0, W] everywhere."""
        return [(torch.zeros(0, self.config.width), torch.zeros(0, self.config.width)) for _ in self.blocks]

    def _heads(self, tokens: Tensor) -> Tensor:
        """[m, W] to [m, H, D]."""
        return tokens.unflatten(-1, (self.config.heads, self.config.head_size))
