"""What was measured on a code benchmark, as figures and tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from tandem.evaluate.code.benchmarks import GIVEN
from tandem.evaluate.code.measure import Measured
from tandem.evaluate.code.verdicts import OUTCOMES
from tandem.evaluate.overlap import told
from tandem.evaluate.perplexity import figure
from tandem.evaluate.rows import NOTHING, columns, row, written
from tandem.metrics import mean_pass_at_k, pass_at_k
from tandem.results import Cell, Example, Figure, Section, Table


def pass_at(measured: Measured, step: int, k: int) -> Figure | None:
    """pass@k after a step, over the tasks that have enough samples; None where none has."""
    counts = [c for c in measured.counts(step).values() if c[0] >= k]
    return figure(f"pass@{k}", mean_pass_at_k(counts, k), "%") if counts else None


def trained(measured: Measured) -> str:
    """The line about the training text; empty where none was looked through."""
    training = measured.benchmark.training
    if training is None:
        return ""
    apart: list[tuple[str, str, str]] = []
    for k in measured.ks if training.found and measured.steps else ():
        counts = measured.counts(measured.steps[-1]).items()
        sides = [
            [c for task, c in counts if (task in training.found) is inside and c[0] >= k] for inside in (True, False)
        ]
        means = [written(mean_pass_at_k(side, k).value) if side else NOTHING for side in sides]
        apart.append((f"pass@{k}", means[0], means[1]))
    return told.note(training, apart)


def rows(measured: Measured) -> list[tuple[Cell, ...]]:
    """Rows of the table that people paste: one for each step and k."""
    found: list[tuple[Cell, ...]] = []
    for step in measured.steps:
        sizes = {n for n, _ in measured.counts(step).values()}
        samples: Cell = sizes.pop() if len(sizes) == 1 else f"{min(sizes)}–{max(sizes)}"
        for k in measured.ks:
            if value := pass_at(measured, step, k):
                benchmark = measured.benchmark
                shots = len(benchmark.asking.shots) if benchmark.version != GIVEN else None
                between = (shots, samples, step)
                error = _error(measured, step, k)
                found.append(
                    row(benchmark.name, benchmark.version, *between, metric=value.name, figure=value, error=error)
                )
    return found


def _error(measured: Measured, step: int, k: int) -> float | None:
    """The standard error of pass@k over tasks, n − 1; None for one task, which has none."""
    each = [pass_at_k(n, c, k) for n, c in measured.counts(step).values() if n >= k]
    if len(each) < 2:
        return None
    middle = math.fsum(each) / len(each)
    return math.sqrt(math.fsum((x - middle) ** 2 for x in each) / (len(each) - 1) / len(each))


def table(all: Sequence[Measured]) -> Table:
    """The figures of all benchmarks."""
    return Table(
        "pass@k",
        columns("shots", "samples", "step"),
        tuple(r for measured in all for r in rows(measured)),
        note="Mean of the unbiased estimates over tasks, standard errors of the sample of tasks (n − 1); 95 %: "
        "bootstrap over tasks, Wilson's interval where each is wholly solved or not. Hidden tests score; flaky "
        "programs do not pass.",
    )


def headline(all: Sequence[Measured]) -> tuple[Figure, ...]:
    """pass@1 of each benchmark, after its first and its last step."""
    found: list[Figure] = []
    for measured in all:
        for step in dict.fromkeys((*measured.steps[:1], *measured.steps[-1:])):
            if value := pass_at(measured, step, 1):
                after = f", step {step}" if len(measured.steps) > 1 else ""
                name = f"{measured.benchmark.name} pass@1{after}"
                found.append(Figure(name, value.value, "%", value.low, value.high, n=value.n, note="hidden tests"))
    return tuple(found)


def section(measured: Measured, examples: int = 4) -> Section:
    """A benchmark's chapter."""
    items = [outcomes(measured)] if measured.attempts else []
    if len(measured.steps) > 1:
        items.append(refinements(measured))
    if measured.benchmark.training and measured.benchmark.training.found:
        items.append(told.table(measured.benchmark.training))
    items += [t for t in (aside(measured), dropped(measured), missing(measured)) if t.rows]
    gold = measured.gold
    lead = f"{gold.passed} of {gold.checked} known programs pass their own tests"
    lead += (
        f"; of {gold.seen} seen tests {len(gold.dropped)} are dropped" if measured.benchmark.name == "humaneval" else ""
    )
    name = measured.benchmark.name
    return Section(name, name, lead + ".", (*items, *_examples(measured, examples)))


def outcomes(measured: Measured) -> Table:
    """What became of the samples of each step; columns of nothing are left out."""
    counted = {step: Counter[str]() for step in measured.steps}
    for attempt in measured.attempts:
        counted[attempt.step][attempt.hidden.outcome] += 1
        counted[attempt.step]["no code found"] += attempt.found == "none"
        counted[attempt.step]["cut at the token limit"] += attempt.finish == "length"
    aside = ("no code found", "cut at the token limit")
    shown = [o for o in (*OUTCOMES, *aside) if any(count[o] for count in counted.values())]
    return Table(
        "What became of the samples",
        ("step", *shown, "samples"),
        tuple((step, *(count[o] for o in shown), sum(count[o] for o in OUTCOMES)) for step, count in counted.items()),
        note="Hidden tests. Broken: a test could not be run on what the program returned; it does not pass, and is "
        "counted apart. What the sandbox lost is not here but among the missing.",
    )


def refinements(measured: Measured) -> Table:
    """Where the programs of each further step come from."""
    counted = {step: Counter(a.fate for a in measured.attempts if a.step == step) for step in measured.steps[1:]}
    shown = sorted({fate for count in counted.values() for fate in count})
    return Table(
        "Where the programs come from",
        ("step", *shown),
        tuple((step, *(count[fate] for fate in shown)) for step, count in counted.items()),
        note="Passed: the seen tests passed, nothing was asked. Kept: the refinement was not taken, and why.",
    )


def aside(measured: Measured) -> Table:
    """Tasks whose gold does not pass."""
    return Table("Set aside: the known program does not pass", ("task", "why"), measured.gold.set_aside)


def dropped(measured: Measured) -> Table:
    """Seen tests that their own gold does not pass."""
    return Table(
        "Dropped: seen tests that the known program does not pass", ("task", "test", "why"), measured.gold.dropped
    )


def missing(measured: Measured) -> Table:
    """Samples that could not be had, by kind."""
    counted = Counter((one.step, one.kind) for one in measured.missing)
    counted.update((0, "gold: infrastructure") for _ in measured.gold.lost)
    first = {(one.step, one.kind): one.message for one in reversed(measured.missing)}
    rows = [
        (step, kind, n, first.get((step, kind), "the sandbox failed")) for (step, kind), n in sorted(counted.items())
    ]
    return Table("Missing: not counted as wrong", ("step", "kind", "samples", "the first one says"), tuple(rows))


def _examples(measured: Measured, n: int) -> list[Example]:
    """The first samples that do not pass, then the first that do."""
    tasks = {task.id: task for task in measured.gold.tasks}
    last = max(measured.steps, default=1)
    mine = [a for a in measured.attempts if a.sample == 0 and a.step == last]
    chosen = [a for a in mine if not a.hidden.passed][: n - n // 2] + [a for a in mine if a.hidden.passed][: n // 2]
    found = []
    for attempt in chosen:
        task = tasks[attempt.task_id]
        outputs = [("the model", attempt.completion)]
        outputs += [("the tests", attempt.hidden.feedback or attempt.hidden.result)]
        correct = (attempt.hidden.passed, None)
        found.append(Example(task.id, task.prompt, tuple(outputs), task.gold_completion, correct))
    return found
