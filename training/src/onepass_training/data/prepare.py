"""From a folder of logs to a directory of buckets that is read one at a time."""

from collections.abc import Callable
from pathlib import Path

from .disk import DiskDataset

BUCKET_BYTES = 64 << 20
"""Uncompressed logs a bucket is made of, about: a million events."""


def prepare(
    source: Path,
    out: Path,
    items: Path | None = None,
    vocabulary: Path | None = None,
    say: Callable[[str], None] = print,
    bucket_bytes: int = BUCKET_BYTES,
) -> DiskDataset:
    """Checks the logs in `source` and writes them to `out`, which appears whole or not at all.

    `source` is a folder in our schema or a mesh's export. What was prepared from the very same files is used as it is; from
    others, it is replaced. FileExistsError where `out` is something else.
    """
    raise NotImplementedError
