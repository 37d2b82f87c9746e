"""Does a chain need every kind of source? Questions whose facts stand in passages, in triples and in tables, each once.

    python experiments/heterogeneous.py [--model ADDRESS] [--by fact|relation] [--limit N] [--query-model sql=ADDRESS]

A made-up world's facts are shared out among three sources, and a question's steps cross from one to another, so no
source answers it alone. Verify-and-Edit and Chain-of-Knowledge are asked with passages only and with all three, with
equal budgets: the same chains, findings kept, and lengths. An oracle source holds the sentences of the steps. Queries
in SPARQL and SQL are written by the model itself, or by a tuned one (`--query-model sql=embedded+adapter:DIR`, made by
`tandem train query-generator`), in arms of their own.

Answers of a small model are mostly wrong whatever it is given, so what was *found* is measured apart: in how many
questions a step's answer stands in the findings, by the source that holds it. All of it is `mechanism`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import side_by_side
import trials
from side_by_side import Arm

from tandem.errors import UserError
from tandem.lm import Model, connect
from tandem.metrics.normalise import answer_form
from tandem.reason import demonstrations, kinds
from tandem.reason.agreement import Gate
from tandem.reason.chains import Asking
from tandem.reason.methods import Settings
from tandem.reason.query_layout import Language
from tandem.reason.query_writer import QueryModel
from tandem.reason.running import Record
from tandem.results import Table
from tandem.runs import atomic_folder
from tandem.sources import Dataset, Passages, addresses
from tandem.sources.entities import Linker
from tandem.sources.passages import About, Document, Origin, Passage, Writer
from tandem.sources.recorded import Recorded, Recorder
from tandem.sources.sparql import GraphFile
from tandem.sources.sql import TableFiles
from tandem.stats import proportion
from tandem.store import Store
from tandem.types import Question, Source
from tandem.world import MECHANISM, Mixed, Partition, World, triples, write_sqlite

REFERENCE = "cot-sc"
QUESTIONS = 100
SEED, FACTS = 7, 2000
KINDS = ("passages", "triples", "tables")


def made(world: World, by: Any, folder: Path) -> tuple[Mixed, tuple[Passages, GraphFile, TableFiles]]:
    """The three sources in `folder`, written unless they are there."""
    mixed = Mixed(world, Partition.of(world, by))
    place = folder / f"world-{world.seed}-{len(world.columns)}-{by}"
    if not place.exists():
        with atomic_folder(place) as part:
            told = mixed.partition.told
            with (part / "triples.nt").open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(triples(world, told("triples")))
            write_sqlite(world, mixed.schema, part / "tables.sqlite", told("tables")).close()
            with Writer(part / "passages") as writer:
                pages = (Document(About(p.id, p.title), (Passage(p.text),)) for p in mixed.passages())
                writer.add(Origin("passages", str(place)), pages)
    return mixed, (
        Passages(place / "passages", name="passages"),
        GraphFile(place / "triples.nt", name="triples"),
        TableFiles(place / "tables.sqlite", name="tables"),
    )


def arms(
    asked: Sequence[Question],
    sources: Sequence[Source],
    own: Source,
    samples: int,
    shots: int,
    tuned: QueryModel | None,
) -> list[Arm]:
    """All arms; the tuned writer has its own beside the prompted one's."""
    asking: dict[kinds.Name, Asking] = {"short": Asking(demonstrations.shipped("short", shots))}
    always = Settings(samples=samples, gate=Gate("always"))
    made = [Arm(REFERENCE, "cot-sc", asking, always)]
    writers = {"": always} | ({", tuned queries": replace(always, writer=tuned)} if tuned else {})
    for short, method in (("VE", "verify-and-edit"), ("CoK", "chain-of-knowledge")):
        made.append(Arm(f"{short}, passages", method, asking, always, sources[:1]))
        made += [Arm(f"{short}, all sources{how}", method, asking, s, sources) for how, s in writers.items()]
        made.append(Arm(f"{short}, oracle", method, asking, always, [own], evidence(asked)))
    return made


def evidence(asked: Sequence[Question]) -> list[Question]:
    """The questions with the sentences of their steps as paragraphs."""
    return [replace(q, context=tuple(step["text"] for step in q.meta["steps"])) for q in asked]


# ── What was found ──────────────────────────────────────────────────────────────────────────────────────────────────


def reached(records: Sequence[Record]) -> dict[str, Any]:
    """Steps whose answer stands in the findings, by the source that holds it; and questions all of whose steps do."""
    hits: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    whole = []
    for record in records:
        text = f" {answer_form(' '.join(f'{f.title} {f.text}' for f in record.answer.findings))} "
        found = [f" {answer_form(step['answer'])} " in text for step in record.question.meta["steps"]]
        for step, hit in zip(record.question.meta["steps"], found, strict=True):
            hits[step["source"]].append(hit)
        whole.append(all(found))
    told: dict[str, Any] = {kind: proportion(sum(some), len(some)) for kind, some in hits.items() if some}
    return told | {"all steps": proportion(sum(whole), len(whole))}


def by_source(records: Sequence[Record]) -> dict[str, dict[str, int]]:
    """What came of asking each source, by its name."""
    told: dict[str, dict[str, int]] = {}
    for record in records:
        for step in record.trace.walk():
            if step.name == "ask source":
                how = "found" if step.facts.get("found") else "nothing" if step.outcome == "done" else step.outcome
                counts = told.setdefault(step.facts["source"], {})
                counts[how] = counts.get(how, 0) + 1
    return {name: dict(sorted(counts.items())) for name, counts in sorted(told.items())}


def told(found: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """All figures."""
    measured = {arm: side_by_side.measured(records) for arm, records in found.items()}
    pairs = [(arm, REFERENCE) for arm in found if arm != REFERENCE]
    pairs += [(arm, f"{arm.split(',')[0]}, passages") for arm in found if ", all sources" in arm]
    return {
        "arms": measured,
        "differences": {f"{a} - {b}": side_by_side.against(found[a], found[b]) for a, b in pairs},
        "reached": {arm: reached(records) for arm, records in found.items() if arm != REFERENCE},
        "asked": {arm: by_source(records) for arm, records in found.items() if arm != REFERENCE},
    }


def tables(figures: Mapping[str, Any]) -> list[Table]:
    """What is printed."""
    apart = {arm: figures["differences"].get(f"{arm} - {REFERENCE}") for arm in figures["arms"]}
    main = side_by_side.table("Mixed questions", figures["arms"], apart, {}, REFERENCE, f"{MECHANISM}. ")
    rows = [
        (arm, *(side_by_side.percent(r.get(kind)) for kind in (*KINDS, "all steps")))
        for arm, r in figures["reached"].items()
    ]
    note = (
        "Share of steps, by the source that holds them, whose answer stands in what was found; of questions, all steps."
    )
    found = Table("What was found", ("arm", *KINDS, "all steps"), tuple(rows), note)
    outcomes = [
        (arm, source, ", ".join(f"{how} {n}" for how, n in counts.items()))
        for arm, asked in figures["asked"].items()
        for source, counts in asked.items()
    ]
    return [main, found, Table("Questions to sources", ("arm", "source", "outcomes"), tuple(outcomes))]


# ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def writer(given: Sequence[str], graph: GraphFile, store: Store) -> tuple[QueryModel | None, list[Model]]:
    """The tuned writer of queries that the options name, and its models. Raises UserError.

    Names of the graph's things are linked for it, as `tandem answer` does.
    """
    models: dict[Language, Model] = {}
    for one in given:
        language, equals, address = one.partition("=")
        if language not in get_args(Language) or not equals or not address:
            raise UserError(f"{one!r} names no writer", where="--query-model", remedy="write sql=embedded+adapter:DIR")
        models[language] = connect(address, store=store)  # type: ignore[index]
    if not models:
        return None, []
    linker = await Linker.of_graph(graph) if "sparql" in models else None

    async def link(need: str, source: Source) -> list[tuple[str, str]]:
        return [(m.text, m.best.id) for m in linker.link(need)] if linker and source.name == graph.name else []

    return QueryModel(models, link=link), list(models.values())


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Ask all arms; the figures."""
    work = side_by_side.work(options)
    mixed, plain = made(World.make(SEED, options.facts), options.by, work)
    asked = mixed.questions(min(options.questions, options.limit or options.questions))
    with Store(work / "answers.db") as store:
        recorder = Recorder(store, retry_failed=options.retry_failed)
        sources = [Recorded(source, recorder) for source in plain]
        own = Recorded(Dataset("oracle"), recorder)
        tuned, models = await writer(options.query_model, plain[1], store)
        writers = {language: each.name for language, each in tuned.models.items()} if tuned else {}
        try:
            async with side_by_side.open_model(options, store) as model:
                made_arms = arms(asked, sources, own, options.samples, options.shots, tuned)
                found = await side_by_side.answered(made_arms, asked, model, options.concurrency)
                name = model.name
        finally:
            await addresses.close(plain)
            for each in models:
                await each.close()
    facts = {"model": {"address": options.model, "name": name}, "by": options.by, "query_models": writers}
    return facts | {"questions": len(asked), "facts": options.facts, "shots": options.shots} | told(found)


def main() -> None:
    parser = side_by_side.parser("heterogeneous", __doc__)
    add = parser.add_argument
    add("--by", choices=("fact", "relation"), default="fact", help="how facts are shared out (default: fact)")
    add("--questions", type=int, default=QUESTIONS, help=f"mixed questions (default: {QUESTIONS})")
    add("--facts", type=int, default=FACTS, help="size of the world (default: 2,000)")
    add("--shots", type=int, choices=range(7), default=6, help="worked examples (default: 6)")
    add("--query-model", action="append", default=[], metavar="LANGUAGE=ADDRESS", help="a tuned writer; repeatable")
    options = parser.parse_args()
    began = time.monotonic()
    figures = asyncio.run(run(options))
    for table in tables(figures):
        trials.print_table(table, side_by_side.WIDTH)
    out = side_by_side.out_path(options)
    head = {"experiment": "heterogeneous sources", "label": MECHANISM, "limit": options.limit, **figures}
    trials.write(out, head, [], side_by_side.machine(began))
    print(f"\nwritten: {out}")


if __name__ == "__main__":
    trials.ended(main)
