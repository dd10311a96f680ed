"""Who sees whom in one pass, and attention under that mask: compiled on a GPU, PyTorch's own anywhere."""

from collections.abc import Callable
from dataclasses import dataclass

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

    @property
    def rows(self) -> int:
        """Queries."""
        return self.new + self.slates * (self.contexts + self.candidates)

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
        held, past, contexts = self.held, self.held + self.new, self.contexts
        slate = max(1, self.contexts + self.candidates)

        def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            at = query + held
            own, other = at - past, key - past
            of_slate = (own // slate == other // slate) & (other % slate < contexts) & (other % slate <= own % slate)
            return torch.where(key < past, key <= at, (own >= 0) & (of_slate | (key == at)))

        return sees

    def mask(self, device: torch.device) -> Tensor:
        """[rows, keys] of booleans."""
        query, key = torch.arange(self.rows, device=device)[:, None], torch.arange(self.keys, device=device)[None]
        return self.seen()(query, query, query, key)


def plain_attention(of: Pass, device: torch.device) -> Attend:
    """PyTorch's scaled_dot_product_attention, which picks its own kernel for the mask."""
    if of.held == 0 and of.slates == 0:
        return lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
    mask = of.mask(device)
    return lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)


def flex_attention(of: Pass, device: torch.device) -> Attend:
    """FlexAttention, which skips blocks that nobody sees; fast only inside of torch.compile."""
    from torch.nn.attention.flex_attention import create_block_mask
    from torch.nn.attention.flex_attention import flex_attention as flex

    mask = create_block_mask(of.seen(), B=None, H=None, Q_LEN=of.rows, KV_LEN=of.keys, device=device)
    return lambda q, k, v: flex(q, k, v, block_mask=mask, scale=1.0)


ATTENTION: dict[str, Callable[[Pass, torch.device], Attend]] = {"sdpa": plain_attention, "flex": flex_attention}
