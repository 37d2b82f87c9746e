"""What `tandem answer` does once it knows what is asked: sources, settings, one answer or a run of many."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tandem.errors import UserError
from tandem.reason import demonstrations, figures, kinds
from tandem.reason.agreement import Gate
from tandem.reason.chain_of_knowledge import Domain
from tandem.reason.chains import Asking
from tandem.reason.methods import WITH_SOURCES, Settings
from tandem.reason.running import Progress, Record, answer_all
from tandem.reason.running import one as answer_one
from tandem.sources import addresses
from tandem.sources.recorded import Recorder
from tandem.sources.registry import Registry
from tandem.text import count, duration

if TYPE_CHECKING:
    from tandem.lm.model import Model
    from tandem.store import Store
    from tandem.trace import Step
    from tandem.types import Method, Question, Source


class Sources(Sequence["Source"]):
    """The sources of a command, closed together; and the fields of knowledge of its sources.toml."""

    def __init__(self, own: Sequence[Source], registry: Registry | None) -> None:
        self.domains: Mapping[str, Domain] = {}
        named: dict[str, Source] = {}
        if registry is not None:
            for name, domain in registry.domains.items():
                serving = registry.serving(name)
                named |= {source.name: source for source in serving}
                self.domains = {**self.domains, name: Domain(domain.about, tuple(source.name for source in serving))}
        self._all = [*own, *named.values()]
        self._registry, self._own = registry, own

    def __getitem__(self, place: Any) -> Any:
        return self._all[place]

    def __len__(self) -> int:
        return len(self._all)

    async def __aenter__(self) -> Sources:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None
    ) -> None:
        await addresses.close(self._own)
        if self._registry is not None:
            await self._registry.close()


def opened(options: argparse.Namespace, store: Store | None) -> Sources:
    """The sources that were named; their look-ups are recorded beside the model's answers."""
    recorder = Recorder(store, retry_failed=options.retry_failed)
    registry = Registry.read(options.sources, recorder=recorder) if options.sources else None
    return Sources([addresses.open(address, recorder=recorder) for address in options.source], registry)


def settings(options: argparse.Namespace, sources: Sources) -> Settings:
    """The method's settings. Raises UserError, naming the option."""
    name, colon, threshold = options.gate.partition(":")
    try:
        gate = Gate(name, float(threshold) if colon else None)
        gate.limit(options.n)
    except ValueError as e:
        problem, remedy = (e.problem, e.remedy) if isinstance(e, UserError) else ("is no number", "write count:3")
        raise UserError(problem, where=f"--gate {options.gate}", remedy=remedy) from None
    if options.n < 1:
        raise UserError(f"is {options.n}", where="--samples", remedy="give at least 1")
    return Settings(
        samples=options.n,
        temperature=options.temperature,
        gate=gate,
        top=options.top,
        fetch=max(options.fetch, options.top),
        target=options.target,
        domains=sources.domains,
        at_once=options.at_once,
        most_steps=options.turns,
    )


def asking(options: argparse.Namespace, questions: Sequence[Question]) -> dict[kinds.Name, Asking]:
    """How questions of each kind are put."""
    found: dict[kinds.Name, Asking] = {}
    own = demonstrations.read(options.demonstrations) if options.demonstrations else None
    for kind in dict.fromkeys(kinds.of(question).name for question in questions):
        if own is None:
            shown = demonstrations.shipped(kind, options.shots)
        else:
            shown = tuple(each for each in own if kinds.of(each.question).name == kind)[: options.shots]
            if not shown and options.shots:
                remedy = "add some, or give --shots 0"
                raise UserError(
                    f"has no demonstration of the kind {kind}", where=str(options.demonstrations), remedy=remedy
                )
        found[kind] = Asking(
            shown,
            context=options.context,
            chat=options.chat,
            max_tokens=options.max_tokens,
            seed=options.seed,
        )
    return found


# ── One question ────────────────────────────────────────────────────────────────────────────────────────────────────


async def one(
    options: argparse.Namespace, question: Question, method: Method, model: Model, sources: Sequence[Source]
) -> int:
    """Answer one question on the terminal."""
    record = await answer_one(question, method, model, sources, name=options.method)
    if options.explain:
        explain(record.trace)
        print()
    answer = record.answer
    if answer.text:
        print(answer.text)
    for place, step in enumerate(_steps(record), 1):
        print(f"  {place}. {step}")
    for place, finding in enumerate(answer.findings, 1):
        where = " ".join(part for part in (finding.source, finding.place, finding.as_of) if part)
        print(f"  [{place}] {where}\n      {' '.join(finding.text.split())[:300]}".replace("\\\n", "\n"))
    for what, n in record.source_outcomes.items():
        if what not in ("found", "nothing"):
            print(f"note: a source did not answer: {what} ({n})", file=sys.stderr)
    if "kept" in answer.facts:
        print(f"note: the answer before looking things up stays: {answer.facts['kept']}", file=sys.stderr)
    if answer.text:
        return 0
    problem = answer.facts.get("error", "the model's text holds no answer that could be read")
    print(f"no answer ({answer.outcome}): {problem}", file=sys.stderr)
    return 1


def _steps(record: Record) -> list[str]:
    edits = record.answer.facts.get("edits")
    if edits and "kept" not in record.answer.facts:
        return [f"{edit['text']}{'' if edit['outcome'] != 'edited' else '  (edited)'}" for edit in edits]
    return [record.answer.rationale] if record.answer.rationale else []


HIDDEN = frozenset({"fingerprint", "adapted", "prompt"})
"""Facts of a step that are for programs."""


def explain(step: Step, depth: int = 0) -> None:
    """Print a trace: every step with what went in and what came out."""
    facts = {key: value for key, value in step.facts.items() if key not in HIDDEN}
    if step.name == "generate":
        facts = {
            "written": facts.get("written"),
            "tokens": f"{facts.get('tokens_read')} + {facts.get('tokens_written')}",
        }
    mark = "" if step.outcome == "done" else f" [{step.outcome}]"
    print(f"{'  ' * depth}{step.name}{mark}")
    for key, value in facts.items():
        for n, text in enumerate(value if isinstance(value, list) else [value]):
            shown = " ".join(str(text).split())
            label = f"{key}:" if n == 0 else " " * (len(key) + 1)
            print(f"{'  ' * depth}  {label} {shown[:400]}{' …' if len(shown) > 400 else ''}")
    for inner in step.steps:
        explain(inner, depth + 1)


# ── A file of questions ─────────────────────────────────────────────────────────────────────────────────────────────


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
    from tandem.runs import Run

    facts = _facts(options, questions, model, sources)
    progress = Progress()
    with Run(options.out, write({"answer": facts})) as folder:
        folder.event("questions begin", n=len(questions))
        watch = asyncio.create_task(_show(progress, len(questions)))
        try:
            concurrent = {"concurrent": options.concurrency} if options.concurrency else {}
            records = await answer_all(
                questions, method, model, sources, name=options.method, progress=progress, **concurrent
            )
        finally:
            watch.cancel()
        asked = [record for record in records if record.answer.outcome != "not-asked"]
        folder.event("questions end", asked=len(asked), failed=progress.failures)
        _write(folder, options, facts, asked)
    return _tell(options, records, progress)


def _facts(
    options: argparse.Namespace, questions: Sequence[Question], model: Model, sources: Sequence[Source]
) -> dict[str, Any]:
    """What the answers depend on."""
    from tandem import __version__
    from tandem.runs import file_hash

    names = (
        "method",
        "n",
        "temperature",
        "gate",
        "top",
        "fetch",
        "target",
        "at_once",
        "turns",
        "shots",
        "context",
        "chat",
    )
    own = options.demonstrations
    return {
        "tandem": __version__,
        "model": model.name,
        "address": options.model,
        "questions": str(options.question),
        "questions_sha256": file_hash(Path(options.question)),
        "limit": options.limit,
        "items": len(questions),
        **{("samples" if name == "n" else name): getattr(options, name) for name in names},
        "max_tokens": options.max_tokens,
        "seed": options.seed,
        "allow": sorted(options.allow),
        "demonstrations": f"{own.name} {file_hash(own)[:16]}" if own else "shipped",
        "sources": [source.name for source in sources] if options.method in WITH_SOURCES else [],
    }


async def _show(progress: Progress, total: int) -> None:
    """A line now and then, on a terminal a live one."""
    import asyncio
    import time

    from tandem.cli.progress import BETWEEN_LINES

    begun, live = time.monotonic(), sys.stderr.isatty()
    try:
        while True:
            await asyncio.sleep(0.2 if live else BETWEEN_LINES)
            parts = [f"{count(progress.done)}/{count(total)}"]
            if progress.scored:
                parts.append(f"{progress.right / progress.scored:.1%} right so far")
            if progress.failures:
                parts.append(f"{count(progress.failures)} failed")
            if progress.done:
                left = (time.monotonic() - begun) / progress.done * (total - progress.done)
                parts.append(f"{duration(left)} left")
            line = " · ".join(parts)
            print(f"\r\x1b[K{line}" if live else line, end="" if live else "\n", file=sys.stderr, flush=True)
    finally:
        if live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _write(folder: Any, options: argparse.Namespace, facts: Mapping[str, Any], records: Sequence[Record]) -> None:
    """Items, results, report."""
    import json

    from tandem import report
    from tandem.results import Results, Section, Table
    from tandem.runs import write_whole

    lines = [json.dumps(r.to_json(), ensure_ascii=False) for r in sorted(records, key=lambda r: r.question.id)]
    write_whole(options.out / "answers-items.jsonl", "".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
    headline = tuple(
        each for each in (figures.accuracy(records), figures.token_f1(records), figures.auc(records)) if each
    )
    table = Table("Figures", figures.COLUMNS, (figures.row(options.method, records),) if records else ())
    shown = tuple((key, str(value)) for key, value in facts.items() if value not in (None, "", []))
    results = Results(
        f"{options.method}: {count(len(records))} questions",
        f"Answered by {options.model}" + (f" with {', '.join(facts['sources'])}." if facts["sources"] else "."),
        headline,
        (
            Section("figures", "Figures", items=(table,)),
            figures.section(options.method, records),
            Section("settings", "Settings", items=(Table("Settings", ("setting", "value"), shown),)),
        ),
    )
    folder.write_results(results)
    report.write(options.out)


def _tell(options: argparse.Namespace, records: Sequence[Record], progress: Progress) -> int:
    """The figures to paste, and what is missing; status 1 then."""
    from tandem.cli.evaluate import markdown
    from tandem.results import Table

    asked = [record for record in records if record.answer.outcome != "not-asked"]
    if asked:
        print(markdown(Table("Figures", figures.COLUMNS, (figures.row(options.method, asked),))))
    for what, counts in figures.summary(asked).items():
        if told := ", ".join(f"{count(n)} {outcome}" for outcome, n in counts.items() if n):
            print(f"{what}: {told}")
    print(f"Items: {options.out / 'answers-items.jsonl'} · report: {options.out / 'report.html'}")
    if progress.failures:
        print(f"{count(progress.failures)} failed; --retry-failed asks again", file=sys.stderr)
    if progress.spent is not None or progress.not_asked:
        print(f"{count(progress.not_asked)} questions were not asked: the budget is spent", file=sys.stderr)
    return 1 if progress.failures or progress.not_asked else 0
