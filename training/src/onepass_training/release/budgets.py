"""A release's default retrieval budgets, from what people did: which outcomes a surface's candidates come of, and how many."""

import numpy as np

from ..config import Parts
from ..data.dataset import INT, Dataset, Vocabulary

ANY = "any"
ENTRIES = 3
ANY_SHARE = 0.5
LEAST_ACTIONS, LEAST_SHARE = 200, 0.01
"""An outcome with fewer actions on the surface, or a smaller share of its positive ones, has no entry of its own."""


def outcome_counts(dataset: Dataset) -> INT:
    """[S, A] actions before validation, by surface."""
    surfaces, actions = len(dataset.vocabulary.surfaces), len(dataset.vocabulary.actions)
    counts = np.zeros((surfaces, actions), np.int64)
    for bucket in dataset.each_bucket():
        use = bucket.told_before(dataset.splits.validation_ms) & (bucket.event_surface >= 0)
        surface, done = bucket.event_surface[use], bucket.event_actions[use]
        for action in range(actions):
            counts[:, action] += np.bincount(surface[(done >> np.uint32(action)) & 1 == 1], minlength=surfaces)
    return counts


def default_budgets(vocabulary: Vocabulary, counts: INT, parts: Parts) -> dict[str, list[dict]]:
    """surface -> entries of the manifest's `budgets`; `counts` [S, A].

    Half goes to "any". The rest is shared by the outcomes worth most, utility weight times count, so that there are three
    entries at most; what they leave goes to "any". No entry looks ahead in time: docs/model-report.md says what that found.
    """
    return {surface: _surface_budget(vocabulary, counts[at], parts) for at, surface in enumerate(vocabulary.surfaces)}


def _surface_budget(vocabulary: Vocabulary, counts: INT, parts: Parts) -> list[dict]:
    weights = np.array([0.0 if action.negative else max(0.0, action.utility_weight) for action in vocabulary.actions])
    positive = counts * (weights > 0)
    enough = (positive >= LEAST_ACTIONS) & (positive >= LEAST_SHARE * positive.sum()) & parts.outcome_conditioning
    worth = np.where(enough, weights * counts, 0.0)
    best = [int(action) for action in np.argsort(-worth, kind="stable")[: ENTRIES - 1] if worth[action] > 0]
    shares = {vocabulary.names[action]: round((1 - ANY_SHARE) * worth[action] / worth[best].sum(), 2) for action in best}
    rest = round(1 - sum(shares.values()), 2)
    return [{"outcome": ANY, "share": rest}, *({"outcome": name, "share": share} for name, share in shares.items())]
