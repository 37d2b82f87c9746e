"""How fast one remote model may be asked: concurrency that finds its own level, pauses, and limits per minute.

Slow start: from `start` the number of requests in flight doubles with every clean round (as many answers as the limit,
the limit having been reached), until the first rate limit; from there it grows by 5 % a clean round. A rate limit cuts
it to 80 %, once per episode: refusals of requests that were in flight at the cut belong to that cut. Each refusal also
pauses the sending, for as long as the server asks, or 1 s, 2 s, 4 s … while refusals outnumber answers.
After Jacobson 1988, "Congestion avoidance and control", with rounds in place of round trips.

What this does not do: send, retry, or count money. Nothing polls: a request that has to wait is one future in a queue,
woken by whatever made room, and at most one timer runs. Not for several threads; every event loop has paces of its own.
Rejected: a semaphore (its limit cannot move), a cut per refusal (512 refusals at once would cut to one).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, fields, replace
from typing import Literal

from tandem.errors import UserError

GROWTH, CUT = 1.05, 0.8
LONGEST_GUESS = 60.0
"""A pause of our own choosing is never longer (seconds)."""


@dataclass(frozen=True)
class Limits:
    """What a remote model may be asked for at most. Seconds are wall clock."""

    concurrency: int = 512
    """Most requests in flight."""
    start: int = 20
    """Requests in flight before anything is known about the server."""
    requests_per_minute: float | None = None
    """Most requests sent in any minute."""
    tokens_per_minute: float | None = None
    """Most tokens, as announced by the caller, in any minute; a single larger request overdraws and is waited for."""
    tries: int = 8
    """Most times one request is sent."""
    seconds_a_try: float | None = 600.0
    """Most seconds from sending one request to the end of its answer."""
    first_wait: float = 0.5
    """The wait before a request is sent again is drawn between 0 and this; doubles with every try, up to 30 s."""
    first_pause: float = 1.0
    """Seconds without sending after a rate limit whose length the server does not tell; doubles while it goes on."""
    longest_pause: float = 600.0
    """When the server asks for a longer pause, requests fail instead of waiting."""
    body_bytes: int = 64 << 20
    """A longer answer is refused."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None and item.name in ("requests_per_minute", "tokens_per_minute", "seconds_a_try"):
                continue
            whole = item.name in ("concurrency", "start", "tries", "body_bytes")
            least = 1 if whole or item.name.endswith("_minute") else 0
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not value >= least:
                kind = "a whole number" if whole else "a number"
                raise UserError(f"is {value!r}", where=f"limits.{item.name}", remedy=f"give {kind} from {least}")


class LongPause(Exception):  # noqa: N818 — a word between this module and the caller
    """The server asks for a longer pause than anyone wants to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{seconds:.0f} s")
        self.seconds = seconds


class Allowance:
    """So much a minute, and never more in any minute: a second's worth at once, the rest as time goes by."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self._most = max(1.0, per_minute / 60)
        self._a_second = (per_minute - self._most + 1) / 60
        self._left = self._most
        self._seen = float("-inf")

    def wait(self, now: float, amount: float) -> float:
        """Seconds until `amount` may go; 0 when it may go now."""
        self._left = min(self._most, self._left + (now - self._seen) * self._a_second)
        self._seen = now
        lacking = min(amount, self._most) - self._left
        return lacking / self._a_second if lacking > 1e-9 else 0.0

    def take(self, amount: float) -> None:
        """Count something that goes now, or (negative) that did not go after all."""
        self._left -= amount


def _allowance(per_minute: float | None, old: Allowance | None = None) -> Allowance | None:
    if per_minute is None or (old and old.per_minute == per_minute):
        return old
    return Allowance(per_minute)


def _smaller(one: float | None, other: float | None) -> float | None:
    return min((x for x in (one, other) if x is not None), default=None)


Outcome = Literal["clean", "limited", "other"]
"""How a request ended, for the pace: answered; refused for its rate; failed or cancelled, which says nothing."""


class Pace:
    """Lets requests go one by one, as many at a time as the server bears. See the top of this module."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.in_flight = 0
        """Requests sent and not yet ended."""
        self.waiting = 0
        """Requests that wait for their turn."""
        self.cuts = 0
        """Rate-limit episodes so far."""
        self.slow_start = True
        """Whether the limit still doubles."""
        self._limit = float(min(limits.start, limits.concurrency))
        self._queue: deque[tuple[asyncio.Future[int], int]] = deque()
        self._requests = _allowance(limits.requests_per_minute)
        self._tokens = _allowance(limits.tokens_per_minute)
        self._paused_until = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._reached = False  # in this round, by requests in flight
        self._clean = 0  # answers in this round
        self._answered = 0  # answers to requests sent since the last cut
        self._refused = 0  # refusals in the last episode
        self._guesses = 0  # pauses of our own, each twice the one before

    def __repr__(self) -> str:
        return f"Pace(limit={self.limit}, in_flight={self.in_flight}, waiting={self.waiting}, cuts={self.cuts})"

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    @property
    def pause(self) -> float:
        """Seconds until sending goes on; 0 when it is not paused. Needs a running event loop."""
        return max(0.0, self._paused_until - asyncio.get_running_loop().time())

    async def enter(self, tokens: int = 0, *, first: bool = False) -> int:
        """Wait for a turn, before all others with `first`. Returns the ticket that `leave` wants back.

        `tokens` is what the request is expected to use. Raises LongPause. When cancelled, nothing is held.
        """
        loop = asyncio.get_running_loop()
        rest = self._paused_until - loop.time()
        if rest > self.limits.longest_pause:
            raise LongPause(rest)
        if not self._queue and self.in_flight < self.limit and not self._wait(loop, tokens):
            return self._take(tokens)
        turn: asyncio.Future[int] = loop.create_future()
        if first:
            self._queue.appendleft((turn, tokens))
        else:
            self._queue.append((turn, tokens))
        self.waiting += 1
        self._admit()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave(turn.result(), "other")  # the turn came in the same moment
            else:
                self._admit()  # who comes next may be allowed sooner
            raise
        finally:
            self.waiting -= 1

    def leave(self, ticket: int, outcome: Outcome, pause: float | None = None) -> None:
        """End a request that `enter` let go; `pause` is what the server asked for, in seconds."""
        self.in_flight -= 1
        if outcome == "limited":
            self._refuse(ticket, pause)
        elif outcome == "clean" and ticket == self.cuts:
            self._answered += 1
            self._clean += 1
            if self._clean >= self.limit:
                self._end_round()
        if self._queue:
            self._admit()

    def settle(self, expected: int, used: int) -> None:
        """Correct the tokens counted for a request once it is known what it used."""
        if self._tokens:
            self._tokens.take(used - expected)
            self._admit()

    def tighten(self, limits: Limits) -> None:
        """Obey the limits of another user of the same model as well: of concurrency and rates the smaller ones hold."""
        self.limits = replace(
            self.limits,
            concurrency=min(self.limits.concurrency, limits.concurrency),
            requests_per_minute=_smaller(self.limits.requests_per_minute, limits.requests_per_minute),
            tokens_per_minute=_smaller(self.limits.tokens_per_minute, limits.tokens_per_minute),
        )
        self._limit = min(self._limit, float(self.limits.concurrency))
        self._requests = _allowance(self.limits.requests_per_minute, self._requests)
        self._tokens = _allowance(self.limits.tokens_per_minute, self._tokens)

    def _end_round(self) -> None:
        if self._reached:  # a limit that was never reached proves nothing
            grown = self._limit * 2 if self.slow_start else self._limit + max(1.0, self._limit * (GROWTH - 1))
            self._limit = min(grown, float(self.limits.concurrency))
        self._clean, self._reached = 0, False

    def _refuse(self, ticket: int, pause: float | None) -> None:
        if ticket == self.cuts:
            self._guesses = self._guesses + 1 if self._refused > self._answered else 1
            self.cuts += 1
            self.slow_start = False
            self._limit = max(1.0, self._limit * CUT)
            self._clean, self._reached, self._answered, self._refused = 0, False, 0, 0
            if pause is None:
                pause = min(LONGEST_GUESS, self.limits.first_pause * 2.0 ** min(self._guesses - 1, 60))
        self._refused += 1
        if pause is not None:
            now = asyncio.get_running_loop().time()
            self._paused_until = max(self._paused_until, now + pause)
            if pause > self.limits.longest_pause:
                for turn, _ in self._queue:
                    if not turn.done():
                        turn.set_exception(LongPause(pause))
                self._queue.clear()

    def _wait(self, loop: asyncio.AbstractEventLoop, tokens: int) -> float:
        """Seconds until a request of so many tokens may go, as far as time goes."""
        now = loop.time()
        wait = self._paused_until - now if self._paused_until > now else 0.0
        if self._requests:
            wait = max(wait, self._requests.wait(now, 1))
        if self._tokens:
            wait = max(wait, self._tokens.wait(now, tokens))
        return wait

    def _take(self, tokens: int) -> int:
        self.in_flight += 1
        if self.in_flight >= self.limit:
            self._reached = True
        if self._requests:
            self._requests.take(1)
        if self._tokens:
            self._tokens.take(tokens)
        return self.cuts

    def _admit(self) -> None:
        """Give turns to those at the head of the queue as long as there is room and time has come."""
        while self._queue:
            turn, tokens = self._queue[0]
            if turn.done():  # cancelled while it waited
                self._queue.popleft()
            elif self.in_flight >= self.limit:
                return  # `leave` comes back here
            elif wait := self._wait(turn.get_loop(), tokens):
                self._wake_in(wait, turn.get_loop())
                return
            else:
                self._queue.popleft()
                turn.set_result(self._take(tokens))

    def _wake_in(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        when = loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= when:
                return  # it looks again when it fires
            self._timer.cancel()
        self._timer = loop.call_at(when, self._awake)

    def _awake(self) -> None:
        self._timer = None
        self._admit()
