"""The element-wise steps of a decoder as autograd functions that save little and write where the result belongs.

Autograd's own chains keep every intermediate alive: RMSNorm four tensors the size of the activations, SwiGLU three,
rotary positions six. Here each step saves one tensor and recomputes the rest, its gradient is written once, and the
gradients of q, k and v land in the one buffer that the fused projection needs. On a CPU this is where the time beside
the matrix products goes. What this does not do: matrix products, attention, or the loss. Rejected: a compiled kernel
(torch.compile on CPU takes a C++ compiler and 39 s), and rotary positions on halves, as Hugging Face stores them: six
passes over runs of K/2 numbers, four times the time of one complex product on neighbours. `weights.py` reorders the
rows of q and k on the way in and out.

B batch, T tokens, D width, H query heads, G key/value heads, K head width, M MLP width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F


class _RMSNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        normal = _scaled(x, scale)
        ctx.save_for_backward(normal, weight_D, scale)
        return normal * weight_D

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (grad,) = grads
        normal, weight_D, scale = ctx.saved_tensors
        weighted = grad * normal
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = weighted.flatten(0, -2).sum(0, dtype=torch.float32).to(weight_D.dtype)
        # d/dx of w·x/rms(x): the part of the incoming gradient along x is taken out again.
        along = torch.matmul(weighted, weight_D.unsqueeze(-1)).float().div_(-normal.shape[-1])
        grad_x = grad * weight_D
        grad_x = grad_x.addcmul_(normal, along.to(grad_x.dtype)).mul_(scale.to(grad_x.dtype))
        return grad_x, grad_weight, None


def _scaled(x: Tensor, scale: Tensor) -> Tensor:
    return (x.float() * scale).to(x.dtype) if x.dtype != torch.float32 else x * scale


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x²) + eps) · weight over the last axis, the mean in float32 (Zhang & Sennrich 2019)."""
    if not torch.is_grad_enabled():
        return F.rms_norm(x, weight_D.shape, weight_D, eps)
    normed: Tensor = _RMSNorm.apply(x, weight_D, eps)  # type: ignore[no-untyped-call]
    return normed


class _SwiGLU(Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grad,) = grads
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        grad_gate_up = torch.empty_like(gate_up)
        grad_gate, grad_up = grad_gate_up.chunk(2, dim=-1)
        torch.mul(grad, F.silu(gate), out=grad_up)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=grad_gate)
        return grad_gate_up


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) · up, gate and up side by side on the last axis, 2M → M (Shazeer 2020)."""
    product: Tensor = _SwiGLU.apply(gate_up)  # type: ignore[no-untyped-call]
    return product


def rotate(x: Tensor, turn: Tensor, out: Tensor | None = None) -> Tensor:
    """Turn each pair (x_2i, x_2i+1) by its position's angle: a product of complex numbers (Su et al. 2021).

    `x` (…, heads, K); `turn` (…, 1, K/2) complex64, broadcast over heads. Returns a new tensor, or `out` filled.
    """
    if x.device.type == "mps":
        first, second = x.view(*x.shape[:-1], -1, 2).unbind(-1)
        cos, sin = turn.real, turn.imag
        turned = torch.stack([first * cos - second * sin, second * cos + first * sin], -1).flatten(-2).to(x.dtype)
        return turned if out is None else out.copy_(turned)
    if x.dtype != torch.float32:
        turned = rotate(x.float(), turn)
        return turned.to(x.dtype) if out is None else out.copy_(turned)
    if x.stride(-1) != 1 or any(stride % 2 for stride in x.stride()[:-1]):
        x = x.contiguous()
    turned = torch.empty(x.shape, dtype=x.dtype, device=x.device) if out is None else out
    torch.mul(_complex(x), turn, out=_complex(turned))
    return turned


def _complex(x: Tensor) -> Tensor:
    return torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))


class _Rotary(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, turn: Tensor) -> Tensor:
        ctx.save_for_backward(turn)
        return rotate(x, turn)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (turn,) = ctx.saved_tensors
        return rotate(grads[0], turn.conj().resolve_conj()), None


def rotary(x: Tensor, turn: Tensor) -> Tensor:
    """`rotate` with a gradient: the same turn backwards."""
    turned: Tensor = _Rotary.apply(x, turn)  # type: ignore[no-untyped-call]
    return turned


class _RotarySplit(Function):
    @staticmethod
    def forward(ctx: Any, qkv_BTJK: Tensor, turn: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(turn)
        groups = (qkv_BTJK.shape[2] - heads) // 2
        qk_BTJK = rotate(qkv_BTJK[:, :, : heads + groups], turn)
        # v is copied: a view of an input may not be returned beside fresh tensors, and the copy frees the rest of qkv.
        return qk_BTJK[:, :, :heads], qk_BTJK[:, :, heads:], qkv_BTJK[:, :, heads + groups :].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        q, k, v = grads
        (turn,) = ctx.saved_tensors
        heads, groups = q.shape[2], k.shape[2]
        grad = torch.empty((*q.shape[:2], heads + 2 * groups, q.shape[3]), dtype=q.dtype, device=q.device)
        back = turn.conj().resolve_conj()
        rotate(q, back, out=grad[:, :, :heads])
        rotate(k, back, out=grad[:, :, heads : heads + groups])
        grad[:, :, heads + groups :] = v
        return grad, None, None


def rotary_split(qkv_BTJK: Tensor, turn: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """q (B, T, H, K), k and v (B, T, G, K) out of the fused projection (J = H + 2G), q and k turned by position."""
    q, k, v = _RotarySplit.apply(qkv_BTJK, turn, heads)  # type: ignore[no-untyped-call]
    return q, k, v
