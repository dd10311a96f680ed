"""Settings of the model and of its training: everything that changes a run's numbers but the number of threads."""

from dataclasses import asdict, dataclass, field

from .world.config import SMOKE_WORLD, WorldConfig


@dataclass(frozen=True)
class Parts:
    """What of the papers is in the model. Each can be left out; docs/model-report.md says what each is worth."""

    context_rows: bool = True
    """A request's own row before its candidates (M-FALCON's pattern with a context). Off: candidates see past and self only."""
    surfaces: bool = True
    time: bool = True
    """Periods and time since the previous token."""
    query_tokens: bool = True
    """Logged queries as past tokens."""
    features: bool = True
    """Person and request features, in context rows."""
    outcome_conditioning: bool = True
    """PinRec: the retrieval head is told which action is wanted."""
    offsets: bool = False
    """PinRec's temporal multi-token: the head is told how far ahead to look, and learns from items further ahead. Off: on the
    synthetic world it costs recall of what is wanted now and brings next to nothing later (docs/model-report.md)."""
    position_bias: bool = True
    """A term for the place on the page, in training only."""
    point_in_time: bool = True
    """An item that was new when it was shown trains without behaviour columns, as it was then; today's would leak what became
    of it, and teach nothing about new ones."""
    content_residual: bool = True
    """Cold start (arXiv 2512.17277): a path of its own for what is known of an item without a past."""
    score_regularisation: bool = True
    """Cold start: fresh and known items' scores are drawn to one distribution."""
    mixup: bool = True
    """Cold start: manifold mixup of item embeddings."""
    calibration: bool = True
    """After training: a scale and a bias per action, fitted on the validation days, folded into the action head."""

    @property
    def not_servable(self) -> tuple[str, ...]:
        """Parts whose absence serving cannot mirror: a run without them is for comparison only."""
        return tuple(name for name in ("context_rows", "query_tokens") if not getattr(self, name))


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
    parts: Parts = field(default_factory=Parts)

    @property
    def head_size(self) -> int:
        """D: columns of one attention head."""
        return self.width // self.heads


def usual_heads(width: int) -> int:
    """As many as the trained configurations have: of 64 columns from width 512 on, of 32 below."""
    return max(1, width // (64 if width >= 512 else 32))


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    name: str = "synthetic-d128"
    seed: int = 1
    steps: int = 2_400
    batch: int = 12
    """Histories a step."""
    slates: int = 16
    """Slates attached to each history."""
    slate_items: int = 12
    """Items of a slate that train and are evaluated, the first ones; a longer slate's others are left out."""
    in_batch: bool = True
    """Other rows' targets are negatives too."""
    negatives: int = 1024
    """Random negatives a step, beside the in-batch ones."""
    log_q: str = "sketch"
    """Where Q of the logQ correction comes from: sketch (Count-Min), exact (counts), off (no correction)."""
    mask_probability: float = 0.2
    """MAM; .2 is the best of the UniPinRec ablation (0, .1, .2, .3)."""
    keep_non_engaged: float = 0.1
    """Share of slates without any action that train (UniPinRec)."""
    non_engaged_weight: float = 10.0
    """What such a slate then counts for in L_action, so that rates stay what they are."""
    drop_context: float = 0.1
    """Share of context rows trained without their item or query: a text may have no token."""
    given_query: float = 0.2
    """Share of searches trained with an embedding from the items' space in place of their text."""
    query_first: float = 0.5
    """Share of searches trained with their query in the history already: some frontends log it before they ask for the page."""
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    warmup: int = 100
    item_weight: float = 1.0
    """Weight of L_item; 0 is a model for ranking only."""
    action_weight: float = 3.0
    """Weight of L_action; 0 is a model for retrieval only."""
    query_weight: float = 0.2
    behaviour_dropout: float = 0.05
    """Share of a step's items shown to the tower as if they had no past (DropoutNet): so it learns to know such."""
    fresh_weight: float = 0.02
    """Weight of the cold-start score regularisation."""
    action_weights: dict[str, float] = field(default_factory=lambda: {"save": 2.0})
    """w_c of L_action by the action's name; 1 where it says nothing."""
    precision: str = "auto"
    """auto (bf16 where the device is a GPU, else fp32), fp32 or bf16."""
    patience: int = 0
    """Validations without a better loss after which training stops; 0 never stops early."""
    validate_every: int = 250
    """Steps from one validation to the next."""
    validation_histories: int = 96
    evaluation_people: int = 1_500
    evaluation_slates: int = 4_000
    """Engaged slates that Recall is taken over."""
    checkpoint_every: int = 100
    world: WorldConfig | None = field(default_factory=WorldConfig)
    """None: the data is somebody's logs."""
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

LARGE = TrainConfig(
    name="synthetic-d512", steps=20_000, batch=64, negatives=8192, warmup=1_000, learning_rate=1e-3, checkpoint_every=500,
    validate_every=1_000, validation_histories=512, patience=5,
    model=ModelConfig(width=512, layers=12, heads=8, window=1024, item_dimension=128, hidden=1024, query_buckets=65_536,
                      query_dimension=64),
)  # fmt: skip
"""For a GPU; on a CPU it would take days."""
