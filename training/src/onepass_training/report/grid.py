"""The grid as data: a base configuration, variants that each change one thing of it, and what the papers say comes of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..config import SMOKE, ModelConfig, TrainConfig
from ..world.config import REPORT_WORLD
from .variant import Claim, Question, Variant

BASE = "base"
SEEDS = (1, 2, 3)
UNIPINREC, PINREC = "UniPinRec (arXiv 2606.00422)", "PinRec (arXiv 2504.10507)"
COLD_START, SASREC = "cold-start (arXiv 2512.17277)", "PinRec (arXiv 2504.10507), its SASRec row"
OURS = "no paper: a choice of this project"

BASE_CONFIG = TrainConfig(
    name="report", steps=600, batch=12, slates=16, negatives=512, warmup=50, validate_every=600, evaluation_people=800,
    evaluation_slates=3_000, checkpoint_every=10_000, world=REPORT_WORLD,
    model=ModelConfig(width=64, layers=2, heads=2, window=128, item_dimension=48, hidden=128),
)  # fmt: skip
"""What every run is trained as, but for its variant's one change and its seed."""

SMOKE_CONFIG = replace(SMOKE, name="report-smoke", steps=30, evaluation_people=60, evaluation_slates=120, validate_every=30)
"""Shows that the whole way works; its numbers say nothing."""


def _off(part: str, title: str, stage: int = 2) -> Variant:
    """The model without one of its parts."""
    return Variant(f"no-{part.replace('_', '-')}", title, {f"model.parts.{part}": False}, stage=stage)


def _ahead(metric: str, *worse: str, at_least: bool = False) -> list[Claim]:
    """The base is ahead of each of these."""
    return [Claim(BASE, name, metric, at_least) for name in worse]


NO_CALIBRATION, OFFSETS = "no-calibration", "offsets"
OTHERS = {
    NO_CALIBRATION: "the base before calibration", "popularity": "popularity", "cooccurrence": "item co-occurrence",
    "oracle": "the world's own best",
}  # fmt: skip
"""What needs no training of its own: evaluated beside the base of each seed."""
COLD_START_PARTS = ("content_residual", "score_regularisation", "mixup")
RETRIEVAL, RANKING = ("recall10", "recall100", "unordered10"), ("hit3_save", "ndcg", "auc_save")
BOTH = ("recall10", "unordered10", "hit3_save", "ndcg", "auc_save")

RANKING_ONLY = {"item_weight": 0.0, "query_weight": 0.0}
RETRIEVAL_ONLY = {"action_weight": 0.0, "fresh_weight": 0.0}
HALF = {"steps": BASE_CONFIG.steps // 2}
"""Two models that share one model's budget."""
ONE_SLATE = {"slates": 1, "batch": 24}
"""Examples as the papers have them, where past actions are most of what there is to learn ranking from."""

QUESTIONS = (
    Question(
        "unified", "One model or two?",
        "One model trained on both losses is ahead of one for ranking only and one for retrieval only, each on its own metric.",
        UNIPINREC,
        (
            Variant("ranking-only", "ranking only (no L_item, no L_query)", RANKING_ONLY, stage=0),
            Variant("retrieval-only", "retrieval only (L_action off)", RETRIEVAL_ONLY, stage=0),
            Variant("ranking-half", "ranking only, half the steps", RANKING_ONLY | HALF, stage=0),
            Variant("retrieval-half", "retrieval only, half the steps", RETRIEVAL_ONLY | HALF, stage=0),
        ),
        [Claim(BASE, "ranking-only", "hit3_save", True), Claim(BASE, "retrieval-only", "recall10", True),
         Claim(BASE, "ranking-half", "hit3_save", True), Claim(BASE, "retrieval-half", "recall10", True)],
        BOTH,
    ),
    Question(
        "baselines", "Simpler rankers",
        "The model is ahead of popularity, of items acted on near what the person acted on, and of a SASRec-style model.",
        SASREC,
        (Variant("sasrec", "SASRec-style retrieval model", kind="sasrec", stage=0),),
        [Claim(BASE, "popularity", "recall10"), Claim(BASE, "cooccurrence", "recall10"), *_ahead("recall10", "sasrec"),
         Claim(BASE, "sasrec", "unordered10"), Claim(BASE, "popularity", "hit3_save")],
        ("recall10", "recall100", "unordered10", "recall10/freshItems", "hit3_save"), ("popularity", "cooccurrence", "oracle"),
    ),
    Question(
        "mam", "Masked action modeling",
        "Masking past actions with probability .2 is best for ranking; without masking it is worst (0, .1, .2, .3 were tried).",
        UNIPINREC,
        (
            Variant("mask-0", "p_mask 0", {"mask_probability": 0.0}, stage=0),
            Variant("one-slate", "one slate a history, p_mask .2", ONE_SLATE, stage=0),
            Variant("one-slate-mask-0", "one slate a history, p_mask 0", ONE_SLATE | {"mask_probability": 0.0}, stage=0),
            Variant("mask-.1", "p_mask .1", {"mask_probability": 0.1}),
            Variant("mask-.3", "p_mask .3", {"mask_probability": 0.3}),
        ),
        [*_ahead("hit3_save", "mask-0", "mask-.1", "mask-.3"), *_ahead("auc_save", "mask-0"),
         *(Claim("one-slate", "one-slate-mask-0", metric) for metric in ("hit3_save", "ndcg", "auc_save", "recall10"))],
        (*RANKING, "recall10"),
    ),
    Question(
        "outcomes", "Outcome conditioning",
        "A head that is told which outcome is wanted finds more items with that outcome.",
        PINREC, (_off("outcome_conditioning", "no outcome conditioning", 0),),
        [Claim(BASE, BASE, "save10_asked", against="save10_any"),
         Claim(BASE, "no-outcome-conditioning", "save10_asked", against="save10_any"),
         Claim(BASE, BASE, "share10_asked", against="share10_any"),
         Claim(BASE, "no-outcome-conditioning", "share10_asked", against="share10_any"),
         Claim(BASE, "no-outcome-conditioning", "recall10", at_least=True)],
        ("save10_asked", "save10_any", "share10_asked", "share10_any", *RETRIEVAL),
    ),
    Question(
        "offsets", "Temporal multi-token",
        "Several embeddings of one step, each for another time ahead, find more of what a person does next, in any order, "
        "at equal cost.",
        PINREC, (Variant(OFFSETS, "with offsets", {"model.parts.offsets": True}, stage=0),),
        [
            Claim(OFFSETS, worse, f"{metric}_offsets", against=metric)
            for metric in ("unordered10", "unordered100", "later100")
            for worse in (OFFSETS, BASE)
        ]
        + [Claim(OFFSETS, BASE, "recall10", at_least=True)],
        ("unordered10_offsets", "unordered10", "unordered100_offsets", "unordered100", "later100_offsets", "later100",
         "recall10"),
    ),
    Question(
        "cold-start", "Fresh items",
        "A path of its own for content, regularised scores and manifold mixup lift fresh items and cost nothing elsewhere.",
        COLD_START,
        (
            Variant("no-cold-start", "all three off", {f"model.parts.{part}": False for part in COLD_START_PARTS}, stage=0),
            _off("content_residual", "no residual for content"),
            _off("score_regularisation", "no score regularisation"),
            _off("mixup", "no mixup"),
            _off("point_in_time", "new items trained on as they are today", 0),
            Variant("no-behaviour-dropout", "no dropout of behaviour columns", {"behaviour_dropout": 0.0}),
        ),
        [*_ahead("recall10/freshItems", "no-cold-start", "no-content-residual", "no-score-regularisation", "no-mixup",
                 "no-point-in-time", "no-behaviour-dropout"),
         *_ahead("hit3_save/freshItems", "no-cold-start", "no-point-in-time"),
         *_ahead("recall10", "no-cold-start", at_least=True), *_ahead("hit3_save", "no-cold-start", at_least=True)],
        ("recall10/freshItems", "recall10/knownItems", "recall10", "hit3_save/freshItems", "hit3_save", "coverage"),
    ),
    Question(
        "calibration", "Calibration",
        "A scale and a bias per action, fitted on the validation days, lower the calibration error; no action's order changes.",
        OURS, (),
        [*_ahead("ece_worst", NO_CALIBRATION), *_ahead("log_loss", NO_CALIBRATION)],
        ("ece_worst", "ece_save", "log_loss", "auc_save", "hit3_save"), (NO_CALIBRATION,),
    ),
    Question(
        "negatives", "Negatives", "In-batch and random negatives together are what is trained with.", UNIPINREC,
        (
            Variant("in-batch-only", "in-batch negatives only", {"negatives": 0}, stage=1),
            Variant("random-only", "random negatives only", {"in_batch": False}, stage=1),
        ),
        _ahead("recall10", "in-batch-only", "random-only"), (*RETRIEVAL, "coverage"),
    ),
    Question(
        "logq", "logQ correction",
        "Scores are corrected by log Q; a Count-Min Sketch is enough to know Q.", UNIPINREC,
        (
            Variant("logq-off", "no correction", {"log_q": "off"}, stage=1),
            Variant("logq-exact", "exact counts", {"log_q": "exact"}),
        ),
        [*_ahead("recall10", "logq-off"), *_ahead("recall10", "logq-exact", at_least=True)], (*RETRIEVAL, "coverage"),
    ),
    Question(
        "action-weights", "Weights of L_action",
        "Each action's loss has a weight w_c of its own; here a save weighs double, L_action three times L_item.",
        UNIPINREC,
        (
            Variant("equal-actions", "all actions weigh 1", {"action_weights": {}}, stage=1),
            Variant("action-weight-1", "L_action weighs 1", {"action_weight": 1.0}),
        ),
        _ahead("hit3_save", "equal-actions", "action-weight-1"), (*RANKING, "recall10"),
    ),
    Question(
        "non-engaged", "Slates without an action",
        "Keeping a tenth of them in training is enough.", UNIPINREC,
        (
            Variant("all-non-engaged", "all kept, weight 1", {"keep_non_engaged": 1.0, "non_engaged_weight": 1.0}),
            Variant("tenth-unweighted", "a tenth kept, weight 1", {"non_engaged_weight": 1.0}),
        ),
        [Claim(BASE, "all-non-engaged", "hit3_save", True), Claim(BASE, "tenth-unweighted", "ece_worst")],
        ("hit3_save", "auc_save", "ece_worst", "ece_save"),
    ),
    Question(
        "context", "Context rows", "A request's own row before its candidates is worth its cost.", OURS,
        (_off("context_rows", "no context rows", 1),),
        [*_ahead("recall10", "no-context-rows"), *_ahead("hit3_save", "no-context-rows")],
        BOTH,
    ),
    Question(
        "position", "Position bias", "A term for the place on the page, in training only, makes the rest learn taste.", OURS,
        (_off("position_bias", "no position term", 1),), _ahead("hit3_save", "no-position-bias"), RANKING,
    ),
    Question(
        "inputs", "What a row says", "Surface and time are part of a past action's token.", f"{UNIPINREC}; {PINREC}",
        (
            _off("surfaces", "no surfaces", 1), _off("time", "no time", 1), _off("query_tokens", "no query tokens", 1),
            _off("features", "no person and request features", 1),
        ),
        [
            Claim(BASE, name, metric)
            for name in ("no-surfaces", "no-time", "no-query-tokens", "no-features")
            for metric in ("recall10", "hit3_save")
        ],
        BOTH,
    ),
    Question(
        "size", "Longer and deeper", "More layers and a longer history keep improving Hit@3.", UNIPINREC,
        (
            Variant("layers-1", "1 layer", {"model.layers": 1}), Variant("layers-4", "4 layers", {"model.layers": 4}),
            Variant("window-32", "window 32", {"model.window": 32}),
        ),
        [*_ahead("hit3_save", "layers-1"), Claim("layers-4", BASE, "hit3_save"), *_ahead("hit3_save", "window-32"),
         *_ahead("recall10", "layers-1"), Claim("layers-4", BASE, "recall10"), *_ahead("recall10", "window-32")],
        BOTH,
    ),
)  # fmt: skip

SMOKE_VARIANTS = (BASE, "mask-0")
VARIANTS: dict[str, Variant] = {BASE: Variant(BASE, "base", stage=0)} | {
    variant.name: variant for question in QUESTIONS for variant in question.variants
}


def variant_of(name: str) -> Variant:
    """ValueError for one that is not in the grid."""
    if name not in VARIANTS:
        raise ValueError(f"the grid has no variant {name!r}; it has {', '.join(VARIANTS)}")
    return VARIANTS[name]


def base_config(smoke: bool) -> TrainConfig:
    """Of all runs, or of those that only show that the way works."""
    return SMOKE_CONFIG if smoke else BASE_CONFIG


@dataclass(frozen=True)
class Run:
    """One cell of the grid."""

    variant: Variant
    seed: int

    @property
    def name(self) -> str:
        """Also the run's directory."""
        return f"{self.variant.name}-seed{self.seed}"


def runs(seeds: Sequence[int] = SEEDS, only: Sequence[str] = ()) -> Iterator[Run]:
    """The runs in order of worth: every seed of what must have them, then the first seed of what is important, then the
    rest. A seed's base comes before all that is compared with it. ValueError for a variant that is not in the grid."""
    chosen = {variant_of(name).name for name in only}
    wanted = [variant for name, variant in VARIANTS.items() if not chosen or name in chosen]
    first, later = seeds[:1], seeds[1:]
    order = [(first, {0}), (later, {0}), (first, {1}), (first, {2}), (later, {1, 2})]
    for some, stages in order:
        for seed in some:
            yield from (Run(variant, seed) for variant in wanted if variant.stage in stages)
