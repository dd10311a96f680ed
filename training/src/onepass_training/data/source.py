"""Where logs lie: the files of a folder in our schema or of a mesh's export, and what they say of themselves."""

from dataclasses import dataclass
from pathlib import Path

from .description import DESCRIPTION, Description, read_description
from .mesh_export import EVENTS, SLATES, check_export, is_export
from .read import FORMATS, columns_of, find_table, raw_bytes
from .schema import EVENTS as EVENT_COLUMNS
from .schema import ITEMS, Column
from .schema import SLATES as SLATE_COLUMNS


@dataclass(frozen=True)
class Source:
    """Files that exist."""

    directory: Path
    description: Description
    events: Path
    slates: Path | None
    items: Path
    export: bool
    """A mesh's own: a person's rows lie together, in order."""

    @property
    def files(self) -> list[Path]:
        """All that changes what is prepared."""
        return [path for path in (self.description.path, self.events, self.slates, self.items) if path]

    @property
    def raw_bytes(self) -> int:
        """Bytes of events and slates, uncompressed."""
        return raw_bytes(self.events) + (raw_bytes(self.slates) if self.slates else 0)

    def fingerprint(self) -> list:
        """Differs when any of the files does: their places, sizes and times of change."""
        return [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in self.files]

    def not_read(self) -> list[str]:
        """Columns that the schema does not know, by file."""
        tables: list[tuple[Path | None, tuple[Column, ...]]] = [(self.items, ITEMS)]
        if not self.export:
            tables += [(self.events, EVENT_COLUMNS), (self.slates, SLATE_COLUMNS)]
        out = []
        for path, columns in tables:
            known = {column.name for column in columns}
            if path and (more := [name for name in columns_of(path) if name not in known]):
                out.append(f"not read of {path.name}: {', '.join(more)}")
        return out


def find_source(directory: Path, items: Path | None = None, vocabulary: Path | None = None) -> Source:
    """The files of `directory`. FileNotFoundError or ValueError names what is missing, and the option that could give it."""
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory} is no directory of logs")
    export = is_export(directory)
    if export:
        check_export(directory)
        events, slates = directory / EVENTS, directory / SLATES
    else:
        events, slates = _table(directory, "events"), find_table(directory, "slates")
    held = vocabulary or directory / DESCRIPTION
    if not held.exists():
        more = "; --vocabulary names one, or the release that served the pages" if vocabulary is None else ""
        raise FileNotFoundError(f"{held} is missing: it says which actions and surfaces there are{more}")
    if items is not None and not items.is_file():
        raise FileNotFoundError(f"{items} is {'a directory, must be one file' if items.is_dir() else 'missing'}")
    if items is None and export and find_table(directory, "items") is None:
        raise FileNotFoundError(f"{directory} is a mesh's export, which has no items: --items names a file of them")
    return Source(directory, read_description(held), events, slates, items or _table(directory, "items"), export)


def _table(directory: Path, name: str) -> Path:
    found = find_table(directory, name)
    if found is None:
        raise FileNotFoundError(f"{directory} holds no {' or '.join(name + ending for ending in FORMATS)}")
    return found
