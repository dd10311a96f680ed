"""Size and shape of a world."""

from dataclasses import dataclass

DAY_MS = 86_400_000

ACTIONS = ("click", "long_view", "save", "share", "hide")
POSITIVE_ACTIONS = 0b01111
SURFACES = ("home", "search", "related")
HOME, SEARCH, RELATED = range(3)
FEATURES = ("mobile", "price_preference")
"""What requests say of themselves and their person: 0 or 1, the same within a session; a standardised log price."""
SECONDS_PER_POSITION = 5


@dataclass(frozen=True)
class WorldConfig:
    """Everything a world depends on beside its seed. Counts unless the name says otherwise."""

    items: int = 20_000
    people: int = 5_000
    categories: int = 16
    nouns: int = 5
    styles: int = 3
    creators: int = 600
    days: int = 120
    sessions: float = 62.0
    """Of a person of middling activity who is there on all days."""
    late_share: float = 0.3
    """Share of the people who join late: evenly over the days of `late_days`, the last of all."""
    late_days: float = 0.4
    """Share of the days over which they do."""
    slate_size: int = 12
    upstream: int = 64
    content: int = 44
    """Leading columns of an item's upstream embedding that are known from its first moment."""
    start_ms: int = 1_767_571_200_000
    """2026-01-05T00:00:00Z, a Monday."""
    train_share: float = 0.85
    """Share of the days whose slates train or validate; later slates evaluate."""
    validation_share: float = 0.05
    """Share of the days, the last of those before, whose slates validate."""

    @property
    def end_ms(self) -> int:
        """First millisecond after the world's last day."""
        return self.start_ms + self.days * DAY_MS

    @property
    def validation_ms(self) -> int:
        """Slates before this time train, slates from it to the split validate."""
        return self.start_ms + int(self.days * (self.train_share - self.validation_share)) * DAY_MS

    @property
    def split_ms(self) -> int:
        """Slates from this time on evaluate."""
        return self.start_ms + int(self.days * self.train_share) * DAY_MS


SMOKE_WORLD = WorldConfig(
    items=400, people=200, categories=6, nouns=2, styles=2, creators=20, days=40, sessions=9.0, late_share=0.0
)
REPORT_WORLD = WorldConfig(items=5_000, people=1_500, sessions=43.0)
"""For comparisons: large enough to tell models apart, small enough that a run takes minutes."""
