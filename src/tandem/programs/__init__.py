"""Programming tasks: prompts for attempt and refinement, tests, feedback; out of HumanEval's and MBPP's own files."""

from tandem.programs.feedback import feedback
from tandem.programs.prompts import Asking
from tandem.programs.task import Task

__all__ = ["Asking", "Task", "feedback"]
