"""A prepared dataset on disk: a description, the items mapped from files, and a folder of records for each bucket."""

import json
import mmap
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .dataset import FLOAT, INT, Action, Bucket, Dataset, Items, Splits, Vocabulary
from .description import Sessions
from .join import Raw, join_bucket
from .records import EVENT, NOBODY, SHOWN, slate_record

PREPARED = "prepared.json"
VERSION = 2
HELD_BUCKETS = 2
"""Buckets that stay in memory."""
EVENTS_FILE, SLATES_FILE, SHOWN_FILE, GIVEN_FILE = "events.bin", "slates.bin", "shown.bin", "given.f32"
EVENT_TEXTS, SLATE_TEXTS = "event-texts.jsonl", "slate-texts.jsonl"


def is_prepared(path: Path) -> bool:
    """Whether a directory was written by `prepare`."""
    return (path / PREPARED).is_file()


def read_prepared(path: Path) -> dict:
    """The description of a prepared dataset. ValueError where it is of another version."""
    held = json.loads((path / PREPARED).read_text(encoding="utf-8"))
    if held.get("version") != VERSION:
        raise ValueError(f"{path / PREPARED} is of version {held.get('version')}, must be {VERSION}: prepare the logs anew")
    return held


class BucketWriter:
    """Appends records to the files of their buckets. Holds nothing but how many texts and embeddings each bucket has."""

    def __init__(self, directory: Path, buckets: int) -> None:
        self._directory, self._buckets = directory, buckets
        self._texts = {EVENT_TEXTS: np.zeros(buckets, np.int64), SLATE_TEXTS: np.zeros(buckets, np.int64)}
        self._given = np.zeros(buckets, np.int64)
        for bucket in range(buckets):
            _folder(directory, bucket).mkdir(parents=True)

    def events(self, events: NDArray, texts: Sequence[str]) -> None:
        """Event records with their texts."""
        for bucket, mine in self._parts(events["person"]):
            part = events[mine]
            self._add_texts(EVENT_TEXTS, bucket, part, texts)
            self._append(bucket, EVENTS_FILE, part.tobytes())

    def slates(self, slates: NDArray, shown: NDArray, texts: Sequence[str], given: FLOAT) -> None:
        """Slate records with what hangs on them. Nobody's slates are spread by their own keys."""
        keys = np.where(slates["person"] == NOBODY, slates["slate"], slates["person"])
        for bucket, mine in self._parts(np.repeat(keys, slates["shown"])):
            self._append(bucket, SHOWN_FILE, shown[mine].tobytes())
        for bucket, mine in self._parts(keys):
            part = slates[mine]
            self._add_texts(SLATE_TEXTS, bucket, part, texts)
            has = part["given"] >= 0
            embeddings = given[part["given"][has]]
            part["given"][has] = self._given[bucket] + np.arange(len(embeddings))
            self._given[bucket] += len(embeddings)
            self._append(bucket, GIVEN_FILE, embeddings.astype("<f4").tobytes())
            self._append(bucket, SLATES_FILE, part.tobytes())

    def _parts(self, keys: NDArray[np.uint64]) -> Iterator[tuple[int, INT]]:
        """Each bucket with some of the rows, and which, in their order."""
        bucket = (keys % np.uint64(self._buckets)).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        present, starts = np.unique(bucket[order], return_index=True)
        yield from zip(present.tolist(), np.split(order, starts[1:]), strict=True)

    def _add_texts(self, file: str, bucket: int, part: NDArray, texts: Sequence[str]) -> None:
        has = part["text"] >= 0
        lines = [json.dumps(texts[at], ensure_ascii=False) + "\n" for at in part["text"][has]]
        part["text"][has] = self._texts[file][bucket] + np.arange(len(lines))
        self._texts[file][bucket] += len(lines)
        self._append(bucket, file, "".join(lines).encode("utf-8", "surrogatepass"))

    def _append(self, bucket: int, file: str, data: bytes) -> None:
        if data:
            with (_folder(self._directory, bucket) / file).open("ab") as target:
                target.write(data)


def _folder(directory: Path, bucket: int) -> Path:
    return directory / "buckets" / f"{bucket:04d}"


def read_raw(directory: Path, bucket: int, dimension: int, features: int) -> Raw:
    """What a bucket's files hold."""
    folder = _folder(directory, bucket)

    def records(file: str, kind: np.dtype) -> NDArray:
        path = folder / file
        return np.fromfile(path, kind) if path.exists() else np.zeros(0, kind)

    def texts(file: str) -> list[str]:
        path = folder / file
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    return Raw(
        records(EVENTS_FILE, EVENT), records(SLATES_FILE, slate_record(features)), records(SHOWN_FILE, SHOWN),
        texts(EVENT_TEXTS), texts(SLATE_TEXTS), records(GIVEN_FILE, np.dtype("<f4")).reshape(-1, max(1, dimension)),
    )  # fmt: skip


class ItemsWriter:
    """Writes the catalogue a batch at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "items"
        self._directory.mkdir(parents=True)
        self._at = 0

    def write(self, ids: list[str], upstream: FLOAT | None, born_ms: INT, titles: list[str], attributes: list[dict]) -> None:
        """Rows that follow those before."""
        lines = [
            json.dumps({"id": item, "title": title, "attributes": held}, ensure_ascii=False).encode() + b"\n"
            for item, title, held in zip(ids, titles, attributes, strict=True)
        ]
        starts = self._at + np.cumsum([0, *map(len, lines)])
        self._at = int(starts[-1])
        for file, data in (
            ("items.jsonl", b"".join(lines)), ("starts.i64", starts[:-1].astype("<i8").tobytes()),
            ("born.i64", born_ms.astype("<i8").tobytes()),
            ("upstream.f32", b"" if upstream is None else upstream.astype("<f4").tobytes()),
        ):  # fmt: skip
            with (self._directory / file).open("ab") as target:
                target.write(data)


@dataclass(frozen=True)
class _Lines(Sequence):
    """A field of each line of items.jsonl, read when it is asked for."""

    lines: mmap.mmap
    starts: INT
    field: str

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, row: int | slice) -> object:
        if isinstance(row, slice):
            return [self[at] for at in range(*row.indices(len(self)))]
        start = int(self.starts[row])
        return json.loads(self.lines[start : self.lines.find(b"\n", start)])[self.field]


def read_items(directory: Path, dimension: int, content: int) -> Items:
    """The catalogue: ids in memory, all else mapped from the files."""
    folder = directory / "items"
    starts = np.fromfile(folder / "starts.i64", "<i8")
    with (folder / "items.jsonl").open("rb") as file:
        lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    shape = (len(starts), dimension)
    # Copy on write: PyTorch warns of arrays that cannot be written to.
    upstream = np.memmap(folder / "upstream.f32", "<f4", "c", shape=shape) if dimension else np.zeros(shape, np.float32)
    return Items(
        ids=list(_Lines(lines, starts, "id")), upstream=upstream, content=content,
        born_ms=np.fromfile(folder / "born.i64", "<i8"),
        titles=_Lines(lines, starts, "title"), attributes=_Lines(lines, starts, "attributes"),
    )  # fmt: skip


class DiskDataset(Dataset):
    """Buckets are joined when they are asked for; the last two stay in memory."""

    def __init__(self, directory: Path) -> None:
        held = read_prepared(directory)
        vocabulary = held["vocabulary"]
        self.directory = directory
        self.name: str = held["name"]
        self.vocabulary = Vocabulary(
            tuple(Action(**action) for action in vocabulary["actions"]),
            tuple(vocabulary["surfaces"]),
            tuple(vocabulary["features"]),
        )
        self.splits = Splits(**held["splits"])
        self.buckets: int = held["buckets"]
        self.sessions = Sessions(**held["sessions"]) if held["sessions"] else None
        self.contiguous: bool = held["contiguous"]
        self.items = read_items(directory, held["dimension"], held["content"])
        self._dimension: int = held["dimension"]
        self._load = _newest(self._read, HELD_BUCKETS)

    @property
    def formed(self) -> bool:
        """Whether the slates were formed from events, not served."""
        return self.sessions is not None

    def bucket(self, index: int) -> Bucket:
        """One bucket, from 0."""
        if not 0 <= index < self.buckets:
            raise IndexError(f"{self.directory} has {self.buckets} buckets, not one {index}")
        return self._load(index)

    def _read(self, index: int) -> Bucket:
        raw = read_raw(self.directory, index, self._dimension, len(self.vocabulary.features))
        return join_bucket(raw, self.splits, self.items.upstream.shape[1], self.contiguous, self.sessions)[0]


def _newest(read: Callable[[int], Bucket], size: int) -> Callable[[int], Bucket]:
    """`read` with the newest answers kept: functools.lru_cache would keep a dataset alive that nobody holds."""
    held: OrderedDict[int, Bucket] = OrderedDict()

    def load(index: int) -> Bucket:
        if index not in held:
            while len(held) >= size:
                held.popitem(last=False)
            held[index] = read(index)
        held.move_to_end(index)
        return held[index]

    return load
