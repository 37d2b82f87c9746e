"""Tails: keys and values that belong to one row alone, in slots of a few sizes.

Rows whose tails are about equally long stand side by side in one pool, so that one product serves them all with little
padding; a tail that outgrows its slot moves to the next size. Slots are dense: the last row fills the place of one that
leaves. What this does not do: share (the tree's job). Rejected: one padded block for all rows (one long answer makes
every row as long), and pages gathered for every step (a third of the speed on a CPU).

L layers, N slots, G key/value heads, C tokens a slot can hold, K head width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tandem.decoder.shape import Shape

SMALLEST = 64
"""Tokens of the smallest slot."""


class Pool:
    """Slots of one size."""

    def __init__(self, shape: Shape, room: int, dtype: torch.dtype, device: torch.device) -> None:
        self.room = room
        """Tokens a slot holds."""
        self.tails: list[Tail] = []
        """Who has slot 0, 1, …"""
        self._sizes = (shape.layers, 0, shape.kv_heads, room, shape.head_width)
        self.keys_LNGCK = torch.empty(self._sizes, dtype=dtype, device=device)
        self.values_LNGCK = torch.empty(self._sizes, dtype=dtype, device=device)

    def add(self, tail: Tail) -> None:
        """Give a tail the next slot, and more slots to the pool when there is none."""
        if len(self.tails) == self.keys_LNGCK.shape[1]:
            self.reserve(max(1, len(self.tails) // 4))
        tail.pool, tail.slot = self, len(self.tails)
        self.tails.append(tail)

    def reserve(self, count: int) -> None:
        """Have slots for so many more tails."""
        slots = len(self.tails) + count
        if slots > self.keys_LNGCK.shape[1]:
            self.keys_LNGCK = self._grown(self.keys_LNGCK, slots)
            self.values_LNGCK = self._grown(self.values_LNGCK, slots)

    def remove(self, tail: Tail) -> None:
        """Free a slot; the last row moves into it. An empty pool keeps no memory."""
        last = self.tails.pop()
        if last is not tail:
            for block in (self.keys_LNGCK, self.values_LNGCK):
                block[:, tail.slot, :, : last.length] = block[:, last.slot, :, : last.length]
            last.slot = tail.slot
            self.tails[tail.slot] = last
        kept = 2 * len(self.tails)
        if not self.tails or (self.keys_LNGCK.shape[1] > 8 and self.keys_LNGCK.shape[1] >= 2 * kept):
            self.keys_LNGCK = self.keys_LNGCK[:, :kept].clone()
            self.values_LNGCK = self.values_LNGCK[:, :kept].clone()

    def _grown(self, old: Tensor, slots: int) -> Tensor:
        # Zeros: what is behind the end of a shorter tail has weight 0, which does not cancel a NaN.
        new = old.new_zeros((old.shape[0], slots, *old.shape[2:]))
        new[:, : old.shape[1]] = old
        return new


class Tail:
    """The end of one row's text that only this row sees."""

    def __init__(self, length: int = 0) -> None:
        self.length = length
        """Tokens stored."""
        self.pool: Pool
        self.slot: int

    def kept(self) -> tuple[Tensor, Tensor]:
        """Its keys and values, (L, G, length, K) each."""
        at = (slice(None), self.slot, slice(None), slice(0, self.length))
        return self.pool.keys_LNGCK[at], self.pool.values_LNGCK[at]


class Tails:
    """All pools of an engine."""

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> None:
        self.shape, self.dtype, self.device = shape, dtype, device
        self.pools: dict[int, Pool] = {}

    def expect(self, room: int, count: int) -> None:
        """Make slots for `count` tails of `room` tokens at once: growing one by one copies what is there each time."""
        self._pool(room).reserve(count)

    def open(self, room: int) -> Tail:
        """A new tail with place for at least `room` tokens."""
        tail = Tail()
        self._pool(room).add(tail)
        return tail

    def make_room(self, tail: Tail, more: int) -> None:
        """Move a tail whose slot cannot take `more` tokens to a larger one."""
        if tail.length + more <= tail.pool.room:
            return
        keys, values = tail.kept()
        old, slot = tail.pool, Tail(tail.length)
        slot.pool, slot.slot = old, tail.slot
        old.tails[tail.slot] = slot
        self._pool(tail.length + more).add(tail)
        tail.pool.keys_LNGCK[:, tail.slot, :, : tail.length] = keys
        tail.pool.values_LNGCK[:, tail.slot, :, : tail.length] = values
        old.remove(slot)

    def close(self, tail: Tail) -> None:
        """Free the slot."""
        tail.pool.remove(tail)

    @property
    def bytes(self) -> int:
        """Memory of all slots."""
        return sum(2 * p.keys_LNGCK.numel() * p.keys_LNGCK.element_size() for p in self.pools.values())

    def _pool(self, room: int) -> Pool:
        size = slot(room)
        if size not in self.pools:
            self.pools[size] = Pool(self.shape, size, self.dtype, self.device)
        return self.pools[size]


def slot(tokens: int) -> int:
    """Size of the slot that holds so many tokens: 2ⁿ or 1.5 · 2ⁿ."""
    power = max(SMALLEST, 1 << (tokens - 1).bit_length())
    return power * 3 // 4 if power > SMALLEST and tokens <= power * 3 // 4 else power
