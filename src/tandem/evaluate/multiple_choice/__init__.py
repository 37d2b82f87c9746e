"""Base-model benchmarks by log-probability, with the prompts and scores that published figures use."""

from tandem.evaluate.multiple_choice.benchmarks import BENCHMARKS, NAMES, Benchmark, subject_of
from tandem.evaluate.multiple_choice.measure import run
from tandem.evaluate.multiple_choice.scoring import Mean, Record, Scored
from tandem.evaluate.multiple_choice.task import Asked, Task, load

__all__ = [
    "BENCHMARKS",
    "NAMES",
    "Asked",
    "Benchmark",
    "Mean",
    "Record",
    "Scored",
    "Task",
    "load",
    "run",
    "subject_of",
]
