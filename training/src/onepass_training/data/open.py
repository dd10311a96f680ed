"""Opens whatever holds logs as a dataset: a folder in our schema, a mesh's export, a MovieLens folder, or one that is prepared already."""

from collections.abc import Callable
from pathlib import Path

from .disk import DiskDataset, is_prepared
from .prepare import prepare


def open_dataset(
    path: Path,
    work_dir: Path,
    items: Path | None = None,
    vocabulary: Path | None = None,
    say: Callable[[str], None] = print,
) -> DiskDataset:
    """The dataset in `path`, prepared into `work_dir`/dataset if it is not prepared itself; a second call reuses that.

    `items` is a file in our schema (docs/data.md), in place of the folder's own; a mesh export needs one. `vocabulary` is a
    release directory, its manifest.json or a dataset.json, in place of the folder's dataset.json; a mesh export needs one.
    ValueError or FileNotFoundError names file, row and column of what is wrong.
    """
    if is_prepared(path):
        return DiskDataset(path)
    source = path
    return prepare(source, work_dir / "dataset", items=items, vocabulary=vocabulary, say=say)
