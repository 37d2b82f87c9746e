"""Small GGUF files as llama.cpp's converter writes them, of random models: for the tests of every room that reads them.

The order of q and k rows is written down here from the format's definition, independently of the code under test.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter, quants

from tandem.decoder import Decoder, Shape, weights
from tandem.tokenizer import Tokenizer, train

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXTS = [
    "the cat sat on the mat, and that was that: 1234 times",
    "def f(x):\n    return x + 1\n",
    "naïve 漢字 " * 3,
] * 20

SHAPE = Shape(
    vocabulary=384,
    layers=2,
    width=64,
    heads=4,
    kv_heads=2,
    head_width=16,
    mlp_width=96,
    context=128,
    rope_base=10_000.0,
    norm_eps=1e-5,
    bos=1,
    eos=2,
    pad=2,
)

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def random_model(shape: Shape = SHAPE, seed: int = 3) -> Decoder:
    """All weights random, norms and biases too."""
    model = Decoder(shape, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(1 + 0.2 * noise if weight.dim() == 1 else 0.15 * noise)
    return model.eval()


def trained(size: int = 360) -> Tokenizer:
    return train(TEXTS, size)


def tokenizer_keys(size: int = 360, pre: str = "smollm") -> dict[str, Any]:
    """What a byte-level tokenizer looks like in the file: marks first, then bytes and merges."""
    model = json.loads(trained(size).core.to_str())["model"]
    texts = [token for token in model["vocab"] if not token.startswith("<|")]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": MARKS + texts,
        "tokenizer.ggml.token_type": [3] * len(MARKS) + [1] * len(texts),
        "tokenizer.ggml.merges": [" ".join(pair) for pair in model["merges"]],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }


def sentencepiece_keys() -> dict[str, Any]:
    """A vocabulary of the SentencePiece kind: <unk>, marks, bytes, then pieces with falling scores."""
    words = ["the", "cat", "sat", "on", "mat", "and", "that", "was", "times"]
    pieces = [f"▁{word}" for word in words] + words + ["th", "▁t", "at", "▁c", "▁th", "ca", "an", "▁a", "er", "▁▁"]
    letters = ["▁", *string.ascii_lowercase]
    known = list(dict.fromkeys(sorted(pieces, key=len)))
    grown = [p[:n] for p in known for n in range(2, len(p))]  # every piece can be reached by merging from the left
    known = list(dict.fromkeys([*grown, *known]))
    tokens = ["<unk>", "<s>", "</s>", *[f"<0x{b:02X}>" for b in range(256)], *known, *letters]
    scores = [0.0] * 259 + [-float(i) for i in range(len(known) + len(letters))]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * (len(known) + len(letters))],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
    }


def shape_keys(shape: Shape, architecture: str = "llama") -> dict[str, Any]:
    return {
        "general.architecture": architecture,
        "general.name": "a random model",
        f"{architecture}.block_count": shape.layers,
        f"{architecture}.context_length": shape.context,
        f"{architecture}.embedding_length": shape.width,
        f"{architecture}.feed_forward_length": shape.mlp_width,
        f"{architecture}.attention.head_count": shape.heads,
        f"{architecture}.attention.head_count_kv": shape.kv_heads,
        f"{architecture}.attention.key_length": shape.head_width,
        f"{architecture}.attention.value_length": shape.head_width,
        f"{architecture}.attention.layer_norm_rms_epsilon": shape.norm_eps,
        f"{architecture}.rope.freq_base": shape.rope_base,
        f"{architecture}.rope.dimension_count": shape.head_width,
        f"{architecture}.vocab_size": shape.vocabulary,
    }


def gguf_tensors(model: Decoder, architecture: str = "llama") -> dict[str, np.ndarray]:
    tensors = {}
    for name, place in weights.places(model):
        stem, _, kind = name.rpartition(".")
        value = place.value().detach().float().numpy()
        if architecture == "llama" and stem.endswith(("q_proj", "k_proj")):  # weights and biases
            # Hugging Face's halves of each head, row by row in turn.
            halves = value.reshape(-1, 2, model.shape.head_width // 2, *value.shape[1:])
            value = halves.swapaxes(1, 2).reshape(value.shape)
        if stem.startswith("model.layers."):
            _, _, layer, part = stem.split(".", 3)
            tensors[f"blk.{layer}.{NAMES[part]}.{kind}"] = value
        else:
            tensors[f"{NAMES[stem]}.{kind}"] = value
    return tensors


def write_gguf(
    path: Path,
    model: Decoder | None = None,
    *,
    architecture: str = "llama",
    kind: GGMLQuantizationType = GGMLQuantizationType.F32,
    tokenizer: Mapping[str, Any] | None = None,
    change: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    tensors: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """`change` replaces metadata or adds to them, `drop` leaves out keys and tensors, `tensors` adds some."""
    model = random_model() if model is None else model
    keys = shape_keys(model.shape, architecture) | dict(tokenizer_keys() if tokenizer is None else tokenizer)
    keys |= dict(change or {})
    writer = GGUFWriter(path, keys.pop("general.architecture"))
    for key, value in keys.items():
        if key not in drop:
            _add(writer, key, value)
    for name, value in (gguf_tensors(model, architecture) | dict(tensors or {})).items():
        if name in drop:
            continue
        if value.ndim < 2:
            writer.add_tensor(name, np.ascontiguousarray(value))
        else:
            writer.add_tensor(name, quants.quantize(np.ascontiguousarray(value), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case [int(), *_]:
            writer.add_key_value(key, value, GGUFValueType.ARRAY, GGUFValueType.INT32)
        case list():
            writer.add_array(key, value)
        case _:
            raise AssertionError(f"no GGUF type for {key} = {value!r}")
