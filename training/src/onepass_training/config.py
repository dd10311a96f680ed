"""Settings of the model and of its training."""

from dataclasses import asdict, dataclass, field

from .world.config import SMOKE_WORLD, WorldConfig


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the model. W = width = heads x head size."""

    width: int = 128
    layers: int = 4
    heads: int = 4
    window: int = 256
    item_dimension: int = 64
    upstream: int = 64
    hidden: int = 256
    """Width inside the input MLP, the towers and the retrieval head."""
    query_buckets: int = 4096
    query_dimension: int = 32
    """Columns of the query tower's table, which has a row for each bucket of the tokenizer."""

    @property
    def head_size(self) -> int:
        """D: columns of one attention head."""
        return self.width // self.heads


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Everything that changes its numbers is in here or in the number of threads."""

    name: str = "synthetic-d128"
    seed: int = 1
    steps: int = 1_500
    batch: int = 12
    """Histories a step."""
    slates: int = 16
    """Slates attached to each history."""
    negatives: int = 1024
    """Random negatives a step, beside the in-batch ones."""
    mask_probability: float = 0.2
    """MAM; .2 is the best of the UniPinRec ablation (0, .1, .2, .3)."""
    keep_non_engaged: float = 0.1
    """Share of slates without any action that train (UniPinRec)."""
    drop_context: float = 0.1
    """Share of context rows trained without their item or query: a text may have no token."""
    given_query: float = 0.2
    """Share of searches trained with an embedding from the items' space in place of their text."""
    query_first: float = 0.5
    """Share of searches trained with their query in the history already: some frontends log it before they ask for the page."""
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    warmup: int = 100
    action_weight: float = 3.0
    query_weight: float = 0.2
    action_weights: tuple[float, ...] = (1.0, 1.0, 2.0, 1.0, 1.0)
    evaluation_people: int = 1_500
    evaluation_slates: int = 4_000
    """Engaged slates that Recall@10 is taken over."""
    checkpoint_every: int = 100
    world: WorldConfig = field(default_factory=WorldConfig)
    model: ModelConfig = field(default_factory=ModelConfig)

    def as_json(self) -> dict:
        """Plain values, for checkpoints and reports."""
        return asdict(self)


SMOKE = TrainConfig(
    name="synthetic-smoke", steps=600, batch=8, slates=8, negatives=64, warmup=10, evaluation_people=100,
    evaluation_slates=300, checkpoint_every=300, world=SMOKE_WORLD,
    model=ModelConfig(width=32, layers=2, heads=2, window=32, item_dimension=16, upstream=64, hidden=64,
                      query_buckets=1024, query_dimension=16),
)  # fmt: skip
