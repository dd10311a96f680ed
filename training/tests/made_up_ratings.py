"""Made-up ratings in the size and form of ml-latest-small, with their truth: docs/training.md has numbers of them.

`python tests/made_up_ratings.py FOLDER --seed 7 --later 300`: films and people have tastes in 8 dimensions. A person watches
films by base + pull x (taste x film) and chance, each once and in any order, 20 in a row. Nobody's past is in the films' order.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

GENRES = [
    "Action",
    "Adventure",
    "Animation",
    "Children",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]
FIRST = [
    "Amber",
    "Broken",
    "Copper",
    "Distant",
    "Empty",
    "Frozen",
    "Golden",
    "Hidden",
    "Iron",
    "Jade",
    "Last",
    "Midnight",
    "Northern",
    "Old",
    "Paper",
    "Quiet",
    "Red",
    "Silver",
    "Third",
    "Winter",
]
SECOND = [
    "Bridge",
    "Castle",
    "Dance",
    "Engine",
    "Forest",
    "Garden",
    "Harbour",
    "Island",
    "Journey",
    "King",
    "Letter",
    "Mountain",
    "Night",
    "Orchard",
    "Promise",
    "River",
    "Season",
    "Train",
    "Valley",
    "Window",
]
TASTES = 8
FROM_S, UNTIL_S, END_S = 900_000_000, 1_530_000_000, 1_540_000_000
LATER_S = 1_600_000_000
"""From when the later people are: all of them after a split at 1.59e9."""


@dataclass(frozen=True)
class Shape:
    """How much there is, and how much taste decides beside popularity."""

    people: int = 610
    films: int = 9_742
    ratings: int = 100_836
    later: int = 0
    """More people of 100 ratings each who come after all others: for a test of many people."""
    exponent: float = 0.9
    """Popularity of the film at place r is r^-exponent."""
    pull: float = 7.0


def write(folder: Path, seed: int, shape: Shape) -> None:
    """Writes movies.csv, ratings.csv and, beside the folder, FOLDER-truth.npz: q [films, 8], p [people, 8], base [films], pull.

    base + pull * q @ p[person], without what the person has watched, is the best ranking there can be.
    """
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    genre = random.standard_normal((len(GENRES), TASTES))
    counts = random.integers(1, 4, shape.films)
    genres = [sorted(random.choice(len(GENRES), count, replace=False)) for count in counts]
    films = np.stack([genre[of].mean(axis=0) for of in genres]) + 0.6 * random.standard_normal((shape.films, TASTES))
    films /= np.linalg.norm(films, axis=1, keepdims=True)
    quality = 0.5 * random.standard_normal(shape.films)
    popularity = np.arange(1, shape.films + 1) ** -shape.exponent
    random.shuffle(popularity)
    years = random.integers(1930, 1996, shape.films)
    lines = ["movieId,title,genres"]
    for film, (year, of) in enumerate(zip(years, genres, strict=True)):
        title = f"{FIRST[random.integers(20)]} {SECOND[random.integers(20)]} {film}, The ({year})"
        lines.append(f'{film + 1},"{title}",{"|".join(GENRES[one] for one in of)}')
    (folder / "movies.csv").write_text("\n".join(lines) + "\n")
    people = random.standard_normal((shape.people + shape.later, TASTES))
    people /= np.linalg.norm(people, axis=1, keepdims=True)
    base = np.log(popularity) + 0.5 * quality
    active = random.lognormal(0, 1.1, shape.people)
    active = np.clip((active / active.sum() * shape.ratings * 1.05).astype(int), 20, 2_500)
    rows: list[np.ndarray] = []
    for person, taste in enumerate(people):
        most = active[person] if person < shape.people else 100
        seen = np.argsort(-(base + shape.pull * (films @ taste) + random.gumbel(size=shape.films)))[:most]
        rows.append(_ratings(person, seen, films[seen] @ taste, quality[seen], shape, random))
    told = np.concatenate([np.concatenate(rows[: shape.people])[: shape.ratings], *rows[shape.people :]])
    written = (f"{person:.0f},{film:.0f},{stars:g},{time:.0f}\n" for person, film, stars, time in told)
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "".join(written))
    np.savez(folder.with_name(f"{folder.name}-truth.npz"), q=films, p=people, base=base, pull=shape.pull)


def _ratings(
    person: int, seen: np.ndarray, liked: np.ndarray, quality: np.ndarray, shape: Shape, random: np.random.Generator
) -> np.ndarray:
    """[n, 4] person, film, stars and seconds of one person's films, in any order."""
    order = random.permutation(len(seen))
    seen, liked, quality = seen[order], liked[order], quality[order]
    later = person >= shape.people
    begin = random.integers(LATER_S, LATER_S + 10_000_000) if later else random.integers(FROM_S, UNTIL_S)
    step = random.integers(5, 90, len(seen))
    pause = np.where(np.arange(len(seen)) % 20 == 19, random.exponential(2e6, len(seen)), 0)
    time = begin + np.cumsum(step + pause.astype(int))
    stars = 3.3 + 1.1 * liked + 0.6 * quality + 0.7 * random.standard_normal(len(seen))
    stars = np.clip(np.round(stars * 2) / 2, 0.5, 5)
    return np.stack([np.full(len(seen), person + 1), seen + 1, stars, time if later else np.minimum(time, END_S)], axis=1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write made-up ratings with their truth.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--later", type=int, default=0)
    parser.add_argument("--exponent", type=float, default=Shape.exponent)
    parser.add_argument("--pull", type=float, default=Shape.pull)
    given = parser.parse_args()
    write(given.folder, given.seed, Shape(later=given.later, exponent=given.exponent, pull=given.pull))
