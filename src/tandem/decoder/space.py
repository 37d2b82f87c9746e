"""The memory bound of an engine: how many tokens' keys and values may be there, and how many bytes are.

Kept spans and slots together never hold more than `limit` tokens, so that every tensor of theirs fits into the bound,
the second copy of one that is being divided or enlarged included: each belongs to one layer, and is copied alone.
What this does not do: keep anything (`tree`, `tails`), or choose who is let in (`admission`).
"""

from __future__ import annotations

from typing import Protocol

from tandem.decoder.shape import Shape


class Meter:
    """Bytes of keys and values."""

    def __init__(self) -> None:
        self.bytes = 0
        """Now."""
        self.peak = 0
        """At most so far, at any moment."""

    def add(self, count: int) -> None:
        """So many were taken (or, below 0, given back)."""
        self.bytes += count
        self.peak = max(self.peak, self.bytes)


class _Spans(Protocol):
    held: int
    pending: int

    def idle(self) -> int: ...
    def shrink(self, tokens: int) -> int: ...


class _Slots(Protocol):
    @property
    def tokens(self) -> int: ...
    def trim(self) -> None: ...


class Space:
    """What fits beside what is there."""

    def __init__(self, shape: Shape, itemsize: int, memory: int, spans: _Spans, slots: _Slots) -> None:
        layer = shape.kv_heads * shape.head_width * itemsize
        self.memory = memory
        """The bound in bytes."""
        self.token_bytes = 2 * shape.layers * layer
        """Keys and values of one token."""
        self._each = self.token_bytes + layer
        self.limit = memory // self._each
        """Tokens kept at most; what is left holds the second copy of any one tensor."""
        self._spans, self._slots = spans, slots

    def needed(self, tokens: int) -> int:
        """Bytes of the bound under which so many tokens can be kept."""
        return tokens * self._each

    def fits(self, tokens: int) -> bool:
        """Whether so many fit beside the tree, which lets go of what nobody uses to make it so."""
        over = tokens + self._spans.held + self._spans.pending - self.limit
        return over <= 0 or (self._spans.idle() >= over and self._spans.shrink(over) >= over)

    def claim(self, tokens: int) -> None:
        """Make room for spans about to be stored, which fit: slots that nobody has may be in their way."""
        if self._spans.held + self._slots.tokens + tokens > self.limit:
            self._slots.trim()

    def for_slots(self, claimed: int) -> int:
        """Tokens that slots may hold beside the tree and spans that are claimed."""
        return self.limit - self._spans.held - claimed
