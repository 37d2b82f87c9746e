"""What the calls of one model cost: set aside before, charged after, counted always.

Charged is what a back end reports in the `Usage` of its completions; together they are what the call took, so that a
prompt read once stands in one of them, or as re-used in the others. After a failure it depends on the kind: who was
turned away is charged nothing but the call; where an answer may have been begun (a timeout, half a reply, a call that
was cancelled) the worst case is charged, since the provider may do so.

What this does not do: know a provider's bill. Rejected: charging nothing for what came to nothing; a limit of money
could then be passed without anybody noticing.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import ParamSpec, TypeVar

from tandem.errors import CallFailed, UserError
from tandem.lm.budget import Budget, Cost, Prices
from tandem.types import Completion, Count, Usage

T = TypeVar("T")
A = ParamSpec("A")

MARGIN = 1.25
"""An estimated number of tokens is multiplied by this for the worst case."""
TURNED_AWAY = frozenset({"rate-limit", "server", "refused", "key", "not-found", "connection"})
"""Kinds of failure after which no tokens are charged."""


class Meter:
    """Counts what one model uses, within a budget that several may share."""

    def __init__(self, name: str, budget: Budget | None, prices: Prices | None) -> None:
        """Raises UserError on a limit of money for a model whose prices nobody knows."""
        if budget is not None and budget.money is not None and prices is None:
            raise UserError(
                "a budget of money needs the model's prices",
                where=name,
                remedy="give them in models.toml (prices); 0 where free",
            )
        self.budget, self.prices = budget, prices
        self._money, self._calls, self._charged = 0.0, 0, 0
        self._tokens = [0, 0, 0, 0]
        self._lock = threading.Lock()

    @property
    def spent(self) -> Cost:
        """Calls, tokens and money charged so far."""
        with self._lock:
            return Cost(self._money, self._charged, self._calls)

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        with self._lock:
            return Usage(*self._tokens)

    @property
    def counts_tokens(self) -> bool:
        """Whether the worst case of a call has to be known in tokens."""
        return self.budget is not None and self.budget.counts_tokens

    def money(self, usage: Usage) -> float:
        """The price of some usage; 0 where no prices are known."""
        return self.prices.money(usage) if self.prices else 0.0

    async def metered(
        self, worst: Usage, used: Callable[[T], Usage], call: Callable[A, Awaitable[T]], *args: A.args, **kw: A.kwargs
    ) -> T:
        """Make a call within the budget; `used` reads off the result what it took.

        Raises BudgetSpent, without calling, when the worst case does not fit.
        """
        reservation = None if self.budget is None else await self.budget.reserve(self._cost(worst))
        charge: Usage | None = worst
        try:
            result = await call(*args, **kw)
            charge = used(result)
            return result
        except UserError:  # refused before it was sent
            charge = None
            raise
        except CallFailed as e:
            charge = Usage(0, 0) if e.kind in TURNED_AWAY and not e.begun else worst
            raise
        finally:
            if charge is not None:
                self._add(charge)
            if reservation is not None:
                reservation.settle(Cost() if charge is None else self._cost(charge))

    def _cost(self, usage: Usage) -> Cost:
        return Cost(self.money(usage), _charged(usage), 1)

    def _add(self, usage: Usage) -> None:
        with self._lock:
            self._calls += 1
            self._charged += _charged(usage)
            self._tokens[0] += usage.prompt_tokens
            self._tokens[1] += usage.completion_tokens
            self._tokens[2] += usage.cached_tokens
            self._tokens[3] += usage.reasoning_tokens
            if self.prices:
                self._money += self.prices.money(usage)


def _charged(usage: Usage) -> int:
    """Tokens that count against a budget."""
    return max(0, usage.prompt_tokens - usage.cached_tokens) + usage.completion_tokens


def worst_read(length: Count) -> int:
    """The most tokens a prompt may have."""
    return length.tokens if length.exact else math.ceil(length.tokens * MARGIN)


def of_call(completions: Sequence[Completion]) -> Usage:
    """What a call with these completions took."""
    return together([completion.usage for completion in completions])


def together(usages: Sequence[Usage]) -> Usage:
    """The sum."""
    if len(usages) == 1:
        return usages[0]
    return Usage(
        sum(u.prompt_tokens for u in usages),
        sum(u.completion_tokens for u in usages),
        sum(u.cached_tokens for u in usages),
        sum(u.reasoning_tokens for u in usages),
    )
