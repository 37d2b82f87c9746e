"""The judged tasks of `tandem evaluate`: outputs of a model or of a file, a judge that is asked or on record."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from tandem.cli.evaluate_options import JUDGED
from tandem.cli.evaluating import Part, folder_for, in_turn, model_at, needs_folder, tell, write_run
from tandem.errors import UserError
from tandem.evaluate.judged import (
    alpaca,
    alpaca_figures,
    files,
    length_control,
    mt_asking,
    mt_bench,
    mt_figures,
    mt_grades,
    prompts,
)
from tandem.evaluate.judged.judge import Form, PairJudge
from tandem.evaluate.places import chosen
from tandem.text import count

if TYPE_CHECKING:
    from tandem.evaluate.judged.files import Outputs
    from tandem.lm.model import Model

ON_RECORD = "on record"


class JudgedTask:
    """A task that was asked for, with its judge once there is one."""

    def __init__(
        self, name: str, options: argparse.Namespace, work: AlpacaWork | MtWork, judge: Model | None = None
    ) -> None:
        self.name, self._options, self._work, self._judge = name, options, work, judge
        self.total = self._work.total
        about = {"judge": judge.name, "judge_address": options.judge} if judge else {}
        self.facts: Mapping[str, Any] = {"prompts": prompts.VERSION, **about, **self._work.facts}

    def for_model(self, model: Model) -> JudgedTask:
        """The same task with its judge, who shares the model's store and limits, and is the model where it is named."""
        return self.judged_by(_judge(self._options, model))

    def judged_by(self, judge: Model) -> JudgedTask:
        """The same task with this judge."""
        return JudgedTask(self.name, self._options, self._work, judge)

    async def measure(self, model: Model, out: Path, done: Callable[[], None]) -> Part:
        """Ask the model, ask the judge, write the items; the judge is closed unless it is the model."""
        assert self._judge is not None, "a task is measured for a model"
        if self._judge is model:
            return await self.judge(model, out, done, shared=", those of the model included")
        async with self._judge:
            return await self.judge(model, out, done)

    async def judge(self, model: Model | None, out: Path, done: Callable[[], None], *, shared: str = "") -> Part:
        """The same with an open judge; without a model its outputs are given."""
        assert self._judge is not None
        before = self._judge.spent
        part = await self._work.measure(model, self._judge, out, done)
        spent = self._judge.spent - before
        cost = f", cost {spent.money:.4g}" if spent.money else ""
        told = f"the judge took {count(spent.calls)} calls and {count(spent.tokens)} tokens{cost}{shared}"
        return replace(part, notes=(*part.notes, f"{self.name}: {told}"))


class AlpacaWork:
    """AlpacaEval as it was asked for."""

    def __init__(self, name: Form, options: argparse.Namespace) -> None:
        self.name, self._options = name, options
        self._lengths = _lengths(options)
        self._task = alpaca.load(
            name, options.data, baseline=files.one(options.baseline, name, "--baseline"), limit=options.limit
        )
        given = files.one(options.outputs, name, "--outputs")
        self._outputs: Outputs | None = alpaca.given(self._task, given) if given else None
        self.total = len(self._task.asked)
        baseline = self._task.baseline
        self.facts: dict[str, Any] = {"baseline": baseline.file, "baseline_sha256": baseline.sha256}
        if self._outputs:
            self.facts |= {"outputs": self._outputs.file, "outputs_sha256": self._outputs.sha256}
        self.facts |= _length_facts(name, self._lengths)

    async def measure(self, model: Model | None, judge: Model, out: Path, done: Callable[[], None]) -> Part:
        """The model's win rate."""
        from tandem.cli.asking import sampling_of

        sampling = sampling_of(self._options)
        judged = await alpaca.measure(
            self._task,
            PairJudge(judge, self.name),
            model=None if self._outputs else model,
            sampling=sampling,
            outputs=self._outputs,
            lengths=self._lengths,
            names=(self._options.model, self._options.judge),
            done=done,
        )
        return _alpaca_part(judged, self._options.judge, out)


class MtWork:
    """MT-bench as it was asked for."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._bench = mt_bench.load(options.data, limit=options.limit)
        given = files.one(options.outputs, "mt_bench", "--outputs")
        other = files.one(options.baseline, "mt_bench", "--baseline")
        if options.pair and other is None:
            remedy = "give a file of its answers: --baseline mt_bench=FILE"
            raise UserError("needs another model to compare with", where="--pair", remedy=remedy)
        self._given = mt_bench.answers(given, self._bench) if given else None
        self._other = mt_bench.answers(other, self._bench) if other and options.pair else None
        self.total = len(self._bench.questions)
        self.facts: dict[str, Any] = {"questions": self._bench.file, "questions_sha256": self._bench.sha256}
        for name, one in (("outputs", self._given), ("baseline", self._other)):
            self.facts |= {name: one.file, f"{name}_sha256": one.sha256} if one else {}
        self.facts |= {"mode": "pair" if options.pair else "single"}

    async def measure(self, model: Model | None, judge: Model, out: Path, done: Callable[[], None]) -> Part:
        """The model's grades, or its win rate against another."""
        from tandem.cli.asking import sampling_of

        answered = self._given
        if answered is None:
            assert model is not None
            came = await mt_asking.answer(self._bench, model, sampling_of(self._options))
            answered = replace(came, model=self._options.model)
        if self._other is not None:
            compared = await mt_asking.compare(self._bench, answered, self._other, judge, done)
            compared = replace(compared, judge=self._options.judge)
            return _part(mt_figures.pair(compared), compared.complete, out, self._options.judge)
        graded = await mt_asking.grade(self._bench, answered, judge, done)
        graded = replace(graded, judge=self._options.judge)
        return _part(mt_figures.single(graded), graded.complete, out, self._options.judge)


def task(name: str, options: argparse.Namespace) -> JudgedTask:
    """The task of a name, its data read and checked."""
    if options.judge is None:
        remedy = "name the model that judges, as in --judge embedded, or give --judgments FILE"
        raise UserError("no judge", where="--judge", remedy=remedy)
    work = MtWork(options) if name == "mt_bench" else AlpacaWork(cast("Form", name), options)
    return JudgedTask(name, options, work)


def judge_given(names: Sequence[str], options: argparse.Namespace) -> int:
    """Judge outputs of files, or take the figures of judgments on record; no model is measured."""
    from tandem import __version__

    option = "--judgments" if options.judgments else "--outputs"
    given = options.judgments or options.outputs
    for name in names:
        if name not in JUDGED:
            raise UserError(f"is not for {name}", where=option, remedy=f"it is for {', '.join(JUDGED)}")
        if not chosen(given, name):
            raise UserError(f"names no file for {name}", where=option, remedy=f"add {name}=FILE, or measure it apart")
    if len(names) > 1 and any("=" not in str(place) for place in given):
        raise UserError("is of one task", where=f"{option} {given[0]}", remedy=f"write {names[0]}=FILE …")
    settings: dict[str, Any] = {"tandem": __version__, "limit": options.limit}
    settings["address"] = ", ".join(str(files.one(given, name, option)).rpartition("/")[2] for name in names)
    if options.judgments:
        found = [_on_record(name, options) for name in names]
        if options.out is None:
            return tell([part for part, _ in found])
        tasks = [_Named(name, facts) for name, (_, facts) in zip(names, found, strict=True)]
        with folder_for(options.out, settings, tasks) as folder:
            parts = [_on_record(name, options, options.out)[0] for name in names]
            write_run(folder, settings, tasks, parts)
        return tell(parts, options.out)
    needs_folder(options)
    return asyncio.run(_judge_outputs([task(name, options) for name in names], options, settings))


async def _judge_outputs(tasks: Sequence[JudgedTask], options: argparse.Namespace, settings: dict[str, Any]) -> int:
    from tandem.cli.asking import plain_warnings

    with plain_warnings(), ExitStack() as opened:
        judge = model_at(options.judge, options, opened)
        async with judge:
            tasks = [one.judged_by(judge) for one in tasks]
            with folder_for(options.out, settings, tasks) as folder:
                parts = await in_turn(tasks, lambda one, done: one.judge(None, options.out, done), judge, folder)
                write_run(folder, settings, tasks, parts)
    return tell(parts, options.out, goes_on=True)


@dataclass(frozen=True)
class _Named:
    """A task without work."""

    name: str
    """Its name."""
    facts: Mapping[str, Any]
    """What its figures depend on."""


def _on_record(name: str, options: argparse.Namespace, out: Path | None = None) -> tuple[Part, dict[str, Any]]:
    """A task's figures out of judgments on record, and what they depend on."""
    file = files.one(options.judgments, name, "--judgments")
    assert file is not None
    if name == "mt_bench":
        graded = mt_grades.on_record(file, mt_bench.load(options.data, limit=options.limit))
        facts = {"judgments": graded.file, "judgments_sha256": graded.sha256}
        return _part(mt_figures.single(graded), graded.complete, out, ON_RECORD), facts
    recorded = files.judgments(file)
    given = files.one(options.baseline, name, "--baseline")
    baseline = files.outputs(given) if given else None
    lengths = _lengths(options)
    if lengths.join == "instruction" and baseline is None:
        baseline = alpaca.load(cast("Form", name), options.data).baseline
    judged = alpaca.from_judgments(
        cast("Form", name), recorded, baseline=baseline, lengths=lengths, limit=options.limit
    )
    facts = {"judgments": recorded.file, "judgments_sha256": recorded.sha256, **_length_facts(name, lengths)}
    facts |= {"baseline": baseline.file, "baseline_sha256": baseline.sha256} if baseline else {}
    return _alpaca_part(judged, judged.judge, out), facts


def _alpaca_part(judged: alpaca.Judged, judge: str, out: Path | None) -> Part:
    if out is not None:
        alpaca_figures.write_items(judged, out)
    return Part(
        alpaca_figures.table(judged, judge),
        alpaca_figures.figures(judged),
        alpaca_figures.section(judged),
        judged.complete,
        tuple(f"{judged.name}: {note}" for note in alpaca_figures.notes(judged)),
    )


def _part(shown: mt_figures.Shown, complete: bool, out: Path | None, judge: str) -> Part:
    if out is not None:
        shown.write(out)
    return Part(
        shown.table(judge), shown.headline, shown.section, complete, tuple(f"mt_bench: {n}" for n in shown.notes)
    )


def _lengths(options: argparse.Namespace) -> alpaca.Lengths:
    """How lengths are held apart, as the options say."""
    published = length_control.read(options.coefficients) if options.coefficients else None
    control: Literal["given", "fit", "none"] = options.length_control or (
        "given" if published and published.coefficients else "fit"
    )
    gamed = tuple(files.judgments(_existing(file)) for file in options.gamed)
    return alpaca.Lengths(control, published, options.join, gamed)


def _length_facts(name: str, lengths: alpaca.Lengths) -> dict[str, Any]:
    """What the length-controlled figure depends on."""
    if name != "alpaca_eval":
        return {}
    facts: dict[str, Any] = {"length_control": lengths.control, "join": lengths.join}
    if lengths.published:
        facts |= {"coefficients": lengths.published.file, "coefficients_sha256": lengths.published.sha256}
    return facts | ({"gamed_sha256": [one.sha256 for one in lengths.gamed]} if lengths.gamed else {})


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise UserError("no such file", where=f"--gamed {file}", remedy="check the path")
    return file


def _judge(options: argparse.Namespace, model: Model) -> Model:
    """The model that judges: the one that is measured where it has the same address, else one beside it."""
    from tandem.lm import connect

    if options.judge == options.model:
        return model
    return connect(
        options.judge,
        store=model.store,
        budget=model.budget,
        allow=options.allow,
        precision=options.precision,
        device=options.device,
        retry_failed=options.retry_failed,
    )
