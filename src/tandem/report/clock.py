"""Where the time went: seconds, tokens and speed per stage, out of events.jsonl.

A stage that was interrupted has several beginnings; the time of each attempt counts, up to its last sign of life.
Unknown events and fields are passed over. It does not look at results, which have no clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass
class StageTime:
    """What one stage took."""

    name: str
    """Stage, as the recipe calls it."""
    seconds: float = 0.0
    """Wall-clock time of all attempts."""
    attempts: int = 0
    """How often it was begun: 1 unless it was interrupted."""
    finished: bool = False
    """Whether it came to its end."""
    tokens: int | None = None
    """Tokens trained on by its end, where it counts any."""
    steps: int | None = None
    """Optimiser steps done by its end, where it counts any."""
    loss: float | None = None
    """The last training loss it told, nats per token."""
    speeds: list[float] = field(default_factory=list)
    """Tokens per second at each sign of life."""

    @property
    def speed(self) -> float | None:
        """Median tokens per second; None for a stage that counts no tokens."""
        return median(self.speeds) if self.speeds else None


def stages(events: Iterable[Mapping[str, Any]]) -> list[StageTime]:
    """Time and tokens per stage, in the order in which they were first begun."""
    found: dict[str, StageTime] = {}
    begun: dict[str, float] = {}
    alive: dict[str, float] = {}

    def close(name: str) -> None:
        """An attempt that never said it ended lasted until it was last heard of."""
        if name in begun:
            found[name].seconds += max(0.0, alive[name] - begun.pop(name))

    for event in events:
        at, kind, name = _number(event.get("at")), event.get("event"), event.get("stage")
        if not (isinstance(name, str) and name):
            continue
        stage = found.setdefault(name, StageTime(name))
        if kind == "stage begins":
            close(name)
            stage.attempts += 1
            if at is not None:
                begun[name] = alive[name] = at
        elif kind == "stage ends":
            stage.finished = True
            seconds = _number(event.get("seconds"))
            if seconds is not None:
                stage.seconds += max(0.0, seconds)
                begun.pop(name, None)
        else:
            _progress(stage, event)
        if at is not None:
            alive[name] = at
    for name in list(begun):
        close(name)
    return list(found.values())


def span(events: Iterable[Mapping[str, Any]]) -> tuple[float, float] | None:
    """First and last moment of the run, seconds since the epoch; None where no event tells."""
    moments = [at for event in events if (at := _number(event.get("at"))) is not None]
    return (min(moments), max(moments)) if moments else None


def _progress(stage: StageTime, event: Mapping[str, Any]) -> None:
    tokens, steps = _number(event.get("tokens")), _number(event.get("step"))
    if tokens is not None and tokens >= 0:
        stage.tokens = max(stage.tokens or 0, int(tokens))
    if steps is not None and steps >= 0:
        stage.steps = max(stage.steps or 0, int(steps))
    if (loss := _number(event.get("loss"))) is not None:
        stage.loss = loss
    speed = _number(event.get("tokens_per_second"))
    if speed is not None and speed > 0:
        stage.speeds.append(speed)


def _number(value: Any) -> float | None:
    """A finite number, or None: booleans, text and NaN are not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
