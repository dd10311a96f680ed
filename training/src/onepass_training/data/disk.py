"""A prepared dataset on disk."""

from pathlib import Path

from .dataset import Bucket, Dataset


def is_prepared(path: Path) -> bool:
    """Whether a directory was written by `prepare`."""
    return (path / "prepared.json").is_file()


class DiskDataset(Dataset):
    """Buckets are loaded when they are asked for; the last two stay in memory."""

    def __init__(self, directory: Path) -> None:
        raise NotImplementedError

    def bucket(self, index: int) -> Bucket:
        """One bucket, from 0."""
        raise NotImplementedError
