"""Items for `evidence_documents`: a question, the document that answers it, and documents that do not.

By default they come out of a made-up world: a question about a fact that no passage disputes, a passage that states it,
and passages about others, first those that state the same kind of fact. No distractor holds an accepted answer or says
anything of whom is asked about. Or out of a file of yours, one object a line:

    {"question": "…", "answers": ["…"], "documents": [{"title": "…", "text": "…", "gold": true}, …]}

with exactly one gold document (`id` and titles may be missing; `ctxs` and `isgold`, as published files have them, are
read as well). What this does not do: look for documents; a file's distractors are taken in its order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.evaluate.long.settings import OPTION
from tandem.metrics.normalise import normalise_answer
from tandem.programs import rows
from tandem.world import RELATION, RELATIONS, Passage, World, passages, plan, questions
from tandem.world.noise import Draws

FORM = 'a line is {"question": …, "answers": […], "documents": [{"title": …, "text": …, "gold": true}, …]}'
PER_ITEM = 8
"""Questions looked at for each that is wanted, at most: many are disputed, or ask for no name."""


@dataclass(frozen=True)
class Document:
    """One document."""

    title: str
    """What it is about; may be empty."""
    text: str
    """What it says."""


@dataclass(frozen=True)
class Case:
    """One question with its documents."""

    id: str
    """Unique within its set."""
    question: str
    """What is asked."""
    accepted: tuple[str, ...]
    """Right answers, the first is canonical."""
    gold: Document
    """The document that holds the answer."""
    others: tuple[Document, ...]
    """Documents that do not."""
    leaks: int = 0
    """Of the others, those that hold an accepted answer nevertheless."""


def holds(text: str, accepted: Sequence[str]) -> bool:
    """Whether an accepted answer stands in a text, both normalised: best-subspan exact match."""
    inside = normalise_answer(text)
    return any((form := normalise_answer(answer)) and form in inside for answer in accepted)


def from_world(seed: int, facts: int, items: int, documents: int) -> list[Case]:
    """Cases of a world. Raises UserError where it is too small for so many."""
    world = World.make(seed, facts)
    shelf = list(passages(world))
    of_id = {passage.id: passage for passage in shelf}
    stating: dict[str, list[Passage]] = {}
    relation_of = [RELATIONS[r].name for r in world.columns.relation.tolist()]
    for passage in shelf:
        for relation in {relation_of[int(mention.fact[1:])] for mention in passage.mentions}:
            stating.setdefault(relation, []).append(passage)
    draws = Draws(seed, f"evidence {facts} {documents}")
    cases: list[Case] = []
    for question in questions(world, (1,), items * PER_ITEM, seed):
        fact = int(question.meta["facts"][0][1:])
        relation = question.meta["relations"][0]
        if question.meta["contested"] or not RELATION[relation].to_entity:
            continue
        golds = [of_id[id] for id in plan(world).of_fact(fact) if holds(of_id[id].text, question.answers[:1])]
        if not golds:
            continue
        gold = draws.choose(golds)
        subject = int(world.columns.subject[fact])
        others = _others(world, subject, question.answers, (stating[relation], shelf), documents - 1, draws)
        if len(others) < documents - 1:
            continue
        cases.append(Case(question.id, question.text, question.answers, _document(gold), tuple(others)))
        if len(cases) == items:
            return cases
    raise UserError(
        f"a world of {facts:,} facts has {len(cases)} such questions with {documents} documents, not {items}",
        where=f"{OPTION} facts",
        remedy=f"make it larger: {OPTION} facts={4 * facts}; or ask for fewer items or documents",
    )


def _others(
    world: World,
    subject: int,
    accepted: Sequence[str],
    shelves: Sequence[Sequence[Passage]],
    n: int,
    draws: Draws,
) -> list[Document]:
    """Passages about others, without the answer, from the first shelf as far as it goes; no two alike."""
    taken: dict[str, Passage] = {}
    for shelf in shelves:
        tries = 0
        while len(taken) < n and tries < 4 * len(shelf):
            tries += 1
            passage = draws.choose(shelf)
            about = {int(world.columns.subject[int(mention.fact[1:])]) for mention in passage.mentions}
            said = f"{passage.title} {passage.text}"
            if passage.id not in taken and subject not in about and not holds(said, accepted):
                taken[passage.id] = passage
    return [_document(passage) for passage in taken.values()]


def _document(passage: Passage) -> Document:
    return Document(passage.title, passage.text)


def from_file(file: Path, documents: int, limit: int | None = None) -> list[Case]:
    """Cases of a file, each with so many documents. Raises UserError with the line on what cannot be used."""
    cases: list[Case] = []
    seen: dict[str, str] = {}
    for number, (where, row) in enumerate(rows.read(file)):
        if limit is not None and len(cases) == limit:
            break
        case = _case(row, where, number, documents)
        if case.id in seen:
            problem = f"the id {case.id!r} stands at {seen[case.id]} already"
            raise UserError(problem, where=where, remedy="give each line an id of its own, or none")
        seen[case.id] = where
        cases.append(case)
    if not cases:
        raise UserError("holds no rows", where=str(file), remedy=FORM)
    return cases


def _case(row: Any, where: str, number: int, documents: int) -> Case:
    if not isinstance(row, dict):
        raise UserError("is not an object", where=where, remedy=FORM)
    question, answers = row.get("question"), row.get("answers")
    if not isinstance(question, str) or not question.strip():
        raise UserError(f"question is {question!r:.60}, not a text", where=where, remedy=FORM)
    if not isinstance(answers, list) or not all(isinstance(a, str) for a in answers):
        raise UserError(f"answers is {answers!r:.60}, not a list of texts", where=where, remedy=FORM)
    accepted = tuple(answer for answer in answers if normalise_answer(answer))
    if not accepted:
        raise UserError("no answer has a letter or digit", where=where, remedy=FORM)
    given = list(_documents(row, where))
    golds = [document for document, gold in given if gold]
    others = [document for document, gold in given if not gold]
    if len(golds) != 1:
        raise UserError(f"{len(golds)} documents are gold; one must be", where=where, remedy=FORM)
    if len(others) < documents - 1:
        problem = f"has {len(others)} documents beside the gold one, {documents - 1} were asked for"
        raise UserError(problem, where=where, remedy=f"ask for fewer: {OPTION} documents={len(others) + 1}")
    others = others[: documents - 1]
    leaks = sum(holds(f"{other.title} {other.text}", accepted) for other in others)
    return Case(str(row.get("id", number)), question.strip(), accepted, golds[0], tuple(others), leaks)


def _documents(row: dict[str, Any], where: str) -> Iterator[tuple[Document, bool]]:
    listed = row.get("documents", row.get("ctxs"))
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise UserError(f"documents is {listed!r:.60}, not a list of objects", where=where, remedy=FORM)
    for place, one in enumerate(listed):
        title, text = one.get("title") or "", one.get("text")
        if not isinstance(text, str) or not isinstance(title, str):
            raise UserError(f"documents[{place}]: title and text must be texts", where=where, remedy=FORM)
        yield Document(title, text), one.get("gold", one.get("isgold", False)) is True
