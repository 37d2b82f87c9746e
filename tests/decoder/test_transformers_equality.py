"""Our numbers against `transformers`' for the same weights, in both directions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tandem.decoder import Decoder, RopeScaling, Shape, load, save

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")

SMALL = {"vocabulary": 97, "layers": 2, "width": 48, "heads": 4, "head_width": 12, "mlp_width": 80, "context": 64}
SHAPES = {
    "llama": Shape(**SMALL, kv_heads=4, bos=1, eos=2, pad=3),
    "llama, grouped, tied": Shape(**SMALL, kv_heads=2, tied=True, norm_eps=1e-5, rope_base=500000.0),
    "llama, wide heads": Shape(**{**SMALL, "head_width": 20}, kv_heads=1),
    "linear": Shape(**SMALL, kv_heads=2, rope_scaling=RopeScaling("linear", 4.0, 16)),
    "dynamic": Shape(**SMALL, kv_heads=2, rope_scaling=RopeScaling("dynamic", 4.0, 16)),
    "llama3": Shape(**SMALL, kv_heads=2, rope_scaling=RopeScaling("llama3", 8.0, 16, 1.0, 4.0)),
    "yarn": Shape(**SMALL, kv_heads=2, rope_scaling=RopeScaling("yarn", 4.0, 16)),
    "yarn, all set": Shape(
        **SMALL,
        kv_heads=2,
        rope_scaling=RopeScaling("yarn", 4.0, 16, beta_fast=8.0, beta_slow=2.0, attention_factor=1.3),
    ),
    "mistral": Shape(**SMALL, kv_heads=2, window=7),
    "mistral, odd width": Shape(**{**SMALL, "width": 50}, kv_heads=2),
    "qwen2": Shape(**SMALL, kv_heads=2, qkv_bias=True, tied=True),
    "qwen2, window": Shape(**SMALL, kv_heads=2, qkv_bias=True, window=5),
    "qwen3": Shape(**SMALL, kv_heads=2, qk_norm=True),
}


def random_model(shape: Shape, seed: int = 3) -> Decoder:
    """All weights random, norms and biases too: a freshly begun model would hide what they do."""
    model = Decoder(shape, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(1 + 0.2 * noise if weight.dim() == 1 else 0.15 * noise)
    return model


def tokens(rows: int = 2, length: int = 40, vocabulary: int = 97) -> torch.Tensor:
    return torch.randint(0, vocabulary, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", SHAPES)
def test_transformers_loads_what_we_save_and_gives_the_same_logits(name: str, tmp_path: Path) -> None:
    ours = random_model(SHAPES[name])
    save(ours, tmp_path / "model")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    ids = tokens()
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_we_load_what_transformers_saves_and_give_the_same_logits(name: str, tmp_path: Path) -> None:
    save(random_model(SHAPES[name]), tmp_path / "begun")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "begun").eval()
    theirs.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    assert len(list((tmp_path / "model").glob("*.safetensors"))) > 1
    ours = load(tmp_path / "model")
    assert ours.shape == SHAPES[name]
    ids = tokens()
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, rtol=1e-5, atol=1e-5)
