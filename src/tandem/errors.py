"""What can go wrong, in two families: the user's to mend, and the run's.

Every message names the place (a file, a line, a key) and the remedy. The command line turns a `UserError` into exit
status 2 and any other `TandemError` into exit status 1; neither shows a traceback.
"""

from __future__ import annotations


class TandemError(Exception):
    """Anything Tandem says on purpose: a problem, the place it was found, and what to do about it."""

    exit_status = 1

    def __init__(self, problem: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.problem = problem
        self.where = where
        self.remedy = remedy
        super().__init__(problem)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.problem}" + (f"\n  → {self.remedy}" if self.remedy else "")


class UserError(TandemError, ValueError):
    """What the user gave cannot be used: a recipe's key, a file, a flag. Exit status 2."""

    exit_status = 2


class Failure(TandemError, RuntimeError):  # noqa: N818 — it is what the work did, not a mistake in the code
    """The input was fine, the work failed: a full disk, a diverged loss, a lost process. Exit status 1."""
