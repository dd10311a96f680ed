"""Query text to token ids: hashed words and character n-grams over UTF-8 bytes, so that every language and version agrees.

Rules: docs/release.md, "The tokenizer of queries". Nothing here asks a Unicode table: those differ between versions.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

KIND = "hashed-ngrams"
WORD = re.compile(rb"[a-z0-9\x80-\xff]+")
FNV_OFFSET, FNV_PRIME = 2_166_136_261, 16_777_619
UINT32 = 0xFFFFFFFF


@dataclass(frozen=True)
class Tokenizer:
    """A release's tokenizer; all of it is in the manifest."""

    buckets: int = 4096
    seed: int = 1
    ngrams: tuple[int, ...] = (3,)
    """Lengths in bytes."""
    max_tokens: int = 128

    def tokens(self, text: str) -> list[int]:
        """Token ids in order, at most `max_tokens`; none for a text without a word."""
        ids: list[int] = []
        for word in WORD.findall(text.encode().lower()):  # bytes.lower() knows ASCII only
            ids.extend(_word_tokens(self, word))
            if len(ids) >= self.max_tokens:
                break
        return ids[: self.max_tokens]

    def batch(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Ids and weights [b, t], t at least 1: each of a text's n tokens weighs 1 / sqrt(n), padding 0."""
        lists = [self.tokens(text) for text in texts]
        shape = (len(lists), max([1, *map(len, lists)]))
        ids, weights = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
        for row, tokens in enumerate(lists):
            if tokens:
                ids[row, : len(tokens)] = tokens
                weights[row, : len(tokens)] = 1 / math.sqrt(len(tokens))
        return ids, weights

    def as_json(self) -> dict:
        """As the manifest has it."""
        return {
            "kind": KIND, "buckets": self.buckets, "seed": self.seed,
            "ngrams": list(self.ngrams), "maxTokens": self.max_tokens,
        }  # fmt: skip


@lru_cache(maxsize=100_000)
def _word_tokens(tokenizer: Tokenizer, word: bytes) -> tuple[int, ...]:
    """The whole word, then its n-grams with the word's ends marked."""
    marked = b"<" + word + b">"
    grams = [(size, marked[at : at + size]) for size in tokenizer.ngrams for at in range(len(marked) - size + 1)]
    return tuple(_bucket(tokenizer, size, content) for size, content in [(0, word), *grams])


def _bucket(tokenizer: Tokenizer, size: int, content: bytes) -> int:
    """FNV-1a of the size (0 = a whole word) and the bytes, its halves folded, modulo the buckets."""
    value = FNV_OFFSET ^ tokenizer.seed
    for byte in (size, *content):
        value = ((value ^ byte) * FNV_PRIME) & UINT32
    return (value ^ (value >> 16)) % tokenizer.buckets
