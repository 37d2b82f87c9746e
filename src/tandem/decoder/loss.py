"""Cross-entropy over the vocabulary without ever holding the logits of a whole batch.

For each chunk of positions: logits, float32 log-softmax, loss, and at once the gradients with respect to the hidden
states and the head's weight. A full (B·T, V) table of logits and its gradient would be the largest tensors of a
training step (8,192 × 51,200 in float32: 1.7 GB, twice). Positions whose target is `IGNORED` are left out before the
first product, so instruction tuning pays only for its answers. What this does not do: average; the caller divides the
sum by the number of targets, across micro-batches and devices. Rejected: recomputing the logits in the backward pass
(checkpointing), a third product with the head for nothing.

C positions of a chunk, N positions with a target, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from tandem.decoder.products import product

IGNORED = -100
"""The target that is none."""

_CHUNK_BYTES = 8 * 2**20
"""Logits of a chunk on a CPU: what stays in the cache between the product, the softmax and the two gradients."""
_CHUNK_BYTES_ACCELERATOR = 512 * 2**20
"""Logits of a chunk on an accelerator: large enough to fill it."""


def chunk_size(vocabulary: int, device: torch.device) -> int:
    """Positions per chunk for which the float32 logits take a fixed number of bytes."""
    room = _CHUNK_BYTES if device.type == "cpu" else _CHUNK_BYTES_ACCELERATOR
    return max(64, room // (4 * vocabulary))


def logits_of(x_ND: Tensor, head_VD: Tensor) -> Tensor:
    """Float32 logits (N, V) without a gradient; never rounded to half precision, where one top-2 pair in 25 ties."""
    if x_ND.device.type == "cuda" and x_ND.dtype != torch.float32:
        return torch.mm(x_ND, head_VD.to(x_ND.dtype).T, out_dtype=torch.float32)
    return product(x_ND.float(), head_VD.float())


class _SumCrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, head_VD: Tensor, target_N: Tensor, chunk: int) -> Tensor:
        wants_x, wants_head = ctx.needs_input_grad[:2]
        ctx.head_dtype = head_VD.dtype
        total = torch.zeros((), dtype=torch.float32, device=x_ND.device)
        grad_x = torch.empty_like(x_ND) if wants_x else None
        grad_head = torch.zeros(head_VD.shape, dtype=torch.float32, device=x_ND.device) if wants_head else None
        # Converted once, not per chunk: for logits exact on a CPU, for the gradients in x's dtype.
        low_VD = head_VD.to(x_ND.dtype)
        head_VD = low_VD if x_ND.device.type == "cuda" else head_VD.float()
        for start in range(0, x_ND.shape[0], chunk):
            x_CD, target_C1 = x_ND[start : start + chunk], target_N[start : start + chunk, None]
            logprob_CV = torch.log_softmax(logits_of(x_CD, head_VD), dim=-1)
            total -= logprob_CV.gather(1, target_C1).sum()
            if not (wants_x or wants_head):
                continue
            # d loss / d logits = softmax - one-hot of the target.
            slope_CV = logprob_CV.exp_()
            slope_CV.scatter_add_(1, target_C1, slope_CV.new_full(target_C1.shape, -1.0))
            slope_CV = slope_CV.to(x_ND.dtype)
            if grad_x is not None:
                grad_x[start : start + chunk] = product(slope_CV, low_VD.T)
            if grad_head is not None:
                if x_ND.dtype == torch.float32:
                    grad_head.addmm_(slope_CV.T, x_CD)
                else:
                    grad_head += slope_CV.T @ x_CD
        ctx.grad_x, ctx.grad_head = grad_x, grad_head
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (grad,) = grads
        assert ctx.grad_x is not None or ctx.grad_head is not None, "the loss is differentiated once"
        grad_x, grad_head = ctx.grad_x, ctx.grad_head
        ctx.grad_x = ctx.grad_head = None
        if grad_x is not None:
            grad_x.mul_(grad.to(grad_x.dtype))
        if grad_head is not None:
            grad_head = grad_head.mul_(grad).to(ctx.head_dtype)
        return grad_x, grad_head, None, None


def sum_cross_entropy(x_ND: Tensor, head_VD: Tensor, target_N: Tensor, chunk: int | None = None) -> Tensor:
    """Sum of -ln p(target) over the positions that have one, in nats: a float32 scalar with gradients.

    `x_ND` hidden states after the final norm, `head_VD` the output head, `target_N` ids or `IGNORED`.
    """
    keep_N = (target_N != IGNORED).nonzero().squeeze(1)
    target_N = target_N.long()
    if keep_N.numel() < target_N.numel():
        x_ND, target_N = x_ND.index_select(0, keep_N), target_N.index_select(0, keep_N)
    chunk = chunk or chunk_size(len(head_VD), x_ND.device)
    total: Tensor = _SumCrossEntropy.apply(x_ND, head_VD, target_N, chunk)  # type: ignore[no-untyped-call]
    return total


@torch.no_grad()
def cross_entropy(x_ND: Tensor, head_VD: Tensor, target_N: Tensor, chunk: int | None = None) -> Tensor:
    """-ln p(target) of every position in nats (N, float32), 0 where the target is `IGNORED`; no gradients."""
    chunk = chunk or chunk_size(len(head_VD), x_ND.device)
    loss_N = torch.zeros(len(target_N), dtype=torch.float32, device=x_ND.device)
    keep_N = (target_N != IGNORED).nonzero().squeeze(1)
    for picked_C in torch.split(keep_N, chunk):
        logprob_CV = torch.log_softmax(logits_of(x_ND[picked_C], head_VD), dim=-1)
        loss_N[picked_C] = -logprob_CV.gather(1, target_N[picked_C, None].long()).squeeze(1)
    return loss_N
