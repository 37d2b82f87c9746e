"""One pass of the engine: tokens of many requests end to end, and which keys each of them sees.

The pass is a single stream of tokens, so that norms, projections and MLPs run over exactly the tokens there are. Only
attention knows pieces: what a token sees is its own segment (or its row's tail), and the shared spans on its path. Each
shared span is one product over all its readers, who stand next to each other because the stream is ordered by path.
The partial results of a token are merged by their log-sum-exp in float32, which gives exactly softmax over all keys
(Milakov & Gimelshein 2018; the merge of FlashAttention's splits). What this does not do: decide what runs (the engine),
or sample. Rejected: padded copies of the shared prefix for every row (60 % of the speed), paged gather (45 %).

N tokens of the stream, H query heads, G key/value heads, K head width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tandem.decoder.attention import merge_parts
from tandem.decoder.segments import Decode, Group, Segment, decodes, decoding, groups, levels
from tandem.decoder.shape import Shape


class Stream:
    """The pass, prepared once and shared by all layers. A `Memory` for `Decoder.states`."""

    def __init__(self, segments: Sequence[Segment], shape: Shape, device: torch.device, dtype: torch.dtype) -> None:
        for segment in segments:
            segment.path = segment.above.path()
        self.segments = sorted(segments, key=_order)
        at = 0
        tokens: list[int] = []
        places: list[int] = []
        for segment in self.segments:
            segment.begin = at
            tokens += segment.tokens
            places += segment.positions()
            at += len(segment.tokens)
        self.shape, self.device, self.dtype = shape, device, dtype
        self.tokens_BT = torch.tensor([tokens], device=device)
        self.positions_BT = torch.tensor([places], device=device)
        self.reach = max(places) + 1
        window = shape.window if shape.window is not None and shape.window < self.reach else None
        self._levels = levels(self.segments, self.positions_BT[0], window)
        self._groups = groups(self.segments, window, device, dtype)
        self._decodes = decodes(self.segments, window, device, dtype)
        pieces: tuple[Group | Decode, ...] = (*self._groups, *self._decodes)
        # Known without looking at the device: a lone group holds the whole stream as it stands.
        in_order = len(pieces) == 1 and (isinstance(pieces[0], Group) or pieces[0].in_order)
        self._simple = in_order and not self._levels
        self._own = pieces
        self._fills = [s for s in self.segments if s.fills is not None]
        self._news = [s for s in self.segments if s.tail is not None and not decoding(s)]

    # ── what the model's blocks call ────────────────────────────────────────────────────────────────────────────────

    def attend(self, layer: int, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor) -> Tensor:
        """Keep the new keys and values where they belong; softmax(q·k / √K) · v over all each token sees."""
        q_NHK, k_NGK, v_NGK = q_BTHK[0], k_BTGK[0], v_BTGK[0]
        self._keep(layer, k_NGK, v_NGK)
        if self._simple:
            out, _ = self._own[0].attend(layer, q_NHK, k_NGK, v_NGK)
            return out[None]
        own_NHK = torch.empty_like(q_NHK)
        lse_NH = torch.empty(q_NHK.shape[:2], dtype=torch.float32, device=self.device)
        for piece in self._own:
            out, lse = piece.attend(layer, q_NHK, k_NGK, v_NGK)
            own_NHK[piece.places] = out
            lse_NH[piece.places] = lse
        if not self._levels:
            return own_NHK[None]
        parts = [(own_NHK, lse_NH)]
        for level in self._levels:
            out_NHK = torch.zeros_like(q_NHK)
            part_NH = torch.full_like(lse_NH, -torch.inf)
            for reading in level:
                out, lse = reading.attend(layer, q_NHK)
                out_NHK[reading.begin : reading.end] = out
                part_NH[reading.begin : reading.end] = lse
            parts.append((out_NHK, part_NH))
        return merge_parts(parts)[None]

    def advance(self, tokens: int) -> None:
        """All layers have stored the new tokens."""
        for segment in self.segments:
            if segment.tail is not None:
                segment.tail.length += len(segment.tokens)

    def _keep(self, layer: int, k_NGK: Tensor, v_NGK: Tensor) -> None:
        for decode in self._decodes:
            decode.keep(layer, k_NGK, v_NGK)
        for segment in (*self._fills, *self._news):
            tokens = segment.tokens if segment.fills is None else segment.fills.tokens
            span = slice(segment.begin, segment.begin + len(tokens))
            if segment.fills is not None:
                segment.fills.keys_LGSK[layer].copy_(k_NGK[span].transpose(0, 1))
                segment.fills.values_LGSK[layer].copy_(v_NGK[span].transpose(0, 1))
            else:
                tail = segment.tail
                assert tail is not None and tail.pool is not None
                at = (tail.slot, slice(None), slice(0, len(segment.tokens)))
                tail.pool.keys_LNGCK[layer][at] = k_NGK[span].transpose(0, 1)
                tail.pool.values_LNGCK[layer][at] = v_NGK[span].transpose(0, 1)


def _order(segment: Segment) -> tuple[list[int], int]:
    """Who shares a path stands together; on it, rows stand as their tails do."""
    return [node.serial for node in segment.path], -1 if segment.tail is None else segment.tail.slot
