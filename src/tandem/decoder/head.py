"""The output head for serving: float32 logits of states, from a weight arranged once.

On a CPU a bfloat16 weight is kept a second time in float32, in oneDNN's own layout, a part of the vocabulary after the
other so that no plain float32 copy of the whole stands beside it. A float32 weight is used as it is: its arranged copy
would save 3 ms for 64 rows (49,152 × 576) and double its memory. What this does not do: gradients (`Decoder.logits`).

R rows, V vocabulary, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tandem.decoder import products
from tandem.decoder.model import Decoder

_PART = 1 << 13
"""Rows of the vocabulary arranged at a time."""


class Head:
    """Logits of one model."""

    def __init__(self, model: Decoder) -> None:
        self._model = model
        self._parts: list[Tensor] = []
        if model.device.type == "cpu" and model.head.dtype != torch.float32:
            # One plain copy that all parts take in turn: malloc would not put the next into the hole of the last.
            plain_PD = torch.empty(min(_PART, len(model.head)), model.head.shape[1])
            for part in torch.split(model.head.detach(), _PART):
                arranged = products.packed(plain_PD[: len(part)].copy_(part))
                if arranged is not None:
                    self._parts.append(arranged)

    def __call__(self, x_RD: Tensor) -> Tensor:
        """Float32 logits (R, V) of states after the final norm; R is small."""
        if self._parts:
            x_RD = x_RD.float()
            return torch.cat([products.linear_packed(x_RD, part) for part in self._parts], -1)
        if self._model.device.type == "cpu":
            return products.product(x_RD.float(), self._model.head.float())
        return self._model.logits(x_RD)
