"""What a token can see: proved by changing what it must not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.decoder import Decoder, Shape
from tandem.decoder.attention import attend, visible

SMALL = {"vocabulary": 89, "layers": 2, "width": 32, "heads": 4, "head_width": 8, "mlp_width": 48, "context": 128}
SHAPES = {
    "plain": Shape(**SMALL, kv_heads=4, init_std=0.2),
    "grouped": Shape(**SMALL, kv_heads=2, init_std=0.2),
    "narrow window": Shape(**SMALL, kv_heads=2, init_std=0.2, window=5),
    "wide window": Shape(**SMALL, kv_heads=2, init_std=0.2, window=40),
    "parallel, gelu, layer norm": Shape(
        **SMALL, kv_heads=2, init_std=0.2, parallel=True, activation="gelu", norm="layer"
    ),
}
CPU = torch.device("cpu")
lengths = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def ids(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 89, (rows, length), generator=torch.Generator().manual_seed(seed))


def numbered(sizes: list[int]) -> torch.Tensor:
    return torch.cat([torch.full((size,), i, dtype=torch.int32) for i, size in enumerate(sizes)])[None]


@pytest.mark.parametrize("name", SHAPES)
def test_a_document_in_a_pack_has_the_logits_it_has_alone(name: str) -> None:
    model = Decoder(SHAPES[name])
    sizes = [3, 17, 1, 30, 9]
    row = ids(1, 60)
    with torch.no_grad():
        packed = model(row, numbered(sizes))
        at = 0
        for size in sizes:
            alone = model(row[:, at : at + size])
            torch.testing.assert_close(packed[:, at : at + size], alone, rtol=1e-5, atol=1e-5)
            at += size


@pytest.mark.parametrize("name", SHAPES)
def test_changing_a_token_of_one_document_leaves_every_other_document_bit_identical(name: str) -> None:
    model = Decoder(SHAPES[name])
    row, documents = ids(2, 60), numbered([20, 5, 35]).expand(2, -1)
    changed = row.clone()
    changed[0, 22] = (changed[0, 22] + 1) % 89
    with torch.no_grad():
        before, after = model(row, documents), model(changed, documents)
    assert torch.equal(before[1], after[1])
    assert torch.equal(before[0, :22], after[0, :22])
    assert torch.equal(before[0, 25:], after[0, 25:])
    assert not torch.allclose(before[0, 22:25], after[0, 22:25])


@pytest.mark.parametrize("name", SHAPES)
def test_changing_a_token_leaves_what_stands_before_it_bit_identical(name: str) -> None:
    model = Decoder(SHAPES[name])
    row = ids(1, 60)
    changed = row.clone()
    changed[0, 31] = (changed[0, 31] + 1) % 89
    with torch.no_grad():
        before, after = model(row), model(changed)
    assert torch.equal(before[0, :31], after[0, :31])
    assert not torch.allclose(before[0, 31:36], after[0, 31:36])


def test_a_window_hides_what_lies_further_back_in_a_single_layer() -> None:
    model = Decoder(Shape(**{**SMALL, "layers": 1}, kv_heads=2, init_std=0.2, window=5))
    row = ids(1, 30)
    changed = row.clone()
    changed[0, 10] = (changed[0, 10] + 1) % 89
    with torch.no_grad():
        same = (model(row) == model(changed)).all(-1)[0]
    assert same[:10].all() and same[15:].all() and not same[10:15].any()


@settings(max_examples=25, deadline=None)
@given(st.lists(lengths, min_size=1, max_size=3), st.sampled_from([1, 2, 4]), st.integers(0, 99))
def test_gathering_documents_by_length_gives_the_attention_of_a_mask_and_its_gradients(
    rows: list[list[int]], groups: int, seed: int
) -> None:
    longest = max(map(sum, rows))
    documents = torch.cat([numbered([*sizes, longest - sum(sizes) + 1]) for sizes in rows])
    b, t = documents.shape
    generator = torch.Generator().manual_seed(seed)
    q, k, v, by = (
        torch.randn(b, t, heads, 8, generator=generator).requires_grad_() for heads in (4, groups, groups, 4)
    )
    at = torch.arange(t)
    mask = (documents[:, None, :, None] == documents[:, None, None, :]) & (at[:, None] >= at)
    k4, v4 = k.repeat_interleave(4 // groups, 2), v.repeat_interleave(4 // groups, 2)
    scores = torch.einsum("bthk,bshk->bhts", q, k4) / 8**0.5
    plain = torch.einsum("bhts,bshk->bthk", scores.masked_fill(~mask, -torch.inf).softmax(-1), v4)
    ours = attend(q, k, v, visible(t, documents, None, CPU, torch.float32))
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        torch.autograd.grad((ours * by).sum(), (q, k, v)),
        torch.autograd.grad((plain * by).sum(), (q, k, v)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_losses_are_the_loss_token_by_token_and_zero_where_nothing_is_asked() -> None:
    model = Decoder(SHAPES["grouped"])
    row, targets, documents = ids(2, 50), ids(2, 50, seed=1), numbered([20, 30]).expand(2, -1)
    targets[:, 19] = -100
    losses = model.losses(row, targets, documents)
    assert losses.shape == (2, 50) and losses.dtype == torch.float32
    assert (losses[:, 19] == 0).all() and (losses[:, :19] > 0).all()
    torch.testing.assert_close(losses.sum(), model.loss(row, targets, documents).detach())


def test_mixed_precision_keeps_float32_weights_and_gradients_near_those_of_float32() -> None:
    model = Decoder(SHAPES["grouped"])
    row, targets, documents = ids(4, 64), ids(4, 64, seed=1), numbered([20, 44]).expand(4, -1)
    exact = model.loss(row, targets, documents)
    exact.backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    model.compute = torch.bfloat16
    mixed = model.loss(row, targets, documents)
    mixed.backward()
    torch.testing.assert_close(mixed, exact, rtol=1e-2, atol=0)
    assert model(row).dtype == torch.float32
    for name, weight in model.named_parameters():
        assert weight.dtype == torch.float32 and weight.grad is not None and weight.grad.dtype == torch.float32
        difference = (weight.grad - gradients[name]).norm() / gradients[name].norm()
        assert difference < 0.1, name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("window", [None, 20])
def test_packed_attention_on_cuda_equals_the_cpus(dtype: torch.dtype, window: int | None) -> None:
    model = Decoder(Shape(**SMALL, kv_heads=2, init_std=0.1, window=window))
    row, targets, documents = ids(4, 64), ids(4, 64, seed=1), numbered([20, 44]).expand(4, -1)
    cpu = model.loss(row, targets, documents)
    cpu.backward()
    expected = model.blocks[0].attention.qkv.weight.grad.clone()
    model.zero_grad()
    model.to("cuda").compute = dtype
    cuda = model.loss(row.cuda(), targets.cuda(), documents.cuda())
    cuda.backward()
    loose = dtype == torch.bfloat16
    torch.testing.assert_close(cuda.cpu(), cpu, rtol=2e-2 if loose else 1e-5, atol=0)
    got = model.blocks[0].attention.qkv.weight.grad.cpu()
    assert (got - expected).norm() / expected.norm() < (0.1 if loose else 1e-4)
