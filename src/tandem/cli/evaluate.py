"""`tandem evaluate --tasks humaneval --model M --data DIR --out DIR`: measure a model on benchmarks.

The same command goes on. Tasks are found by name in `TASKS`; whatever a task needs besides a model, its own file
knows. Results go into a run folder: settings with hashes, figures with intervals, one line of JSON for each sample, a
report.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tandem.cli.asking import how_to_sample, sampling_of, which_model
from tandem.cli.judging import JUDGED, judging
from tandem.cli.sandbox import options as how_to_confine
from tandem.cli.training_text import look_for, training_text

if TYPE_CHECKING:
    from tandem.lm.answer_file import Standing
    from tandem.lm.model import Model
    from tandem.results import Figure, Section, Table
    from tandem.store import Store

CODE = ("humaneval", "mbpp", "mbpp_sanitized")
CHOICES = (
    "mmlu",
    "arc_challenge",
    "arc_easy",
    "hellaswag",
    "winogrande",
    "truthfulqa_mc1",
    "truthfulqa_mc2",
    "boolq",
    "piqa",
    "openbookqa",
    "medmcqa",
)
LONG = (
    "qmsum",
    "qmsum_val",
    "loss_by_position",
    "evidence_documents",
    "evidence_pairs",
    "multiplication",
    "hops",
)
TASKS = (
    dict.fromkeys(CODE, "tandem.cli.evaluate_code")
    | dict.fromkeys(CHOICES, "tandem.cli.evaluate_choices")
    | dict.fromkeys(JUDGED, "tandem.cli.evaluate_judged")
    | dict.fromkeys(LONG, "tandem.cli.evaluate_long")
)
"""Task → the module whose `task(name, options)` gives it; `mmlu_SUBJECT` goes with `mmlu`."""


@dataclass(frozen=True)
class Part:
    """What came of one task."""

    rows: Table
    """Figures to paste; tables with the same columns are put together."""
    headline: tuple[Figure, ...]
    """The few numbers a reader wants first."""
    section: Section
    """Its chapter of the report."""
    complete: bool
    """Whether nothing is missing."""
    notes: tuple[str, ...] = ()
    """Lines for a person: outcomes, what was set aside."""


class Task(Protocol):
    """A task that was asked for."""

    name: str
    """Its name in `TASKS`."""
    total: int
    """Steps of work, for progress."""
    facts: Mapping[str, Any]
    """Version, data and their hashes: what its figures depend on."""

    def for_model(self, model: Model) -> Task:
        """The same task, asked as this model has to be asked."""
        ...

    def measure(self, model: Model, out: Path, done: Callable[[], None]) -> Awaitable[Part]:
        """Measure the model; `done` hears of every step of work."""
        ...


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem evaluate`."""
    add = parser.add_argument
    add(
        "--tasks",
        required=True,
        metavar="NAMES",
        help=f"what to measure, with commas between: {', '.join(TASKS)}; mmlu_SUBJECT",
    )
    add(
        "--data",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="files of the tasks' data, folders with them, NAME=FILE, or hub (docs/benchmarks.md)",
    )
    add("--out", type=Path, metavar="DIR", help="run folder for results and samples")
    which_model(parser)
    add("--chat", action="store_true", help="ask in conversation (default: where the model cannot continue plain text)")
    add("--samples-per-task", dest="n", type=int, default=1, metavar="N", help="samples per task (default: 1)")
    how_to_sample(parser, temperature=0.0)
    parser.set_defaults(max_tokens=512)
    add(
        "--steps",
        type=int,
        default=1,
        metavar="N",
        help="2: refine once what fails the seen tests, and so on (default: 1)",
    )
    add("--seen", type=Path, metavar="FILE", help="seen tests of HumanEval (default: such a file among --data)")
    add("--split", default="test", metavar="NAME", help="of MBPP: test (11–510), validation, train, examples, all")
    add("--limit", type=int, metavar="N", help="the first N tasks or items only (of MMLU: of each subject)")
    add("--shots", type=int, default=0, metavar="N", help="examples in a multiple-choice prompt (default: 0)")
    add("--requests", type=Path, metavar="FILE", help="only write every context and continuation; no model is asked")
    add("--answers", type=Path, metavar="FILE", help="score these log-probabilities instead: such a file, with logprob")
    add("--k", metavar="LIST", help="the k of pass@k, with commas between (default: 1, 10, 100 as far as samples go)")
    add("--rerun", type=int, metavar="N", help="run every program N times more (default: once, those that pass)")
    add("--cpu", type=float, metavar="S", help="processor seconds a program may take (default: 3, of MBPP 6)")
    how_to_confine(add)
    add(
        "--samples",
        type=Path,
        metavar="FILE",
        help="score these samples instead: task_id and completion a line; .gz too",
    )
    add("--partial", action="store_true", help="of --samples: let tasks be missing")
    add("--gold", action="store_true", help="only run the known programs against their tests")
    training_text(parser)
    judging(parser)
    add(
        "--set",
        dest="settings",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="settings of the tasks on long inputs and long chains (docs/long-inputs.md): documents=20, TASK.KEY=VALUE",
    )
    add("--store", type=Path, metavar="FILE", help="where answers are recorded (default: OUT.answers.db)")
    add("--retry-failed", action="store_true", help="ask again what was refused or failed before")
    add("--budget-money", type=float, metavar="X", help="stop before more than this is spent")
    add("--budget-tokens", type=int, metavar="N", help="stop before more tokens are read and written")
    add("--budget-calls", type=int, metavar="N", help="stop before more calls are made")
    add("--budget-seconds", type=float, metavar="S", help="send nothing after so many seconds")


def run(options: argparse.Namespace) -> int:
    """Check what was asked for, measure, print the table, write the results."""
    import asyncio

    from tandem.cli.asking import plain_warnings
    from tandem.errors import UserError

    names = list(dict.fromkeys(name.strip() for name in options.tasks.split(",") if name.strip()))
    modules = [_module(name) for name in names or [options.tasks]]
    if options.requests or options.answers:
        from tandem.cli.evaluate_choices import score_answers, write_requests

        option = "--requests" if options.requests else "--answers"
        if others := [name for name, module in zip(names, modules, strict=True) if module != TASKS["mmlu"]]:
            raise UserError(f"is not for {others[0]}", where=option, remedy="it is for multiple choice; see --samples")
        return write_requests(names, options) if options.requests else score_answers(names, options)
    if options.outputs or options.judgments:
        from tandem.cli.evaluate_judged import judge_given

        return judge_given(names, options)
    if options.gold or options.samples:
        from tandem.cli.evaluate_code import check_gold, score_samples

        work = check_gold(names, options) if options.gold else score_samples(names, options)
        with plain_warnings():
            return asyncio.run(work)
    if options.out is None:
        raise UserError("no folder for the results", where="--out", remedy="name a new one, or the one to go on with")
    sampling = sampling_of(options)
    if options.n > 1 and sampling.temperature == 0:
        print("at temperature 0 all samples of a task are the same; try --temperature 0.2", file=sys.stderr)
    tasks: list[Task] = [import_module(module).task(name, options) for name, module in zip(names, modules, strict=True)]
    look_for(tasks, options)
    with plain_warnings(), ExitStack() as opened:
        return asyncio.run(_measure(options, tasks, model_at(options.model, options, opened)))


def _module(name: str) -> str:
    """The module of a task. Raises UserError on a name that none has."""
    from tandem.errors import UserError

    if name in TASKS:
        return TASKS[name]
    if name.startswith("mmlu_"):
        from tandem.evaluate.multiple_choice import subject_of

        if subject_of(name):
            return TASKS["mmlu"]
    raise UserError(f"no task is called {name!r}", where="--tasks", remedy=f"known: {', '.join(TASKS)}, mmlu_SUBJECT")


def model_at(address: str, options: argparse.Namespace, opened: ExitStack) -> Model:
    """A model with its store and budget; the store is closed when `opened` is."""
    from tandem.lm import connect
    from tandem.lm.budget import Budget

    store: Store | None = None
    if not address.startswith("replay:"):
        from tandem.store import Store

        path = options.store or options.out.with_name(options.out.name + ".answers.db")
        path.parent.mkdir(parents=True, exist_ok=True)
        store = opened.enter_context(Store(path))
    return connect(
        address,
        store=store,
        budget=Budget(options.budget_money, options.budget_tokens, options.budget_calls, options.budget_seconds),
        allow=options.allow,
        precision=options.precision,
        device=options.device,
        retry_failed=options.retry_failed,
    )


async def _measure(options: argparse.Namespace, tasks: list[Task], model: Model) -> int:
    import asyncio

    from tandem.cli.counting import counting
    from tandem.lm.answer_file import Standing
    from tandem.recipes.toml import write
    from tandem.runs import Run

    tasks = [task.for_model(model) for task in tasks]
    settings = _settings(options, model)
    recipe = write({"evaluate": settings} | {task.name: dict(task.facts) for task in tasks})
    parts: list[Part] = []
    async with model:
        with Run(options.out, recipe) as folder:
            for task in tasks:
                folder.event("task begins", task=task.name)
                standing = Standing()
                with counting(model, standing, task.total) as show:
                    watch = asyncio.create_task(show())
                    try:
                        parts.append(await task.measure(model, options.out, partial(_advance, standing)))
                    finally:
                        watch.cancel()
                folder.event("task ends", task=task.name, complete=parts[-1].complete)
            write_run(folder, options, settings, tasks, parts)
    return tell(parts, options.out)


def _advance(standing: Standing) -> None:
    standing.done += 1


def _settings(options: argparse.Namespace, model: Model) -> dict[str, Any]:
    """What the figures depend on besides the tasks."""
    from tandem import __version__

    sampling = sampling_of(options)
    return {
        "tandem": __version__,
        "model": model.name,
        "address": options.model,
        "samples_per_task": options.n,
        "steps": options.steps,
        "temperature": "own" if sampling.temperature is None else sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "stop": list(sampling.stop),
        "seed": sampling.seed,
        "allow": sorted(options.allow),
        "limit": options.limit,
        "shots": options.shots,
        "k": options.k,
        "rerun": options.rerun,
        "sandbox": options.sandbox,
        "python": sys.version.split()[0],
    }


def write_run(
    folder: Any, options: argparse.Namespace, settings: dict[str, Any], tasks: Sequence[Task], parts: list[Part]
) -> None:
    """results.json and the report."""
    from tandem import report
    from tandem.results import Results, Section, Table

    every = {f"{task.name}: {key}": value for task in tasks for key, value in task.facts.items()}
    shown = [(key, str(value)) for key, value in (settings | every).items() if value not in (None, [], "")]
    lacking = [task.name for task, part in zip(tasks, parts, strict=True) if not part.complete]
    lead = f"Measured on {', '.join(task.name for task in tasks)}."
    lead += f" Not complete: {', '.join(lacking)}; the same command goes on." if lacking else ""
    figures = Section("figures", "Figures", items=joined(parts))
    about = Section(
        "settings", "Settings", "What the figures depend on.", (Table("Settings", ("setting", "value"), tuple(shown)),)
    )
    results = Results(
        f"{settings['address']} evaluated",
        lead,
        tuple(figure for part in parts for figure in part.headline),
        (figures, *(part.section for part in parts), about),
    )
    folder.write_results(results)
    report.write(options.out)


def tell(parts: list[Part], out: Path | None = None) -> int:
    """Print what was found; status 1 when something is missing."""
    if tables := [table for table in joined(parts) if table.rows]:
        print("\n\n".join(map(markdown, tables)))
    for part in parts:
        for note in part.notes:
            print(note)
    if out is not None:
        print(f"Results: {out / 'results.json'} · report: {out / 'report.html'}")
    if all(part.complete for part in parts):
        return 0
    print("something is missing, and not counted as wrong; the same command goes on", file=sys.stderr)
    return 1


def joined(parts: list[Part]) -> tuple[Table, ...]:
    """The figures of all tasks, one table for each kind of them."""
    kinds: dict[tuple[str, ...], list[Table]] = {}
    for part in parts:
        kinds.setdefault(part.rows.columns, []).append(part.rows)
    return tuple(replace(same[0], rows=tuple(row for table in same for row in table.rows)) for same in kinds.values())


def markdown(table: Table) -> str:
    """A table as Markdown, its columns lined up."""
    from tandem.report import wording
    from tandem.results import Figure

    def cell(value: object) -> str:
        if isinstance(value, Figure):
            return f"{wording.value(value)} {wording.interval(value)}".replace(wording.NARROW, " ").strip()
        return "" if value is None else str(value)

    rows = [list(table.columns), *([cell(value) for value in row] for row in table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
