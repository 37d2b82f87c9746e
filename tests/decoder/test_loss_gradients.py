"""The chunked loss and the hand-written gradients against autograd's own on the plain formulas."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tandem.decoder import Decoder, Shape, kernels
from tandem.decoder.loss import cross_entropy, sum_cross_entropy


def draw(*size: int, seed: int = 0, grad: bool = True) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).requires_grad_(grad)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(2, 30), st.integers(1, 50), st.integers(0, 10**6), st.floats(0, 1))
def test_chunked_loss_and_its_gradients_equal_the_plain_ones(
    n: int, v: int, chunk: int, seed: int, kept: float
) -> None:
    x, head = draw(n, 8, seed=seed), draw(v, 8, seed=seed + 1)
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, v, (n,), generator=generator)
    target[torch.rand(n, generator=generator) > kept] = -100
    plain = F.cross_entropy(x @ head.T, target, ignore_index=-100, reduction="sum")
    expected = torch.autograd.grad(3 * plain, (x, head))
    ours = sum_cross_entropy(x, head, target, chunk)
    got = torch.autograd.grad(3 * ours, (x, head))
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    per_token = cross_entropy(x, head, target, chunk)
    torch.testing.assert_close(per_token.sum(), plain.detach(), rtol=1e-5, atol=1e-5)
    assert (per_token[target == -100] == 0).all()


def test_bfloat16_loss_is_summed_in_float32_and_close_to_the_float32_one() -> None:
    x, head = draw(300, 16, grad=False), draw(50, 16, seed=1, grad=False)
    target = torch.arange(300) % 50
    exact = sum_cross_entropy(x.bfloat16().float(), head.bfloat16().float(), target)
    low, low_head = x.bfloat16().requires_grad_(), head.bfloat16().requires_grad_()
    ours = sum_cross_entropy(low, low_head, target, 64)
    ours.backward()
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, exact, rtol=2e-3, atol=0)
    assert low.grad is not None and low.grad.dtype == torch.bfloat16
    assert low_head.grad is not None and low_head.grad.dtype == torch.bfloat16


def test_no_tensor_of_positions_times_vocabulary_is_made() -> None:
    shape = Shape(vocabulary=1000, layers=1, width=16, heads=2, kv_heads=2, head_width=8, mlp_width=16)
    model = Decoder(shape)
    ids = torch.zeros(4, 64, dtype=torch.long)
    with torch.profiler.profile(profile_memory=True, record_shapes=False) as profile:
        model.loss(ids, ids, chunk=32).backward()
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest < 4 * 64 * 1000 * 4 / 2


def test_rms_norm_gradients_are_right() -> None:
    x, weight = draw(3, 5, 8), draw(8, seed=1)
    y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * weight
    ours = kernels.rms_norm(x, weight, 1e-5)
    torch.testing.assert_close(ours, y)
    by = draw(3, 5, 8, seed=2, grad=False)
    torch.testing.assert_close(
        torch.autograd.grad((ours * by).sum(), (x, weight)), torch.autograd.grad((y * by).sum(), (x, weight))
    )


def test_swiglu_gradients_are_right() -> None:
    x = draw(7, 12)
    gate, up = x.chunk(2, -1)
    y = F.silu(gate) * up
    ours = kernels.swiglu(x)
    torch.testing.assert_close(ours, y)
    by = draw(7, 6, seed=2, grad=False)
    torch.testing.assert_close(torch.autograd.grad((ours * by).sum(), x), torch.autograd.grad((y * by).sum(), x))


@pytest.mark.parametrize("own", [False, True], ids=["the same positions", "each row its own"])
def test_rotary_split_gradients_are_right(own: bool) -> None:
    qkv = draw(2, 5, 4 + 2 * 2, 6)
    angles = draw(*((2, 5) if own else (5,)), 1, 3, seed=1, grad=False)
    cos, sin = angles.cos(), angles.sin()
    first, second = qkv[:, :, :6, 0::2], qkv[:, :, :6, 1::2]
    turned = torch.stack([first * cos - second * sin, second * cos + first * sin], -1).flatten(-2)
    ours = kernels.rotary_split(qkv, torch.complex(cos, sin), 4)
    torch.testing.assert_close(torch.cat(ours, 2), torch.cat([turned, qkv[:, :, 6:]], 2))
    by = draw(2, 5, 8, 6, seed=2, grad=False)
    torch.testing.assert_close(
        torch.autograd.grad((torch.cat(ours, 2) * by).sum(), qkv),
        torch.autograd.grad((torch.cat([turned, qkv[:, :, 6:]], 2) * by).sum(), qkv),
    )


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_the_decoders_gradients_equal_those_of_the_plain_loss_on_its_logits(tied: bool) -> None:
    shape = Shape(
        vocabulary=61, layers=2, width=24, heads=4, kv_heads=2, head_width=8, mlp_width=32, tied=tied, init_std=0.2
    )
    model = Decoder(shape)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 61, (2, 12), generator=generator)
    targets = torch.randint(0, 61, (2, 12), generator=generator)
    targets[0, 3:5] = -100
    documents = torch.tensor([[0] * 4 + [1] * 8, [0] * 12])
    plain = F.cross_entropy(model(ids, documents).flatten(0, 1), targets.flatten(), reduction="sum")
    expected = torch.autograd.grad(plain, list(model.parameters()))
    got = torch.autograd.grad(model.loss(ids, targets, documents, chunk=5), list(model.parameters()))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    model.recompute = True
    again = torch.autograd.grad(model.loss(ids, targets, documents, chunk=5), list(model.parameters()))
    torch.testing.assert_close(again, got)
