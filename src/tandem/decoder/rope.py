"""Rotary positions: the angle of every dimension at every position, plain or stretched.

Each rule gives the same frequencies as `transformers` does for the same config.json. What this does not do: turn
queries and keys (see `kernels.rotary`). Rejected: a table kept for the whole context from the start (an 8,192-token
table per layer is memory that a 256-token stage never reads): tables grow with what is asked.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tandem.decoder.shape import RopeScaling, Shape


def frequencies(shape: Shape, length: int) -> tuple[Tensor, float]:
    """Radians per position of each rotary pair (K/2, float32), and the factor on cos and sin.

    `length` is the longest sequence in sight; only `dynamic` scaling looks at it.
    """
    width, base, scaling = shape.head_width, shape.rope_base, shape.rope_scaling
    steps = torch.arange(0, width, 2, dtype=torch.float32) / width
    if scaling is None:
        return 1.0 / base**steps, 1.0
    if scaling.kind == "linear":
        return 1.0 / base**steps / scaling.factor, 1.0
    if scaling.kind == "dynamic":
        stretch = scaling.factor * max(length, scaling.original_context) / scaling.original_context
        return 1.0 / (base * (stretch - (scaling.factor - 1)) ** (width / (width - 2))) ** steps, 1.0
    if scaling.kind == "llama3":
        return _llama3(1.0 / base**steps, scaling), 1.0
    return _yarn(base, width, scaling)


def _llama3(plain: Tensor, scaling: RopeScaling) -> Tensor:
    """Llama 3.1: long waves stretched in full, short ones not at all, a linear blend in turns per context between."""
    turns = scaling.original_context * plain / (2 * math.pi)
    blend = ((turns - scaling.low_frequency) / (scaling.high_frequency - scaling.low_frequency)).clamp(0, 1)
    return (1 - blend) * plain / scaling.factor + blend * plain


def _yarn(base: float, width: int, scaling: RopeScaling) -> tuple[Tensor, float]:
    """YaRN (Peng et al. 2023, section 3.2), dimensions rounded outwards to whole ones, as everyone's code does."""

    def dimension(turns: float) -> float:
        return width * math.log(scaling.original_context / (turns * 2 * math.pi)) / (2 * math.log(base))

    low = max(math.floor(dimension(scaling.beta_fast)), 0)
    high = min(math.ceil(dimension(scaling.beta_slow)), width - 1)
    span = high - low or 0.001
    stretched = ((torch.arange(width // 2, dtype=torch.float32) - low) / span).clamp(0, 1)
    plain = 1.0 / base ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    factor = scaling.attention_factor
    if factor is None:
        factor = 0.1 * math.log(scaling.factor) + 1.0
    return plain / scaling.factor * stretched + plain * (1 - stretched), factor


class Rope:
    """The turns of a shape, computed once per device and length and shared by all layers."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._tables: dict[tuple[str, int], Tensor] = {}

    def table(self, length: int, device: torch.device) -> Tensor:
        """cos + i sin of positions 0 … length - 1, (length, K/2) complex64; the angles in float32."""
        scaling = self.shape.rope_scaling
        dynamic = scaling is not None and scaling.kind == "dynamic" and length > scaling.original_context
        # Room for the next lengths: generation asks for one more position each time.
        rows = length if dynamic else max(64, 1 << (length - 1).bit_length())
        key = (str(device), rows)
        if key not in self._tables:
            if dynamic:
                self._tables.clear()
            # A table first asked for while generating must also serve training, which refuses inference tensors.
            with torch.inference_mode(False), torch.no_grad():
                radians, factor = frequencies(self.shape, length)
                angles = torch.outer(torch.arange(rows, dtype=torch.float32), radians)
                self._tables[key] = torch.complex(angles.cos() * factor, angles.sin() * factor).to(device)
        return self._tables[key][:length]
