"""Logistic regression of shares with an L1 penalty: few coefficients, no intercept, strength by held-out folds.

Minimises Σ|w| + C · Σ weight · (cross-entropy of share and prediction), the objective of liblinear's L1 logistic
regression (Fan et al. 2008), by Newton steps on the smooth part with the penalty kept exact (Yuan et al. 2012), until
the optimality condition holds. What this does not do: many features; the inner problem is swept coordinate by
coordinate. Rejected: a dependency on scikit-learn for three coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tandem.errors import Failure

Array = NDArray[np.float64]

STRENGTHS = tuple(float(c) for c in np.logspace(-4, 4, 10))
"""Values of C that are tried: ten between 1e-4 and 1e4, evenly in the logarithm, as scikit-learn's default."""
FOLDS = 5
STEPS = 500
SWEEPS = 1000
EXACT = 1e-8
"""Largest violation of the optimality condition, over 1 + C · Σ weight."""

# Shapes: N rows, D features.


def probability(x_ND: Array, w_D: Array) -> Array:
    """Predicted share of each row."""
    z = x_ND @ w_D
    e = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1, e) / (1 + e))


def loss(x_ND: Array, y_N: Array, weight_N: Array, w_D: Array) -> float:
    """Weighted cross-entropy, summed over rows."""
    z = x_ND @ w_D
    return float(weight_N @ (np.logaddexp(0, z) - y_N * z))


def fit(x_ND: Array, y_N: Array, weight_N: Array, strength: float) -> Array:
    """The coefficients. Shares lie between 0 and 1. Raises Failure where the optimum is not reached."""
    d = x_ND.shape[1]
    w = np.zeros(d)
    enough = EXACT * (1 + strength * float(weight_N.sum()))
    for _ in range(STEPS):
        p = probability(x_ND, w)
        slope = strength * (x_ND.T @ (weight_N * (p - y_N)))
        if _violation(w, slope) <= enough:
            return w
        curve = strength * (x_ND.T * (weight_N * p * (1 - p))) @ x_ND
        curve += np.eye(d) * (1e-10 + 1e-12 * np.trace(curve))
        step = _inner(w, slope, curve)
        gain = float(slope @ step + np.abs(w + step).sum() - np.abs(w).sum())
        before, length = _objective(x_ND, y_N, weight_N, w, strength), 1.0
        while _objective(x_ND, y_N, weight_N, w + length * step, strength) > before + 1e-4 * length * gain:
            length /= 2
            if length < 1e-12:  # no step makes it smaller: rounding is all that is left
                return w
        w = w + length * step
    raise Failure(f"the fit did not settle in {STEPS} steps", where=f"strength {strength:g}")


def choose(
    x_ND: Array,
    y_N: Array,
    weight_N: Array,
    groups: Sequence[int],
    strengths: Sequence[float] = STRENGTHS,
    folds: int = FOLDS,
) -> float:
    """The strength with the least weighted cross-entropy on held-out rows; rows of one group are held out together.

    Group g is in fold g mod `folds`. Of equals the weakest fit (the smallest C) is taken.
    """
    fold_N = np.asarray(groups) % folds
    best, least = strengths[0], math.inf
    for strength in strengths:
        total = 0.0
        for fold in np.unique(fold_N):
            out = fold_N == fold
            w = fit(x_ND[~out], y_N[~out], weight_N[~out], strength)
            total += loss(x_ND[out], y_N[out], weight_N[out], w) / int(out.sum())
        if total < least:
            best, least = strength, total
    return best


def _objective(x_ND: Array, y_N: Array, weight_N: Array, w_D: Array, strength: float) -> float:
    return float(np.abs(w_D).sum()) + strength * loss(x_ND, y_N, weight_N, w_D)


def _violation(w_D: Array, slope_D: Array) -> float:
    """How far the least subgradient is from zero."""
    at_zero = np.maximum(np.abs(slope_D) - 1, 0)
    return float(np.where(w_D == 0, at_zero, np.abs(slope_D + np.sign(w_D))).max())


def _inner(w_D: Array, slope_D: Array, curve_DD: Array) -> Array:
    """The step that minimises the quadratic model with the penalty, by coordinates."""
    step = np.zeros_like(w_D)
    for _ in range(SWEEPS):
        largest = 0.0
        for j in range(len(w_D)):
            a = curve_DD[j, j]
            b = slope_D[j] + curve_DD[j] @ step - a * step[j]  # slope without the coordinate's own part
            aim = a * w_D[j] - b
            new = math.copysign(max(abs(aim) - 1, 0.0), aim) / a - w_D[j]
            largest = max(largest, abs(new - step[j]))
            step[j] = new
        if largest <= 1e-13 * (1 + float(np.abs(w_D).max())):
            break
    return step
