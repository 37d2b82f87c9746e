"""The length-controlled win rate of AlpacaEval 2 (Dubois et al. 2024): what if both outputs were equally long?

A logistic model of the preference on tanh(length difference / its standard deviation), the instruction's difficulty and
a constant; the figure is the mean prediction with the first term at 0. Coefficients are read, as published for a model,
or fitted here. Difficulties are the published vector, joined by row number, as the leaderboard does, or by instruction.

Fitted as published: the penalty, its ten strengths, five folds, weights of 0.1 for each of the two runs of a baseline
that was told to be short or long ("gamed"). Different: all rows of an instruction are held out together, folds go
round by instruction, the optimum is exact, and what is left out (difficulty, gamed runs) is told with the figure.
What this does not do: make up a difficulty. Without the vector there is no such term.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tandem.errors import UserError
from tandem.evaluate.judged import logistic
from tandem.evaluate.judged.pair import Pair
from tandem.evaluate.judged.win_rate import settled
from tandem.runs import file_hash
from tandem.stats import Interval, bootstrap

Array = NDArray[np.float64]
Join: TypeAlias = Literal["row", "instruction"]
LEAST = 10
"""Fewest judged rows for a fit: two in each fold."""
GAMED = 0.1
"""Weight of a row of a gamed run."""
DRAWS = 200
"""Fits behind a bootstrap interval."""
FORM = (
    "an object with coefficients [length, difficulty, constant], instruction_difficulty [a number for each "
    "instruction], and model and baseline; one of the two lists may be missing"
)


@dataclass(frozen=True)
class Published:
    """What was published of a fit."""

    model: str
    """Whose coefficients; may be empty."""
    baseline: str
    """Against which baseline; may be empty."""
    coefficients: tuple[float, float, float] | None
    """Of length, difficulty and the constant."""
    difficulty: tuple[float, ...] | None
    """Of each instruction, in the data's order."""
    file: str
    """Its name, for people; no path."""
    sha256: str
    """Of its bytes."""


@dataclass(frozen=True)
class LengthControlled:
    """A length-controlled win rate."""

    win_rate: Interval
    """A share. Its interval is a bootstrap over instructions for a fit; given coefficients have none (infinite)."""
    coefficients: tuple[float, ...]
    """Of length, difficulty (where it is known) and the constant."""
    how: Literal["given", "fitted"]
    """Where the coefficients come from."""
    strength: float | None = None
    """C of the fit."""
    notes: tuple[str, ...] = ()
    """What differs from the published figure."""


def read(file: Path) -> Published:
    """A file of coefficients or difficulties or both. Raises UserError on anything else."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("no such file", where=str(file), remedy=FORM) from None
    except (OSError, ValueError, RecursionError) as e:
        raise UserError(f"is not JSON: {e}", where=str(file), remedy=FORM) from None
    if not isinstance(data, dict):
        raise UserError("is not an object", where=str(file), remedy=FORM)
    numbers = {name: _numbers(data.get(name), f"{file}: {name}") for name in ("coefficients", "instruction_difficulty")}
    coefficients, difficulty = numbers.values()
    if coefficients is None and difficulty is None:
        there = ", ".join(map(str, data)) or "none"
        raise UserError(f"has neither list (its fields: {there:.200})", where=str(file), remedy=FORM)
    three: tuple[float, float, float] | None = None
    if coefficients is not None:
        if len(coefficients) != 3:
            raise UserError(f"coefficients has {len(coefficients)} numbers", where=str(file), remedy=FORM)
        three = coefficients[0], coefficients[1], coefficients[2]
    names = [data.get(name, "") for name in ("model", "baseline")]
    if not all(isinstance(name, str) for name in names):
        raise UserError("model and baseline are names", where=str(file), remedy=FORM)
    return Published(names[0], names[1], three, difficulty, file.name, file_hash(file))


def _numbers(value: Any, where: str) -> tuple[float, ...] | None:
    if value is None:
        return None
    good = isinstance(value, list) and all(type(one) in (int, float) and math.isfinite(one) for one in value)
    if not good:
        raise UserError(f"is {value!r:.60}, not a list of numbers", where=where, remedy=FORM)
    return tuple(map(float, value))


def difficulties(published: Published, pairs: Sequence[Pair], join: Join, order: Sequence[str]) -> Array:
    """The difficulty of each pair: by its row number (`row`), or by its instruction's place in `order`.

    Raises UserError on an instruction that has none, or stands twice in `order`.
    """
    assert published.difficulty is not None
    known, n = published.difficulty, len(published.difficulty)
    if join == "row":
        if (rows := 1 + max((pair.row for pair in pairs), default=-1)) > n:
            problem = f"has {n} difficulties, and there are {rows} rows"
            raise UserError(problem, where=published.file, remedy="give the vector of this data set")
        return np.array([known[pair.row] for pair in pairs])
    places: dict[str, int] = {}
    for place, instruction in enumerate(order):
        if places.setdefault(instruction, place) != place:
            problem = f"{instruction!r:.80} stands twice among the instructions"
            raise UserError(problem, where="join by instruction", remedy="join by row")
    found = [places.get(pair.instruction, n) for pair in pairs]
    if lost := [pair for pair, place in zip(pairs, found, strict=True) if place >= n]:
        problem = f"has no difficulty for {lost[0].instruction!r:.80} ({len(lost)} such rows)"
        raise UserError(problem, where=published.file, remedy="give the vector of this data set, with the baseline")
    return np.array([known[place] for place in found])


def given(published: Published, difficulty: Array) -> LengthControlled:
    """The figure out of given coefficients."""
    assert published.coefficients is not None
    _, slope, constant = published.coefficients
    predicted = logistic.probability(
        np.column_stack([difficulty, np.ones_like(difficulty)]), np.array([slope, constant])
    )
    rate = Interval(float(predicted.mean()), -math.inf, math.inf, len(predicted))
    return LengthControlled(rate, published.coefficients, "given")


@dataclass(frozen=True)
class Rows:
    """Judged pairs as the model sees them."""

    pairs: Sequence[Pair]
    """The pairs."""
    preferences: Sequence[float | None]
    """From 1 to 2; None where there is none."""
    difficulty: Array | None
    """Of each pair."""
    gamed: bool = False
    """Whether they are a gamed run's: they count little, and have no constant."""

    def matrix(self, *, length: bool = True) -> Array:
        """The terms of each row; without length its term is 0."""
        term = length_term(self.pairs) if length else np.zeros(len(self.pairs))
        constant = np.zeros(len(self.pairs)) if self.gamed else np.ones(len(self.pairs))
        terms = [term, constant] if self.difficulty is None else [term, self.difficulty, constant]
        return np.column_stack(terms)


def length_term(pairs: Sequence[Pair]) -> Array:
    """tanh of the length difference over its sample standard deviation; 0 where all differences are equal."""
    difference = np.array([pair.longer_baseline for pair in pairs], dtype=np.float64)
    spread = float(difference.std(ddof=1)) if len(pairs) > 1 else 0.0
    return np.tanh(difference / spread) if spread > 0 else np.zeros(len(pairs))


def fitted(rows: Rows, gamed: Sequence[Rows] = (), *, draws: int = DRAWS, seed: int = 0) -> LengthControlled:
    """The figure out of a fit to these rows, the gamed ones beside them. Raises UserError on fewer than ten rows."""
    groups: dict[str, int] = {}
    parts = [_there(one, groups) for one in (rows, *gamed)]
    x, y, weight, group = (np.concatenate(column) for column in zip(*parts, strict=True))
    own = len(parts[0][1])
    if own < LEAST:
        problem = f"{own} judged rows are too few for a fit"
        raise UserError(problem, where="length control", remedy="judge more, or give coefficients")
    strength = logistic.choose(x, y, weight, [int(one) for one in group])
    coefficients = logistic.fit(x, y, weight, strength)
    level = rows.matrix(length=False)
    rate = float(logistic.probability(level, coefficients).mean())

    def again(places: Array) -> float:
        taken = np.concatenate([places.astype(np.int64), np.arange(own, len(y))])
        w = logistic.fit(x[taken], y[taken], weight[taken], strength)
        return float(logistic.probability(x[taken[:own]] * _level(x.shape[1]), w).mean())

    interval = bootstrap(list(range(own)), again, draws=draws, seed=seed)
    notes = []
    if rows.difficulty is None:
        notes.append("without instruction difficulties")
    if not gamed:
        notes.append("without gamed runs of the baseline")
    return LengthControlled(
        Interval(rate, interval.low, interval.high, len(rows.pairs)),
        tuple(map(float, coefficients)),
        "fitted",
        strength,
        tuple(notes),
    )


def _there(rows: Rows, groups: dict[str, int]) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    """Terms, shares, weights and groups (one for each instruction) of the rows that have a preference."""
    y = settled(rows.preferences) - 1
    there = ~np.isnan(y)
    group = np.array([groups.setdefault(pair.instruction, len(groups)) for pair in rows.pairs], dtype=np.int64)
    weight = np.full(len(y), GAMED if rows.gamed else 1.0)
    return rows.matrix()[there], y[there], weight[there], group[there]


def _level(d: int) -> Array:
    """Keeps every term but length."""
    return np.array([0.0] + [1.0] * (d - 1))
