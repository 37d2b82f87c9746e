"""Attention inside documents: which keys a query sees, and the fastest way there on the device at hand.

A query sees itself and earlier tokens of its own document, at most `window` of them. What this does not do: project,
turn by position, or cache.

B batch, T queries, S keys, H query heads, G key/value heads, K head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Visible:
    """Which keys each query sees, prepared once per batch and shared by all layers."""

    causal: bool
    """Whether plain causal attention says it all; `mask` is None then."""
    mask: Tensor | None = None
    """(B or 1, 1, T, S), True where a query sees a key."""


def visible(tokens: int, documents_BT: Tensor | None, window: int | None, device: torch.device) -> Visible:
    """Prepare the attention of whole rows: causal, within documents, within the window."""
    if documents_BT is None and (window is None or window >= tokens):
        return Visible(causal=True)
    at_T = torch.arange(tokens, device=device)
    mask = at_T[:, None] >= at_T[None, :]
    if window is not None:
        mask &= at_T[:, None] - at_T[None, :] < window
    mask = mask[None]
    if documents_BT is not None:
        mask = mask & (documents_BT[:, :, None] == documents_BT[:, None, :])
    return Visible(causal=False, mask=mask[:, None])


def branching(branch_BT: Tensor, positions_BT: Tensor, window: int | None) -> Visible:
    """Rows that fork: branch 0 is the common beginning, every other branch sees it and itself, never another one."""
    columns_T = torch.arange(branch_BT.shape[1], device=branch_BT.device)
    mask_BTS = (columns_T[:, None] >= columns_T) & (
        (branch_BT[:, None, :] == 0) | (branch_BT[:, :, None] == branch_BT[:, None, :])
    )
    if window is not None:
        mask_BTS &= positions_BT[:, :, None] - positions_BT[:, None, :] < window
    # Padding, of branch 0 and behind everything, sees itself through the first condition.
    return Visible(causal=False, mask=mask_BTS[:, None])


def attend(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGK: Tensor, seen: Visible) -> Tensor:
    """softmax(q·k / √K) · v over the keys each query sees; every key/value head serves H / G query heads."""
    grouped = q_BTHK.shape[2] != k_BSGK.shape[2]
    out_BHTK = F.scaled_dot_product_attention(
        q_BTHK.transpose(1, 2),
        k_BSGK.transpose(1, 2),
        v_BSGK.transpose(1, 2),
        attn_mask=seen.mask,
        is_causal=seen.causal,
        enable_gqa=grouped,
    )
    return out_BHTK.transpose(1, 2)
