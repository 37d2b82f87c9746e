"""LoRA: attached, merged, written and read; equal to `peft` in both directions."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from tandem.decoder import Decoder, Shape, adapters, save
from tandem.decoder.adapters import LoRA
from tandem.errors import UserError

os.environ.setdefault("HF_HUB_OFFLINE", "1")
SHAPE = Shape(
    vocabulary=53, layers=2, width=32, heads=4, kv_heads=2, head_width=8, mlp_width=48, context=32, init_std=0.15
)
IDS = torch.arange(20).view(2, 10)
SOME = LoRA(rank=4, alpha=6.0, targets=("q_proj", "v_proj", "up_proj", "down_proj"))


def adapted(lora: LoRA = SOME) -> Decoder:
    model = Decoder(SHAPE)
    adapters.attach(model, lora)
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "adapters" in name:
                weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    return model.eval()


def test_a_fresh_adapter_changes_nothing_and_is_all_that_trains() -> None:
    model = Decoder(SHAPE)
    before = model(IDS)
    adapters.attach(model, LoRA(rank=4))
    assert torch.equal(model(IDS), before)
    model.loss(IDS, IDS).backward()
    assert {name for name, w in model.named_parameters() if w.grad is not None} == {
        name for name, _ in model.named_parameters() if "adapters" in name
    }


def test_merging_keeps_the_logits_and_leaves_a_plain_model(tmp_path: Path) -> None:
    model = adapted()
    with torch.no_grad():
        before = model(IDS)
        adapters.merge(model)
        torch.testing.assert_close(model(IDS), before, rtol=1e-5, atol=1e-5)
    assert sum(weight.numel() for weight in model.parameters()) == SHAPE.parameters()
    save(model, tmp_path / "merged")


def test_dropout_is_active_in_training_only() -> None:
    model = adapted(LoRA(rank=4, dropout=0.5))
    with torch.no_grad():
        assert torch.equal(model(IDS), model(IDS))
        model.train()
        assert not torch.equal(model(IDS), model(IDS))


@pytest.mark.parametrize("stabilised", [False, True], ids=["alpha / rank", "alpha / sqrt(rank)"])
def test_peft_loads_our_adapter_and_we_load_what_it_saves(stabilised: bool, tmp_path: Path) -> None:
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    lora = LoRA(rank=4, alpha=6.0, targets=("k_proj", "o_proj", "gate_proj", "down_proj"), rank_stabilised=stabilised)
    save(Decoder(SHAPE), tmp_path / "base")
    ours = adapted(lora)
    adapters.save(ours, tmp_path / "adapter", base=str(tmp_path / "base"))
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(IDS), theirs(IDS).logits, rtol=1e-5, atol=1e-5)
        for name, weight in theirs.named_parameters():
            if "lora_" in name:
                weight.mul_(0.8)
        theirs.save_pretrained(tmp_path / "again")
        again = Decoder(SHAPE)
        assert adapters.load(again, tmp_path / "again") == LoRA(
            4, 6.0, targets=tuple(sorted(lora.targets)), rank_stabilised=stabilised
        )
        torch.testing.assert_close(again.eval()(IDS), theirs(IDS).logits, rtol=1e-5, atol=1e-5)


def test_an_adapter_of_another_shape_is_refused_by_its_tensor_and_leaves_the_model_plain(tmp_path: Path) -> None:
    adapters.save(adapted(), tmp_path)
    other = Decoder(Shape(vocabulary=53, layers=2, width=40, heads=4, kv_heads=2, head_width=8, mlp_width=48))
    with pytest.raises(UserError, match=r"layers\.0\.self_attn\.q_proj\.lora_A"):
        adapters.load(other, tmp_path)
    assert sum(weight.numel() for weight in other.parameters()) == other.shape.parameters()


@pytest.mark.parametrize(
    ("key", "value"), [("use_dora", True), ("bias", "all"), ("peft_type", "IA3"), ("target_modules", ["lm_head"])]
)
def test_a_setting_that_would_change_the_numbers_is_refused_by_its_key(key: str, value: object, tmp_path: Path) -> None:
    adapters.save(adapted(), tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(UserError) as error:
        adapters.load(Decoder(SHAPE), tmp_path)
    assert key in str(error.value) or "lora.targets" in str(error.value)


def test_a_model_with_an_adapter_is_not_saved_as_if_it_had_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="adapters attached"):
        save(adapted(), tmp_path / "m")
    assert not (tmp_path / "m").exists()
