"""Directories that are written whole or not at all."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(directory: Path, markers: Sequence[str], what: str) -> Iterator[Path]:
    """A new directory beside `directory` that takes its place if nothing goes wrong, and is removed if something does.

    FileExistsError if there is something that has none of the files `markers`, by which `what` is known.
    """
    if directory.exists() and any(directory.iterdir()) and not any((directory / name).exists() for name in markers):
        raise FileExistsError(f"{directory} holds something that is not {what}; name another directory")
    writing = directory.with_name(f".{directory.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    try:
        writing.mkdir(parents=True)
        yield writing
        shutil.rmtree(directory, ignore_errors=True)
        writing.rename(directory)
    finally:
        shutil.rmtree(writing, ignore_errors=True)
