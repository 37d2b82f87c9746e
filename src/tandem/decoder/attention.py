"""Attention inside documents: which keys a query sees, and the fastest way there on the device at hand.

A query sees itself and earlier tokens of its own document, at most `window` of them. Several ways to the same numbers:

- one document per row: causal attention, nothing to mask;
- several, on a CPU: the documents are gathered into causal batches of similar length, so that a row of eight short
  documents costs an eighth of a long one's square instead of all of it with most of it masked;
- several, on CUDA in half precision: torch's variable-length attention over the packed documents;
- a trunk and branches behind it (`branches`), on a CPU: each part over the keys it sees;
- otherwise (windows on a CPU, MPS, float32 on CUDA): a mask.

What this does not do: project, turn by position, or cache. Rejected: masks everywhere (the same time as attending
across documents, and a float copy of the mask per layer), and a hand-made softmax instead of torch's flash kernel on
the CPU (its batched products with 32 columns reach half the speed of large ones).

B batch, T queries, S keys, H query heads, G key/value heads, K head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F


@dataclass(frozen=True)
class Visible:
    """Which keys each query sees, prepared once per batch and shared by all layers."""

    causal: bool
    """Whether plain causal attention says it all."""
    mask: Tensor | None = None
    """(B or 1, 1, T, S), True where a query sees a key."""
    buckets: tuple[Bucket, ...] = ()
    """Documents gathered by length, for a CPU."""
    slots: Tensor | None = None
    """With `buckets`: where each token of the batch stands among their slots, taken together."""
    bounds: Tensor | None = None
    """Where each document begins in the batch laid end to end, and the end: for variable-length attention."""
    window: int | None = None
    """With `bounds`: the sliding window."""
    parts: tuple[tuple[Part, ...], ...] = ()
    """Of each row: runs of queries that see a trunk and themselves."""


class Memory(Protocol):
    """Keys and values of what was read before, and where new ones go."""

    def attend(self, layer: int, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor) -> Tensor:
        """Keep a layer's new keys and values; attention over all that each query sees, (B, T, H, K)."""
        ...

    def advance(self, tokens: int) -> None:
        """Every layer has kept that many new columns."""
        ...


@dataclass(frozen=True)
class Part:
    """A run of queries that see the first tokens of their row, and themselves causally."""

    start: int
    """Its first token."""
    end: int
    """One past its last."""
    trunk: int
    """Tokens at the row's beginning that it sees; 0 for the beginning itself."""
    mask: Tensor | None = None
    """With a trunk: (T, trunk + T), True where a query sees a key."""

    @classmethod
    def of(cls, start: int, end: int, trunk: int) -> Part:
        """The part with its mask."""
        size = end - start
        mask = torch.ones(size, trunk + size, dtype=torch.bool).tril(trunk) if trunk else None
        return cls(start, end, trunk, mask)


@dataclass(frozen=True)
class Bucket:
    """Documents of similar length, padded at their ends to the same one."""

    length: int
    """Slots per document."""
    tokens: Tensor = field(repr=False)
    """The token in each slot; padding repeats the document's last."""


def visible(
    tokens: int, documents_BT: Tensor | None, window: int | None, device: torch.device, dtype: torch.dtype
) -> Visible:
    """Prepare the attention of whole rows: causal, within documents, within the window."""
    if window is not None and window >= tokens:
        window = None
    if documents_BT is None and window is None:
        return Visible(causal=True)
    if documents_BT is not None and device.type == "cuda" and dtype != torch.float32:
        return Visible(causal=False, bounds=_bounds(documents_BT), window=window)
    if documents_BT is not None and device.type == "cpu":
        lengths = torch.diff(_bounds(documents_BT)).numpy()
        longest = int(lengths.max())
        if longest == tokens == int(lengths.min()) and window is None:
            return Visible(causal=True)
        if window is None or window >= longest:
            return _bucketed(lengths)
    at_T = torch.arange(tokens, device=device)
    mask = at_T[:, None] >= at_T[None, :]
    if window is not None:
        mask &= at_T[:, None] - at_T[None, :] < window
    mask = mask[None]
    if documents_BT is not None:
        mask = mask & (documents_BT[:, :, None] == documents_BT[:, None, :])
    return Visible(causal=False, mask=mask[:, None])


def attend(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGK: Tensor, seen: Visible) -> Tensor:
    """softmax(q·k / √K) · v over the keys each query sees; every key/value head serves H / G query heads."""
    if seen.slots is not None:
        return _attend_bucketed(q_BTHK, k_BSGK, v_BSGK, seen.buckets, seen.slots)
    if seen.parts:
        return _attend_parts(q_BTHK, k_BSGK, v_BSGK, seen.parts)
    if seen.bounds is not None:
        return _attend_packed(q_BTHK, k_BSGK, v_BSGK, seen.bounds, seen.window)
    return _attend(q_BTHK, k_BSGK, v_BSGK, seen.mask, seen.causal)


def _attend(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGK: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    out_BHTK = F.scaled_dot_product_attention(
        q_BTHK.transpose(1, 2),
        k_BSGK.transpose(1, 2),
        v_BSGK.transpose(1, 2),
        attn_mask=mask,
        is_causal=causal,
        enable_gqa=q_BTHK.shape[2] != k_BSGK.shape[2],
    )
    return out_BHTK.transpose(1, 2)


def _attend_parts(q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, parts: tuple[tuple[Part, ...], ...]) -> Tensor:
    rows = []
    for b, row in enumerate(parts):
        outs = []
        for part in row:
            q, k, v = (x[b : b + 1, part.start : part.end] for x in (q_BTHK, k_BTGK, v_BTGK))
            if part.trunk:
                k, v = (torch.cat([x[b : b + 1, : part.trunk], own], 1) for x, own in ((k_BTGK, k), (v_BTGK, v)))
            outs.append(_attend(q, k, v, part.mask, causal=part.mask is None))
        rows.append(torch.cat(outs, 1))
    return torch.cat(rows)


# ── in parts: for keys that lie in several places ───────────────────────────────────────────────────────────────────


def attend_part(
    q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, *, bias: Tensor | None = None, causal: bool = False
) -> tuple[Tensor, Tensor]:
    """Attention over some of the keys: (B, H, T, K) and the log-sum-exp of its scores (B, H, T, float32).

    `bias` (B or 1, 1, T, S), in q's dtype, is added to the scores: -inf where a query does not see a key. A query that
    sees none has a log-sum-exp without meaning. `merge_parts` makes a whole.
    """
    if q_BHTK.device.type == "cpu":
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out_BHTK, lse_BHT = flash(q_BHTK, k_BGSK, v_BGSK, 0.0, causal, attn_mask=bias)
        return out_BHTK, lse_BHT
    heads, groups = q_BHTK.shape[1], k_BGSK.shape[1]
    if heads != groups:
        k_BGSK, v_BGSK = (x.repeat_interleave(heads // groups, dim=1) for x in (k_BGSK, v_BGSK))
    scores_BHTS = (q_BHTK @ k_BGSK.transpose(-1, -2)).float() * q_BHTK.shape[-1] ** -0.5
    if causal:
        queries, keys = scores_BHTS.shape[-2:]
        seen_TS = torch.ones(queries, keys, dtype=torch.bool, device=q_BHTK.device).tril()
        scores_BHTS = scores_BHTS.masked_fill(~seen_TS, -torch.inf)
    if bias is not None:
        scores_BHTS = scores_BHTS + bias
    lse_BHT = scores_BHTS.logsumexp(-1)
    return (scores_BHTS - lse_BHT[..., None]).exp().to(q_BHTK.dtype) @ v_BGSK, lse_BHT


def merge_parts(parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Parts (N, H, K) and their log-sum-exp (N, H; -inf where a part saw nothing) as one attention, in float32."""
    shares = torch.softmax(torch.stack([lse_NH for _, lse_NH in parts]), dim=0)
    whole_NHK = parts[0][0].float() * shares[0][..., None]
    for (out_NHK, _), share_NH in zip(parts[1:], shares[1:], strict=True):
        whole_NHK.addcmul_(out_NHK.float(), share_NH[..., None])
    return whole_NHK.to(parts[0][0].dtype)


def _bounds(documents_BT: Tensor) -> Tensor:
    """First token of every document in the batch laid end to end, and the end (int32); rows never share a document."""
    first_BT = torch.ones_like(documents_BT, dtype=torch.bool)
    first_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    starts = first_BT.flatten().nonzero().squeeze(1)
    return F.pad(starts, (0, 1), value=documents_BT.numel()).int()


# ── CUDA: documents end to end ──────────────────────────────────────────────────────────────────────────────────────


def _attend_packed(q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, bounds: Tensor, window: int | None) -> Tensor:
    # Imported here: it brings torch's compiler along, 1.4 s that no other path needs.
    from torch.nn.attention.varlen import varlen_attn

    tokens = q_BTHK.shape[1]
    out_NHK: Any = varlen_attn(
        q_BTHK.flatten(0, 1),
        k_BTGK.flatten(0, 1),
        v_BTGK.flatten(0, 1),
        bounds,
        bounds,
        tokens,
        tokens,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=q_BTHK.shape[2] != k_BTGK.shape[2],
    )
    packed: Tensor = out_NHK
    return packed.view(q_BTHK.shape)


# ── CPU: documents by length ────────────────────────────────────────────────────────────────────────────────────────


def _bucketed(lengths: np.ndarray[Any, np.dtype[np.int32]]) -> Visible:
    """Sort the documents into buckets and say which token stands in which slot."""
    starts = np.cumsum(lengths) - lengths
    rounded = _rounded(lengths)
    slots = np.empty(int(lengths.sum()), dtype=np.int64)
    buckets: list[Bucket] = []
    filled = 0
    for length in np.unique(rounded):
        mine = rounded == length
        within = np.minimum(np.arange(length), lengths[mine, None] - 1)
        tokens = starts[mine, None] + within
        real = np.arange(length) < lengths[mine, None]
        slots[tokens[real]] = filled + np.flatnonzero(real)
        buckets.append(Bucket(int(length), torch.from_numpy(tokens.reshape(-1))))
        filled += tokens.size
    return Visible(causal=True, buckets=tuple(buckets), slots=torch.from_numpy(slots))


def _rounded(lengths: np.ndarray[Any, np.dtype[np.int32]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Lengths rounded up to 2ⁿ or 1.5 · 2ⁿ, at least 16: few batches, at most half again as many slots as tokens."""
    power = 1 << np.ceil(np.log2(np.maximum(lengths, 16))).astype(np.int64)
    rounded: np.ndarray[Any, np.dtype[np.int64]] = np.where(lengths <= power * 3 // 4, power * 3 // 4, power)
    return rounded


class _Gather(Function):
    """Tokens into slots; the gradient of a token is that of its own slot, padding has none."""

    @staticmethod
    def forward(ctx: Any, x_NJ: Tensor, tokens: Tensor, slots_N: Tensor) -> Tensor:
        ctx.save_for_backward(slots_N)
        return x_NJ.index_select(0, tokens)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (slots_N,) = ctx.saved_tensors
        return grads[0].index_select(0, slots_N), None, None


class _Scatter(Function):
    """Slots back to tokens; the gradient in padding is zero, so that it reaches no key."""

    @staticmethod
    def forward(ctx: Any, x_SJ: Tensor, slots_N: Tensor) -> Tensor:
        ctx.save_for_backward(slots_N)
        ctx.slots = len(x_SJ)
        return x_SJ.index_select(0, slots_N)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (slots_N,) = ctx.saved_tensors
        (grad,) = grads
        return grad.new_zeros(ctx.slots, *grad.shape[1:]).index_copy_(0, slots_N, grad), None


def _attend_bucketed(
    q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, buckets: tuple[Bucket, ...], slots_N: Tensor
) -> Tensor:
    tokens = torch.cat([bucket.tokens for bucket in buckets]) if len(buckets) > 1 else buckets[0].tokens
    sizes = [len(bucket.tokens) for bucket in buckets]
    gathered: list[tuple[Tensor, ...]] = []
    for x in (q_BTHK, k_BTGK, v_BTGK):
        slots: Tensor = _Gather.apply(x.flatten(0, 1), tokens, slots_N)  # type: ignore[no-untyped-call]
        gathered.append(torch.split(slots, sizes))
    outs: list[Tensor] = []
    for bucket, q, k, v in zip(buckets, *gathered, strict=True):
        rows = (-1, bucket.length)
        out = _attend(q.unflatten(0, rows), k.unflatten(0, rows), v.unflatten(0, rows), None, causal=True)
        outs.append(out.flatten(0, 1))
    out_NHK: Tensor = _Scatter.apply(torch.cat(outs), slots_N)  # type: ignore[no-untyped-call]
    return out_NHK.view(q_BTHK.shape)
