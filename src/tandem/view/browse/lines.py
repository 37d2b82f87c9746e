"""Runs as the lines of a list: in which order, and each with its first figures and its age."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from tandem.report import strip, wording
from tandem.results import Figure
from tandem.view.browse import telling
from tandem.view.browse.folders import STATES, Run, last_events

SORTS = {"when": "newest first", "title": "title", "model": "model", "figure": "first figure", "place": "place"}


def line(run: Run) -> dict[str, Any]:
    """A run as the list shows it."""
    return {
        "run": run,
        "href": f"/run/{quote(run.slug)}",
        "state": STATES[run.state],
        "when": age(run),
        "exactly": _exactly(run.last),
        "figures": [_figure(figure) for figure in run.headline[:3]],
        "more": max(0, len(run.headline) - 3),
    }


def age(run: Run) -> str:
    """When it was last heard of; of one at work, when it began."""
    return f"began {_when(run.began)}" if run.state == "running" and run.began else _when(run.last)


def events(run: Run, n: int = 6) -> list[tuple[str, str]]:
    """The last events with their times, in words."""
    told = []
    for event in last_events(run.path / "events.jsonl", n):
        facts = [f"{name} {telling.words(value)}" for name, value in event.items() if name not in ("event", "at")]
        at = event.get("at")
        moment = float(at) if isinstance(at, int | float) else None
        told.append((_exactly(moment, "%H:%M:%S"), " · ".join([telling.words(event.get("event")), *facts])[:300]))
    return told


def _figure(figure: Figure) -> dict[str, Any]:
    scale = strip.scale_of([figure])
    if figure.unit == "%" and scale is not None and scale.low == 0:
        scale = strip.Scale(0.0, 1.0, "%")
    return {
        "name": figure.name,
        "value": wording.value(figure),
        "interval": wording.interval(figure),
        "drawing": strip.strip(figure, scale) if scale else Markup(""),
    }


def ordered(runs: list[Run], sort: str) -> list[Run]:
    """Runs in one of the orders of SORTS; those at work first where the newest come first."""
    if sort == "title":
        return sorted(runs, key=lambda run: run.title.casefold())
    if sort == "model":
        return sorted(runs, key=lambda run: (run.model.casefold(), run.title.casefold()))
    if sort == "figure":
        return sorted(runs, key=lambda run: -run.headline[0].value if run.headline else float("inf"))
    if sort == "place":
        return sorted(runs, key=lambda run: str(run.path))
    return sorted(runs, key=lambda run: (run.state != "running", -(run.last or 0.0)))


def _when(moment: float | None) -> str:
    """How long ago, as a person says it."""
    if moment is None:
        return ""
    seconds = max(0.0, time.time() - moment)
    for length, unit in ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= length:
            n = int(seconds // length)
            return f"{n} {unit}{'' if n == 1 else 's'} ago" if n < 60 or unit != "day" else _exactly(moment)[:10]
    return "just now"


def _exactly(moment: float | None, form: str = "%Y-%m-%d %H:%M") -> str:
    try:
        return datetime.fromtimestamp(moment).strftime(form) if moment is not None else ""
    except (OverflowError, OSError, ValueError):
        return ""
