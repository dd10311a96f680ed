"""The content part of item embeddings that we make ourselves: titles and attributes, hashed and projected."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..model.tokenizer import Tokenizer
from .dataset import FLOAT

CONTENT = 64
"""Columns."""
BINS = 1 << 16
"""What words, n-grams and values are hashed to."""
KNOTS = 16
"""A number is told as its place between so many of the catalogue's own values."""
ROWS = 4_096
"""Items at a time: bounds the memory."""
SEED = 20_260
Feature = tuple[int, float]
"""A bin and its weight."""


def content_embeddings(
    titles: Sequence[str], attributes: Sequence[dict[str, str | list[str] | float]], columns: int = CONTENT
) -> FLOAT:
    """[N, columns] unit length, or zeros where an item has neither title nor attributes.

    The title and each attribute weigh the same. A title is its words and their n-grams, so a word with a slip is near; a text
    is its value, a list its values, and numbers that are near each other are alike. The bins are projected with signs that are
    drawn from a fixed seed (Achlioptas, 2003): the same catalogue gives the same numbers on every machine.
    """
    signs = np.random.default_rng(SEED).integers(0, 2, (BINS, columns), dtype=np.int8).astype(np.float32) * 2 - 1
    tokenizer, knots = Tokenizer(buckets=BINS, seed=SEED), _knots(attributes)
    embeddings = np.zeros((len(titles), columns), np.float32)
    for start in range(0, len(titles), ROWS):
        rows = range(start, min(start + ROWS, len(titles)))
        features = [_features(titles[row], attributes[row], tokenizer, knots) for row in rows]
        owner = np.repeat(np.arange(start, rows.stop), [len(of) for of in features])
        bins = np.array([at for of in features for at, _ in of], np.int64)
        weights = np.array([weight for of in features for _, weight in of], np.float32)
        np.add.at(embeddings, owner, signs[bins] * weights[:, None])
    return _unit(embeddings)


def _unit(rows: FLOAT) -> FLOAT:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-6)


def _features(title: str, attributes: dict, tokenizer: Tokenizer, knots: dict[str, NDArray[np.float64]]) -> list[Feature]:
    """What an item is said to be; the squares of a part's weights add up to 1."""
    tokens = tokenizer.tokens(title)
    features = [(token, len(tokens) ** -0.5) for token in tokens]
    for name, value in attributes.items():
        if isinstance(value, list):
            features += [(_bin(name, str(one)), len(value) ** -0.5) for one in value]
        elif isinstance(value, str):
            features.append((_bin(name, value), 1.0))
        else:
            features += _number(name, float(value), knots[name])
    return features


def _number(name: str, value: float, knots: NDArray[np.float64]) -> list[Feature]:
    """A number as its two neighbours among the knots."""
    place = float(np.interp(value, knots, np.arange(len(knots))))
    low, part = int(place), place - int(place)
    length = (part**2 + (1 - part) ** 2) ** 0.5
    return [(_bin(name, f"#{low}"), (1 - part) / length), (_bin(name, f"#{low + 1}"), part / length)]


def _bin(name: str, value: str) -> int:
    return zlib.crc32(f"{name}\0{value}".encode(), SEED) % BINS


def _knots(attributes: Sequence[dict]) -> dict[str, NDArray[np.float64]]:
    """By name of a numeric attribute, increasing values of the catalogue."""
    values: dict[str, set[float]] = {}
    for item in attributes:
        for name, value in item.items():
            if isinstance(value, (int, float)):
                values.setdefault(name, set()).add(float(value))
    places = np.linspace(0, 1, KNOTS)
    return {name: np.unique(np.quantile(sorted(known), places)) for name, known in values.items()}
