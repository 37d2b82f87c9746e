"""What goes wrong under a source, in the words of `SourceFailed`: calls of servers, runs of the sandbox, own checks.

A query's own fault (`QueryError`) passes through, as do what the user has to mend (`UserError`) and spent budgets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tandem.errors import BudgetSpent, CallFailed, Failure, SourceFailed

_KINDS = {"not-found": "refused", "not-recorded": "refused", "cancelled": "connection"}


@contextlib.contextmanager
def named(source: str) -> Iterator[None]:
    """Turn failures of what is called inside into those of a source; nothing is chained to them."""
    failed: SourceFailed | None = None
    try:
        yield
    except CallFailed as e:
        failed = of_call(e, source)
    except (SourceFailed, BudgetSpent):
        raise
    except Failure as e:
        failed = SourceFailed(e.problem, kind="server", where=e.where or source, remedy=e.remedy)
    if failed is not None:  # out here, so that it has no context
        raise failed


def of_call(e: CallFailed, source: str) -> SourceFailed:
    """A failed call as the failure of a source."""
    where = f"{source} ({e.where})" if e.where else source
    return SourceFailed(e.problem, kind=_KINDS.get(e.kind, e.kind), where=where, remedy=e.remedy)


def malformed(problem: str, source: str) -> SourceFailed:
    """An answer that is not what the source is known to give."""
    remedy = "check that the address is that of the interface itself, and of the kind that is named"
    return SourceFailed(problem, kind="malformed", where=source, remedy=remedy)
