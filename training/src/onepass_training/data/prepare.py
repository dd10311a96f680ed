"""From a folder of logs to a directory of buckets that is read one at a time. Memory is bounded whatever the size of the logs:
the catalogue's ids, one batch of rows, and one bucket."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .arrange import Wrong
from .catalogue import check_attributes, check_born, check_embeddings, check_item_ids
from .dataset import INT, Bucket, Splits
from .disk import PREPARED, VERSION, BucketWriter, DiskDataset, ItemsWriter, is_prepared, read_raw
from .join import join_bucket
from .read import read_rows
from .records import ACTED, TOOK_BACK
from .rows import Rows, numbered, place
from .schema import EVENTS, ITEMS, LATEST_MS, SLATES
from .source import Source, find_source
from .validate import Encoder, LeftOut

BUCKET_BYTES = 64 << 20
"""Uncompressed logs a bucket is made of, about: a million events."""
MOST_BUCKETS = 4096
EVENT_ROWS, SLATE_ROWS, ITEM_ROWS = 50_000, 2_000, 4_000
"""Rows held at a time."""
TIME_BINS = 1 << 20
DOUBTFUL_MS = 100_000_000_000
"""A file whose latest time is before this, in 1973, may well hold seconds."""
SECONDS_BETWEEN_LINES = 10.0


@dataclass
class _Counted:
    """What was read."""

    events: int = 0
    queries: int = 0
    retracts: int = 0
    slates: int = 0
    first_ms: int = LATEST_MS
    last_ms: int = 0
    people: int = 0
    kept_slates: int = 0
    engaged: int = 0

    def times(self, *times_ms: INT) -> int:
        """The latest of them."""
        latest = 0
        for held in times_ms:
            held = held[held >= 0]
            if len(held):
                latest = max(latest, int(held.max()))
                self.first_ms, self.last_ms = min(self.first_ms, int(held.min())), max(self.last_ms, latest)
        return latest


def prepare(
    source: Path,
    out: Path,
    items: Path | None = None,
    vocabulary: Path | None = None,
    say: Callable[[str], None] = print,
    bucket_bytes: int = BUCKET_BYTES,
) -> DiskDataset:
    """Checks the logs in `source` and writes them to `out`, which appears whole or not at all.

    `source` is a folder in our schema or a mesh's export. What was prepared from the very same files (place, size, time of
    change) is used as it is; from others, it is replaced. FileExistsError where `out` is something else. ValueError and
    FileNotFoundError name file, row and column of what is wrong.
    """
    found = find_source(source, items, vocabulary)
    print_of = [VERSION, bucket_bytes, *found.fingerprint()]
    if is_prepared(out):
        held = json.loads((out / PREPARED).read_text(encoding="utf-8"))
        if held.get("source") == print_of:
            say(f"{out} was prepared from these logs already")
            return DiskDataset(out)
        say(f"{out} was prepared from other logs, or these have changed: it is prepared anew")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is there already and is no prepared dataset: choose another")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _Preparation(found, partial, say, bucket_bytes).run(print_of)
        shutil.rmtree(out, ignore_errors=True)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return DiskDataset(out)


class _Preparation:
    """One run, into a directory that is new."""

    def __init__(self, source: Source, out: Path, say: Callable[[str], None], bucket_bytes: int) -> None:
        self._source, self._out, self._say = source, out, say
        self._left_out, self._counted = LeftOut(), _Counted()
        self._buckets = max(1, min(MOST_BUCKETS, -(-source.raw_bytes // bucket_bytes)))
        self._bins = np.zeros(TIME_BINS, np.int64)
        self._doubts: list[str] = []

    def run(self, print_of: list) -> None:
        """All of it."""
        description = self._source.description
        for line in self._source.not_read():
            self._say(line)
        row_of, dimension = self._items()
        encoder = Encoder(description, row_of, dimension, self._left_out)
        writer = BucketWriter(self._out, self._buckets)
        self._events(encoder, writer, len(row_of))
        self._slates(encoder, writer)
        del row_of, encoder
        has_slates = self._counted.slates > 0
        if has_slates and description.sessions:
            raise ValueError(
                f"{description.path}, sessions: forms slates, but {self._source.slates} holds some: keep one of them"
            )
        if not has_slates and not description.sessions:
            raise ValueError(
                f'{self._source.directory} has no slates: give some, or have them formed from the events with "sessions": {{}} '
                f"in {description.path}"
            )
        content = dimension if description.content_columns is None else description.content_columns
        if content > dimension and not description.computed:
            raise ValueError(
                f"{description.path}, content_columns: is {content}, the items' embeddings have {dimension} numbers"
            )
        self._check_buckets(dimension, has_slates)
        held = {
            "version": VERSION, "name": description.name, "vocabulary": asdict(description.vocabulary),
            "splits": asdict(self._splits()), "buckets": self._buckets, "contiguous": self._source.export,
            "sessions": asdict(description.sessions) if description.sessions else None, "dimension": dimension,
            "content": content, "source": print_of, "counted": asdict(self._counted), "left_out": self._left_out.counts,
        }  # fmt: skip
        self._write(held)
        if description.computed:
            self._write(held | self._compute())
        self._report(held)

    def _write(self, held: dict) -> None:
        (self._out / PREPARED).write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")

    def _items(self) -> tuple[dict[str, int], int]:
        """Rows by id, and U: 0 where embeddings are computed."""
        path, computed = self._source.items, self._source.description.computed
        columns = tuple(column for column in ITEMS if not (computed and column.name == "embedding"))
        writer, row_of, dimension = ItemsWriter(self._out), {}, None
        for rows in self._progress(path, read_rows(path, columns, ITEM_ROWS), "items"):
            check_item_ids(rows, row_of, len(row_of))
            upstream = None
            if not computed:
                upstream = check_embeddings(rows, dimension)
                dimension = upstream.shape[1]
            titles = rows.columns["title"].fill_null("").to_pylist()
            writer.write(rows.columns["item_id"].to_pylist(), upstream, check_born(rows), titles, check_attributes(rows))
        if not row_of:
            raise ValueError(f"{path} holds no items")
        return row_of, dimension or 0

    def _events(self, encoder: Encoder, writer: BucketWriter, items: int) -> None:
        path, counted, known, acted, latest = self._source.events, self._counted, 0, 0, 0
        for rows in self._progress(path, read_rows(path, EVENTS, EVENT_ROWS), "events"):
            events, texts = encoder.events(rows)
            writer.events(events, texts)
            counted.events += len(events)
            counted.queries += len(texts)
            counted.retracts += int((events["kind"] == TOOK_BACK).sum())
            latest = max(latest, counted.times(events["time_ms"], events["effective_ms"]))
            acted += int((events["kind"] == ACTED).sum())
            known += int((events["item"] >= 0).sum())
        if not counted.events:
            raise ValueError(f"{path} holds no events")
        self._doubt(path, latest)
        if acted and not known:
            raise ValueError(f"{path}: none of its {acted:,} actions is on one of the {items:,} items of {self._source.items}")

    def _slates(self, encoder: Encoder, writer: BucketWriter) -> None:
        path = self._source.slates
        if path is None:
            return
        latest = 0
        for rows in self._progress(path, read_rows(path, SLATES, SLATE_ROWS), "slates"):
            batch = encoder.slates(rows)
            writer.slates(batch.slates, batch.shown, batch.texts, batch.given)
            self._counted.slates += len(rows)
            latest = max(latest, self._counted.times(batch.slates["time_ms"]))
        self._doubt(path, latest)

    def _doubt(self, path: Path, latest_ms: int) -> None:
        """Seconds read as milliseconds are some days of January 1970."""
        if 0 < latest_ms < DOUBTFUL_MS:
            when = f"{latest_ms}, {_day(latest_ms)}"
            self._doubts.append(f"{path.name}: the latest time is {when}: are these seconds? They must be milliseconds")

    def _progress(self, path: Path, batches: Iterator[Rows], what: str) -> Iterator[Rows]:
        said, done = time.monotonic(), 0
        for rows in batches:
            yield rows
            done += len(rows)
            if time.monotonic() - said >= SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                self._say(f"{what}: {done:,} rows of {path.name} read")

    def _check_buckets(self, dimension: int, by_slates: bool) -> None:
        """Goes through all buckets: rows that contradict each other, numbers to report, and when things happened."""
        whole = Splits(LATEST_MS, LATEST_MS, LATEST_MS)
        said, export = time.monotonic(), self._source.export
        for index in range(self._buckets):
            raw = read_raw(self._out, index, dimension, len(self._source.description.vocabulary.features))
            try:
                bucket, left_out = join_bucket(raw, whole, dimension, export, None)
            except Wrong as error:
                path = self._source.events if error.table == "events" else self._source.slates
                assert path is not None
                problem = error.problem.format(numbered(path, error.other))
                raise ValueError(f"{place(path, error.row, error.column)}: {problem}") from error
            for reason, count in left_out.items():
                self._left_out.add(reason, count)
            self._count(bucket, bucket.slate_time_ms if by_slates else bucket.event_time_ms)
            if time.monotonic() - said >= SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                self._say(f"buckets: {index + 1:,} of {self._buckets:,} checked")

    def _count(self, bucket: Bucket, times_ms: INT) -> None:
        counted = self._counted
        counted.people += len(set(bucket.history_person) - {""})
        counted.kept_slates += len(bucket.slate_prefix)
        counted.engaged += int(bucket.engaged(self._source.description.vocabulary.positive_bits).sum())
        self._bins += np.bincount((times_ms - counted.first_ms) * TIME_BINS // self._span, minlength=TIME_BINS)

    @property
    def _span(self) -> int:
        return self._counted.last_ms + 1 - self._counted.first_ms

    def _splits(self) -> Splits:
        """Moments that were given, or those that the shares of the newest slates (events) begin at."""
        rule, end_ms = self._source.description.splits, self._counted.last_ms + 1
        if rule.validation_ms is not None and rule.test_ms is not None:
            if not self._counted.first_ms < rule.validation_ms <= rule.test_ms <= end_ms:
                raise ValueError(
                    f"{self._source.description.path}, splits: validation_ms and test_ms must lie in this order in the logs, "
                    f"after {self._counted.first_ms} and not after {end_ms}"
                )
            return Splits(rule.validation_ms, rule.test_ms, end_ms)
        older = np.concatenate([[0], np.cumsum(self._bins)])

        def begin(share: float) -> int:
            """The first moment, to a bin, with at most `share` of all from it on; all of the logs' end where that is none."""
            if share == 0:
                return end_ms
            at = int(np.searchsorted(older, older[-1] * (1 - share) - 1e-9))
            return min(end_ms, self._counted.first_ms + -(-at * self._span // TIME_BINS))

        return Splits(begin(rule.validation + rule.test), begin(rule.test), end_ms)

    def _compute(self) -> dict:
        """Writes embeddings of what the items are and of what people did with them before validation."""
        from .item_embeddings import item_embeddings  # PyTorch takes seconds to load, and no other logs need it

        dataset = DiskDataset(self._out)
        items = dataset.items
        upstream, content = item_embeddings(
            items.titles, items.attributes, dataset.each_bucket, dataset.vocabulary, dataset.splits.validation_ms
        )
        (self._out / "items" / "upstream.f32").write_bytes(np.ascontiguousarray(upstream, "<f4").tobytes())
        return {"dimension": upstream.shape[1], "content": content}

    def _report(self, held: dict) -> None:
        counted, say = self._counted, self._say
        say(
            f"events: {counted.events:,} ({counted.queries:,} queries, {counted.retracts:,} retracts) "
            f"of {counted.people:,} people, in {self._buckets:,} buckets"
        )
        if counted.slates:
            say(
                f"slates: {counted.slates:,}, of which {counted.kept_slates:,} are used, "
                f"{counted.engaged:,} with something positive"
            )
        else:
            say("slates: none were logged; they are formed from events, and were never served")
        for line in self._left_out.lines():
            say(line)
        splits = held["splits"]
        say(f"splits: validation from {_day(splits['validation_ms'])}, test from {_day(splits['test_ms'])}")
        for line in self._doubts:
            say(line)


def _day(time_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(time_ms / 1000)) + " UTC"
