"""Does the place of the evidence matter? The same items with the evidence at one place after another.

Every item is asked once for each position, so positions are compared on the same items (paired, McNemar's test). Beside
the curve stand two rows that bound it: the evidence alone, and, where it makes sense, nothing at all (closed book).
After Liu et al. 2023, "Lost in the Middle". What this does not do: make items (`documents`, `pairs`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tandem.errors import UserError
from tandem.evaluate import comparisons
from tandem.evaluate.long.asking import Asked, Asking, Replies, Request, ask, seen
from tandem.evaluate.long.found import Found, clustered, excerpt, share
from tandem.evaluate.long.settings import OPTION
from tandem.results import Curve, Example, Figure, Item, Series, Table
from tandem.text import count

ALONE = "evidence alone"
CLOSED = "closed book"
Place: TypeAlias = int | str
"""A position from 1, or one of the rows beside."""


@dataclass(frozen=True)
class Probe:
    """One question with the evidence at one place."""

    item: str
    """The item it belongs to."""
    place: Place
    """Where the evidence stands."""
    question: str
    """What is asked, for people."""
    accepted: tuple[str, ...]
    """Right answers."""
    request: Request
    """The prompt; its id is the probe's."""


Judge: TypeAlias = Callable[[Probe, str], Mapping[str, Any]]
"""The verdict on what was written: `answer`, `right` (0 or 1), and whatever else is to be kept."""


def positions(given: Sequence[int], n: int, default: int = 5) -> tuple[int, ...]:
    """The positions asked for, else some spread evenly from the first to the last. Raises UserError outside 1 … n."""
    if wrong := [place for place in given if not 1 <= place <= n]:
        raise UserError(f"has {wrong[0]}", where=f"{OPTION} positions", remedy=f"give numbers from 1 to {n}")
    if given:
        return tuple(sorted(set(given)))
    some = min(n, default)
    return tuple(sorted({1 + round(i * (n - 1) / max(1, some - 1)) for i in range(some)}))


def probe_id(item: str, place: Place) -> str:
    """`item@5`, `item@closed book`."""
    return f"{item}@{place}"


async def measure(
    task: str, version: str, probes: Sequence[Probe], judge: Judge, model: Asked, asking: Asking, what: str
) -> Found:
    """Ask all probes; `what` names a piece of the material: document, pair."""
    replies = await ask([probe.request for probe in probes], model, asking)
    rows = [_row(probe, replies, judge) for probe in probes if probe.request.id in replies.got]
    right: dict[Place, dict[str, bool]] = {}
    for row in rows:
        right.setdefault(row["position"], {})[row["item"]] = bool(row["right"])
    swept = sorted(place for place in right if isinstance(place, int))
    beside = [place for place in (ALONE, CLOSED) if place in right]
    figures = [
        *((f"{what} at {place}", share("accuracy", list(right[place].values()))) for place in swept),
        *((place, share("accuracy", list(right[place].values()))) for place in beside),
    ]
    headline: list[Figure] = []
    if swept:
        items = {item for place in swept for item in right[place]}
        each = [[float(right[place][item]) for place in swept if item in right[place]] for item in sorted(items)]
        headline.append(clustered(f"{task}, mean over positions", each))
        worst = min(swept, key=lambda place: sum(right[place].values()) / len(right[place]))
        headline.append(share(f"{task}, worst position ({worst})", list(right[worst].values())))
        figures.insert(0, ("all positions", clustered("accuracy", each, note="bootstrap over items")))
    headline += [share(f"{task}, {place}", list(right[place].values())) for place in beside]
    shown = [_curve(task, what, right, swept, beside)] if len(swept) > 1 else []
    items_shown: list[Item] = [_table(rows, right, [*swept, *beside], what), *shown, *_paired(right, swept)]
    items_shown += _examples(probes, rows)
    lead = f"{count(len({p.item for p in probes}))} items, the evidence at {len(swept)} positions."
    return Found(
        task,
        version,
        tuple(figures),
        tuple(headline),
        tuple(items_shown),
        tuple(rows),
        lead,
        tuple(replies.notes()),
        replies.missing,
        replies.aside(),
    )


def _row(probe: Probe, replies: Replies, judge: Judge) -> dict[str, Any]:
    reply = replies.got[probe.request.id]
    return {
        "id": probe.request.id,
        "item": probe.item,
        "position": probe.place,
        "question": probe.question,
        "gold": list(probe.accepted),
        "written": reply.text,
        **judge(probe, reply.text),
        "outcome": reply.outcome,
        "prompt_tokens": reply.read,
    }


def _table(
    rows: Sequence[Mapping[str, Any]], right: Mapping[Place, Mapping[str, bool]], places: Sequence[Place], what: str
) -> Table:
    body = []
    for place in places:
        here = [row for row in rows if row["position"] == place]
        tokens = sum(row["prompt_tokens"] for row in here) / len(here)
        cut = sum(row["outcome"] == "truncated" for row in here)
        body.append((str(place), share("accuracy", list(right[place].values())), len(here), cut, round(tokens)))
    return Table(
        "Accuracy by position of the evidence",
        ("position", "accuracy", "n", "truncated", "tokens of a prompt"),
        tuple(body),
        note=f"Position: place of the {what} that holds the answer, from 1. 95 % Wilson intervals.",
    )


def _curve(
    task: str, what: str, right: Mapping[Place, Mapping[str, bool]], swept: Sequence[int], beside: Sequence[str]
) -> Curve:
    x = tuple(float(place) for place in swept)

    def level(place: Place) -> float:
        return 100 * sum(right[place].values()) / len(right[place])

    lines = [Series("evidence at the position", x, tuple(level(place) for place in swept))]
    lines += [Series(place, x, (level(place),) * len(x)) for place in beside]
    return Curve(
        f"{task}: accuracy over position",
        f"position of the {what} with the answer",
        "right answers, %",
        tuple(lines),
        note="The same items at every position.",
    )


def _paired(right: Mapping[Place, Mapping[str, bool]], swept: Sequence[int]) -> list[Table]:
    """Positions against the first, on the items that have all of them."""
    if len(swept) < 2:
        return []
    items = sorted(set.intersection(*(set(right[place]) for place in swept)))
    if not items:
        return []
    systems = {f"at {place}": {item: right[place][item] for item in items} for place in swept}
    return [comparisons.table(systems, {"all": items}, f"at {swept[0]}", title="The first position against the others")]


def _examples(probes: Sequence[Probe], rows: Sequence[Mapping[str, Any]], n: int = 2) -> list[Example]:
    """The first wrong and right answers."""
    by_id = {probe.request.id: probe for probe in probes}
    chosen = [row for row in rows if not row["right"]][:n] + [row for row in rows if row["right"]][:n]
    return [
        Example(
            row["id"],
            excerpt(seen(by_id[row["id"]].request.prompt)),
            (("model", row["written"]),),
            row["gold"][0],
            (bool(row["right"]),),
        )
        for row in chosen
    ]
