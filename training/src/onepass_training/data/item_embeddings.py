"""Upstream embeddings for items that come without any: what they are, and what people did with them before validation.

A dataset.json asks for them with `"embeddings": "content+behaviour"`.
"""

from collections.abc import Sequence

import numpy as np

from .behaviour import BEHAVIOUR, Buckets, behaviour_embeddings
from .content import CONTENT, content_embeddings
from .dataset import FLOAT, Vocabulary

UPSTREAM = CONTENT + BEHAVIOUR
CONTENT_LENGTH = 0.25
"""Of the content part, beside a behaviour part of at most about 1. At equal length what titles happen to share is half of all
likeness, and a model of few ratings takes longer to look past it (docs/training.md)."""


def item_embeddings(
    titles: Sequence[str],
    attributes: Sequence[dict[str, str | list[str] | float]],
    buckets: Buckets,
    vocabulary: Vocabulary,
    validation_ms: int,
) -> tuple[FLOAT, int]:
    """[N, UPSTREAM] embeddings and their number of content columns, the leading ones, of CONTENT_LENGTH.

    `buckets` gives all buckets anew each time, one in memory at a time (`Dataset.each_bucket`); it is called six times. Nothing
    at or after `validation_ms` changes anything.
    """
    content = CONTENT_LENGTH * content_embeddings(titles, attributes)
    behaviour = behaviour_embeddings(buckets, len(titles), vocabulary, validation_ms)
    return np.concatenate([content, behaviour], axis=1), CONTENT
