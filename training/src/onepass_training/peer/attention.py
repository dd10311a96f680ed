"""Who sees whom in one pass, and attention under that mask: compiled on a GPU, PyTorch's own anywhere."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

Seen = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""FlexAttention's form: batch, head, query and key to whether the query sees the key."""
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""q [b, H, t, D] over k, v [b, H, u, D] to [b, H, t, D]; q is scaled already."""


@dataclass(frozen=True)
class Pass:
    """Rows of one pass, in order: `new` past rows behind `held` ones whose keys and values are there already, then `slates`
    times `contexts` context rows and `candidates`. Keys are the held rows', then all of the pass's own."""

    held: int
    new: int = 0
    slates: int = 0
    contexts: int = 0
    candidates: int = 0
    unread: int = 0
    """Rows before all others that are keys and values only."""

    @property
    def rows(self) -> int:
        """All of its own."""
        return self.new + self.slates * (self.contexts + self.candidates)

    @property
    def queries(self) -> int:
        """Rows that look at keys: the last ones."""
        return self.rows - self.unread

    @property
    def last_layer(self) -> "Pass":
        """Where what nobody reads is left out, as the device graphs leave it out: of a past behind which slates come all
        queries, else all but the last row's."""
        return replace(self, unread=self.new if self.slates else self.rows - 1)

    @property
    def keys(self) -> int:
        """Keys and values that they see some of."""
        return self.held + self.rows

    def positions(self, device: torch.device) -> Tensor:
        """[rows]: contexts behind the past, and all candidates of a slate behind its contexts."""
        past = self.held + self.new
        slate = [*range(past, past + self.contexts), *[past + self.contexts] * self.candidates]
        return torch.tensor([*range(self.held, past), *slate * self.slates], dtype=torch.int64, device=device)

    def seen(self) -> Seen:
        """The M-FALCON pattern (arXiv 2402.17152): past causal; a context row sees the past and its slate's contexts up to
        itself; a candidate the past, its slate's contexts and itself."""
        past, contexts, first = self.held + self.new, self.contexts, self.held + self.unread
        slate = max(1, self.contexts + self.candidates)

        def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            at = query + first
            own, other = at - past, key - past
            of_slate = (own // slate == other // slate) & (other % slate < contexts) & (other % slate <= own % slate)
            return torch.where(key < past, key <= at, (own >= 0) & (of_slate | (key == at)))

        return sees

    def mask(self, device: torch.device) -> Tensor:
        """[queries, keys] of booleans."""
        query, key = torch.arange(self.queries, device=device)[:, None], torch.arange(self.keys, device=device)[None]
        return self.seen()(query, query, query, key)


def plain_attention(of: Pass, device: torch.device) -> Attend:
    """PyTorch's scaled_dot_product_attention, which picks its own kernel for the mask."""
    if of.slates == 0 and of.queries == 1:
        return lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, scale=1.0)
    if of.held == 0 and of.slates == 0 and of.unread == 0:
        return lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
    mask = of.mask(device)
    return lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)


def flex_attention(of: Pass, device: torch.device) -> Attend:
    """FlexAttention, which skips blocks that nobody sees; fast only inside of torch.compile. A row that sees everything needs
    no mask."""
    if of.slates == 0 and of.queries == 1:
        return plain_attention(of, device)
    from torch.nn.attention.flex_attention import create_block_mask
    from torch.nn.attention.flex_attention import flex_attention as flex

    mask = create_block_mask(of.seen(), B=None, H=None, Q_LEN=of.queries, KV_LEN=of.keys, device=device)
    return lambda q, k, v: flex(q, k, v, block_mask=mask, scale=1.0)


def contiguous_flex_attention(of: Pass, device: torch.device) -> Attend:
    """The same over copies of keys and values: compiled for a CPU, PyTorch 2.15 computes another thing over transposed ones."""
    attend = flex_attention(of, device)
    return lambda q, k, v: attend(q, k.contiguous(), v.contiguous())


ATTENTION: dict[str, Callable[[Pass, torch.device], Attend]] = {
    "flex": flex_attention, "flex contiguous": contiguous_flex_attention, "sdpa": plain_attention,
}  # fmt: skip
"""What is expected to be the fastest first; where one cannot be had, or is wrong, the next takes its place."""
