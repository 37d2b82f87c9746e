"""Segments of a pass, and the pieces of attention they need.

A token sees keys of three kinds: the shared spans on its path (`Reading`, one product per span for all its readers),
its own segment (`Group`, segments of similar length side by side), or its row's tail (`Decode`, the rows of a pool side
by side). Each piece gives partial results and their log-sum-exp; the stream merges them. What this does not do: keep
keys and values of segments (the stream), or choose what runs (the engine).

N tokens of the stream, B rows or segments, T queries, S keys, H query heads, G key/value heads, K head width,
C tokens a tail's slot can hold, J = B · G products of the tails, h = H / G query heads in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tandem.decoder.attention import attend_part
from tandem.decoder.tails import Pool, Tail
from tandem.decoder.tree import Node


@dataclass(eq=False)
class Segment:
    """Tokens of one request in this pass."""

    above: Node
    """The shared path in front of it."""
    tokens: Sequence[int]
    """Ids to be read."""
    tail: Tail | None = None
    """Where its keys and values are kept, when only its row needs them."""
    fills: Node | None = None
    """The span whose keys and values are those of its first tokens: a shared one that it computes, or one to keep."""
    branches: Sequence[int] = ()
    """Lengths of alternatives that all follow the rest of the segment and do not see each other, at its end."""
    begin: int = 0
    """Set by the stream: its first place there."""
    path: tuple[Node, ...] = field(default=(), repr=False)
    """Set by the stream: the shared spans in front of it."""

    @property
    def stem(self) -> int:
        """Tokens before the alternatives."""
        return len(self.tokens) - sum(self.branches)

    @property
    def offset(self) -> int:
        """Position of its first token in its text."""
        return sum(len(node.tokens) for node in self.path) + (self.tail.length if self.tail else 0)

    def positions(self) -> list[int]:
        """Position of each token in its own text."""
        start, stem = self.offset, self.stem
        places = list(range(start, start + stem))
        for length in self.branches:
            places += range(start + stem, start + stem + length)
        return places


# ── shared spans ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Reading:
    """One shared span and the tokens that see it."""

    node: Node
    """The span."""
    begin: int
    """The first of its readers' tokens in the stream."""
    end: int
    """One past the last."""
    sight: Tensor | None = None
    """(T, S), True where a window lets a token see one of the span; None: each sees all."""

    def attend(self, layer: int, q_NHK: Tensor) -> tuple[Tensor, Tensor]:
        """What the span gives its readers, and the log-sum-exp of their scores (-inf where a window hides it all)."""
        assert self.node.ready
        q_BHTK = q_NHK[self.begin : self.end].transpose(0, 1)[None]
        keys, values = self.node.keys_LGSK[layer][None], self.node.values_LGSK[layer][None]
        if self.sight is None:
            out_BHTK, lse_BHT = attend_part(q_BHTK, keys, values)
            return out_BHTK[0].transpose(0, 1), lse_BHT[0].T
        out_BHTK, lse_BHT = attend_part(q_BHTK, keys, values, bias=_bias(self.sight, q_NHK.dtype)[None, None])
        blind_T1 = ~self.sight.any(-1, keepdim=True)
        # Who sees nothing has no result: on some devices it is NaN, which a weight of 0 would not cancel.
        out_THK = out_BHTK[0].transpose(0, 1).masked_fill(blind_T1[..., None], 0.0)
        return out_THK, lse_BHT[0].T.masked_fill(blind_T1, -torch.inf)


def levels(segments: Sequence[Segment], positions_N: Tensor, window: int | None) -> list[list[Reading]]:
    """Runs of neighbours that share the span at each depth."""
    levels: list[list[Reading]] = []
    depth = max((len(s.path) for s in segments), default=0)
    for level in range(depth):
        readings: list[Reading] = []
        for segment in segments:
            if level >= len(segment.path):
                continue
            node, end = segment.path[level], segment.begin + len(segment.tokens)
            if readings and readings[-1].node is node and readings[-1].end == segment.begin:
                readings[-1].end = end
            else:
                readings.append(Reading(node, segment.begin, end))
        if window is not None:
            for reading in readings:
                starts_S = torch.arange(len(reading.node.tokens), device=positions_N.device) + reading.node.start
                reading.sight = positions_N[reading.begin : reading.end, None] - starts_S < window
        levels.append(readings)
    return levels


# ── segments that see themselves ────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Group:
    """Segments of similar length, padded to the same one by repeating their last token."""

    places: Tensor
    """Where their tokens stand in the stream."""
    slots: Tensor
    """Where each of those tokens stands in the padded rows."""
    gather: Tensor
    """The token in each slot."""
    rows: int
    """How many segments."""
    bias: Tensor | None
    """(B, 1, T, T), added to the scores; None: causal."""

    def attend(self, layer: int, q_NHK: Tensor, k_NGK: Tensor, v_NGK: Tensor) -> tuple[Tensor, Tensor]:
        """What their tokens see of their own segments, in the order of `places`."""
        q, k, v = (x.index_select(0, self.gather).view(self.rows, -1, *x.shape[1:]) for x in (q_NHK, k_NGK, v_NGK))
        causal = self.bias is None
        out_BHTK, lse_BHT = attend_part(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), bias=self.bias, causal=causal
        )
        out = out_BHTK.transpose(1, 2).flatten(0, 1).index_select(0, self.slots)
        return out, lse_BHT.transpose(1, 2).flatten(0, 1).index_select(0, self.slots)


def groups(segments: Sequence[Segment], window: int | None, device: torch.device, dtype: torch.dtype) -> list[Group]:
    """Segments that see themselves, by length."""
    by_length: dict[tuple[int, bool], list[Segment]] = {}
    for segment in segments:
        if decoding(segment):
            continue
        power = 1 << (max(len(segment.tokens), 16) - 1).bit_length()
        rounded = power * 3 // 4 if len(segment.tokens) <= power * 3 // 4 else power
        by_length.setdefault((rounded, bool(segment.branches)), []).append(segment)
    groups = []
    for (_, branching), members in by_length.items():
        length = max(len(s.tokens) for s in members)
        begins = np.array([s.begin for s in members])
        sizes = np.array([len(s.tokens) for s in members])
        within = np.arange(length)
        gather = begins[:, None] + np.minimum(within, sizes[:, None] - 1)
        real = within < sizes[:, None]
        bias = None
        if branching or window is not None:
            sight = torch.from_numpy(np.stack([_sight(s, length, window) for s in members])).to(device)
            bias = _bias(sight, dtype)[:, None]
        groups.append(
            Group(
                torch.from_numpy(gather[real]).to(device),
                torch.from_numpy(np.flatnonzero(real)).to(device),
                torch.from_numpy(gather.reshape(-1)).to(device),
                len(members),
                bias,
            )
        )
    return groups


def _bias(sight: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where a query sees a key, -inf where not."""
    return torch.zeros(sight.shape, dtype=dtype, device=sight.device).masked_fill_(~sight, -torch.inf)


def _sight(segment: Segment, length: int, window: int | None) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """(length, length), True where a token of the segment sees another: earlier ones of the stem or its own branch."""
    branch = np.zeros(length, dtype=np.int64)
    places = np.arange(length)
    at = segment.stem
    for number, size in enumerate(segment.branches, 1):
        branch[at : at + size] = number
        places[at : at + size] = range(segment.stem, segment.stem + size)
        at += size
    columns = np.arange(length)
    seen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (columns[:, None] >= columns) & (
        (branch[None, :] == 0) | (branch[:, None] == branch[None, :])
    )
    if window is not None:
        seen &= places[:, None] - places[None, :] < window
    return seen


# ── rows that continue their tails ──────────────────────────────────────────────────────────────────────────────────


@dataclass
class Decode:
    """The rows of one pool that add one token each, by slot."""

    pool: Pool
    """The pool."""
    places: Tensor
    """Their tokens in the stream."""
    slots: Tensor
    """Their slots, ascending."""
    lengths: Tensor
    """Tokens stored before this one."""
    every: bool
    """Whether every slot of the pool takes part."""
    bias: Tensor
    """(J, 1, C), added to the scores: -inf behind a tail's end and outside the window."""
    in_order: bool
    """Whether the stream is these rows and nothing else, by slot."""

    def keep(self, layer: int, k_NGK: Tensor, v_NGK: Tensor) -> None:
        """Store the new keys and values at the ends of the tails."""
        if not self.in_order:
            k_NGK, v_NGK = k_NGK[self.places], v_NGK[self.places]
        self.pool.keys_LNGCK[layer][self.slots, :, self.lengths] = k_NGK
        self.pool.values_LNGCK[layer][self.slots, :, self.lengths] = v_NGK

    def attend(self, layer: int, q_NHK: Tensor, k_NGK: Tensor, v_NGK: Tensor) -> tuple[Tensor, Tensor]:
        """What each row sees of its tail, in the order of `places`."""
        # All slots to their ends where every row takes part: a part of them would be copied before the products.
        rows = slice(0, len(self.slots)) if self.every else self.slots
        reach = self.bias.shape[-1]
        k_BGCK = self.pool.keys_LNGCK[layer][rows, :, :reach]
        v_BGCK = self.pool.values_LNGCK[layer][rows, :, :reach]
        q_BHK = q_NHK if self.in_order else q_NHK[self.places]
        groups = k_BGCK.shape[1]
        # The query heads of one key head are a product of their own: 2 to 3 times faster than one query per head.
        q_JhK = q_BHK.view(-1, groups, q_BHK.shape[1] // groups, q_BHK.shape[2]).flatten(0, 1)
        scale = q_BHK.shape[-1] ** -0.5
        scores_JhC = torch.baddbmm(self.bias, q_JhK, k_BGCK.flatten(0, 1).transpose(1, 2), alpha=scale)
        weights_JhC = torch.softmax(scores_JhC, -1, dtype=torch.float32)
        # The largest weight is exp(largest score - lse).
        lse_Jh = scores_JhC.amax(-1).float() - weights_JhC.amax(-1).log()
        out_JhK = torch.bmm(weights_JhC.to(q_NHK.dtype), v_BGCK.flatten(0, 1))
        return out_JhK.view(q_BHK.shape), lse_Jh.view(q_BHK.shape[:2])


def decoding(segment: Segment) -> bool:
    """Whether a segment is one more token of a row."""
    assert segment.tail is None or segment.tail.length == 0 or len(segment.tokens) == 1, "tails grow one by one"
    return segment.tail is not None and len(segment.tokens) == 1


def decodes(segments: Sequence[Segment], window: int | None, device: torch.device, dtype: torch.dtype) -> list[Decode]:
    """Rows that add one token, by pool."""
    by_pool: dict[Pool, list[Segment]] = {}
    for segment in segments:
        if decoding(segment) and segment.tail is not None and segment.tail.pool is not None:
            by_pool.setdefault(segment.tail.pool, []).append(segment)
    made = []
    for pool, members in by_pool.items():
        tails = [s.tail for s in members if s.tail is not None]
        order = sorted(range(len(tails)), key=lambda i: tails[i].slot)
        every = len(tails) == len(pool.tails)
        lengths = np.array([tails[i].length for i in order])
        columns = np.arange(pool.room if every else lengths.max() + 1)
        hidden = columns > lengths[:, None]
        if window is not None:
            hidden |= lengths[:, None] - columns >= window
        bias_BC = np.where(hidden, -np.inf, 0.0).astype(np.float32)
        groups = pool.keys_LNGCK[0].shape[1]
        places = [members[i].begin for i in order]
        made.append(
            Decode(
                pool,
                torch.tensor(places, device=device),
                torch.tensor([tails[i].slot for i in order], device=device),
                torch.from_numpy(lengths).to(device),
                every,
                torch.from_numpy(bias_BC).to(device, dtype).repeat_interleave(groups, 0)[:, None],
                len(members) == len(segments) and places == list(range(len(places))),
            )
        )
    return made
