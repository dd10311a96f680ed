"""What a grid is made of: variants of one configuration, and the questions and claims they answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from ..config import TrainConfig


@dataclass(frozen=True)
class Variant:
    """One change against the base."""

    name: str
    title: str
    change: Mapping[str, Any] = field(default_factory=dict)
    """Dotted field of TrainConfig -> its value."""
    kind: str = "onepass"
    """Which model is trained: onepass, or sasrec."""
    stage: int = 2
    """0: named in the numbers that must be answered with every seed; 1: important; 2: the rest."""

    def config(self, base: TrainConfig, seed: int) -> TrainConfig:
        """The run's whole configuration."""
        config = replace(base, name=f"{base.name}-{self.name}", seed=seed)
        for path, value in self.change.items():
            config = changed(config, path.split("."), value)
        return config


@dataclass(frozen=True)
class Claim:
    """Somebody says that `better` is ahead of `worse` on a metric."""

    better: str
    worse: str
    metric: str
    """Name in metrics.METRICS."""
    at_least: bool = False
    """The claim is only that `better` is not behind."""
    against: str | None = None
    """The metric of `worse`, where that is another one."""


@dataclass(frozen=True)
class Question:
    """What is asked of some variants together."""

    name: str
    title: str
    says: str
    """The paper's direction, in our words."""
    source: str
    variants: Sequence[Variant]
    claims: Sequence[Claim]
    metrics: Sequence[str]
    """Columns of its table, by name in metrics.METRICS."""
    others: Sequence[str] = ()
    """Rows of its table that are evaluated beside the base: names in OTHERS."""


def changed(config: Any, path: list[str], value: Any) -> Any:  # noqa: ANN401
    """A copy of a (nested) dataclass with one field replaced."""
    if not is_dataclass(config) or path[0] not in {known.name for known in fields(config)}:
        raise ValueError(f"the grid changes {path[0]}, which is no field of {type(config).__name__}")
    inner = getattr(config, path[0])
    return replace(config, **{path[0]: value if len(path) == 1 else changed(inner, path[1:], value)})
