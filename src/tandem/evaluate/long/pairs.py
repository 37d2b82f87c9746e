"""`evidence_pairs`: the value of one key among many in a JSON object, by the place of the pair.

Keys and values are random ids from a seed, so nothing but reading helps. All positions of an item share one object;
only the key asked for differs, so an engine that keeps what it has read reads the object once. After the key–value
retrieval of Liu et al. 2023. A right answer is the value itself, quotes and commas aside; a wrong one is told apart:
the value of another key, a key, the right value begun.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tandem.evaluate.answers import first_line
from tandem.evaluate.long import evidence
from tandem.evaluate.long.asking import Asked, Asking, Request
from tandem.evaluate.long.evidence import ALONE, Place, Probe
from tandem.evaluate.long.found import Found
from tandem.evaluate.long.inputs import Inputs
from tandem.evaluate.long.settings import at_least, one_of
from tandem.results import Figure, Table
from tandem.world.noise import Draws

VERSION = "1"
IDS = {"uuid": 32, "short": 8}
"""Hexadecimal digits of an id."""
ASK = ("after", "both")
BEGUN = 8
"""So many characters of the right value in front count as having begun it."""


@dataclass(frozen=True)
class Settings:
    """What `--set` may say."""

    pairs: int = 75
    """Pairs of an object."""
    positions: tuple[int, ...] = ()
    """Places of the pair asked for; none: five, evenly spread."""
    items: int = 50
    """Objects; `--limit` lowers it."""
    ids: str = "uuid"
    """uuid: 32 digits with hyphens; short: 8 digits."""
    ask: str = "after"
    """Where the question stands: after the object, or both before and after it."""
    seed: int = 0
    """Of the ids."""
    answer_tokens: int = 64
    """Longest answer."""

    def __post_init__(self) -> None:
        at_least(1, pairs=self.pairs, items=self.items, answer_tokens=self.answer_tokens)
        at_least(0, seed=self.seed)
        one_of("ids", self.ids, tuple(IDS))
        one_of("ask", self.ask, ASK)
        evidence.positions(self.positions, self.pairs)


class Pairs:
    """The task as it was asked for."""

    name = "evidence_pairs"
    version = VERSION

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        self.settings = replace(settings, items=inputs.first(settings.items))
        self.places = evidence.positions(settings.positions, settings.pairs)
        self.total = self.settings.items * (len(self.places) + 1)
        self.facts: Mapping[str, Any] = asdict(self.settings) | {"positions": list(self.places)}

    async def measure(self, model: Asked, asking: Asking) -> Found:
        """Ask for the value of the key at every place."""
        objects = [made(self.settings, number) for number in range(self.settings.items)]
        places: list[Place] = [*self.places, ALONE]
        probes = [
            probe(self.settings, number, pairs, place, asking)
            for number, pairs in enumerate(objects)
            for place in places
        ]

        def verdict(probe: Probe, written: str) -> Mapping[str, Any]:
            pairs = objects[int(probe.item)]
            return judge(pairs, next(key for key, value in pairs.items() if value == probe.accepted[0]), written)

        found = await evidence.measure(self.name, VERSION, probes, verdict, model, asking, "pair")
        wrong = _wrong(found)
        return replace(found, items=(*found.items, *((wrong,) if wrong.rows else ())))


def made(settings: Settings, number: int) -> dict[str, str]:
    """The object of an item: distinct ids, each key with its value."""
    draws = Draws(settings.seed, f"pairs {settings.pairs} {settings.ids} {number}")
    ids: dict[str, None] = {}
    while len(ids) < 2 * settings.pairs:
        digits = f"{draws.bits():016x}{draws.bits():016x}"[: IDS[settings.ids]]
        ids["-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])).strip("-")] = None
    keys = list(ids)
    return dict(zip(keys[::2], keys[1::2], strict=True))


def probe(settings: Settings, number: int, pairs: Mapping[str, str], place: Place, asking: Asking) -> Probe:
    """The question for the pair at a place; the pair alone: that in the middle of the object."""
    key = list(pairs)[place - 1 if isinstance(place, int) else len(pairs) // 2]
    shown = pairs if isinstance(place, int) else {key: pairs[key]}
    question = f'Give the value that belongs to the key "{key}", and nothing else.'
    intro = "This JSON object gives a value for every key."
    both = [question] if settings.ask == "both" else []
    body = "\n\n".join([intro, *both, json.dumps(shown, indent=0), question])
    request = Request(
        evidence.probe_id(f"{number:04d}", place),
        asking.prompt(body, "Value:"),
        asking.how(settings.answer_tokens, "\n\n"),
    )
    return Probe(f"{number:04d}", place, question, (pairs[key],), request)


def judge(pairs: Mapping[str, str], key: str, written: str) -> dict[str, Any]:
    """The verdict on an answer: right, and what a wrong one is."""
    answer = (first_line(written) or "").strip(" \t\"'`{},.").removeprefix("Value:").strip(" \"'").lower()
    keys = list(pairs)
    wanted = pairs[key]
    place = keys.index(key) + 1
    others = {value: n for n, value in enumerate(pairs.values(), 1)}
    if answer == wanted:
        return {"answer": answer, "right": 1.0, "kind": "right"}
    told: dict[str, Any] = {"answer": answer, "right": 0.0}
    if answer in others:
        return told | {"kind": "another value", "offset": others[answer] - place}
    if answer in pairs:
        return told | {"kind": "a key"}
    if wanted in answer:
        return told | {"kind": "right, with more around it"}
    if answer.startswith(wanted[: min(BEGUN, len(wanted) // 2)]):
        return told | {"kind": "begun right"}
    return told | {"kind": "something else"}


def _wrong(found: Found) -> Table:
    """What the wrong answers are."""
    counted = Counter(row["kind"] for row in found.rows if not row["right"])
    rows = [(kind, n, Figure("share", n / counted.total(), "%")) for kind, n in counted.most_common()]
    return Table("What the wrong answers are", ("kind", "answers", "share of the wrong ones"), tuple(rows))
