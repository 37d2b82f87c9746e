"""Limits of money, tokens, calls and seconds: the worst case is set aside before a call, what it did cost is charged.

Shared by all models of a run, from any thread or event loop. A call that does not fit now, but may once others have
been settled, waits in line; one that cannot fit any more raises `BudgetSpent`, and nothing was sent. So what is spent
never passes a limit, as long as no call costs more than its worst case.

What some work takes of what is shared is told by `accounting`: the calls made inside it stand in its account.

What this does not do: end calls that are under way when the seconds are over, or remember what earlier processes spent
(recorded answers cost nothing again). Rejected: raising as soon as what is set aside reaches the limit; a hundred calls
at once set aside far more than they cost.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from tandem.errors import BudgetSpent, UserError
from tandem.text import duration
from tandem.types import Usage


@dataclass(frozen=True)
class Prices:
    """What tokens cost, per million, in one currency for the whole run."""

    input: float
    """A million tokens read."""
    output: float
    """A million tokens written, reasoning included."""
    cached: float | None = None
    """A million tokens read again from the provider's cache; None: as much as others."""

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UserError(f"cannot be {value}", where=f"price of {name}", remedy="money per million tokens")

    def money(self, usage: Usage) -> float:
        """The price of a call."""
        cached = self.input if self.cached is None else self.cached
        again = min(usage.cached_tokens, usage.prompt_tokens)
        read = (usage.prompt_tokens - again) * self.input + again * cached
        return (read + usage.completion_tokens * self.output) / 1e6


@dataclass(frozen=True)
class Cost:
    """An amount of everything that is limited, seconds aside."""

    money: float = 0.0
    """In the currency of the prices."""
    tokens: int = 0
    """Read (those whose state was re-used left out) and written."""
    calls: int = 0
    """Of a back end; what it sends again on its own is one call."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.money + other.money, self.tokens + other.tokens, self.calls + other.calls)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.money - other.money, self.tokens - other.tokens, self.calls - other.calls)

    def most(self, other: Cost) -> Cost:
        """The larger amount of each."""
        return Cost(max(self.money, other.money), max(self.tokens, other.tokens), max(self.calls, other.calls))


@dataclass
class Account:
    """What one piece of work was charged, among others that share its budget; recorded answers are no charge."""

    spent: Cost = Cost()
    """Charged for its calls so far; a call that it only joined is charged to who made it."""
    spare: Cost = Cost()
    """The most that one call had set aside and did not take: room that its like needs beside what it takes."""

    def charge(self, worst: Cost, actual: Cost) -> None:
        """A call has ended."""
        self.spent += actual
        self.spare = self.spare.most(worst - actual)


_account: ContextVar[Account | None] = ContextVar("account that calls are charged to", default=None)


@contextlib.contextmanager
def accounting() -> Iterator[Account]:
    """Gives an account of the calls that are made inside, by tasks begun there, too."""
    account = Account()
    before = _account.set(account)
    try:
        yield account
    finally:
        _account.reset(before)


class Reservation:
    """An amount set aside for one call. The first of `settle` and `release` counts."""

    def __init__(self, budget: Budget, worst: Cost, account: Account | None = None) -> None:
        self.worst = worst
        """What was set aside."""
        self.account = account
        """What it is charged to, beside the budget."""
        self._budget = budget
        self._open = True

    def settle(self, actual: Cost | None = None) -> None:
        """Charge what the call did cost; None, where nobody knows, charges the worst case."""
        self._budget._end(self, self.worst if actual is None else actual)

    def release(self) -> None:
        """Give it back: nothing was sent, or nothing is charged for it."""
        self._budget._end(self, Cost())


class Budget:
    """Limits that several models share; None is no limit."""

    def __init__(
        self,
        money: float | None = None,
        tokens: int | None = None,
        calls: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Set the limits. Seconds are wall clock and begin with the first call."""
        self.money, self.tokens, self.calls, self.seconds = money, tokens, calls, seconds
        for name in ("money", "tokens", "calls", "seconds"):
            limit = getattr(self, name)
            if limit is not None and not limit >= 0:
                raise UserError(f"cannot be {limit}", where=f"budget of {name}", remedy="0 or more")
        self.spent = Cost()
        """What was charged so far."""
        self.reserved = Cost()
        """What is set aside for calls under way."""
        self._under_way = 0
        self._began: float | None = None
        self._waiting: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return any(limit is not None for limit in (self.money, self.tokens, self.calls, self.seconds))

    @property
    def seconds_left(self) -> float | None:
        """Until nothing is sent any more; None where seconds are not limited."""
        if self.seconds is None:
            return None
        return self.seconds - (0.0 if self._began is None else time.monotonic() - self._began)

    @property
    def counts_tokens(self) -> bool:
        """Whether the worst case of a call has to be known in tokens."""
        return self.money is not None or self.tokens is not None

    async def reserve(self, worst: Cost) -> Reservation:
        """Set the worst case of a call aside, waiting for calls under way where it must.

        Raises BudgetSpent, before anything is sent, when it cannot fit even once nothing is under way.
        """
        with self._lock:
            if self._began is None:
                self._began = time.monotonic()
            if problem := self._problem(worst):
                raise problem
            account = _account.get()
            if not self._waiting and self._fits(worst):
                return self._grant(worst, account)
            loop = asyncio.get_running_loop()
            waiter = _Waiter(worst, account, loop, loop.create_future())
            self._waiting.append(waiter)
        try:
            return await waiter.done
        except asyncio.CancelledError:
            with self._lock, contextlib.suppress(ValueError):
                self._waiting.remove(waiter)
            if waiter.done.done() and not waiter.done.cancelled() and waiter.done.exception() is None:
                waiter.done.result().release()
            self._admit()
            raise

    def _end(self, reservation: Reservation, actual: Cost) -> None:
        with self._lock:
            if not reservation._open:
                return
            reservation._open = False
            self._under_way -= 1
            self.reserved = self.reserved - reservation.worst if self._under_way else Cost()
            self.spent += actual
            if reservation.account is not None:
                reservation.account.charge(reservation.worst, actual)
        self._admit()

    def _admit(self) -> None:
        """Let those in line go on, in order, as far as there is room; wake them outside the lock."""
        woken: list[tuple[_Waiter, Reservation | BudgetSpent]] = []
        with self._lock:
            while self._waiting:
                head = self._waiting[0]
                if problem := self._problem(head.worst):
                    woken.append((head, problem))
                elif self._fits(head.worst):
                    woken.append((head, self._grant(head.worst, head.account)))
                else:
                    break
                self._waiting.popleft()
        for waiter, outcome in woken:
            try:
                waiter.loop.call_soon_threadsafe(waiter.wake, outcome)
            except RuntimeError:  # its event loop is closed: nobody waits there any more
                if isinstance(outcome, Reservation):
                    outcome.release()

    def _grant(self, worst: Cost, account: Account | None) -> Reservation:
        self.reserved += worst
        self._under_way += 1
        return Reservation(self, worst, account)

    def _fits(self, worst: Cost) -> bool:
        """Whether there is room beside what is under way."""
        wanted = self.spent + self.reserved + worst
        return (
            _within(wanted.money, self.money)
            and _within(wanted.tokens, self.tokens)
            and _within(wanted.calls, self.calls)
        )

    def _problem(self, worst: Cost) -> BudgetSpent | None:
        """Why this can never fit, if it cannot."""
        spent = self.spent
        if not _within(spent.money + worst.money, self.money):
            return self._spent("money", f"{spent.money:.4g} of {self.money:.4g}", f"{worst.money:.4g}")
        if not _within(spent.tokens + worst.tokens, self.tokens):
            return self._spent("tokens", f"{spent.tokens:,} of {self.tokens:,}", f"{worst.tokens:,}")
        if not _within(spent.calls + worst.calls, self.calls):
            return self._spent("calls", f"{spent.calls:,} of {self.calls:,}", f"{worst.calls:,}")
        if self.seconds is not None and self._began is not None:
            elapsed = time.monotonic() - self._began
            if elapsed >= self.seconds:
                return self._spent("seconds", f"{duration(elapsed)} of {duration(self.seconds)}")
        return None

    def _spent(self, what: str, how_much: str, worst: str = "") -> BudgetSpent:
        next_call = f", and the next call may take {worst}" if worst else ""
        return BudgetSpent(
            f"the budget of {what} is spent: {how_much} are gone{next_call}",
            remedy="raise the limit and run the same command again: recorded answers cost nothing",
        )


def _within(amount: float, limit: float | None) -> bool:
    """Whether an amount keeps a limit; sums of money may be off by rounding."""
    return limit is None or amount <= limit * (1 + 1e-12)


@dataclass(eq=False)
class _Waiter:
    worst: Cost
    account: Account | None
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Reservation]

    def wake(self, outcome: Reservation | BudgetSpent) -> None:
        """Runs in the waiter's own event loop."""
        if self.done.done():  # cancelled meanwhile
            if isinstance(outcome, Reservation):
                outcome.release()
        elif isinstance(outcome, Reservation):
            self.done.set_result(outcome)
        else:
            self.done.set_exception(outcome)
