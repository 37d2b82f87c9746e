"""The code benchmarks of `tandem evaluate`: a model's samples, given samples, the known programs alone."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tandem.cli.evaluating import Part, tell
from tandem.cli.progress import BETWEEN_LINES
from tandem.cli.training_text import look_for
from tandem.errors import UserError
from tandem.evaluate import code
from tandem.evaluate.code import Settings, figures
from tandem.evaluate.code.benchmarks import GIVEN
from tandem.evaluate.code.samples import results_file
from tandem.evaluate.places import chosen
from tandem.programs import mbpp
from tandem.text import count

if TYPE_CHECKING:
    from pathlib import Path

    from tandem.evaluate.code.benchmarks import Benchmark
    from tandem.evaluate.code.measure import Measured
    from tandem.evaluate.overlap import Looked
    from tandem.lm.model import Model
    from tandem.types import Sampling

SHOWN = 10
"""Lines of what was set aside that are printed; the files have all."""


class CodeTask:
    """A code benchmark that was asked for."""

    def __init__(self, name: str, options: argparse.Namespace, benchmark: Benchmark) -> None:
        self.name, self._options, self.benchmark = name, options, benchmark
        self._found: tuple[Looked, Mapping[str, Any]] | None = None
        self.total = len(benchmark.tasks) * options.n * options.steps
        self.facts: Mapping[str, Any] = {"version": benchmark.version, **benchmark.facts, "tasks": len(benchmark.tasks)}

    def sought(self) -> Mapping[str, str]:
        """Each task's prompt."""
        return self.benchmark.sought()

    def trained(self, looked: Looked, facts: Mapping[str, Any]) -> None:
        """Keep what a training text holds of the prompts."""
        self._found = (looked, facts)
        self.benchmark, self.facts = replace(self.benchmark, training=looked), {**self.facts, **facts}

    def for_model(self, model: Model) -> CodeTask:
        """The same benchmark, in conversation where the model cannot continue plain text."""
        if self._options.chat or model.abilities.text:
            return self
        chat = task(self.name, self._options, chat=True)
        if self._found is not None:
            chat.trained(*self._found)
        return chat

    async def measure(self, model: Model, out: Path, done: Callable[[], None]) -> Part:
        """Sample, judge, write."""
        return part(await code.measure(self.benchmark, model, _settings(self._options), out, done))


def task(name: str, options: argparse.Namespace, *, chat: bool = False) -> CodeTask:
    """The benchmark of a name, its data read and checked."""
    return CodeTask(name, options, _load(name, options, chat=chat or options.chat))


async def check_gold(names: Sequence[str], options: argparse.Namespace) -> int:
    """Run the known programs only; status 1 when one does not pass."""
    found: list[Measured] = []
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    for name in names:
        benchmark = _load(name, options, chat=False, gold=True)
        found.append(await code.check_gold(benchmark, _settings(options, gold=True), options.out))
    status = tell([part(measured) for measured in found])
    return status or int(any(measured.gold.set_aside for measured in found))


async def score_samples(names: Sequence[str], options: argparse.Namespace) -> int:
    """Score given samples, and write the results file beside them."""
    if len(names) != 1:
        raise UserError("are of one task", where="--samples", remedy="name that one with --tasks")
    benchmark = _load(names[0], options, chat=False, gold=True)
    if options.training:
        given = CodeTask(names[0], options, benchmark)
        look_for([given], options)
        benchmark = given.benchmark
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    settings = replace(_settings(options, gold=True), ks=_ks(options), samples=max(_ks(options), default=1))
    found = await code.score_samples(
        benchmark, options.samples, settings, options.out, partial=options.partial, done=_shown("verdicts")
    )
    status = tell([part(found)])
    exact = {k: figure.value for k in found.ks if (figure := figures.pass_at(found, 1, k))}
    print({f"pass@{k}": value for k, value in exact.items()})
    if found.complete:
        print(f"Results: {results_file(options.samples)}")
    return status


def part(measured: Measured) -> Part:
    """What was measured, for the command."""
    return Part(
        figures.table([measured]),
        figures.headline([measured]),
        figures.section(measured),
        measured.complete,
        tuple(_notes(measured)),
    )


def _notes(measured: Measured) -> list[str]:
    """What became of everything, a line each."""
    name = measured.benchmark.name
    lines = [f"{name}: {figures.section(measured).lead}"]
    lines += [f"{name}: {line}"] if (line := figures.trained(measured)) else []
    tables = [figures.outcomes(measured)] if measured.attempts else []
    tables += [figures.refinements(measured)] if len(measured.steps) > 1 else []
    for table in tables:
        for step, *numbers in table.rows:
            told = zip(table.columns[1:], numbers, strict=True)
            lines.append(
                f"  step {step}: " + " · ".join(f"{count(n)} {what}" for what, n in told if isinstance(n, int))
            )
    for table in (figures.aside(measured), figures.dropped(measured), figures.missing(measured)):
        if table.rows:
            lines.append(f"  {table.title}: {count(len(table.rows))}")
            lines += ["    " + ": ".join(_short(cell) for cell in row) for row in table.rows[:SHOWN]]
            lines += [f"    and {count(len(table.rows) - SHOWN)} more"] if len(table.rows) > SHOWN else []
    return lines


def _short(cell: object) -> str:
    text = " ".join(str(cell).split())
    return text if len(text) <= 100 else text[:99] + "…"


def _load(name: str, options: argparse.Namespace, *, chat: bool, gold: bool = False) -> Benchmark:
    if options.split not in mbpp.SPLITS:
        raise UserError(f"is {options.split!r}", where="--split", remedy=f"one of {', '.join(mbpp.SPLITS)}")
    if options.limit is not None and options.limit < 1:
        raise UserError(f"is {options.limit}", where="--limit", remedy="give at least 1")
    found = code.load(
        name,
        chosen(options.data, name),
        form="chat" if chat else "text",
        steps=options.steps,
        seen=options.seen,
        split="all" if gold else options.split,
        limit=options.limit,
        examples=not gold,
    )
    return replace(found, version=GIVEN) if gold else found  # no prompt of ours was asked


def _settings(options: argparse.Namespace, *, gold: bool = False) -> Settings:
    """What the options say; `gold` leaves out what only samples of a model have."""
    from tandem.cli.asking import sampling_of
    from tandem.sandbox.choose import IMAGE

    sampling: Sampling = sampling_of(options)
    return Settings(
        samples=options.n,
        steps=options.steps,
        sampling=sampling,
        ks=() if gold else _ks(options),
        reruns=options.rerun,
        cpu=options.cpu,
        sandbox=options.sandbox,
        image=options.docker_image or IMAGE,
    )


def _ks(options: argparse.Namespace) -> tuple[int, ...]:
    try:
        ks = tuple(sorted({int(k) for k in (options.k or "").split(",") if k.strip()}))
    except ValueError:
        ks = (0,)
    if any(k < 1 for k in ks):
        raise UserError(f"is {options.k!r}", where="--k", remedy="give whole numbers, as in 1,10,100")
    return ks


def _shown(what: str) -> Callable[[], None]:
    """Progress as a line now and then."""
    begun = last = time.monotonic()
    done = 0

    def advance() -> None:
        nonlocal last, done
        done += 1
        if (now := time.monotonic()) - last >= BETWEEN_LINES:
            last = now
            print(f"{count(done)} {what} · {done / (now - begun):.0f}/s", file=sys.stderr, flush=True)

    return advance
