"""One code benchmark measured: gold checked, programs sampled or read, judged, written down.

Everything is made again from what is recorded (answers in the model's store, verdicts in a file beside the results),
so a run that was killed goes on where it was, one that is finished writes the same bytes, and nothing is paid for
twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tandem.errors import UserError
from tandem.evaluate.code import gold as known
from tandem.evaluate.code import samples as given
from tandem.evaluate.code.attempts import Asked, Attempt, Missing, Sampler
from tandem.evaluate.code.benchmarks import Benchmark
from tandem.evaluate.code.gold import Gold
from tandem.evaluate.code.verdicts import AT_ONCE, BUSY, Examiner
from tandem.runs import write_lines
from tandem.sandbox.choose import IMAGE, choose
from tandem.sandbox.limits import Limits
from tandem.together import each
from tandem.types import Sampling

KS = (1, 10, 100)
"""The k of pass@k that are reported where there are enough samples, as in the original tool."""
CONCURRENT = 512
"""Tasks asked for at once."""


@dataclass(frozen=True)
class Settings:
    """How a code benchmark is measured."""

    samples: int = 1
    """Samples per task."""
    steps: int = 1
    """1: as first written; more: with refinements in between."""
    sampling: Sampling = field(default_factory=lambda: Sampling(max_tokens=512))
    """How samples are drawn; the benchmark adds its stop texts."""
    ks: tuple[int, ...] = ()
    """The k of pass@k; none: those of `KS` that there are enough samples for."""
    reruns: int | None = None
    """Times that every program is run again; None: once, where it passed."""
    cpu: float | None = None
    """Seconds of processor time a program may take; None: the benchmark's own."""
    sandbox: str = "layers"
    """What confines programs: layers, docker, unsafe."""
    image: str = IMAGE
    """For docker."""
    workers: int | None = None
    """Programs run at once; None: one for each processor."""

    def __post_init__(self) -> None:
        for name in ("samples", "steps"):
            if getattr(self, name) < 1:
                raise UserError(f"is {getattr(self, name)}", where=name, remedy="give at least 1")
        if self.reruns is not None and self.reruns < 0:
            raise UserError(f"is {self.reruns}", where="reruns", remedy="give 0 or more")
        if short := [k for k in self.ks if not 1 <= k <= self.samples]:
            raise UserError(
                f"pass@{short[0]} cannot be had from {self.samples} samples a task",
                remedy=f"draw {max(1, short[0])} or more",
            )


@dataclass(frozen=True)
class Measured:
    """What was found on one benchmark."""

    benchmark: Benchmark
    """Which."""
    gold: Gold
    """What the known programs say of it."""
    attempts: tuple[Attempt, ...] = ()
    """Every sample after every step, sorted by task, sample and step."""
    missing: tuple[Missing, ...] = ()
    """Samples that could not be had; never counted as wrong."""
    ks: tuple[int, ...] = ()
    """The k of pass@k to report."""
    tally: Counter[str] = field(default_factory=Counter)
    """Verdicts made, kept from before, lost."""

    @property
    def complete(self) -> bool:
        """Whether every sample has its verdict."""
        return not self.missing and not self.gold.lost

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps there are."""
        return tuple(sorted({attempt.step for attempt in self.attempts}))

    def counts(self, step: int) -> dict[str, tuple[int, int]]:
        """Task → (samples, samples that pass) after a step."""
        n: Counter[str] = Counter()
        passed: Counter[str] = Counter()
        for attempt in self.attempts:
            if attempt.step == step:
                n[attempt.task_id] += 1
                passed[attempt.task_id] += attempt.hidden.passed
        return {task: (n[task], passed[task]) for task in n}


def examiner(benchmark: Benchmark, settings: Settings, kept: Path | None = None) -> Examiner:
    """What judges the programs of a benchmark."""
    cpu = benchmark.cpu if settings.cpu is None else settings.cpu
    limits = Limits(cpu=cpu, wall=BUSY * cpu)
    boundary = choose(settings.sandbox, limits=limits, workers=settings.workers, image=settings.image)
    return Examiner(boundary, limits, kept=kept, reruns=settings.reruns)


async def check_gold(benchmark: Benchmark, settings: Settings, out: Path | None = None) -> Measured:
    """Run the known programs only."""
    async with examiner(benchmark, settings) as judge:
        found = Measured(benchmark, await known.check(benchmark.tasks, judge), tally=judge.tally)
    if out is not None:
        _write(found, out)
    return found


async def measure(
    benchmark: Benchmark, model: Asked, settings: Settings, out: Path, done: Callable[[], None] = lambda: None
) -> Measured:
    """Sample programs from a model and judge them; `out` gets the samples, and keeps the verdicts.

    Raises what the model raises before anything is sent; what fails later is counted among the missing.
    """
    async with examiner(benchmark, settings, out / f"{benchmark.name}-verdicts.jsonl") as judge:
        gold = await known.check(benchmark.tasks, judge)
        sampler = Sampler(
            model, benchmark.asking, settings.sampling, judge, samples=settings.samples, steps=settings.steps
        )
        sampler.check(gold.tasks)
        found = await each(gold.tasks, lambda task: sampler.run(task, done), CONCURRENT)
    measured = Measured(
        benchmark,
        gold,
        tuple(attempt for attempts in found for attempt in attempts),
        tuple(sorted(sampler.missing, key=lambda one: (one.task_id, one.sample))),
        settings.ks or tuple(k for k in KS if k <= settings.samples),
        judge.tally,
    )
    _write(measured, out)
    return measured


async def score_samples(
    benchmark: Benchmark,
    file: Path,
    settings: Settings,
    out: Path | None = None,
    *,
    partial: bool = False,
    done: Callable[[], None] = lambda: None,
) -> Measured:
    """Judge given samples, and write the results file beside them, as the original tool does.

    Verdicts are kept beside it until it stands. Raises UserError on a file that cannot be scored, before any is run.
    """
    read = given.read(file, benchmark.tasks, partial=partial)
    target = given.results_file(file)
    kept = target.with_name(target.name + ".verdicts")
    counts: Counter[str] = Counter()
    index: list[int] = []
    for sample in read:
        index.append(counts[sample.task.id])
        counts[sample.task.id] += 1
    least = min(counts.values())
    if short := [k for k in settings.ks if k > least]:
        raise UserError(f"pass@{short[0]} cannot be had: a task has only {least} samples", where=str(file))
    async with examiner(benchmark, settings, kept) as judge:
        asked = [task for task in benchmark.tasks if task.id in counts]
        gold = await known.check(asked, judge)

        async def one(sample: given.Sample) -> Attempt:
            verdict = await judge.judge(sample.task.program(sample.completion), sample.task.scoring())
            done()
            return Attempt(sample.task.id, 0, 1, sample.completion, verdict, fate="given")

        judged = await each(read, one, AT_ONCE)
    attempts = [replace(attempt, sample=i) for attempt, i in zip(judged, index, strict=True)]
    lost = [a for a in attempts if a.hidden.outcome == "infrastructure"]
    scored = {task.id for task in gold.tasks}
    order = {task.id: place for place, task in enumerate(benchmark.tasks)}
    measured = Measured(
        benchmark,
        gold,
        tuple(
            sorted(
                (a for a in attempts if a.task_id in scored and a not in lost),
                key=lambda a: (order[a.task_id], a.sample),
            )
        ),
        tuple(Missing(a.task_id, a.sample, 1, "infrastructure", a.hidden.result) for a in lost),
        settings.ks or tuple(k for k in KS if k <= least),
        judge.tally,
    )
    if out is not None:
        _write(measured, out)
    if measured.complete:
        given.write_results(target, read, [attempt.hidden for attempt in attempts])
        kept.unlink(missing_ok=True)
    return measured


def _write(measured: Measured, out: Path) -> None:
    """The samples of each step, and what the gold says, as lines of JSON."""
    name, training = measured.benchmark.name, measured.benchmark.training
    prompts = {task.id: task.prompt for task in measured.gold.tasks}
    found = {id: {"training": one.to_json()} for id, one in training.found.items()} if training else {}
    for step in measured.steps:
        asked = [a for a in measured.attempts if a.step == step]
        rows = [a.row() | {"prompt": prompts[a.task_id]} | found.get(a.task_id, {}) for a in asked]
        write_lines(out / f"{name}-step{step}.jsonl", rows)
    write_lines(out / f"{name}-gold.jsonl", measured.gold.rows())
    if measured.missing:
        rows = [{name: getattr(one, name) for name in one.__dataclass_fields__} for one in measured.missing]
        write_lines(out / f"{name}-missing.jsonl", rows)
    else:
        (out / f"{name}-missing.jsonl").unlink(missing_ok=True)
