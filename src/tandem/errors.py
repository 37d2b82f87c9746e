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


class Unsupported(UserError):  # noqa: N818
    """A back end was asked for what it does not declare. Raised before anything is sent."""


class BudgetSpent(Failure):
    """The next call could exceed a limit of money, tokens, calls or seconds; nothing was sent. What is done is kept."""


class CallFailed(Failure):
    """A call to a remote model or source failed for good, after what retrying is safe. Never holds a key."""

    def __init__(
        self,
        problem: str,
        *,
        kind: str,
        where: str | None = None,
        remedy: str | None = None,
        status: int | None = None,
        begun: bool = False,
    ) -> None:
        super().__init__(problem, where=where, remedy=remedy)
        self.kind = kind
        """What failed, for counting: rate-limit, server, timeout, connection, malformed, refused, key, not-found."""
        self.status = status
        """The HTTP status, when there was one."""
        self.begun = begun
        """Whether an answer had been begun, which may have to be paid."""


class SourceFailed(Failure):
    """A source could not answer: down, slow, limited, or not saying what it should. Not the same as nothing found."""

    def __init__(self, problem: str, *, kind: str, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(problem, where=where, remedy=remedy)
        self.kind = kind
        """What failed, for counting: rate-limit, server, timeout, connection, malformed, refused, key, not-recorded."""
