"""`tandem answer` with a file of questions: progress, a run folder with items, figures and report, the exit status."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tandem.cli import answering, query_models
from tandem.errors import UserError
from tandem.reason import figures, kinds
from tandem.reason.calibrated import fitted, uncalibrated
from tandem.reason.methods import WITH_SOURCES
from tandem.reason.running import Progress, Record, answer_all
from tandem.results import Cell, Results, Section, Table
from tandem.runs import Run
from tandem.sources.recorded import recorded_name
from tandem.text import count, duration

if TYPE_CHECKING:
    from tandem.lm.model import Model
    from tandem.types import Method, Question, Source

ITEMS = "answers-items.jsonl"
FIT = 58 / 308
"""Share of the questions that a calibrator is fitted on unless said otherwise: the paper's."""


async def run(
    options: argparse.Namespace,
    questions: Sequence[Question],
    method: Method,
    model: Model,
    sources: Sequence[Source],
) -> int:
    """Answer all, write the run folder, print the figures."""
    import asyncio

    from tandem.recipes.toml import write

    if options.method == "calibrated":
        _check_fit(options, questions)
    facts = _facts(options, questions, model, sources)
    progress = Progress()
    with Run(options.out, write({"answer": facts})) as folder:
        folder.event("questions begin", n=len(questions))
        watch = asyncio.create_task(_show(progress, len(questions), model))
        try:
            concurrent = {"concurrent": options.concurrency} if options.concurrency else {}
            records = await answer_all(
                questions, method, model, sources, name=options.method, progress=progress, **concurrent
            )
        finally:
            watch.cancel()
        asked = [record for record in records if record.answer.outcome != "not-asked"]
        gaps = progress.failures or progress.look_ups_failed or progress.not_asked
        folder.event("questions end", asked=len(asked), failed=progress.failures, complete=not gaps)
        told = _write(folder, options, facts, asked, _missing(records, progress))
    return _tell(options, told, records, progress, model)


def _facts(
    options: argparse.Namespace, questions: Sequence[Question], model: Model, sources: Sequence[Source]
) -> dict[str, Any]:
    """What the answers depend on."""
    from tandem import __version__
    from tandem.runs import file_hash

    names = ("temperature", "gate", "top", "fetch", "target", "at_once", "turns", "shots", "context", "chat", "fit")
    own = options.demonstrations
    return {
        "tandem": __version__,
        "model": model.name,
        "address": options.model,
        "questions": str(options.question),
        "questions_sha256": file_hash(Path(options.question)),
        "limit": options.limit,
        "items": len(questions),
        "method": options.method,
        "samples": options.n,
        **{name: getattr(options, name) for name in names},
        "max_tokens": options.max_tokens,
        "edit_style": options.edit_style if options.edit_style != "replace" else None,
        "answer_tokens": options.answer_tokens,
        "step_tokens": options.step_tokens,
        "seed": options.seed,
        "allow": sorted(options.allow),
        "demonstrations": f"{own.name} {file_hash(own)[:16]}" if own else "shipped",
        **query_models.told(options),
        "sources": [source.name for source in sources] if options.method in WITH_SOURCES else [],
        "sources_held": [recorded_name(source) for source in sources] if options.method in WITH_SOURCES else [],
    }


def _check_fit(options: argparse.Namespace, questions: Sequence[Question]) -> None:
    """Raise UserError, before anything is asked, where a calibrator could be fitted on none, or measured on none."""
    known = sum(bool(kinds.gold(question)) for question in questions)
    first = _first(options, known)
    if not 0 < first < known:
        problem = f"cannot be fitted on {count(first)} of {count(known)} questions with known answers"
        raise UserError(problem, where="calibrated", remedy="give a number in between (--fit), or more known answers")


def _first(options: argparse.Namespace, known: int) -> int:
    """How many questions a calibrator is fitted on."""
    return int(options.fit) if options.fit else max(1, round(known * FIT))


async def _show(progress: Progress, total: int, model: Model) -> None:
    """A line now and then, on a terminal a live one."""
    import asyncio
    import time

    from tandem.cli.asking import columns
    from tandem.cli.counting import BETWEEN_DRAWINGS, Pace
    from tandem.cli.progress import BETWEEN_LINES

    pace, live = Pace(time.monotonic()), sys.stderr.isatty()
    try:
        while True:
            await asyncio.sleep(BETWEEN_DRAWINGS if live else BETWEEN_LINES)
            parts = [f"{count(progress.done)} of {count(total)} questions"]
            if progress.scored:
                parts.append(f"{progress.right / progress.scored:.1%} right so far")
            if progress.failures:
                parts.append(f"{count(progress.failures)} failed")
            if progress.look_ups_failed:
                parts.append(f"{count(progress.look_ups_failed)} look-ups failed")
            if model.budget and model.budget.spent.calls:
                parts.append(answering.taken(model.budget.spent))
            if (left := pace.left(time.monotonic(), progress.done, total)) is not None:
                parts.append(f"{duration(left)} left")
            line = " · ".join(parts)[: columns() - 1 if live else None]
            print(f"\r\x1b[K{line}" if live else line, end="" if live else "\n", file=sys.stderr, flush=True)
    finally:
        if live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _Measured:
    """What is told of a run."""

    rows: tuple[tuple[Cell, ...], ...]
    """Lines of the table of figures."""
    records: Sequence[Record]
    """What the figures rest on."""
    note: str = ""
    """How they were measured."""
    warning: str = ""
    """What could not be measured."""


def _measured(options: argparse.Namespace, asked: Sequence[Record]) -> _Measured:
    """The figures of a run; a calibrator is fitted first, and measured on the other questions."""
    if options.method != "calibrated":
        return _Measured((figures.row(options.method, asked),) if asked else (), asked)
    known = sum(record.right is not None for record in asked)
    first = _first(options, known)
    try:
        calibrator, _, rest = fitted(asked, first)
    except UserError as e:
        plain = [uncalibrated(record) for record in asked]
        return _Measured((figures.row("cot-sc", plain),) if asked else (), plain, warning=f"{e.where}: {e.problem}")
    plain = [uncalibrated(record) for record in rest]
    note = (
        f"Fitted on the first {count(first)} of {count(known)} questions with known answers, measured on the other "
        f"{count(len(rest))}. Weights: probability {calibrator.probability:.3g}, cubed coverage "
        f"{calibrator.coverage:.3g}, intercept {calibrator.intercept:.3g}."
    )
    return _Measured((figures.row("calibrated", rest), figures.row("cot-sc, the same", plain)), rest, note)


def _total(records: Sequence[Record]) -> tuple[int, int, float | None]:
    """Tokens read and written and money of all questions, the same whether their answers were recorded before or not.

    No money where there is none to pay.
    """
    money = [record.money for record in records if record.money is not None]
    return (
        sum(record.tokens[0] for record in records),
        sum(record.tokens[1] for record in records),
        sum(money) if money else None,
    )


def _in_all(records: Sequence[Record]) -> Table:
    """The same as a table."""
    read, written, money = _total(records)
    priced = money is not None
    columns = ("questions", "tokens read", "tokens written", *(["cost"] if priced else []))
    note = "Recorded answers count as if they were asked for now" + (", at the models' prices." if priced else ".")
    return Table("In all", columns, ((len(records), read, written, *([f"{money:.4g}"] if priced else [])),), note)


def _missing(records: Sequence[Record], progress: Progress) -> list[str]:
    """What a run lacks, as sentences without their ends."""
    told = []
    if progress.failures:
        kinds = Counter(r.answer.facts["kind"] for r in records if r.answer.outcome == "failed")
        words = ", ".join(f"{kind} {count(n)}" for kind, n in kinds.most_common())
        told.append(f"{count(progress.failures)} of {count(len(records))} questions failed ({words})")
    if progress.look_ups_failed:
        told.append(
            f"{count(progress.look_ups_failed)} look-ups failed: answers lack what these sources would have said"
        )
    if progress.not_asked:
        told.append(
            f"{count(progress.not_asked)} of {count(len(records))} questions were not asked: the budget is spent"
        )
    return told


def _write(
    folder: Run,
    options: argparse.Namespace,
    facts: Mapping[str, Any],
    records: Sequence[Record],
    missing: Sequence[str],
) -> _Measured:
    """Items in the file's order, results, report."""
    import json

    from tandem import report
    from tandem.runs import write_whole

    told = _measured(options, records)
    of = {record.question.id: record for record in [*records, *told.records]}
    lines = [json.dumps(each.to_json(), ensure_ascii=False) for each in of.values()]
    write_whole(options.out / ITEMS, "".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
    figured = (
        figures.accuracy(told.records),
        figures.token_f1(told.records),
        *(figures.figure(name, found, "") for name, found in figures.bleus(told.records).items()),
        figures.auc(told.records),
    )
    notes = (figures.NOTE, " ".join(filter(None, (figures.TAKEN, told.note, told.warning))))
    tables = [
        Table(title, tuple(figures.COLUMNS[n] for n in some), tuple(tuple(r[n] for n in some) for r in told.rows), note)
        for title, some, note in zip(("Figures", "What it took"), (figures.WORTH, figures.TOOK), notes, strict=True)
    ]
    tables.append(_in_all(records))
    shown = tuple((key, str(value)) for key, value in facts.items() if value not in (None, "", []))
    results = Results(
        f"{options.method}: {count(len(records))} question{'s' * (len(records) != 1)}",
        f"Answered by {options.model}"
        + (f" with {', '.join(facts['sources'])}." if facts["sources"] else ".")
        + "".join(f" INCOMPLETE: {what}." for what in missing),
        tuple(each for each in figured if each),
        (
            Section("figures", "Figures", items=tuple(tables)),
            *figures.sections(options.method, told.records),
            Section("settings", "Settings", items=(Table("Settings", ("setting", "value"), shown),)),
        ),
    )
    folder.write_results(results)
    report.write(options.out)
    return told


def _tell(
    options: argparse.Namespace, told: _Measured, records: Sequence[Record], progress: Progress, model: Model
) -> int:
    """The figures to paste, what it took and what was paid now, and what is missing; status 1 then."""
    from tandem.cli.evaluate import markdown

    if told.rows:
        print(markdown(Table("Figures", figures.COLUMNS, told.rows)))
    if bleus := figures.bleus(told.records):
        shown = tuple((name, figures.figure(name, found, "")) for name, found in bleus.items())
        print(markdown(Table("BLEU", ("score", "0 to 100"), shown)))
    if told.note:
        print(told.note)
    for what, counts in figures.summary(told.records).items():
        if words := ", ".join(f"{count(n)} {outcome}" for outcome, n in counts.items() if n):
            print(f"{what}: {words}")
    read, written, money = _total([record for record in records if record.answer.outcome != "not-asked"])
    cost = "" if money is None else f" · cost {money:.4g}"
    print(f"in all: {count(read)} tokens read · {count(written)} written{cost}, recorded answers included")
    print(f"this time: {answering.taken((model.budget or model).spent)}")
    print(f"Items: {options.out / ITEMS} · report: {options.out / 'report.html'}")
    if told.warning:
        print(f"{told.warning}; give --fit N", file=sys.stderr)
    if n := sum(record.answer.outcome == "truncated" for record in records):
        room = answering.more_room(options)
        print(f"note: the texts of {count(n)} questions were cut; {room} gives more room", file=sys.stderr)
    if n := sum(answering.cut_steps(record.answer) for record in records):
        print(f"note: {count(n)} corrections were cut; --step-tokens gives more room", file=sys.stderr)
    missing = _missing(records, progress)
    for what in missing:
        print(f"{what}{'; --retry-failed asks again' if 'failed' in what else ''}", file=sys.stderr)
    return 1 if missing or told.warning else 0
