"""A deterministic synthetic world: items, people with drifting mixed interests, sessions, slates, and the truth about them."""

from .catalogue import Catalogue, make_catalogue
from .config import DAY_MS, REPORT_WORLD, SMOKE_WORLD, WorldConfig
from .log import World
from .oracle import Oracle
from .simulate import simulate

__all__ = ["DAY_MS", "REPORT_WORLD", "SMOKE_WORLD", "Catalogue", "Oracle", "World", "WorldConfig", "make_catalogue", "simulate"]
