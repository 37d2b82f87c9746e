"""A GGUF file's metadata as a `Shape`, and its tensors' names as Hugging Face's.

Architectures: llama (Mistral and SmolLM files say llama too), qwen2, qwen3; all others, and settings that would change
the numbers and are not built, are refused by name. What this does not do: read files (`gguf`) or tokenizers. Rejected:
passing over `rope_freqs`, the tensor in which Llama 3.1's stretched positions hide: without it long texts go wrong, and
nothing says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tandem.decoder.rope import frequencies
from tandem.decoder.shape import RopeScaling, Shape
from tandem.errors import UserError

ARCHITECTURES: Mapping[str, bool] = {"llama": True, "qwen2": False, "qwen3": False}
"""Whether the rows of q and k are stored with rotary pairs as neighbours, as our own are, or half a head apart."""

ROPE_FACTORS = "rope_freqs.weight"
"""One number per rotary pair by which its frequency is divided."""

_MUST_BE: dict[str, tuple[Any, ...]] = {
    "expert_count": (None, 0),
    "attn_logit_softcapping": (None, 0, 0.0),
    "final_logit_softcapping": (None, 0, 0.0),
    "logit_scale": (None, 0, 0.0, 1, 1.0),
    "embedding_scale": (None, 0, 0.0, 1, 1.0),
    "residual_scale": (None, 0, 0.0, 1, 1.0),
    "attention.scale": (None, 0, 0.0),
    "attention.clamp_kqv": (None, 0, 0.0),
    "attention.max_alibi_bias": (None, 0, 0.0),
    "attention.causal": (None, True),
    "attention.temperature_scale": (None, 0, 0.0),
    "rope.scaling.yarn_ext_factor": (None, 1, 1.0),
    "rope.scaling.yarn_log_multiplier": (None, 0, 0.0),
    "rope.scaling.finetuned": (None, True, False),
    "use_parallel_residual": (None, False),
    "swin_norm": (None, False),
}
"""Settings that change the numbers, with the values under which they do not."""

_OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_INNER = {
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


def tensor_name(name: str) -> str:
    """The GGUF name of a Hugging Face tensor: `model.layers.3.mlp.up_proj.weight` → `blk.3.ffn_up.weight`."""
    stem, _, kind = name.rpartition(".")
    if stem in _OUTER:
        return f"{_OUTER[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{_INNER[part]}.{kind}"


def architecture(metadata: Mapping[str, Any], where: str) -> str:
    """The architecture's name. Raises `UserError` when it is not one that is built."""
    name = metadata.get("general.architecture")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise UserError(
            "names no architecture" if name is None else f"architecture {name!r} is not supported",
            where=f"{where}: general.architecture",
            remedy=f"use a model of one of {', '.join(ARCHITECTURES)}",
        )
    return name


def shape_of(
    metadata: Mapping[str, Any], sizes: Mapping[str, tuple[int, ...]], where: str, factors: Tensor | None
) -> Shape:
    """The shape a file describes; `sizes` are its tensors', rows first, `factors` the values of `ROPE_FACTORS`.

    Raises `UserError` naming the key or tensor that is missing, wrong or not supported.
    """
    reading = _Reading(metadata, architecture(metadata, where), where)
    try:
        return reading.shape(sizes, factors)
    except UserError as e:
        if e.where and e.where.startswith(where):
            raise
        raise UserError(e.problem, where=f"{where}: {e.where}", remedy=e.remedy) from None  # the sizes do not fit


@dataclass(frozen=True)
class _Reading:
    metadata: Mapping[str, Any]
    family: str
    where: str

    def place(self, name: str) -> str:
        return f"{self.where}: {self.family}.{name}"

    def get(self, name: str) -> Any:
        return self.metadata.get(f"{self.family}.{name}")

    def whole(self, name: str, default: int | None = None) -> int:
        value = self.get(name)
        value = default if value is None else value
        if isinstance(value, list) and value and value.count(value[0]) == len(value):
            value = value[0]
        if isinstance(value, list):
            raise UserError("sizes that differ by layer are not supported", where=self.place(name))
        if isinstance(value, bool) or not isinstance(value, int):
            raise UserError(
                "is missing" if value is None else f"is {value!r}, not a whole number",
                where=self.place(name),
                remedy="use a GGUF file of a whole model",
            )
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self.get(name)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError("is missing" if value is None else f"is {value!r}", where=self.place(name))
        # The file has it in float32; 1e-05 is what was meant by 9.999999747378752e-06.
        return float(str(np.float32(value)))

    def shape(self, sizes: Mapping[str, tuple[int, ...]], factors: Tensor | None) -> Shape:
        for name, allowed in _MUST_BE.items():
            if self.get(name) not in allowed:
                raise UserError(
                    f"{name} = {self.get(name)!r} is not supported",
                    where=self.place(name),
                    remedy="use a model without it",
                )
        if "token_embd.weight" not in sizes:
            raise UserError("tensor token_embd.weight is missing", where=self.where, remedy="use a whole model")
        layers = self.whole("block_count")
        # Checked here, so that a damaged number does not build blocks for hours.
        if layers > 0 and f"blk.{layers - 1}.attn_norm.weight" not in sizes:
            raise UserError(
                f"tensor blk.{layers - 1}.attn_norm.weight is missing", where=self.where, remedy="use a whole model"
            )
        width, heads = self.whole("embedding_length"), self.whole("attention.head_count")
        head_width = self.whole("attention.key_length", width // max(heads, 1))
        for name in ("attention.value_length", "rope.dimension_count"):
            if self.whole(name, head_width) != head_width:
                raise UserError(
                    f"is {self.whole(name)}, but a head is {head_width} wide",
                    where=self.place(name),
                    remedy="use a model whose keys, values and rotary positions have one width",
                )
        context = self.whole("context_length")
        window = self.whole("attention.sliding_window", 0)
        shape = Shape(
            vocabulary=sizes["token_embd.weight"][0],
            layers=layers,
            width=width,
            heads=heads,
            kv_heads=self.whole("attention.head_count_kv", heads),
            head_width=head_width,
            mlp_width=self.whole("feed_forward_length"),
            context=context,
            rope_base=self.number("rope.freq_base", 10_000.0),
            rope_scaling=self.scaling(context),
            norm_eps=self.number("attention.layer_norm_rms_epsilon"),
            qkv_bias="blk.0.attn_q.bias" in sizes,
            qk_norm=self.family == "qwen3",
            tied="output.weight" not in sizes,
            bos=self.token("bos_token_id"),
            eos=self.token("eos_token_id"),
            pad=self.token("padding_token_id"),
            window=window if 0 < window < context else None,
        )
        return shape if factors is None else replace(shape, rope_scaling=self.stretched(shape, factors))

    def token(self, name: str) -> int | None:
        value = self.metadata.get(f"tokenizer.ggml.{name}")
        if value is not None and not isinstance(value, int):
            raise UserError(f"is {value!r}, not a token's number", where=f"{self.where}: tokenizer.ggml.{name}")
        return value

    def scaling(self, context: int) -> RopeScaling | None:
        kind, factor = self.get("rope.scaling.type"), self.number("rope.scaling.factor", 0.0)
        if kind is None and self.get("rope.scale_linear"):
            kind, factor = "linear", self.number("rope.scale_linear")
        if kind in (None, "none") or (kind == "linear" and factor in (0.0, 1.0)):
            return None
        original = self.whole("rope.scaling.original_context_length", 0)
        if kind == "linear":
            return RopeScaling("linear", factor, math.ceil(context / factor))
        if kind != "yarn":
            raise UserError(
                f"rope scaling {kind!r} is not supported",
                where=self.place("rope.scaling.type"),
                remedy="linear and yarn are",
            )
        if not original or not factor:
            missing = "factor" if not factor else "original_context_length"
            raise UserError("is missing", where=self.place(f"rope.scaling.{missing}"), remedy="yarn scaling needs it")
        if self.get("rope.scaling.attn_factor") not in (None, 1, 1.0):
            raise UserError(
                f"is {self.get('rope.scaling.attn_factor')!r}",
                where=self.place("rope.scaling.attn_factor"),
                remedy="use a model without it",
            )
        return RopeScaling(
            "yarn",
            factor,
            original,
            beta_fast=self.number("rope.scaling.yarn_beta_fast", 32.0),
            beta_slow=self.number("rope.scaling.yarn_beta_slow", 1.0),
        )

    def stretched(self, shape: Shape, factors: Tensor) -> RopeScaling:
        """Llama 3.1's rule, found again from the divisors it was written as (Grattafiori et al. 2024, section 3.4)."""
        plain = frequencies(replace(shape, rope_scaling=None), 1)[0]
        given = factors.flatten()
        if shape.rope_scaling is None and given.shape == plain.shape and bool((given > 0).all()):
            scaling = RopeScaling("llama3", max(1.0, round(float(given.max()), 6)), 8192)
            mine = plain / frequencies(replace(shape, rope_scaling=scaling), 1)[0]
            if torch.allclose(mine, given, rtol=1e-4):
                return scaling
        raise UserError(
            f"tensor {ROPE_FACTORS} stretches positions in a way that is not supported",
            where=self.where,
            remedy="Llama 3.1's rule over 8,192 tokens is; or use the model's Hugging Face folder",
        )
