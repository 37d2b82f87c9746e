"""How a model is asked for a program, and for a better one: as text to continue, or in conversation.

HumanEval as text is the prompt alone, MBPP as text has three worked examples: both as published, so that figures can be
compared; the wording around MBPP's tasks, the conversations and the refinements are our own. Every form has a version
(`humaneval.VERSION`, `mbpp.VERSION`) that stands in the results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tandem.programs import humaneval, mbpp, source
from tandem.programs.source import How
from tandem.programs.task import Task
from tandem.types import Chat, Message, Prompt, Text

_ANSWER = (
    "Answer with one fenced block of Python code that holds the whole program, imports included, and nothing else."
)


@dataclass(frozen=True)
class Asking:
    """A way of asking for programs, and of reading the answers."""

    form: Literal["text", "chat"]
    """Continue a text, or answer in conversation."""
    shots: tuple[Task, ...] = ()
    """Worked examples in front of an MBPP task, as text."""

    def stops(self, task: Task) -> tuple[str, ...]:
        """Texts before which an answer ends."""
        if self.form == "chat":
            return ()
        return humaneval.STOPS if task.opening else mbpp.STOPS

    def attempt(self, task: Task) -> Prompt:
        """The first prompt of a task."""
        if self.form == "chat":
            return Chat((Message("user", f"{_described(task)}\n\n{_ANSWER}"),))
        if task.opening:
            return Text(task.opening)
        return Text("".join(_worked(shot) for shot in self.shots) + _begun(task))

    def refinement(self, task: Task, completion: str, feedback: str) -> Prompt:
        """The prompt for a better program than this one, given what a seen test said of it."""
        program, _ = source.normalised(task.program(completion))
        if self.form == "chat":
            request = (
                f"{_described(task)}\n\nThis attempt does not pass a test:\n\n{_fenced(program)}\n\n"
                f"What the test says:\n\n{feedback}\n\nMend the attempt. Keep what is right in it; write it anew only "
                f"if nothing can be kept. {_ANSWER}"
            )
            return Chat((Message("user", request),))
        said = "\n".join(f"# {line}" for line in feedback.split("\n"))
        if task.opening:
            return Text(
                f"# A first attempt, which does not pass a test:\n\n{program.rstrip()}\n\n"
                f"# What the test says:\n{said}\n\n# The same function, mended:\n\n{task.opening}"
            )
        attempt = (
            f"{_task(task)}A first attempt:\n[BEGIN]\n{program.strip()}\n[DONE]\nIt does not pass a test:\n{said}\n"
        )
        examples = "".join(_worked(shot) for shot in self.shots)
        return Text(f"{examples}{attempt}The same program, mended:\n[BEGIN]\n")

    def read(self, task: Task, answer: str) -> tuple[str, How]:
        """The completion in an answer, and where it was found."""
        if self.form == "text":
            return source.truncated(answer, self.stops(task)), "whole"
        return source.extracted(answer, task.entry[0], task.opening)


def _described(task: Task) -> str:
    """The task for a conversation."""
    if task.opening:
        return f"Complete this Python function:\n\n{_fenced(task.opening)}"
    tests = "\n".join(test.strip() for test in task.seen)
    return f"{task.prompt.strip()}\n\nThe Python program has to pass:\n\n{_fenced(tests)}"


def _fenced(code: str) -> str:
    return f"```python\n{code.rstrip()}\n```"


def _task(task: Task) -> str:
    """An MBPP task: role, what is wanted, its tests."""
    tests = "\n".join(test.strip() for test in task.seen)
    return f"You are a skilled Python programmer. Your task: {task.prompt.strip()}\nThe code has to pass:\n{tests}\n"


def _begun(task: Task) -> str:
    return f"{_task(task)}[BEGIN]\n"


def _worked(shot: Task) -> str:
    return f"{_begun(shot)}{shot.gold.strip()}\n[DONE]\n\n"


def not_taken(task: Task, refined: str, how: How, *, shortest: int = 3) -> str:
    """Why a refinement is not taken and the program before it stays; empty where it is taken.

    A refinement has to hold `shortest` lines, parse as a program, and define what is asked for.
    """
    if how == "none" or not refined.strip():
        return "no code"
    program = task.program(refined)
    whole = refined if task.entry[0] in source.defined(refined) else program
    if sum(bool(line.strip()) for line in whole.splitlines()) < shortest:
        return "too short"
    if (tree := source.parsed(program)) is None:
        return "does not parse"
    return "" if task.entry[0] in source.defined(tree) else "defines something else"
