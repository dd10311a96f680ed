"""After training: a scale and a bias per action, so that what it predicts is as frequent as it says.

Platt (1999), as in arXiv 1706.04599. Fitted on the validation days' slates and folded into the action head, so that no graph
changes and no action's order either.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..model.onepass_model import OnepassModel

FLOAT = NDArray[np.floating]
LEAST_OF_A_KIND = 50
"""Positives, and negatives, that a fit needs; with fewer an action keeps what it has."""
LEAST_SCALE = 0.1
"""A scale is never smaller: it must be above 0 to keep the order."""
PRIOR = 1.0
"""Weight of (scale - 1)^2 / 2 + bias^2 / 2 beside the summed log loss: a unit Gaussian about the identity."""
STEPS, ENOUGH = 100, 1e-10


@dataclass(frozen=True)
class Calibration:
    """logit -> scale * logit + bias, by action."""

    scale: NDArray[np.float32]
    """[A], above 0."""
    bias: NDArray[np.float32]
    """[A]"""
    fitted: tuple[bool, ...]
    """[A] False where there were too few positives or negatives: scale 1, bias 0."""

    def sentence(self, names: tuple[str, ...]) -> str:
        """For logs and the model card."""
        said = (
            f"{name} x{scale:.2f} {bias:+.2f}" if fitted else f"{name} as it was (under {LEAST_OF_A_KIND} examples of a kind)"
            for name, scale, bias, fitted in zip(names, self.scale, self.bias, self.fitted, strict=True)
        )  # fmt: skip
        return f"calibration of logits: {', '.join(said)}"


def identity(actions: int) -> Calibration:
    """Changes nothing."""
    return Calibration(np.ones(actions, np.float32), np.zeros(actions, np.float32), (False,) * actions)


def fit(logits: FLOAT, labels: NDArray, weights: FLOAT | None = None) -> Calibration:
    """From logits [R, A], labels [R, A] of 0 and 1, and weights [R] of rows, not negative (None: all 1).

    ValueError if the shapes do not fit each other or a number is not finite.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels, np.float64)
    weights = np.ones(len(logits)) if weights is None else np.asarray(weights, np.float64)
    if logits.ndim != 2 or labels.shape != logits.shape or weights.shape != logits.shape[:1]:
        raise ValueError(f"logits {logits.shape}, labels {labels.shape} and weights {weights.shape} do not fit each other")
    if not (np.isfinite(logits).all() and np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("logits and weights must be finite, weights not negative")
    used = weights > 0
    found = [_fit_one(logits[used, at], labels[used, at], weights[used]) for at in range(logits.shape[1])]
    scale, bias, fitted = zip(*found, strict=True) if found else ((), (), ())
    return Calibration(np.array(scale, np.float32), np.array(bias, np.float32), fitted)


def _fit_one(logits: FLOAT, labels: FLOAT, weights: FLOAT) -> tuple[float, float, bool]:
    """Scale, bias, and whether there was enough to fit them. Where only a smaller scale fits, the bias alone is fitted."""
    if min((labels > 0.5).sum(), (labels <= 0.5).sum()) < LEAST_OF_A_KIND:
        return 1.0, 0.0, False
    weights = weights * (len(weights) / weights.sum())
    scale, bias = _newton(logits, labels, weights, np.array([1.0, 0.0]), np.array([True, True]))
    if scale < LEAST_SCALE:
        scale, bias = _newton(logits, labels, weights, np.array([LEAST_SCALE, 0.0]), np.array([False, True]))
    return float(scale), float(bias), True


def _newton(logits: FLOAT, labels: FLOAT, weights: FLOAT, start: FLOAT, free: NDArray[np.bool_]) -> FLOAT:
    """(scale, bias) of least penalised log loss, by Newton's method with steps halved until the loss falls. It is convex.

    Only the `free` [2] ones move.
    """
    columns = np.stack([logits, np.ones_like(logits)], axis=1)
    around, now = np.array([1.0, 0.0]), start.copy()

    def loss(at: FLOAT) -> float:
        z = columns @ at
        return float((weights * (np.logaddexp(0, z) - labels * z)).sum() + PRIOR / 2 * ((at - around) ** 2).sum())

    value = loss(now)
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(columns @ now, -500, 500)))
        gradient = (columns.T @ (weights * (p - labels)) + PRIOR * (now - around)) * free
        curvature = (columns * (weights * p * (1 - p))[:, None]).T @ columns + PRIOR * np.eye(2)
        step = np.zeros(2)
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        share = 1.0
        while (after := loss(now - share * step)) > value and share > ENOUGH:
            share /= 2
        gained, now = value - after, now - share * step
        value = after
        if gained <= ENOUGH * max(1.0, abs(value)):
            break
    return now


@torch.no_grad()
def apply(model: OnepassModel, calibration: Calibration) -> None:
    """Folds the calibration into the model's action head, its `wanted` and its places, in place. A second call adds another."""
    actions = len(model.layout.actions)
    if len(calibration.scale) != actions:
        raise ValueError(f"a calibration of {len(calibration.scale)} actions does not fit a model of {actions}")
    last, device = model.action_head[2], model.action_head[2].weight.device
    scale, bias = (torch.from_numpy(part).to(device) for part in (calibration.scale, calibration.bias))
    last.weight.mul_(scale[:, None])
    last.bias.mul_(scale).add_(bias)
    model.wanted.weight.view(-1, actions, model.config.width).mul_(scale[None, :, None])
    if model.place is not None:
        model.place.weight.mul_(scale)
