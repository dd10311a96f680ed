"""What a folder of logs says of itself: its dataset.json, or the manifest of the release that its pages were served with."""

import json
from dataclasses import dataclass
from pathlib import Path

from .dataset import MAX_ACTIONS, Action, Vocabulary
from .schema import LONGEST_ID

DESCRIPTION = "dataset.json"
MANIFEST = "manifest.json"
ANY = "any"
"""The outcome that stands for every action, in requests and budgets."""
COMPUTED = "content+behaviour"
"""What `embeddings` says to have them computed: by item_embeddings."""
VALIDATION_SHARE, TEST_SHARE = 0.05, 0.15
MOST_DRAWN = 20
_SETTINGS = ("name", "actions", "surfaces", "features", "content_columns", "embeddings", "splits", "sessions")


@dataclass(frozen=True)
class SplitRule:
    """Where validation and test begin: moments, or shares of the newest slates (events, where there are no slates)."""

    validation_ms: int | None = None
    test_ms: int | None = None
    validation: float = VALIDATION_SHARE
    test: float = TEST_SHARE


@dataclass(frozen=True)
class Sessions:
    """How slates are formed from events, where none were logged."""

    gap_minutes: float = 60.0
    """A longer pause ends a session."""
    items: int = 12
    """Most items of a formed slate that something was done with."""
    drawn: int = 1
    """Items that nothing was done with, drawn beside each of them."""


@dataclass(frozen=True)
class Description:
    """A folder's dataset.json, or what a release says."""

    path: Path
    name: str
    vocabulary: Vocabulary
    served: bool
    """It is a release's: names that it does not know are left out as serving does, not refused."""
    content_columns: int | None = None
    computed: bool = False
    """Items come without embeddings: they are computed."""
    splits: SplitRule = SplitRule()
    sessions: Sessions | None = None


def read_description(path: Path) -> Description:
    """From a dataset.json, a release directory or its manifest.json. ValueError names the setting that is wrong."""
    if path.is_dir():
        named = [path / name for name in (MANIFEST, DESCRIPTION) if (path / name).is_file()]
        if not named:
            raise FileNotFoundError(f"{path} holds neither {MANIFEST} of a release nor {DESCRIPTION}")
        path = named[0]
    try:
        held = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(held, dict):
        raise ValueError(f"{path} must hold an object")
    if isinstance(held.get("vocabulary"), dict):
        return _release(path, held)
    return _own(_Setting(path, "", held))


class _Setting:
    """An object of settings; errors name file and setting."""

    def __init__(self, path: Path, prefix: str, held: object) -> None:
        if not isinstance(held, dict):
            raise ValueError(f"{path}, {prefix.rstrip('.')}: must be an object")
        self.path, self.prefix, self.held = path, prefix, held

    def error(self, name: str, problem: str) -> ValueError:
        return ValueError(f"{self.path}, {self.prefix}{name}: {problem}")

    def only(self, *names: str) -> None:
        for name in self.held:
            if name not in names:
                raise self.error(name, f"is no setting; there are {', '.join(names)}")

    def text(self, name: str, default: str | None = None) -> str:
        value = self.held.get(name, default)
        if not isinstance(value, str) or not value:
            raise self.error(name, "must be a text")
        return self._short(name, value)

    def flag(self, name: str) -> bool:
        value = self.held.get(name, False)
        if not isinstance(value, bool):
            raise self.error(name, "must be true or false")
        return value

    def number(self, name: str, default: float, least: float, most: float) -> float:
        value = self.held.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise self.error(name, f"is {value!r}, must be a number from {least:g} to {most:g}")
        return float(value)

    def whole(self, name: str, default: int | None, least: int, most: int | None = None) -> int | None:
        value = self.held.get(name, default)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and (not whole or value < least or (most is not None and value > most)):
            raise self.error(name, f"is {value!r}, must be a whole number from {least}" + (f" to {most}" if most else ""))
        return value

    def names(self, name: str, least: int) -> tuple[str, ...]:
        value = self.held.get(name, [])
        if not isinstance(value, list) or not all(isinstance(entry, str) and entry for entry in value):
            raise self.error(name, "must be a list of names")
        if len(set(value)) != len(value):
            raise self.error(name, "names one twice")
        if len(value) < least:
            raise self.error(name, "names none")
        return tuple(self._short(name, entry) for entry in value)

    def _short(self, name: str, value: str) -> str:
        if len(value.encode(errors="surrogatepass")) > LONGEST_ID:
            raise self.error(name, f"{value[:20]!r}... has more than {LONGEST_ID} bytes, the most that a mesh takes")
        return value


def _own(top: _Setting) -> Description:
    top.only(*_SETTINGS)
    splits = _Setting(top.path, "splits.", top.held.get("splits", {}))
    splits.only("validation_ms", "test_ms", "validation", "test")
    moments = splits.whole("validation_ms", None, 0), splits.whole("test_ms", None, 0)
    if (moments[0] is None) != (moments[1] is None):
        raise top.error("splits", "has validation_ms or test_ms alone; give both, or none")
    rule = SplitRule(*moments, splits.number("validation", VALIDATION_SHARE, 0, 0.5), splits.number("test", TEST_SHARE, 0, 0.5))
    sessions = None
    if "sessions" in top.held:
        given = _Setting(top.path, "sessions.", top.held["sessions"])
        given.only("gap_minutes", "items", "drawn")
        drawn = given.whole("drawn", 1, 0, MOST_DRAWN) or 0
        sessions = Sessions(given.number("gap_minutes", 60.0, 0, 1e6), given.whole("items", 12, 2) or 12, drawn)
    embeddings = top.held.get("embeddings", "given")
    if embeddings not in ("given", COMPUTED):
        raise top.error("embeddings", f'is {embeddings!r}, must be "given" or "{COMPUTED}"')
    vocabulary = Vocabulary(_actions(top, "utility_weight"), top.names("surfaces", 1), top.names("features", 0))
    return Description(
        top.path, top.text("name", top.path.resolve().parent.name), vocabulary, False, top.whole("content_columns", None, 0),
        embeddings == COMPUTED, rule, sessions,
    )  # fmt: skip


def _release(path: Path, manifest: dict) -> Description:
    held = _Setting(path, "vocabulary.", manifest["vocabulary"])
    vocabulary = Vocabulary(_actions(held, "utilityWeight"), held.names("surfaces", 1), held.names("requestFeatures", 0))
    return Description(path, str(manifest.get("name", "logs")), vocabulary, served=True)


def _actions(top: _Setting, weight: str) -> tuple[Action, ...]:
    held = top.held.get("actions")
    if not isinstance(held, list) or not held:
        raise top.error("actions", "must be a list of at least one action")
    if len(held) > MAX_ACTIONS:
        raise top.error("actions", f"has {len(held)} entries, the most are {MAX_ACTIONS}")
    actions = []
    for at, entry in enumerate(held):
        entry = _Setting(top.path, f"{top.prefix}actions[{at}].", entry)
        entry.only("name", "negative", weight)
        negative = entry.flag("negative")
        actions.append(Action(entry.text("name"), negative, entry.number(weight, -1.0 if negative else 1.0, -1e6, 1e6)))
    if len({action.name for action in actions}) != len(actions):
        raise top.error("actions", "names one twice")
    if any(action.name == ANY for action in actions):
        raise top.error("actions", f'"{ANY}" is the name of all of them together: call the action something else')
    if all(action.negative for action in actions):
        raise top.error("actions", "are all negative: there is nothing that retrieval could look for")
    return tuple(actions)
