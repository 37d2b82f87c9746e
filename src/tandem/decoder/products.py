"""Matrix products with a weight, by the faster of the two libraries that torch carries on a CPU.

In float32 torch calls MKL, which on AMD processors runs 10 to 20 % behind the oneDNN kernels in the same torch (105
against 90 GFLOP/s per core, Zen 4, measured over the shapes of a 2-15 M model). oneDNN is reached by an operator that
is not public, so everything falls back to `F.linear` where it is missing, and on every other device and dtype. The
weight's gradient stays with MKL: oneDNN wants both factors transposed in memory, which costs what it gains. A call of
oneDNN costs some 20 µs more, so a few rows go there only with a large weight, such as an output head (8 rows with
49,152 × 576: 17 ms there, 29 in MKL). What this does not do: products in half precision, which torch hands to oneDNN
itself.

N rows, I inputs, O outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

_FEWEST_ROWS = 64
_LARGE_WEIGHT = 1 << 20

_ONEDNN: Any = None
if torch._C._has_mkldnn and torch.backends.cpu.get_cpu_capability().startswith("AVX"):
    _ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def product(x_NI: Tensor, weight_OI: Tensor) -> Tensor:
    """x · weightᵀ (N, O), no gradient of its own. Either factor may be a transposed view."""
    if _onednn_wins(x_NI, weight_OI):
        y_NO: Tensor = _ONEDNN(x_NI, weight_OI, None, "none", [], "")
        return y_NO
    return x_NI @ weight_OI.T


def packed(weight_OI: Tensor) -> Tensor | None:
    """A copy of a weight in oneDNN's own layout, for `linear_packed` alone; None where there is no such thing.

    A product with few rows then takes two thirds of the time, since the weight is no longer rearranged on the way.
    """
    if _ONEDNN is None or weight_OI.device.type != "cpu" or weight_OI.dtype not in (torch.float32, torch.bfloat16):
        return None
    arranged: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_OI.contiguous(), _FEWEST_ROWS)
    return arranged


def linear_packed(x: Tensor, arranged: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x · weightᵀ + bias over the last axis with a `packed` weight of x's dtype; no gradients."""
    y: Tensor = _ONEDNN(x.reshape(-1, x.shape[-1]), arranged, bias_O, "none", [], "")
    return y.view(*x.shape[:-1], -1)


def _onednn_wins(x_NI: Tensor, weight_OI: Tensor) -> bool:
    return (
        _ONEDNN is not None
        and x_NI.dtype == torch.float32
        and x_NI.device.type == "cpu"
        and (x_NI.shape[0] >= _FEWEST_ROWS or weight_OI.numel() >= _LARGE_WEIGHT)
    )


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, weight_OI: Tensor) -> Tensor:
        ctx.save_for_backward(x_NI, weight_OI)
        return product(x_NI, weight_OI)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (grad_NO,) = grads
        x_NI, weight_OI = ctx.saved_tensors
        wants_x, wants_weight = ctx.needs_input_grad
        grad_x = product(grad_NO.contiguous(), weight_OI.T) if wants_x else None
        return grad_x, grad_NO.T @ x_NI if wants_weight else None


def linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x · weightᵀ + bias over the last axis, with gradients. The weight follows x's dtype."""
    weight_OI = weight_OI.to(x.dtype)
    bias_O = None if bias_O is None else bias_O.to(x.dtype)
    x_NI = x.reshape(x.numel() // x.shape[-1], -1)
    if not _onednn_wins(x_NI, weight_OI):
        return F.linear(x, weight_OI, bias_O)
    y: Tensor
    if torch.is_grad_enabled():
        y = _Linear.apply(x_NI, weight_OI)  # type: ignore[no-untyped-call]
    else:
        y = product(x_NI, weight_OI)
    y = y.view(*x.shape[:-1], -1)
    return y if bias_O is None else y + bias_O
