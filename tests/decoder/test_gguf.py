"""GGUF files become the models they were made of, as `transformers` reads them too; what cannot be used is named."""

from __future__ import annotations

import json
import os
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_SIZES, quants
from gguf import GGMLQuantizationType as Kind

from gguf_sample import SHAPE, TEXTS, gguf_tensors, random_model, tokenizer_keys, write_gguf
from tandem.decoder import RopeScaling, Shape, gguf, load, weights
from tandem.decoder.generate import generate
from tandem.decoder.gguf_file import StoredTensor
from tandem.decoder.rope import frequencies
from tandem.errors import Failure, UserError
from tandem.tokenizer import load as load_tokenizer

os.environ.setdefault("HF_HUB_OFFLINE", "1")
IDS = torch.randint(3, 300, (2, 40), generator=torch.Generator().manual_seed(1))
KINDS = [Kind.F32, Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1]


def theirs(path: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        ("llama", SHAPE),
        ("llama", replace(SHAPE, tied=True, head_width=32)),
        ("llama", replace(SHAPE, qkv_bias=True)),
        ("qwen2", replace(SHAPE, qkv_bias=True)),
        ("qwen3", replace(SHAPE, qk_norm=True, tied=True)),
    ],
    ids=["llama", "tied, wide heads", "llama with biases", "qwen2", "qwen3"],
)
def test_a_float32_file_gives_back_the_very_model_it_was_made_of(
    architecture: str, shape: Shape, tmp_path: Path
) -> None:
    model = random_model(shape)
    gguf.convert(write_gguf(tmp_path / "m.gguf", model, architecture=architecture), tmp_path / "out")
    again = load(tmp_path / "out")
    assert again.shape == model.shape
    for (name, weight), (_, other) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(weight, other), name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_logits_equal_those_of_transformers_for_the_same_file(kind: Kind, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", random_model(replace(SHAPE, tied=True)), kind=kind)
    with torch.no_grad():
        torch.testing.assert_close(gguf.read(path).decoder()(IDS), theirs(path)(IDS).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        ("qwen2", replace(SHAPE, qkv_bias=True, tied=True)),
        ("qwen3", replace(SHAPE, qk_norm=True, head_width=128)),  # transformers takes this width for granted
        ("llama", replace(SHAPE, kv_heads=4)),
    ],
    ids=["qwen2", "qwen3", "llama without groups"],
)
def test_each_architecture_gives_the_logits_transformers_gives(architecture: str, shape: Shape, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", random_model(shape), architecture=architecture)
    with torch.no_grad():
        torch.testing.assert_close(gguf.read(path).decoder()(IDS), theirs(path)(IDS).logits, rtol=1e-4, atol=1e-4)


def test_greedy_tokens_equal_those_of_transformers_for_the_same_file(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", kind=Kind.Q4_1)
    prompts = [IDS[0, :n].tolist() for n in (3, 9, 17)]
    mine = generate(gguf.read(path).decoder(), prompts, max_tokens=24)
    other = theirs(path)
    for prompt, answer in zip(prompts, mine, strict=True):
        whole = other.generate(
            torch.tensor([prompt]), max_new_tokens=24, do_sample=False, eos_token_id=None, pad_token_id=0
        )
        assert answer == whole[0, len(prompt) :].tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_transformers_loads_the_written_folder_with_its_tokenizer(dtype: torch.dtype, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    file = gguf.convert(write_gguf(tmp_path / "m.gguf", kind=Kind.Q8_0), tmp_path / "out", dtype)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.dtype == dtype
    assert model.generation_config.eos_token_id == [2, 0]
    with torch.no_grad():
        expected = file.decoder(dtype).float()(IDS)
        torch.testing.assert_close(model.float()(IDS).logits, expected, rtol=1e-4, atol=1e-4)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ours = load_tokenizer(tmp_path / "out")
    assert [tokenizer.encode(text) for text in TEXTS[:3]] == ours.encode_batch(TEXTS[:3])
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert tokenizer.chat_template == ours.chat_template is not None


@pytest.mark.parametrize("kind", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "Q4_0", "F16"])
def test_taking_many_blocks_at_once_gives_the_values_of_taking_them_row_by_row(kind: str, tmp_path: Path) -> None:
    rows, blocks = 6, 3
    values, length = GGML_QUANT_SIZES[Kind[kind]]
    values, length = (values, length) if values > 1 else (32, 64)
    data = np.random.default_rng(1).integers(0, 256, (rows, blocks * length), np.uint8)
    stored = StoredTensor("t", (rows, blocks * values), Kind[kind], data.reshape(-1))
    with np.errstate(invalid="ignore", over="ignore"):
        expected = quants.dequantize(data, Kind[kind])
    assert np.array_equal(stored.values(), expected.reshape(rows, -1), equal_nan=True)


def test_every_end_of_an_answer_is_kept(tmp_path: Path) -> None:
    gguf.convert(write_gguf(tmp_path / "m.gguf", change={"tokenizer.ggml.eot_token_id": 7}), tmp_path / "out")
    assert weights.stop_ids(tmp_path / "out") == {0, 2, 7}
    assert json.loads((tmp_path / "out/generation_config.json").read_text())["eos_token_id"] == [2, 7, 0]


@pytest.mark.parametrize(
    ("keys", "scaling"),
    [
        ({"type": "linear", "factor": 4.0}, RopeScaling("linear", 4.0, 32)),
        ({"type": "yarn", "factor": 4.0, "original_context_length": 32}, RopeScaling("yarn", 4.0, 32)),
        ({"type": "none"}, None),
    ],
    ids=["linear", "yarn", "none"],
)
def test_stretched_positions_are_read(keys: dict[str, Any], scaling: RopeScaling | None, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", change={f"llama.rope.scaling.{name}": v for name, v in keys.items()})
    assert gguf.read(path).shape.rope_scaling == scaling


@pytest.mark.parametrize(("window", "kept"), [(16, 16), (0, None), (128, None)])
def test_a_sliding_window_is_kept_where_it_is_shorter_than_the_context(
    window: int, kept: int | None, tmp_path: Path
) -> None:
    path = write_gguf(tmp_path / "m.gguf", change={"llama.attention.sliding_window": window})
    assert gguf.read(path).shape.window == kept


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_the_rule_of_llama_3_is_found_again_in_its_divisors(factor: float, tmp_path: Path) -> None:
    shape = replace(SHAPE, context=131_072, rope_base=500_000.0)
    stretched = replace(shape, rope_scaling=RopeScaling("llama3", factor, 8192))
    divisors = (frequencies(shape, 1)[0] / frequencies(stretched, 1)[0]).numpy()
    path = write_gguf(tmp_path / "m.gguf", random_model(stretched), tensors={"rope_freqs.weight": divisors})
    assert gguf.read(path).shape == stretched
    divisors[3] *= 1.5
    path = write_gguf(tmp_path / "m.gguf", random_model(stretched), tensors={"rope_freqs.weight": divisors})
    with pytest.raises(UserError, match=r"rope_freqs\.weight"):
        _ = gguf.read(path).shape


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"change": {"general.architecture": "mamba"}}, ["general.architecture", "'mamba'", "llama, qwen2, qwen3"]),
        ({"change": {"llama.expert_count": 8}}, ["llama.expert_count"]),
        ({"change": {"llama.rope.scaling.type": "longrope"}}, ["llama.rope.scaling.type", "longrope"]),
        ({"change": {"llama.rope.dimension_count": 8}}, ["llama.rope.dimension_count", "16"]),
        ({"change": {"llama.feed_forward_length": 128}}, ["blk.0.ffn_gate.weight", "96 × 64", "128 × 64"]),
        ({"change": {"llama.feed_forward_length": [96, 64]}}, ["llama.feed_forward_length", "layer"]),
        ({"change": {"llama.block_count": "two"}}, ["llama.block_count", "'two'"]),
        ({"change": {"llama.block_count": 2_000_000_000}}, ["blk.1999999999.attn_norm.weight"]),
        ({"change": {"split.count": 3}}, ["split.count", "--merge"]),
        ({"change": {"tokenizer.ggml.pre": "klingon"}}, ["tokenizer.ggml.pre", "klingon", "smollm"]),
        ({"change": {"tokenizer.ggml.model": "bert"}}, ["tokenizer.ggml.model", "'bert'"]),
        ({"change": {"tokenizer.ggml.eos_token_id": 9999}}, ["eos", "9999"]),
        ({"change": {"tokenizer.ggml.bos_token_id": [1, 2]}}, ["tokenizer.ggml.bos_token_id", "[1, 2]"]),
        ({"change": {"llama.rope.scaling.type": "yarn"}}, ["llama.rope.scaling.factor", "missing"]),
        ({"change": {"llama.rope.freq_base": "many"}}, ["llama.rope.freq_base", "'many'"]),
        ({"drop": ["llama.attention.head_count"]}, ["llama.attention.head_count", "missing"]),
        ({"drop": ["tokenizer.ggml.tokens"]}, ["tokenizer.ggml.tokens", "missing"]),
        ({"drop": ["tokenizer.ggml.merges"]}, ["tokenizer.ggml.merges", "missing"]),
        ({"drop": ["tokenizer.ggml.pre"]}, ["tokenizer.ggml.pre"]),
        ({"drop": ["blk.1.attn_k.weight"]}, ["blk.1.attn_k.weight", "missing"]),
        ({"drop": ["token_embd.weight"]}, ["token_embd.weight", "missing"]),
        ({"tensors": {"blk.0.ffn_gate_inp.weight": np.ones((4, 64), np.float32)}}, ["blk.0.ffn_gate_inp.weight"]),
        ({"tensors": {"output_norm.weight": np.full(64, np.nan, np.float32)}}, ["output_norm.weight", "numbers"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_used_is_named_and_nothing_is_written(
    options: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    change = dict(options.get("change", {}))
    architecture = change.pop("general.architecture", "llama")
    path = tmp_path / "m.gguf"
    write_gguf(path, **(options | {"change": change}))
    if architecture != "llama":
        path.write_bytes(path.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0mamba", 1))
    with pytest.raises(UserError) as error:
        gguf.convert(path, tmp_path / "out")
    for word in [*words, "m.gguf"]:
        assert word in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.gguf"]


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04 a zip file", b"GGUF", b"GGUF\x03\0\0\0"], ids=str)
def test_a_file_that_is_not_gguf_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(UserError, match=r"m\.gguf"):
        gguf.read(tmp_path / "m.gguf")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(UserError) as error:
            gguf.read(path)
        assert error.value.where == str(path)


def test_a_file_cut_short_anywhere_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "whole.gguf", kind=Kind.Q4_0).read_bytes()
    part = tmp_path / "part.gguf"
    for cut in [*range(0, len(whole) - 64, len(whole) // 40), len(whole) - 64]:
        part.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=r"part\.gguf"):
            gguf.convert(part, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["part.gguf", "whole.gguf"]


def test_damage_anywhere_in_the_head_is_refused_or_does_no_harm(tmp_path: Path) -> None:
    whole = bytearray(write_gguf(tmp_path / "whole.gguf", kind=Kind.Q4_0).read_bytes())
    head = len(whole) - sum(t.nbytes for t in gguf_tensors(random_model()).values()) // 8
    random = np.random.default_rng(5)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for at in random.integers(4, head, 3):
            damaged[at] = random.integers(256)
        (tmp_path / "damaged.gguf").write_bytes(damaged)
        try:
            file = gguf.read(tmp_path / "damaged.gguf")
            file.decoder()
            file.tokenizer()
        except UserError:
            refused += 1
    assert refused > 5


def test_a_folder_that_is_there_already_is_left_alone(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="exists already"):
        gguf.convert(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_place_that_cannot_be_written_is_a_failure_that_names_it(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(Failure, match="taken"):
        gguf.convert(path, tmp_path / "taken" / "out")


def test_a_full_disk_is_a_failure_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(Failure, match="out"):
            gguf.convert(path, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in tmp_path.iterdir()] == ["m.gguf"]


def test_an_embedding_table_may_have_more_rows_than_there_are_tokens(tmp_path: Path) -> None:
    keys = tokenizer_keys()
    gguf.convert(write_gguf(tmp_path / "m.gguf", tokenizer=keys), tmp_path / "out")
    made = load_tokenizer(tmp_path / "out")
    assert made.vocabulary == SHAPE.vocabulary > len(keys["tokenizer.ggml.tokens"])
