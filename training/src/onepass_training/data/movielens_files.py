"""The files of the MovieLens data sets: which of their three forms a folder is in, its items, and its ratings as a stream.

100K: u.data and u.item, tab and | between columns. 1M and 10M: ratings.dat and movies.dat, :: between them. 20M, 25M, 32M and
latest: ratings.csv and movies.csv. The first two are in ISO 8859-1. Other files of a data set are not read.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""What the 19 flags at the end of a line of u.item stand for, in order."""
NO_GENRES = ("unknown", "(no genres listed)")
YEAR = re.compile(r"\s*\((\d{4})\)\s*$")
COLUMNS = ("userId", "movieId", "rating", "timestamp")
LONGEST_LINE = 60
"""Characters of a bad line that an error shows."""


@dataclass(frozen=True)
class Form:
    """How the files of one form are named and written."""

    ratings: str
    items: str
    between: str
    encoding: str
    header: bool


FORMS = (
    Form("u.data", "u.item", "\t", "latin-1", header=False),
    Form("ratings.dat", "movies.dat", "::", "latin-1", header=False),
    Form("ratings.csv", "movies.csv", ",", "utf-8-sig", header=True),
)


@dataclass(frozen=True)
class Movie:
    """One item; `line` of its file, from 1."""

    id: int
    title: str
    year: int | None
    genres: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Ratings:
    """Some lines of the ratings, in order. All arrays [n]."""

    user: NDArray[np.int64]
    movie: NDArray[np.int64]
    stars: NDArray[np.float64]
    time_s: NDArray[np.int64]
    """Epoch seconds."""
    before: int
    """Ratings of the file before these."""


def form_of(folder: Path) -> Form | None:
    """The form of the data set in a folder; None where it holds no ratings in any of them."""
    return next((form for form in FORMS if (folder / form.ratings).is_file()), None)


def read_movies(folder: Path, form: Form) -> list[Movie]:
    """All items, in the file's order. FileNotFoundError, or ValueError that names file and line."""
    path = folder / form.items
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {form.ratings} needs it beside it")
    movies: list[Movie] = []
    lines: dict[int, int] = {}
    try:
        for line, columns in _item_lines(path, form):
            movie = _movie(path, line, columns, form)
            if movie.id in lines:
                raise ValueError(f"{path}, line {line}: movie {movie.id} is there already, in line {lines[movie.id]}")
            lines[movie.id] = line
            movies.append(movie)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8: {error.reason} at byte {error.start}") from error
    if not movies:
        raise ValueError(f"{path} holds no movie")
    return movies


def _item_lines(path: Path, form: Form) -> Iterator[tuple[int, list[str]]]:
    """Line number from 1 and the columns of every line that is not empty."""
    between = "|" if form.items == "u.item" else form.between
    with path.open(encoding=form.encoding) as stream:
        for line, text in enumerate(stream, 1):
            columns = _quoted(path, line, text) if form.header else text.rstrip("\n").split(between)
            if form.header and line == 1:
                _require_header(path, columns, ("movieId", "title", "genres"))
            elif text.strip():
                yield line, columns


def _quoted(path: Path, line: int, text: str) -> list[str]:
    """A line of CSV: a title with a comma is in quotes, and none goes on in the next line."""
    try:
        return next(csv.reader([text.rstrip("\n")], strict=True), [])
    except csv.Error as error:
        raise ValueError(f"{path}, line {line}: {error}") from error


def _movie(path: Path, line: int, columns: list[str], form: Form) -> Movie:
    flags = form.items == "u.item"
    wanted = 5 + len(GENRES) if flags else 3
    if len(columns) != wanted:
        raise ValueError(f"{path}, line {line}: has {len(columns)} columns, must have {wanted}")
    if not columns[0].strip().isdecimal():
        raise ValueError(f"{path}, line {line}: the movie's id is {columns[0]!r}, must be a whole number")
    if flags:
        if not set(columns[5:]) <= {"0", "1"}:
            raise ValueError(f"{path}, line {line}: the last {len(GENRES)} columns must be 0 or 1")
        genres = [genre for genre, flag in zip(GENRES, columns[5:], strict=True) if flag == "1"]
    else:
        genres = columns[2].split("|")
    title, year = columns[1].strip(), YEAR.search(columns[1])
    return Movie(
        id=int(columns[0]),
        title=title[: -len(year[0].strip())].rstrip() if year else title,
        year=int(year[1]) if year else None,
        genres=tuple(genre for genre in genres if genre and genre not in NO_GENRES),
        line=line,
    )


def _require_header(path: Path, columns: list[str], wanted: tuple[str, ...]) -> None:
    if tuple(columns) != wanted:
        raise ValueError(f"{path}, line 1: the columns are {','.join(columns)[:LONGEST_LINE]}, must be {','.join(wanted)}")


def read_ratings(folder: Path, form: Form) -> Iterator[Ratings]:
    """All ratings in the file's order, some hundred thousand at a time. ValueError names file and line."""
    path = folder / form.ratings
    if form.header:
        with path.open(encoding=form.encoding, errors="replace") as stream:
            _require_header(path, _quoted(path, 1, stream.readline()), COLUMNS)
    before = 0
    try:
        for batch in _open(path, form):
            columns = [batch.column(name) for name in COLUMNS]
            if any(column.null_count for column in columns):
                raise _first_bad_line(path, form)
            if batch.num_rows:
                user, movie, stars, time_s = (column.to_numpy() for column in columns)
                yield Ratings(user, movie, stars, time_s, before)
            before += batch.num_rows
    except pa.ArrowException as error:
        raise _first_bad_line(path, form, str(error)) from error
    if before == 0:
        raise ValueError(f"{path} holds no rating")


def _open(path: Path, form: Form) -> Iterator[pa.RecordBatch]:
    """The file as batches. A `::` is read as an empty column between two `:`."""
    names = list(COLUMNS)
    if form.between == "::":
        names = [name for column in COLUMNS for name in (column, f"after {column}")][:-1]
    if path.stat().st_size == 0:
        return iter(())
    return pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(
            column_names=names, skip_rows=int(form.header), block_size=8 << 20, use_threads=False
        ),
        parse_options=pyarrow.csv.ParseOptions(delimiter=form.between[0], quote_char=False),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=list(COLUMNS),
            column_types=dict(zip(COLUMNS, (pa.int64(), pa.int64(), pa.float64(), pa.int64()), strict=True)),
        ),
    )


def rating_line(path: Path, form: Form, rating: int) -> int:
    """The line, from 1, of a rating that is counted from 0."""
    with path.open("rb") as stream:
        lines = (line for line, text in enumerate(stream, 1) if text.strip() and line > form.header)
        return next(line for at, line in enumerate(lines) if at == rating)


def _first_bad_line(path: Path, form: Form, otherwise: str = "holds a line that cannot be read") -> ValueError:
    """What is wrong with the first line that is not a rating: found slowly, once it is known that there is one."""
    with path.open(encoding="latin-1") as stream:
        for line, text in enumerate(stream, 1):
            if not text.strip() or line <= form.header:
                continue
            columns = text.rstrip("\r\n").split(form.between)
            if len(columns) != len(COLUMNS):
                problem = f"has {len(columns)} columns, must have {len(COLUMNS)}: {text.strip()[:LONGEST_LINE]}"
                return ValueError(f"{path}, line {line}: {problem}")
            for name, value in zip(COLUMNS, columns, strict=True):
                pattern = r"\d+(\.\d*)?" if name == "rating" else r"\d{1,18}"
                if re.fullmatch(pattern, value.strip(), re.ASCII) is None:
                    kind = "number" if name == "rating" else "whole number"
                    return ValueError(f"{path}, line {line}, {name}: is {value[:LONGEST_LINE]!r}, must be a {kind}")
    return ValueError(f"{path}: {otherwise}")
