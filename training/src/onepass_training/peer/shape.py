"""What the peer is asked to be: the model of some sizes with the device graphs' made-up weights, and inputs of both sides."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import ModelConfig
from ..device.sizes import Sizes, synthetic_state
from ..model.onepass_model import OnepassModel
from ..model.rows import KINDS, PERIODS_MS, RowLayout

DTYPES = {"float32": torch.float32, "float16": torch.float16}


def layout_of(sizes: Sizes) -> RowLayout:
    """Of as many columns; which of them mean what changes nothing. ValueError where embedding and actions leave too few."""
    surfaces = sizes.columns - sizes.embedding - sizes.actions - 1 - 2 * len(PERIODS_MS) - 2 - KINDS
    if surfaces < 1:
        taken = f"{sizes.embedding} of an embedding and {sizes.actions} actions"
        raise ValueError(f"{sizes.columns} columns are too few for {taken}")
    actions, names = (tuple(f"{kind}{i}" for i in range(count)) for kind, count in (("a", sizes.actions), ("s", surfaces)))
    return RowLayout(embedding=sizes.embedding, actions=actions, surfaces=names)


def made_up_model(sizes: Sizes, seed: int) -> OnepassModel:
    """The model whose serving state is `synthetic_state`: what the device graphs of this seed compute."""
    layout, state = layout_of(sizes), synthetic_state(sizes, seed)
    config = ModelConfig(
        width=sizes.width, layers=sizes.layers, heads=sizes.heads, window=sizes.window,
        item_dimension=sizes.embedding, hidden=len(state["input.0.bias"]),
    )  # fmt: skip
    model = OnepassModel(config, layout)
    # A serving state has the model's scales folded in.
    model.row_scale.fill_(1)
    state["wanted.weight"] = state["wanted.weight"] / np.float32(math.sqrt(sizes.embedding))
    loaded = model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()}, strict=False)
    if loaded.unexpected_keys:
        raise ValueError(f"the model has no {loaded.unexpected_keys[0]}")
    return model.eval().requires_grad_(False)


def made_up_numbers(shape: tuple[int, ...], seed: int, part: int, scale: float) -> NDArray[np.float32]:
    """Evenly from -scale to scale, by position: the finaliser of MurmurHash3 over the index. perf/src/gpu/made-up.ts has the
    same, so that both sides of the bench score the same."""
    with np.errstate(over="ignore"):
        mixed = np.arange(math.prod(shape), dtype=np.uint32) + np.uint32((seed * 4 + part) * 0x9E3779B9 & 0xFFFFFFFF)
        mixed = (mixed ^ (mixed >> 16)) * np.uint32(0x85EBCA6B)
        mixed = (mixed ^ (mixed >> 13)) * np.uint32(0xC2B2AE35)
    mixed ^= mixed >> 16
    return ((mixed.astype(np.float64) / 2**31 - 1) * scale).astype(np.float32).reshape(shape)
