"""Model folders: what is written is read back, and what cannot be used is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tandem.decoder import Decoder, RopeScaling, Shape, load, save
from tandem.decoder.families import config_of, shape_of
from tandem.decoder.weights import read_shape, stop_ids
from tandem.errors import Failure, UserError

SHAPE = Shape(vocabulary=40, layers=2, width=16, heads=4, kv_heads=2, head_width=4, mlp_width=24, eos=7)
WEIGHTS = "model.safetensors"


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        Shape,
        vocabulary=st.just(40),
        layers=st.integers(1, 3),
        width=st.sampled_from([16, 24]),
        heads=st.just(4),
        kv_heads=st.sampled_from([1, 2, 4]),
        head_width=st.sampled_from([4, 6]),
        mlp_width=st.just(24),
        context=st.sampled_from([64, 128]),
        rope_base=st.sampled_from([1e4, 5e5]),
        rope_scaling=st.sampled_from(
            [
                None,
                RopeScaling("linear", 2.0, 64),
                RopeScaling("llama3", 8.0, 32, 2.0, 8.0),
                RopeScaling("yarn", 4.0, 32, attention_factor=1.5),
            ]
        ),
        norm=st.sampled_from(["rms", "layer"]),
        activation=st.sampled_from(["swiglu", "gelu"]),
        parallel=st.booleans(),
        qkv_bias=st.booleans(),
        qk_norm=st.booleans(),
        tied=st.booleans(),
        window=st.sampled_from([None, 9]),
        bos=st.sampled_from([None, 1]),
        eos=st.sampled_from([None, 2]),
    )
)
def test_a_config_written_and_read_gives_the_same_shape(shape: Shape) -> None:
    if shape.rope_scaling is not None and shape.rope_scaling.kind == "linear" and shape.context == 64:
        return  # its config.json tells the stretched length only
    assert shape_of(json.loads(json.dumps(config_of(shape, "float32")))) == shape


@pytest.mark.parametrize("shard_bytes", [10**9, 3000])
@pytest.mark.parametrize("parallel", [False, True])
def test_a_model_written_and_read_is_the_same_to_the_bit(tmp_path: Path, shard_bytes: int, parallel: bool) -> None:
    shape = Shape(**{**SHAPE.__dict__, "parallel": parallel, "norm": "layer" if parallel else "rms"})
    model = Decoder(shape, seed=5)
    save(model, tmp_path / "m", shard_bytes=shard_bytes)
    again = load(tmp_path / "m")
    assert again.shape == shape
    assert (len(list((tmp_path / "m").glob("*.safetensors"))) > 1) == (shard_bytes == 3000)
    for (name, a), (other, b) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert name == other and torch.equal(a, b)


def test_saving_again_with_fewer_shards_leaves_no_old_one_and_keeps_other_files(tmp_path: Path) -> None:
    save(Decoder(SHAPE), tmp_path / "m", shard_bytes=3000)
    (tmp_path / "m" / "tokenizer.json").write_text("{}")
    save(Decoder(SHAPE), tmp_path / "m")
    names = {file.name for file in (tmp_path / "m").iterdir()}
    assert names == {WEIGHTS, "config.json", "generation_config.json", "tokenizer.json"}
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


def test_bfloat16_weights_are_read_as_saved_or_as_asked(tmp_path: Path) -> None:
    save(Decoder(SHAPE).bfloat16(), tmp_path / "m")
    assert load(tmp_path / "m").dtype == torch.bfloat16
    assert load(tmp_path / "m", dtype=torch.float32).dtype == torch.float32


def test_all_ends_of_a_model_are_found(tmp_path: Path) -> None:
    save(Decoder(SHAPE), tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 9]}')
    assert stop_ids(tmp_path) == {7, 9}


def test_weights_begin_normal_everywhere_the_same_for_a_seed() -> None:
    shape = Shape(vocabulary=500, layers=1, width=64, heads=4, kv_heads=4, head_width=16, mlp_width=128, qkv_bias=True)
    model = Decoder(shape, seed=1)
    assert sum(weight.numel() for weight in model.parameters()) == shape.parameters()
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            assert abs(float(weight.detach().std()) - 0.02) < 0.001, name
    same, other = Decoder(shape, seed=1), Decoder(shape, seed=2)
    assert torch.equal(model.head, same.head) and not torch.equal(model.head, other.head)


def test_a_model_on_the_meta_device_takes_no_memory() -> None:
    with torch.device("meta"):
        model = Decoder(Shape(51200, 32, 4096, 32, 32, 128, 11008, 8192))
    assert all(weight.is_meta for weight in model.parameters())
    assert sum(weight.numel() for weight in model.parameters()) == 6_895_702_016


def rewrite(folder: Path, **changes: torch.Tensor | None) -> None:
    tensors = {**load_file(folder / WEIGHTS), **{k.replace("__", "."): v for k, v in changes.items()}}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (None, "is missing"),
        (torch.zeros(17), "17, but config.json makes it 16"),
        (torch.zeros(2, 16), "2 × 16"),
    ],
    ids=["missing", "longer", "another rank"],
)
def test_a_tensor_that_does_not_fit_is_named_with_its_file(
    tmp_path: Path, change: torch.Tensor | None, words: str
) -> None:
    save(Decoder(SHAPE), tmp_path)
    rewrite(tmp_path, model__norm__weight=change)
    with pytest.raises(UserError, match=words) as error:
        load(tmp_path)
    assert "model.norm.weight" in str(error.value) and WEIGHTS in str(error.value)


def test_a_tensor_too_many_is_named(tmp_path: Path) -> None:
    save(Decoder(SHAPE), tmp_path)
    rewrite(tmp_path, model__layers__0__self_attn__q_norm__weight=torch.zeros(4))
    with pytest.raises(UserError, match=r"q_norm\.weight is not part of this model"):
        load(tmp_path)


@pytest.mark.parametrize("cut", [3, 500, -1])
def test_a_truncated_weight_file_is_named(tmp_path: Path, cut: int) -> None:
    save(Decoder(SHAPE), tmp_path)
    data = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(data[:cut])
    with pytest.raises(UserError, match="not a whole safetensors file") as error:
        load(tmp_path)
    assert error.value.where == str(tmp_path / WEIGHTS)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    save(Decoder(SHAPE), tmp_path, shard_bytes=3000)
    gone = sorted(tmp_path.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(UserError, match="no such file") as error:
        load(tmp_path)
    assert error.value.where == str(gone)


def test_pickled_weights_are_not_opened(tmp_path: Path) -> None:
    save(Decoder(SHAPE), tmp_path)
    (tmp_path / WEIGHTS).rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="never opened"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"model_type": "gemma2"}, "model_type"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ({"attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"hidden_act": "gelu_new"}, "hidden_act"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "rope_scaling.rope_type"),
        ({"rope_scaling": {"rope_type": "linear"}}, "rope_scaling.factor"),
        ({"rope_scaling": {"type": "llama3", "factor": 2.0}}, "rope_scaling.original_max_position_embeddings"),
        ({"hidden_size": "16"}, "hidden_size"),
        ({"num_hidden_layers": None}, "num_hidden_layers"),
        ({"num_key_value_heads": 3}, "kv_heads"),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
            "max_window_layers",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_setting_that_is_not_supported_is_refused_by_its_key(
    tmp_path: Path, changes: dict[str, Any], key: str
) -> None:
    save(Decoder(SHAPE), tmp_path)
    edit(tmp_path, **changes)
    with pytest.raises(UserError) as error:
        read_shape(tmp_path)
    assert error.value.where is not None and key in error.value.where


@pytest.mark.parametrize("content", ["", "{", "[1]", None])
def test_a_config_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError) as error:
        load(tmp_path)
    assert error.value.where == str(tmp_path / "config.json")


def test_a_folder_that_cannot_be_written_is_a_failure_that_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Failure, match="could not be written"):
        save(Decoder(SHAPE), tmp_path / "file" / "m")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_the_config_of_llama_3_1_is_read() -> None:
    config = {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-05,
        "rope_theta": 500000.0,
        "rope_scaling": {
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "eos_token_id": [128001, 128008, 128009],
    }
    shape = shape_of(config)
    assert (shape.context, shape.eos, shape.parameters()) == (131072, 128001, 8_030_261_248)
