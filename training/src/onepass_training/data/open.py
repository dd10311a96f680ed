"""Opens whatever holds logs as a dataset: a folder in our schema, a mesh's export, a MovieLens folder, or a prepared one."""

from collections.abc import Callable
from pathlib import Path

from .description import DESCRIPTION
from .disk import DiskDataset, is_prepared
from .movielens import convert, is_movielens
from .prepare import prepare
from .read import find_table


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
    A MovieLens folder is converted into `work_dir`/logs first. ValueError or FileNotFoundError names file, row and column of
    what is wrong.
    """
    if is_prepared(path):
        if items or vocabulary:
            raise ValueError(f"{path} is prepared already: other items or another vocabulary need the logs themselves")
        return DiskDataset(path)
    if not (path / DESCRIPTION).is_file() and find_table(path, "events") is None and is_movielens(path):
        path = _converted(path, work_dir / "logs", say)
    return prepare(path, work_dir / "dataset", items=items, vocabulary=vocabulary, say=say)


def _converted(path: Path, out: Path, say: Callable[[str], None]) -> Path:
    """Our own copy of a MovieLens folder; what was converted from the very same files is used as it is."""
    note = out.with_name("logs.source")
    source = "\n".join(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in sorted(path.iterdir()))
    source = f"{path.resolve()}\n{source}\n"
    if not (out / DESCRIPTION).is_file() or not note.is_file() or note.read_text() != source:
        say(f"{path} is a MovieLens data set: it is converted to {out}")
        note.unlink(missing_ok=True)
        convert(path, out)
        note.write_text(source)
    return out
