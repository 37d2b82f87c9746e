"""Keys and values of what was read already, so that the next token costs one position.

Rows of unequal length stand flush right: row b's first token is in column `starts_B[b]`. What this does not do: share
prefixes between rows (the serving engine's job) or slide: a window is a mask here, not a ring.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tandem.decoder.attention import Visible
from tandem.decoder.shape import Shape


class Cache:
    """Room for `room` columns of keys and values per layer, filled from the left, in one allocation each."""

    def __init__(
        self, shape: Shape, rows: int, room: int, *, dtype: torch.dtype, device: torch.device, starts: list[int]
    ) -> None:
        sizes = (shape.layers, rows, room, shape.kv_heads, shape.head_width)
        self.keys_LBSGK = torch.empty(sizes, dtype=dtype, device=device)
        self.values_LBSGK = torch.empty(sizes, dtype=dtype, device=device)
        self.starts = starts
        self.starts_B = torch.tensor(starts, device=device)
        self.window = shape.window
        self.length = 0

    def positions(self, tokens: int) -> Tensor:
        """Position in its own text of each of the next `tokens` columns (B, T); 0 in the padding before it."""
        columns_T = torch.arange(self.length, self.length + tokens, device=self.starts_B.device)
        return (columns_T - self.starts_B[:, None]).clamp_(min=0)

    def append(self, layer: int, k_BTGK: Tensor, v_BTGK: Tensor) -> tuple[Tensor, Tensor]:
        """Store the next columns of a layer; all keys and all values up to and with them. `advance` moves on."""
        end = self.length + k_BTGK.shape[1]
        assert end <= self.keys_LBSGK.shape[2], "the cache was made too small"
        self.keys_LBSGK[layer, :, self.length : end] = k_BTGK
        self.values_LBSGK[layer, :, self.length : end] = v_BTGK
        return self.keys_LBSGK[layer, :, :end], self.values_LBSGK[layer, :, :end]

    def advance(self, tokens: int) -> None:
        """Count the columns every layer has stored."""
        self.length += tokens

    def reach(self, tokens: int) -> int:
        """Length of the longest row's text once the next `tokens` columns are there."""
        return self.length + tokens - min(self.starts)

    def select(self, rows: list[int]) -> None:
        """Keep only these rows: finished ones stop costing."""
        at = torch.tensor(rows, device=self.starts_B.device)
        self.keys_LBSGK, self.values_LBSGK = self.keys_LBSGK[:, at], self.values_LBSGK[:, at]
        self.starts = [self.starts[row] for row in rows]
        self.starts_B = self.starts_B[at]

    def visible(self, tokens: int) -> Visible:
        """What the next `tokens` columns see: themselves and what is stored, not the padding."""
        end = self.length + tokens
        narrow = self.window is not None and self.window < end
        if not any(self.starts) and not narrow and (self.length == 0 or tokens == 1):
            return Visible(causal=tokens > 1)
        device = self.starts_B.device
        query_T1 = torch.arange(self.length, end, device=device)[:, None]
        key_S = torch.arange(end, device=device)
        mask_TS = key_S <= query_T1
        if narrow:
            assert self.window is not None
            mask_TS &= query_T1 - key_S < self.window
        # Padding sees itself, so that no softmax is over nothing; nobody reads what comes out of it.
        mask_BTS = (mask_TS & (key_S >= self.starts_B[:, None, None])) | (key_S == query_T1)
        return Visible(causal=False, mask=mask_BTS[:, None])
