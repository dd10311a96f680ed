"""Upstream embeddings, all that a model is shown of an item: content columns, and behaviour columns once it has a past.

Both are random mixtures of an item's factors, bent by tanh, with noise, so that no column is a factor. The factors [R, F],
F = 24, are 16 of the topic, 4 fine ones (color, making, finer taste), quality, bait, price level and talk.
"""

import numpy as np
from numpy.typing import NDArray

FLOAT = NDArray[np.float32]
INT = NDArray[np.int64]

CONTENT_WEIGHTS = np.array([1.5] * 16 + [0.7] * 4 + [0.08, 0.1, 0.7, 0.1])
"""How strongly content shows each factor: hardly what only use tells."""
BEHAVIOUR_WEIGHTS = np.array([0.7] * 16 + [0.9] * 4 + [0.9, 0.9, 0.4, 0.9])
HALF_KNOWN = 60
"""Exposures after which behaviour columns are half of what they become."""
WELL_KNOWN_LENGTH = 0.8
"""Length of the behaviour columns of an item that everybody has seen; the content columns' is 1."""


def content_columns(random: np.random.Generator, factors: FLOAT, mix: NDArray, noise: float) -> FLOAT:
    """[R, C] of unit length; `mix` is [F, C]."""
    bent = np.tanh((factors * CONTENT_WEIGHTS) @ mix)
    bent = bent + noise * random.standard_normal(bent.shape)
    return (bent / np.linalg.norm(bent, axis=1, keepdims=True)).astype(np.float32)


def behaviour_columns(random: np.random.Generator, factors: FLOAT, exposures: INT, columns: int) -> FLOAT:
    """[N, columns] what an upstream model has learned of N items from `exposures` [N] of each.

    As with a regularised estimate, what few people saw is noisy and near zero, and what nobody saw is zero.
    The draws do not depend on the exposures.
    """
    mix = random.standard_normal((factors.shape[1], columns)) / 4.0
    bent = np.tanh((factors * BEHAVIOUR_WEIGHTS) @ mix)
    noise = random.standard_normal(bent.shape) * np.sqrt((bent**2).mean())
    known = (exposures / (exposures + HALF_KNOWN))[:, None]
    learned = known * bent + np.sqrt(known * (1 - known)) * noise
    return (WELL_KNOWN_LENGTH / np.linalg.norm(bent, axis=1).mean() * learned).astype(np.float32)
