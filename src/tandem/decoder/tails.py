"""Tails: keys and values that belong to one row alone, in slots of a few sizes.

Rows whose tails are about equally long stand side by side in one pool, so that one product serves them all with little
padding; a tail that outgrows its slot moves to the next size. Slots are dense: rows from the end fill the places of
those that leave. All that comes, grows and leaves in a step is settled at once, one layer's keys after the other, so
that hardly anything is ever there twice. What this does not do: share (the tree's job). Rejected: one padded block for
all rows (one long answer makes every row as long), pages gathered for every step (a third of the speed on a CPU), and
one tensor for all layers (a growing pool would be there twice, past any bound of memory).

L layers, N slots, G key/value heads, C tokens a slot can hold, K head width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor

from tandem.decoder.shape import Shape
from tandem.decoder.space import Meter

SMALLEST = 64
"""Tokens of the smallest slot."""
_FEWEST = 8
"""Slots below which an emptier pool is not made smaller."""


class Tail:
    """The end of one row's text that only this row sees."""

    def __init__(self) -> None:
        self.length = 0
        """Tokens stored."""
        self.pool: Pool | None = None
        """Where it stands; None before it is settled and after it left."""
        self.slot = 0

    @property
    def free(self) -> int:
        """Tokens its slot can still take."""
        return self.pool.room - self.length if self.pool else 0

    def kept(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Its keys and values (G, length, K), layer by layer."""
        assert self.pool is not None
        for keys_NGCK, values_NGCK in zip(self.pool.keys_LNGCK, self.pool.values_LNGCK, strict=True):
            yield keys_NGCK[self.slot, :, : self.length], values_NGCK[self.slot, :, : self.length]


class Pool:
    """Slots of one size."""

    def __init__(self, shape: Shape, room: int, dtype: torch.dtype, device: torch.device) -> None:
        self.room = room
        """Tokens a slot holds."""
        self.tails: list[Tail] = []
        """Who has slot 0, 1, …"""
        empty = torch.empty((0, shape.kv_heads, room, shape.head_width), dtype=dtype, device=device)
        self.keys_LNGCK = [empty] * shape.layers
        """Keys, a tensor per layer."""
        self.values_LNGCK = [empty] * shape.layers
        """Values."""

    @property
    def slots(self) -> int:
        """How many there are, taken or free."""
        return self.keys_LNGCK[0].shape[0]


class _Change:
    """What a pool becomes."""

    def __init__(self, pool: Pool, leaving: Collection[Tail], coming: Sequence[Tail]) -> None:
        self.pool, self.coming = pool, coming
        staying = [tail for tail in pool.tails if tail not in leaving]
        self.stay = len(staying)
        """Who stays has slots 0, 1, … so far."""
        ahead = [tail for tail in staying if tail.slot < self.stay]
        behind = [tail for tail in staying if tail.slot >= self.stay]
        holes = sorted(set(range(self.stay)) - {tail.slot for tail in ahead}) if behind else []
        self.fills = [(hole, tail.slot) for hole, tail in zip(holes, behind, strict=True)]
        """(slot to be filled, slot it is filled from)."""
        by_slot = {tail.slot: tail for tail in ahead} | dict(zip(holes, behind, strict=True))
        self.tails = [*(by_slot[number] for number in range(self.stay)), *coming]
        """Who then has slot 0, 1, …"""
        self.count = self.stay + len(coming)
        self.slots = max(pool.slots, self.count)
        if self.slots > _FEWEST and self.slots >= 4 * self.count:
            self.slots = 2 * self.count  # an empty pool keeps no memory
        if not self.count:
            self.slots = 0
        # Neighbours that come from neighbouring slots of one pool are one copy.
        self.runs: list[tuple[int, Pool, int, int]] = []
        """(first slot to be filled, pool and slot it is filled from, how many)."""
        for number, tail in enumerate(coming, self.stay):
            if tail.pool is None:
                continue
            if self.runs:
                at, source, begin, size = self.runs[-1]
                if (at + size, source, begin + size) == (number, tail.pool, tail.slot):
                    self.runs[-1] = (at, source, begin, size + 1)
                    continue
            self.runs.append((number, tail.pool, tail.slot, 1))


class Tails:
    """All pools of an engine."""

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device, meter: Meter | None = None) -> None:
        self.shape, self.dtype, self.device = shape, dtype, device
        self.pools: dict[int, Pool] = {}
        self.meter = meter or Meter()
        """Counts what is taken and given back."""
        self.token_bytes = 2 * shape.layers * shape.kv_heads * shape.head_width * dtype.itemsize

    def settle(self, wanted: Sequence[tuple[Tail, int]], limit: int, leaving: Collection[Tail] = frozenset()) -> None:
        """Give each of some tails, new or too long for their slots, a slot for so many tokens; free others' slots.

        `limit` is how many tokens all slots may hold. What is wanted must fit; spare slots are made as it allows.
        """
        coming: dict[int, list[Tail]] = {}
        for tail, tokens in sorted(wanted, key=lambda want: (want[0].pool.room if want[0].pool else 0, want[0].slot)):
            coming.setdefault(slot(tokens), []).append(tail)
        for room in coming:
            if room not in self.pools:
                self.pools[room] = Pool(self.shape, room, self.dtype, self.device)
        gone = {*leaving, *(tail for tail, _ in wanted if tail.pool is not None)}
        sources = {tail.pool.room for tail in gone if tail.pool is not None}
        order = sorted(self.pools, reverse=True)  # who takes from a smaller pool does so before that changes
        changes = [_Change(self.pools[room], gone if room in sources else (), coming.get(room, ())) for room in order]
        spare = limit - sum(change.slots * change.pool.room for change in changes)
        for change in changes:
            if spare < 0:
                change.slots = change.count
            elif change.slots > change.pool.slots:
                more = max(0, min(change.count // 4, spare // change.pool.room))
                change.slots += more
                spare -= more * change.pool.room
        changes = [c for c in changes if c.slots != c.pool.slots or c.fills or c.coming or c.stay != len(c.pool.tails)]
        for layer in range(self.shape.layers):
            for change in changes:
                self._rearrange(change, change.pool.keys_LNGCK, layer, keys=True)
            for change in changes:
                self._rearrange(change, change.pool.values_LNGCK, layer, keys=False)
        for tail in gone:
            tail.pool = None
        for change in changes:
            change.pool.tails = change.tails
            for number, tail in enumerate(change.tails):
                tail.pool, tail.slot = change.pool, number

    def close(self, tails: Collection[Tail]) -> None:
        """Free some slots."""
        if tails:
            self.settle((), self.tokens, tails)

    def trim(self) -> None:
        """Give up slots that nobody has."""
        self.settle((), 0)

    def clear(self) -> None:
        """Forget all rows."""
        self.meter.add(-self.bytes)
        self.pools.clear()

    @property
    def tokens(self) -> int:
        """Tokens that all slots can hold, free ones included."""
        return sum(pool.slots * pool.room for pool in self.pools.values())

    @property
    def bytes(self) -> int:
        """Memory of all slots."""
        return self.tokens * self.token_bytes

    def _rearrange(self, change: _Change, blocks: list[Tensor], layer: int, *, keys: bool) -> None:
        """One layer's keys or values of one pool."""
        block_NGCK = blocks[layer]
        for hole, place in change.fills:
            block_NGCK[hole] = block_NGCK[place]
        if change.slots != block_NGCK.shape[0]:
            new_NGCK = block_NGCK.new_empty((change.slots, *block_NGCK.shape[1:]))
            self.meter.add(new_NGCK.nbytes)
            new_NGCK[: change.stay] = block_NGCK[: change.stay]
            # Zeros: what is behind the end of a shorter tail has weight 0, which does not cancel a NaN.
            new_NGCK[change.stay :] = 0
            self.meter.add(-block_NGCK.nbytes)
            blocks[layer] = block_NGCK = new_NGCK
        for at, source, begin, size in change.runs:
            theirs_NGCK = (source.keys_LNGCK if keys else source.values_LNGCK)[layer]
            block_NGCK[at : at + size, :, : source.room] = theirs_NGCK[begin : begin + size]


def slot(tokens: int) -> int:
    """Size of the slot that holds so many tokens: 2ⁿ or 1.5 · 2ⁿ."""
    power = max(SMALLEST, 1 << (tokens - 1).bit_length())
    return power * 3 // 4 if power > SMALLEST and tokens <= power * 3 // 4 else power
