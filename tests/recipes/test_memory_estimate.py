from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tandem.decoder.model import Decoder
from tandem.decoder.shape import Shape
from tandem.recipes import memory
from tandem.recipes.memory import Memory, Parallel

XGEN = Shape(51_200, 32, 4096, 32, 32, 128, 11_008, 8192)
GB = 1e9


def estimate(
    parallel: Parallel = "ddp", data: int = 1, tensor: int = 1, shape: Shape = XGEN, context: int = 8192
) -> Memory:
    return memory.estimate(
        shape, context=context, rows=1, precision="bf16", parallel=parallel, data=data, tensor=tensor
    )


def test_state_takes_16_to_18_bytes_a_weight() -> None:
    m = estimate()
    low = m.weights + m.master + m.moments + m.gradients_bf16
    assert low == 16 * XGEN.parameters()
    assert low - m.gradients_bf16 + m.gradients_fp32 == 18 * XGEN.parameters()
    assert 110 < low / GB < 18 * XGEN.parameters() / GB < 125


def test_an_8k_row_keeps_2_gb_of_layer_inputs_and_1_7_gb_of_logits() -> None:
    m = estimate()
    inputs = 2 * 8192 * 4096 * 32
    assert inputs / GB == pytest.approx(2.1, abs=0.1)
    one_block = m.activations / 32
    assert m.activations_recomputed == pytest.approx(inputs + one_block)
    assert m.logits_full / 2 / GB == pytest.approx(1.7, abs=0.05)
    assert m.logits_chunked == m.logits_full / 8


def test_each_kind_of_division_divides_one_thing_more() -> None:
    ddp, zero1, zero2, fsdp = (estimate(kind, data=8) for kind in ("ddp", "zero1", "zero2", "fsdp"))
    assert zero1.moments == ddp.moments / 8 and zero1.master == ddp.master / 8
    assert zero1.gradients_bf16 == ddp.gradients_bf16
    assert zero2.gradients_bf16 == ddp.gradients_bf16 / 8 and zero2.weights == ddp.weights
    assert fsdp.weights == ddp.weights / 8
    assert fsdp.gathered == 2 * 2 * XGEN.layer_parameters() and not ddp.gathered
    assert ddp.least > zero1.least > zero2.least > fsdp.least


def test_tensor_parallel_divides_weights_logits_and_what_heads_and_mlp_keep() -> None:
    one, four = estimate(), estimate(tensor=4)
    assert four.weights == one.weights / 4
    assert four.logits_full == one.logits_full / 4
    assert one.activations / 4 < four.activations < one.activations


def test_on_one_device_every_division_is_the_same() -> None:
    assert estimate("fsdp") == estimate("ddp") == estimate("zero2")


@pytest.mark.parametrize(
    "variant",
    [{}, {"kv_heads": 2}, {"activation": "gelu"}, {"parallel": True}],
    ids=["llama", "grouped", "gelu", "parallel"],
)
def test_activations_are_within_five_percent_of_what_the_decoder_keeps(variant: dict[str, object]) -> None:
    shape = replace(Shape(512, 4, 128, 4, 4, 32, 352, 512), **variant)  # type: ignore[arg-type]
    model = Decoder(shape)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(x: torch.Tensor) -> torch.Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        out = model.hidden(torch.randint(0, 512, (2, 512)))
    measured = sum(storage.nbytes() for storage in kept.values())
    assert out.requires_grad
    estimated = memory.estimate(shape, context=512, rows=2, precision="fp32", parallel="ddp", data=1, tensor=1)
    assert estimated.activations == pytest.approx(measured, rel=0.05)
