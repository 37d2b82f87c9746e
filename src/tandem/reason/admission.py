"""Which question may begin while a budget lasts: one more only where what is left covers all that are under way, too.

Without it every question begins at once, a limit is used up by their first calls, and none has an answer. So one
question goes ahead; what finished ones took (calls, tokens, money, seconds, as far as they are limited) tells what
those under way still need, and others begin, in order, as long as there is room for all. As soon as the first is done a
budget that is large enough lets all begin. Where nothing is limited nobody ever waits.

Short questions are done first, and a mean over those that are done is too low while long ones go on: a question counts
once all that began before it are done. What is left is what was not charged: what the budget sets aside for calls under
way is not spent, and comes back but for what they take. A question whose answers are recorded takes nothing and teaches
nothing.

What this does not do: keep a limit (the budget does), or foresee: questions that take more than those before them may
still find it spent. Rejected: holding back a question's calls instead of its beginning; another question may be waiting
for the very same call.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tandem.lm.budget import Account, Budget, Cost, accounting

LIMITED = ("money", "tokens", "calls")
"""What a question takes that others then lack."""
DOUBT, SECONDS_DOUBT = 8.0, 1.0
"""How far off the first question's amount may be, as a multiple of it; the doubt goes as more are known.

Of seconds it is less, since the worst is taken for what they depend on: that all under way share one machine.
"""
LATEST = 16
"""Questions whose seconds are looked at: they change with the number under way."""


@dataclass(eq=False)
class Begun:
    """A question under way."""

    account: Account
    """What its calls were charged."""
    beside: int
    """Questions under way when it began, itself included."""
    began: float = field(default_factory=time.monotonic)
    """When, in seconds of a clock."""
    finished: bool = False
    """Whether it came to its answer: what it took is what questions take."""
    ended: tuple[float, float] | None = None
    """Seconds that it took, and how many were under way beside it, on average; None while it goes on."""


class Admission:
    """The line of questions that wait to begin, of one run and one event loop."""

    def __init__(self, budget: Budget | None) -> None:
        self._budget = budget if budget is not None and budget.limited else None
        self._line: deque[asyncio.Future[Begun]] = deque()
        self._under_way: set[Begun] = set()
        self._in_order: deque[Begun] = deque()
        self._took, self._gave_up = _Known(), _Known()
        self._most, self._spare = Cost(), Cost()

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[Begun]:
        """Wait in line; calls made inside are the question's. Whoever comes to an answer says so (`finished`)."""
        begun = await self._turn()
        try:
            with accounting() as begun.account:
                yield begun
        finally:
            self._end(begun)

    async def _turn(self) -> Begun:
        turn: asyncio.Future[Begun] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        self._admit()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._end(turn.result())
            raise

    def _admit(self) -> None:
        while self._line and (self._line[0].done() or self._room()):
            turn = self._line.popleft()
            if not turn.done():  # else cancelled
                begun = Begun(Account(), len(self._under_way) + 1)
                self._under_way.add(begun)
                self._in_order.append(begun)
                turn.set_result(begun)

    def _end(self, begun: Begun) -> None:
        begun.ended = time.monotonic() - begun.began, (begun.beside + len(self._under_way)) / 2
        self._under_way.remove(begun)
        self._most, self._spare = self._most.most(begun.account.spent), self._spare.most(begun.account.spare)
        while self._in_order and (ended := self._in_order[0].ended):
            first = self._in_order.popleft()
            if first.account.spent.calls:
                (self._took if first.finished else self._gave_up).add(first.account.spent, *ended)
        self._admit()

    def _room(self) -> bool:
        """Whether one more may begin. One always may: it is how to learn what a question takes, or what is recorded."""
        if self._budget is None or not self._under_way:
            return True
        known = self._took if self._took.n else self._gave_up
        return known.n > 0 and self._in_time(known) and all(self._enough(what, known) for what in LIMITED)

    def _enough(self, what: str, known: _Known) -> bool:
        """Whether all under way and one more, as large as any so far, have enough of something."""
        limit = getattr(self._budget, what)
        if limit is None:
            return True
        assert self._budget is not None
        about, longest = known.amounts[what].about(DOUBT), getattr(self._most, what)
        so_far = [getattr(begun.account.spent, what) for begun in self._under_way]
        rest = sum(max(0.0, (about if taken < about else longest) - taken) for taken in so_far)
        spare = max(getattr(one, what) for one in (self._spare, *(b.account.spare for b in self._under_way)))
        spent = getattr(self._budget.spent, what)
        return bool(spent + rest + max(about, longest) + spare <= limit)

    def _in_time(self, known: _Known) -> bool:
        """Whether one more comes to its end before the seconds do; at worst each one more slows the others."""
        assert self._budget is not None
        left, n = self._budget.seconds_left, len(self._under_way) + 1
        if left is None:
            return True
        return _Amounts.of(s * max(1.0, n / beside) for s, beside in known.seconds).about(SECONDS_DOUBT) <= left


@dataclass
class _Amounts:
    """What some questions took of one thing."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, amounts: Iterable[float]) -> _Amounts:
        made = cls()
        for amount in amounts:
            made.add(amount)
        return made

    def add(self, amount: float) -> None:
        self.n += 1
        self.total += amount
        self.squares += amount**2

    def about(self, doubt: float) -> float:
        """The mean and its standard error, which counts the doubt as one question that was so far off."""
        mean = self.total / self.n
        spread = max(0.0, self.squares - self.n * mean**2) + (doubt * mean) ** 2
        return mean + math.sqrt(spread) / self.n


class _Known:
    """What the questions that are through took."""

    def __init__(self) -> None:
        self.n = 0
        self.amounts = {what: _Amounts() for what in LIMITED}
        self.seconds: deque[tuple[float, float]] = deque(maxlen=LATEST)
        """Of the latest: seconds, and how many were under way beside it."""

    def add(self, spent: Cost, seconds: float, beside: float) -> None:
        self.n += 1
        for what, amounts in self.amounts.items():
            amounts.add(getattr(spent, what))
        self.seconds.append((seconds, beside))
