"""What a metric is to a file of predictions: what it takes from a row, how it is told things, what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tandem.metrics.alpha import Level
from tandem.metrics.columns import Field
from tandem.metrics.fever import FIRST
from tandem.stats import Interval

Rows: TypeAlias = NDArray[np.intp]
"""Numbers of the rows that a figure is of."""
Columns: TypeAlias = dict[str, list[Any]]
"""Checked values by role."""


@dataclass(frozen=True)
class Options:
    """What a metric may be told; each takes what it lists."""

    closed: bool = False
    """HotpotQA's rule for yes, no and noanswer."""
    lowercase: bool = False
    """Lower-case texts first."""
    tokenize: str = "13a"
    """sacrebleu's way to cut text into words."""
    stem: bool = False
    """Compare stems instead of words."""
    choices: int | None = None
    """How many choices there are, where the row does not say."""
    first: int = FIRST
    """Predicted sentences that count."""
    labels: tuple[str, ...] | None = None
    """All labels in order."""
    level: Level = "nominal"
    """What ratings measure."""
    k: tuple[int, ...] = ()
    """The k of pass@k; none: 1, 10, 100 as far as every task has samples."""


@dataclass(frozen=True)
class Measured:
    """A metric's work on all usable rows."""

    figures: Callable[[Rows], dict[str, Interval]]
    """Figures by name, of these rows. Raises UserError where one is not defined."""
    unit: str = ""
    """`%` where figures are shares."""
    notes: tuple[str, ...] = ()
    """What a reader has to know beside the figures."""


@dataclass(frozen=True)
class Metric:
    """A name of the catalogue."""

    about: str
    """What it measures."""
    fields: tuple[Field, ...]
    """What it takes from a row: the prediction first, then the reference."""
    measure: Callable[[Columns, Options], Measured]
    """Does the work."""
    source: str
    """Where it is defined, and whose rules are followed."""
    options: tuple[str, ...] = ()
    """Names of `Options` that it heeds."""
    only: tuple[str, ...] = ()
    """Of the measured figures, these; none for all."""
    wrong: Callable[[Columns, Options], Sequence[str]] = lambda columns, options: ()
    """What is wrong with each row's values together, empty where nothing; or nothing at all."""
