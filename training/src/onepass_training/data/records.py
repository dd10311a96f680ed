"""What a bucket's files hold: events, slates and shown items as numbers of fixed width, each in the order they were read.

People, slates and events are known by 64-bit hashes of their ids, so that no id of a person is kept. Two of a hundred million
people have the same hash with a chance of .0003.
"""

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

KEYS = NDArray[np.uint64]
NOBODY = 0
"""In place of a key where there is no id."""
ABSENT = -1
"""In place of a number that was not given."""
ACTED, ASKED, TOOK_BACK = range(3)
"""What an event is: an action, a query, a retract."""
EVENT = np.dtype(
    [
        ("person", "<u8"), ("event", "<u8"), ("slate", "<u8"), ("sequence", "<i8"), ("time_ms", "<i8"), ("effective_ms", "<i8"),
        ("retracts", "<i8"), ("row", "<i8"), ("item", "<i4"), ("text", "<i4"), ("actions", "<u4"), ("surface", "<i2"),
        ("kind", "<i2"),
    ]
)  # fmt: skip
SHOWN = np.dtype([("item", "<i4"), ("position", "<i4"), ("actions", "<u4"), ("visible", "<i4")])


def slate_record(features: int) -> np.dtype:
    """A slate with `features` numbers of the request; NaN where one was not given."""
    return np.dtype(
        [
            ("person", "<u8"), ("slate", "<u8"), ("sequence", "<i8"), ("time_ms", "<i8"), ("row", "<i8"), ("related", "<i4"),
            ("text", "<i4"), ("given", "<i4"), ("shown", "<i4"), ("surface", "<i2"), ("foreign", "<i2"),
            ("features", "<f4", (features,)),
        ]
    )  # fmt: skip


def key(text: str) -> int:
    """The hash that stands for an id; never NOBODY."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") or 1


def keys(texts: pa.Array) -> KEYS:
    """[n] one of each id, NOBODY where there is none."""
    coded = texts.dictionary_encode()
    known = np.array([*map(key, coded.dictionary.to_pylist()), NOBODY], np.uint64)
    return known[coded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]


def numbers(array: pa.Array, absent: int = ABSENT) -> NDArray[np.int64]:
    """[n] whole numbers, `absent` where there is none."""
    return array.fill_null(absent).to_numpy(zero_copy_only=False).astype(np.int64)


def index_of(texts: pa.Array, known: Mapping[str, int]) -> NDArray[np.int64]:
    """[n] what `known` has for each text; ABSENT for none and for one that it has not."""
    coded = texts.dictionary_encode()
    at = np.array([*(known.get(text, ABSENT) for text in coded.dictionary.to_pylist()), ABSENT], np.int64)
    return at[coded.indices.fill_null(len(at) - 1).to_numpy(zero_copy_only=False)]
