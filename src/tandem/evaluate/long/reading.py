"""`evidence_documents`: a question over many documents of which one holds the answer, by the place of that one.

An answer is right when an accepted one stands in its first line, both normalised (best-subspan exact match). Only the
first line is read, else a model that copies the documents would be right. Distractors keep their order while the gold
document moves, so prompts of an item share all that stands before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tandem.evaluate.answers import first_line
from tandem.evaluate.long import documents, evidence
from tandem.evaluate.long.asking import Asked, Asking, Request
from tandem.evaluate.long.documents import Case, Document
from tandem.evaluate.long.evidence import ALONE, CLOSED, Place, Probe
from tandem.evaluate.long.found import Found
from tandem.evaluate.long.inputs import Inputs, find
from tandem.evaluate.long.settings import at_least, one_of
from tandem.runs import file_hash
from tandem.text import count
from tandem.world import MECHANISM

VERSION = "1"
ASK = ("after", "both")


@dataclass(frozen=True)
class Settings:
    """What `--set` may say."""

    documents: int = 20
    """Documents of a prompt, the gold one included."""
    positions: tuple[int, ...] = ()
    """Places of the gold document; none: five, evenly spread."""
    items: int = 100
    """Questions out of the world; `--limit` lowers it. A file gives all it has."""
    facts: int = 4_000
    """Size of the world."""
    seed: int = 0
    """Of the world."""
    ask: str = "after"
    """Where the question stands: after the documents, or both before and after them."""
    answer_tokens: int = 48
    """Longest answer."""

    def __post_init__(self) -> None:
        at_least(1, documents=self.documents, items=self.items, answer_tokens=self.answer_tokens)
        one_of("ask", self.ask, ASK)
        evidence.positions(self.positions, self.documents)


class Reading:
    """The task as it was asked for."""

    name = "evidence_documents"
    version = VERSION

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        self.settings = settings
        file = find(self.name, inputs.data, documents.FORM)
        about: dict[str, Any]
        if file is None:
            self.cases = documents.from_world(
                settings.seed, settings.facts, inputs.first(settings.items), settings.documents
            )
            about = {"from": f"world ({MECHANISM})"}
        else:
            self.cases = documents.from_file(file, settings.documents, inputs.limit)
            about = {"from": file.name, "sha256": file_hash(file)}
        self.places = evidence.positions(settings.positions, settings.documents)
        self.total = len(self.cases) * (len(self.places) + 2)
        self.facts: Mapping[str, Any] = (
            asdict(settings) | about | {"items": len(self.cases), "positions": list(self.places)}
        )

    async def measure(self, model: Asked, asking: Asking) -> Found:
        """Ask every question with the gold document at every place."""
        places: list[Place] = [*self.places, ALONE, CLOSED]
        probes = [probe(self.settings, case, place, asking) for case in self.cases for place in places]
        found = await evidence.measure(self.name, VERSION, probes, judge, model, asking, "document")
        lead = f"{found.lead} From {self.facts['from']}."
        leaks = sum(case.leaks > 0 for case in self.cases)
        told = f"LEAK: {count(leaks)} of {count(len(self.cases))} items have a distractor that holds an accepted answer"
        return replace(found, lead=lead, notes=(*((told,) if leaks else ()), *found.notes))


def probe(settings: Settings, case: Case, place: Place, asking: Asking) -> Probe:
    """A question with the gold document at a place, alone, or not at all."""
    shown = arranged(case, place)
    answer = "Answer the question with a name or a few words, and nothing else."
    intro = {
        CLOSED: answer,
        ALONE: f"The document below holds the answer to a question. {answer}",
    }.get(str(place), f"Below are {len(shown)} documents; one of them holds the answer to a question. {answer}")
    question = f"Question: {case.question}"
    both = [question] if settings.ask == "both" and shown else []
    body = "\n\n".join([intro, *both, *written(shown), question])
    request = Request(
        evidence.probe_id(case.id, place), asking.prompt(body, "Answer:"), asking.how(settings.answer_tokens, "\n\n")
    )
    return Probe(case.id, place, case.question, case.accepted, request)


def arranged(case: Case, place: Place) -> list[Document]:
    """The documents in the order in which they are shown."""
    if place == CLOSED:
        return []
    if place == ALONE:
        return [case.gold]
    assert isinstance(place, int)
    before = place - 1
    return [*case.others[:before], case.gold, *case.others[before:]]


def written(shown: Sequence[Document]) -> list[str]:
    """Documents as the model sees them."""
    return [
        f"Document {number}{f': {document.title}' if document.title else ''}\n{document.text}"
        for number, document in enumerate(shown, 1)
    ]


def judge(probe: Probe, text: str) -> dict[str, Any]:
    """The verdict on an answer."""
    answer = first_line(text) or ""
    return {"answer": answer, "right": float(documents.holds(answer, probe.accepted))}
