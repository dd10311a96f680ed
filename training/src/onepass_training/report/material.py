"""What the page is made from."""

import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .book import Book
from .grid import OTHERS, VARIANTS
from .results import Line

Text = list[str]


@dataclass(frozen=True)
class Material:
    """The results, what a person wrote about them, and where plots go."""

    book: Book
    notes: dict[str, dict[str, str]]
    """findings and why by question, general by its place on the page."""
    throughput: dict | None
    plots: Path
    settings: dict
    """The base configuration."""

    def note(self, kind: str, name: str) -> Text:
        """What somebody wrote about it."""
        text = self.notes.get(kind, {}).get(name, "").strip()
        return [text, ""] if text else []

    def plot(self, name: str, alt: str) -> Text:
        """The line that shows it."""
        return [f"![{alt}]({self.plots.name}/{name}.svg)", ""]


def gather(lines: Iterable[Line], notes: Path, throughput: Path, plots: Path, settings: dict) -> Material:
    """ValueError that names the file where notes or throughput cannot be read."""
    return Material(Book(lines), _notes(notes), _json(throughput), plots, settings)


def _notes(path: Path) -> dict[str, dict[str, str]]:
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None


def _json(path: Path) -> dict | None:
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def title_of(name: str) -> str:
    """Of a variant, or of what is evaluated beside the base."""
    return OTHERS[name] if name in OTHERS else VARIANTS[name].title
