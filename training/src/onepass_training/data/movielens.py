"""MovieLens data sets as a folder of logs in our own schema.

A rating is a `watch`, with 4 stars or more also a `like`, with 2 or fewer a `dislike`. What the data sets tell of people (age,
gender, occupation) is left out: a page would have to be asked for with it every time, and gender is nothing to rank films by.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from .description import COMPUTED, DESCRIPTION
from .movielens_files import Form, Movie, Ratings, form_of, rating_line, read_movies, read_ratings

SURFACE = "home"
ACTIONS = (
    {"name": "watch", "negative": False, "utility_weight": 1.0},
    {"name": "like", "negative": False, "utility_weight": 2.0},
    {"name": "dislike", "negative": True, "utility_weight": -2.0},
)
LIKE_FROM, DISLIKE_TO = 4.0, 2.0
"""Stars."""
MOST_STARS = 5.0
SESSION_GAP_MINUTES = 30
_COLUMNS = {
    "person": pa.string(), "item_id": pa.string(), "actions": pa.list_(pa.string()),
    "surface": pa.string(), "time_ms": pa.int64(),
}  # fmt: skip
EVENTS = pa.schema(_COLUMNS.items())


def is_movielens(path: Path) -> bool:
    """Whether a folder holds the ratings of a MovieLens data set in any of the three forms."""
    return path.is_dir() and form_of(path) is not None


def convert(path: Path, out: Path) -> None:
    """Writes the data set in `path` to the folder `out`, which appears whole or not at all.

    Memory is bounded: some bytes an item, and one batch of ratings. A folder of logs that is there is replaced; FileExistsError
    for anything else. ValueError and FileNotFoundError name file and line.
    """
    form = form_of(path)
    if form is None:
        raise FileNotFoundError(f"{path} holds none of u.data, ratings.dat and ratings.csv: it is no MovieLens data set")
    movies = read_movies(path, form)
    with whole_folder(out) as partial:
        first_ms = _write_events(path, form, movies, partial / "events.parquet")
        parquet.write_table(_items(movies, first_ms), partial / "items.parquet")
        description = {
            "name": path.resolve().name,
            "actions": ACTIONS,
            "surfaces": [SURFACE],
            "embeddings": COMPUTED,
            "sessions": {"gap_minutes": SESSION_GAP_MINUTES},
        }
        (partial / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A new folder to write to; it becomes `out` at the end, and is gone where anything fails."""
    if out.exists() and not (out / DESCRIPTION).is_file():
        raise FileExistsError(f"{out} is there already and is no folder of logs: choose another")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_events(path: Path, form: Form, movies: list[Movie], target: Path) -> np.ndarray:
    """Writes all ratings as events. Returns [N] the time of each item's first one in ms, 0 where it has none."""
    ids = np.array([movie.id for movie in movies], np.int64)
    order = np.argsort(ids)
    never = np.iinfo(np.int64).max
    first_ms = np.full(len(ids), never)
    with parquet.ParquetWriter(target, EVENTS, compression="zstd") as writer:
        for ratings in read_ratings(path, form):
            rows = order[np.searchsorted(ids[order], ratings.movie).clip(max=len(ids) - 1)]
            _check(path / form.ratings, form, ratings, ids[rows] == ratings.movie)
            time_ms = ratings.time_s * 1_000
            np.minimum.at(first_ms, rows, time_ms)
            writer.write_table(_events(ratings, time_ms))
    return np.where(first_ms == never, 0, first_ms)


def _check(path: Path, form: Form, ratings: Ratings, known: np.ndarray) -> None:
    """ValueError names the first rating that cannot be."""
    rated = (ratings.stars > 0) & (ratings.stars <= MOST_STARS)
    possible = (ratings.time_s > 0) & (ratings.time_s < 1 << 40)
    wrong = np.flatnonzero(~(known & rated & possible))
    if not len(wrong):
        return
    at = int(wrong[0])
    if not known[at]:
        problem = f"movieId: {ratings.movie[at]} is not in {form.items}"
    elif not rated[at]:
        problem = f"rating: is {ratings.stars[at]:g}, must be above 0 and at most {MOST_STARS:g}"
    else:
        problem = f"timestamp: is {ratings.time_s[at]}, must be in seconds since 1970"
    raise ValueError(f"{path}, line {rating_line(path, form, ratings.before + at)}, {problem}")


def _events(ratings: Ratings, time_ms: np.ndarray) -> pa.Table:
    like, dislike = ratings.stars >= LIKE_FROM, ratings.stars <= DISLIKE_TO
    starts = np.concatenate([[0], np.cumsum(1 + (like | dislike))])
    done = np.zeros(starts[-1], np.int64)
    done[starts[:-1][like] + 1] = 1
    done[starts[:-1][dislike] + 1] = 2
    names = pa.array([action["name"] for action in ACTIONS])
    return pa.Table.from_arrays(
        [
            pa.array(ratings.user).cast(pa.string()),
            pa.array(ratings.movie).cast(pa.string()),
            pa.ListArray.from_arrays(pa.array(starts, pa.int32()), names.take(pa.array(done))),
            pa.repeat(SURFACE, len(time_ms)),
            pa.array(time_ms),
        ],
        schema=EVENTS,
    )


def _items(movies: list[Movie], first_ms: np.ndarray) -> pa.Table:
    """The catalogue. An item is born with its first rating: nothing else says since when it could be watched."""
    attributes = [
        json.dumps({name: value for name, value in (("genres", movie.genres), ("year", movie.year)) if value})
        for movie in movies
    ]
    return pa.table(
        {
            "item_id": pa.array([str(movie.id) for movie in movies]),
            "title": pa.array([movie.title for movie in movies]),
            "attributes": pa.array(attributes),
            "born_ms": pa.array(first_ms),
        }
    )
