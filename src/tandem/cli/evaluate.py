"""`tandem evaluate --tasks humaneval --model M --data DIR --out DIR`: measure a model on benchmarks.

The same command goes on. Tasks are found by name in `TASKS`; whatever a task needs besides a model, its own file
knows. Results go into a run folder: settings with hashes, figures with intervals, one line of JSON for each sample, a
report.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tandem.cli.asking import sampling_of
from tandem.cli.evaluate_options import CHOICES, CODE, JUDGED, LONG, configure
from tandem.cli.evaluating import Task, folder_for, in_turn, model_at, needs_folder, tell, write_run
from tandem.cli.markdown import markdown
from tandem.cli.training_text import look_for

if TYPE_CHECKING:
    from tandem.lm.model import Model

__all__ = ["TASKS", "configure", "markdown", "run"]

TASKS = (
    dict.fromkeys(CODE, "tandem.cli.evaluate_code")
    | dict.fromkeys(CHOICES, "tandem.cli.evaluate_choices")
    | dict.fromkeys(JUDGED, "tandem.cli.evaluate_judged")
    | dict.fromkeys(LONG, "tandem.cli.evaluate_long")
)
"""Task → the module whose `task(name, options)` gives it; `mmlu_SUBJECT` goes with `mmlu`."""


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
    needs_folder(options)
    if options.n < 1:
        raise UserError(f"is {options.n}", where="--samples-per-task", remedy="give at least 1")
    if options.n > 1 and (others := [name for name in names if name in JUDGED or name in LONG]):
        problem = f"{others[0]} is asked once, not {options.n} times"
        raise UserError(problem, where="--samples-per-task", remedy=f"several samples are for {', '.join(CODE)}")
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


async def _measure(options: argparse.Namespace, tasks: list[Task], model: Model) -> int:
    tasks = [task.for_model(model) for task in tasks]
    settings = _settings(options, model)
    async with model:
        with folder_for(options.out, settings, tasks) as folder:
            parts = await in_turn(tasks, lambda task, done: task.measure(model, options.out, done), model, folder)
            write_run(folder, settings, tasks, parts)
    return tell(parts, options.out, goes_on=True)


def _settings(options: argparse.Namespace, model: Model) -> Mapping[str, Any]:
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
