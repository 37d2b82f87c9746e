"""What one model asks of the store: recorded outcomes of a question, and committing new ones before they are given out.

Works without a store, too: then nothing is found and nothing is kept. What this does not do: decide what is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from tandem.errors import CallFailed, UserError
from tandem.lm.policies import Settled
from tandem.store import Request, Sample, Scored, Store
from tandem.types import Completion, Score

V = TypeVar("V")

NOT_RECORDED = frozenset({"key", "not-found", "not-recorded", "cancelled"})
"""Kinds of failure that lie in the set-up and not in the request: recorded, they would outlive their cause."""

Slot: TypeAlias = tuple[str, int, int, bool]
"""A sample under way: key of its request, index, max_tokens, logprobs."""
ScoreSlot: TypeAlias = tuple[str, str]
"""A score under way: key of its request, continuation."""


@dataclass(frozen=True)
class Ask:
    """A question to a model, ready to be sent and to be looked up."""

    settled: Settled
    """As it is sent."""
    request: Request
    """As it is recorded."""


class Recorder:
    """One model's view of the store."""

    def __init__(self, name: str, store: Store | None, *, retry_failed: bool) -> None:
        self.store = store
        self._name = name
        self._retry_failed = retry_failed
        self._first_served: str | None = None

    def samples(self, ask: Ask, slots: Collection[Slot]) -> dict[Slot, Completion | Exception]:
        """What is recorded and serves; a recorded failure says how it is asked again."""
        if self.store is None or not slots:
            return {}
        by_index = {slot[1]: slot for slot in slots}
        keyed = ask.settled.keyed
        found = self.store.find(
            ask.request,
            by_index.keys(),
            max_tokens=keyed.max_tokens,
            logprobs=keyed.logprobs,
            retry_failed=self._retry_failed,
        )
        return {by_index[i]: _again(o) if isinstance(o, CallFailed) else o for i, o in found.items()}

    async def commit(
        self, ask: Ask, slots: Sequence[Slot], outcomes: Sequence[Completion | CallFailed]
    ) -> dict[Slot, Completion | Exception]:
        """Record outcomes of neighbouring samples; what stands on record comes back."""
        if self.store is None:
            return dict(zip(slots, outcomes, strict=True))
        now = time.time()
        samples = [
            Sample(ask.request, *slot[1:], outcome, now)
            for slot, outcome in zip(slots, outcomes, strict=True)
            if isinstance(outcome, Completion) or outcome.kind not in NOT_RECORDED
        ]
        if not samples:
            return dict(zip(slots, outcomes, strict=True))
        standing = await _committed(self.store, self.store.put(samples))
        rest = iter(standing)
        return {
            slot: next(rest) if isinstance(outcome, Completion) or outcome.kind not in NOT_RECORDED else outcome
            for slot, outcome in zip(slots, outcomes, strict=True)
        }

    def scores(self, request: Request, slots: Collection[ScoreSlot]) -> dict[ScoreSlot, Score]:
        """Recorded scores."""
        if self.store is None:
            return {}
        found = self.store.find_scores(request, [text for _, text in slots])
        return {(request.key, text): score for text, score in found.items()}

    async def commit_scores(
        self, request: Request, slots: Sequence[ScoreSlot], scores: Sequence[Score]
    ) -> Mapping[ScoreSlot, Score]:
        """Record scores; what stands on record comes back."""
        if self.store is not None:
            now = time.time()
            records = [Scored(request, text, score, now) for (_, text), score in zip(slots, scores, strict=True)]
            standing = await _committed(self.store, self.store.put_scores(records))
            scores = standing
        return dict(zip(slots, scores, strict=True))

    def served_note(self, served: str) -> str | None:
        """A note where another model answers than the first one recorded under this name."""
        if not served:
            return None
        if self._first_served is None:
            before = self.store.served(self._name) if self.store is not None else ()
            self._first_served = before[0] if before else served
        if served == self._first_served:
            return None
        return f"served-model-changed: {served}, at first {self._first_served}"

    async def flush(self) -> None:
        """Wait until what was handed in is committed."""
        if self.store is not None:
            await asyncio.to_thread(self.store.flush)


def _again(recorded: CallFailed) -> CallFailed:
    """A recorded failure to raise once more."""
    how = "recorded earlier, not sent again; retry_failed (--retry-failed) asks again"
    remedy = f"{recorded.remedy}; {how}" if recorded.remedy else how
    return CallFailed(recorded.problem, kind=recorded.kind, where=recorded.where, remedy=remedy, status=recorded.status)


async def _committed(store: Store, written: asyncio.Future[V]) -> V:
    """Wait for a commit; whoever is cancelled meanwhile leaves after it, so that nobody asks again too early."""
    try:
        return await written
    except asyncio.CancelledError:
        with contextlib.suppress(UserError):  # closed: then it is committed
            await asyncio.wait([store.caught_up()])
        raise
