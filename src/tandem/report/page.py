"""The page itself: what a run's folder says, in the order a reader wants it, as one file of HTML.

No scripts and no network, and the page forbids itself both by its Content-Security-Policy: what it shows was partly
written by a model. Everything goes through autoescaping. A plotting library inside the page was rejected: megabytes,
and unreadable without scripts.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from tandem import runs, text
from tandem.report import clock, edits, folder, plot, strip, tables, wording
from tandem.report.folder import Folder
from tandem.results import Curve, Edit, Example, Figure, Section, Table

MECHANISM = "measured on a made-up world; says how the method works, not how well a published system does"
"""The label of every result made on `tandem.world`."""
HERE = Path(__file__).parent
LONG = 700
"""Characters after which a model's text is folded."""


def write(run: Path) -> Path:
    """Render a run's folder into its `report.html` and return that path. Raises as `render`; Failure on a full disk."""
    page, path = render(run), run / "report.html"
    runs.write_whole(path, page)
    return path


def render(run: Path) -> str:
    """The report of a run's folder as one HTML page. Raises UserError where the folder is missing, half or broken."""
    found = folder.read(run)
    style = (HERE / "page.css").read_text()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = _templates().get_template("page.html")
    return page.render(style=Markup(style), style_hash=digest, title=found.results.title, body=body(found))


def body(found: Folder) -> Markup:
    """What stands in the page, from its header to its footer: for pages that have the style sheet already."""
    results = found.results
    filled = _templates().get_template("body.html")
    written = filled.render(
        title=results.title,
        lead=results.lead,
        byline=list(_byline(found)),
        headline=[_headline(figure) for figure in results.headline],
        sections=list(_sections(results.sections)),
        time=_time(found),
        next_steps=results.next_steps,
        facts=list(_facts(found.about)),
        recipe=found.recipe,
        mechanism=MECHANISM if on_made_up_world(found.recipe_values) else "",
    )
    return Markup(written)


@functools.cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = wording.visible
    return environment


def on_made_up_world(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe takes data from `tandem.world`: by a [world] table, or a path such as `world:passages`."""
    if "world" in recipe:
        return True
    values: list[Any] = list(recipe.values())
    while values:
        value = values.pop()
        if isinstance(value, Mapping):
            values += value.values()
        elif isinstance(value, list):
            values += value
        elif isinstance(value, str) and (value == "world" or value.startswith("world:")):
            return True
    return False


# ── The parts ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class HeadlineView:
    """One of the numbers on top."""

    name: str
    number: str
    unit: str
    interval: str
    drawing: Markup
    note: str


@dataclass(frozen=True)
class CurveView:
    """One plot with its words."""

    title: str
    y_label: str
    legend: list[tuple[Markup, str]]
    wide: Markup
    narrow: Markup
    tagged: bool
    """Whether the wide drawing names its lines itself."""
    notes: list[str]


@dataclass(frozen=True)
class OutputView:
    """One answer to a prompt."""

    who: str
    text: str
    opening: str
    """The beginning of a text too long to stand open; empty for others."""
    verdict: str
    """`right`, `wrong` or empty."""


@dataclass(frozen=True)
class ExampleView:
    """One prompt and the answers side by side."""

    title: str
    prompt: str
    opening: str
    expected: str
    outputs: list[OutputView]


def _byline(found: Folder) -> Iterator[str]:
    """Who made it, how long it took, on what, when."""
    if "tandem" in found.about:
        yield f"Tandem {found.about['tandem']}"
    moments = clock.span(found.events)
    seconds = sum(stage.seconds for stage in clock.stages(found.events))
    if seconds:
        yield text.duration(seconds)
    host = found.about.get("host")
    if isinstance(host, Mapping):
        cores = host.get("cores")
        parts = [str(host[k]) for k in ("device", "system", "machine") if host.get(k)]
        yield " ".join(parts) + (f", {cores} cores" if cores else "")
    if moments:
        day = _day(moments[1])
        if day:
            yield day


def _day(moment: float) -> str:
    try:
        at = datetime.fromtimestamp(moment, UTC)
    except (OverflowError, OSError, ValueError):
        return ""
    return f"{at.day} {at:%B} {at.year}"


def _headline(figure: Figure) -> HeadlineView:
    scale = strip.scale_of([figure])
    if figure.unit == "%" and scale is not None and scale.low == 0:
        scale = strip.Scale(0.0, 1.0, "%")
    drawn = strip.headline_strip(figure, scale) if scale else Markup("")
    items = f"n\u00a0=\u00a0{figure.n:,}" if figure.n is not None else ""
    note = " · ".join(part for part in (items, figure.note) if part)
    number, unit = wording.number_and_unit(figure)
    return HeadlineView(figure.name, number, unit, wording.interval(figure), drawn, note)


def _sections(sections: Sequence[Section]) -> Iterator[dict[str, Any]]:
    """Chapters with an anchor each; the first table with intervals says how to read them."""
    explained = False
    for number, section in enumerate(sections):
        items: list[tuple[str, tables.TableView | CurveView | ExampleView | edits.EditView]] = []
        for item in section.items:
            if isinstance(item, Table):
                items.append(("table", tables.view(item, explain=not explained)))
                explained = explained or tables.needs_key(item)
            elif isinstance(item, Edit):
                items.append(("edit", edits.view(item)))
            else:
                items.append(("curve", _curve(item)) if isinstance(item, Curve) else ("example", _example(item)))
        slug = re.sub(r"[^a-z0-9]+", "-", section.key.lower()).strip("-")
        yield {"id": f"s{number}-{slug}", "title": section.title, "lead": section.lead, "parts": items}


def _curve(curve: Curve) -> CurveView:
    notes = [curve.note] if curve.note else []
    missing = plot.left_out(curve)
    if missing:
        reason = "not a number" + (", or not above 0 on a logarithmic axis" if curve.log_x else "")
        notes.append(f"{missing:,} {'point is' if missing == 1 else 'points are'} not drawn: {reason}.")
    wide, narrow = plot.plot(curve, plot.WIDE), plot.plot(curve, plot.NARROW)
    tagged = plot.has_tags(curve)
    return CurveView(curve.title, curve.y_label, plot.legend(curve), wide, narrow, tagged, notes)


def _example(example: Example) -> ExampleView:
    verdicts = list(example.correct) + [None] * len(example.outputs)
    words = {True: "right", False: "wrong", None: ""}
    outputs = [
        OutputView(who, _trimmed(answer), _opening(_trimmed(answer)), words[verdict])
        for (who, answer), verdict in zip(example.outputs, verdicts)
    ]
    prompt = _trimmed(example.prompt)
    return ExampleView(example.title, prompt, _opening(prompt), _trimmed(example.expected), outputs)


def _trimmed(written: str) -> str:
    """Without empty lines around it; a single line also without spaces around it. Indentation inside stays."""
    inside = written.strip("\r\n").rstrip()
    return inside if "\n" in inside else inside.strip()


def _opening(written: str) -> str:
    """The beginning of a long text, cut between words where there are any; empty for a short one."""
    if len(written) <= LONG and written.count("\n") <= 18:
        return ""
    head = "\n".join(written.split("\n")[:12])[: LONG - 200]
    cut = head.rfind(" ", len(head) - 40)
    return (head[:cut] if cut > 0 else head).rstrip() + " …"


def _time(found: Folder) -> dict[str, Any] | None:
    """Table of stages with a total; None where no stage left a trace."""
    stages = clock.stages(found.events)
    if not stages:
        return None
    longest = max(stage.seconds for stage in stages)
    rows = [
        {
            "name": stage.name,
            "time": text.duration(stage.seconds),
            "bar": strip.bar(stage.seconds, 0.0, longest),
            "tokens": text.quantity(stage.tokens) if stage.tokens is not None else "",
            "speed": text.count(stage.speed) if stage.speed is not None else "",
            "loss": wording.fixed(stage.loss, 3) if stage.loss is not None else "",
            "remark": _remark(stage),
        }
        for stage in stages
    ]
    tokens = sum(stage.tokens or 0 for stage in stages)
    return {
        "rows": rows,
        "total": text.duration(sum(stage.seconds for stage in stages)),
        "tokens": text.quantity(tokens) if tokens else "",
        "has_tokens": any(stage.tokens is not None for stage in stages),
    }


def _remark(stage: clock.StageTime) -> str:
    times = {1: "", 2: "interrupted once", 3: "interrupted twice"}
    again = times.get(stage.attempts, f"interrupted {stage.attempts - 1} times") if stage.attempts else ""
    return ", ".join(part for part in (again, "" if stage.finished else "not finished") if part)


def _facts(about: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """run.json, flattened: `host cores`, 2."""
    for key, value in about.items():
        name = "recipe fingerprint" if key == "recipe" and not prefix else f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _facts(value, f"{name} ")
        else:
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
