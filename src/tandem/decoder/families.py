"""A Hugging Face config.json as a `Shape`, and a `Shape` as a config.json.

Families: llama (SmolLM, XGen, TinyLlama, …), mistral, qwen2, qwen3, and `tandem` for shapes that `transformers` has no
class for (parallel layers, GELU, LayerNorm). What would change the numbers and is not built is refused by its key.
What this does not do: read weights or tokenizers. Rejected: passing unknown settings over in silence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from tandem.decoder.shape import RopeKind, RopeScaling, Shape
from tandem.errors import UserError

Config = Mapping[str, Any]

_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "tandem": "TandemForCausalLM",
}

_MUST_BE: dict[str, tuple[Any, ...]] = {
    "attn_logit_softcapping": (None,),
    "final_logit_softcapping": (None,),
    "logits_soft_cap": (None,),
    "attention_multiplier": (None,),
    "embedding_multiplier": (None, 1, 1.0),
    "residual_multiplier": (None, 1, 1.0),
    "logits_scaling": (None, 1, 1.0),
    "clip_qkv": (None,),
    "mlp_bias": (None, False),
    "partial_rotary_factor": (None, 1, 1.0),
    "num_local_experts": (None, 0, 1),
    "quantization_config": (None,),
    "is_encoder_decoder": (None, False),
    "no_rope_layers": (None, []),
}
"""Settings that change the numbers, with the values under which they do not."""

_TANDEM_FIELDS = ("norm", "activation", "parallel", "qkv_bias", "qk_norm")


def shape_of(config: Config, where: str = "config.json") -> Shape:
    """The shape a config.json describes. Raises `UserError` naming the key that is missing, wrong or not supported."""
    family = config.get("model_type")
    if family not in _ARCHITECTURES:
        raise UserError(
            f"model_type {family!r} is not supported",
            where=f"{where}: model_type",
            remedy=f"use one of {', '.join(_ARCHITECTURES)}",
        )
    for key, allowed in _MUST_BE.items():
        if config.get(key) not in allowed:
            raise UserError(
                f"{key} = {config[key]!r} is not supported", where=f"{where}: {key}", remedy="use a model without it"
            )
    if config.get("attention_bias") and family != "tandem":
        raise UserError(
            "biases on the attention's output projection are not supported",
            where=f"{where}: attention_bias",
            remedy="use a model without it (qwen2 has biases on q, k and v alone)",
        )
    own = {name: config[name] for name in _TANDEM_FIELDS if name in config} if family == "tandem" else {}
    if family != "tandem" and config.get("hidden_act", "silu") not in ("silu", "swish"):
        raise UserError(
            f"activation {config['hidden_act']!r} is not supported", where=f"{where}: hidden_act", remedy="silu is"
        )
    width, heads = _whole(config, "hidden_size", where), _whole(config, "num_attention_heads", where)
    kv_heads = config.get("num_key_value_heads") or (8 if family == "mistral" else heads)
    head_width = config.get("head_dim") or (128 if family == "qwen3" else width // heads)
    base, scaling, context = _rope(config, where)
    return Shape(
        vocabulary=_whole(config, "vocab_size", where),
        layers=_whole(config, "num_hidden_layers", where),
        width=width,
        heads=heads,
        kv_heads=int(kv_heads),
        head_width=int(head_width),
        mlp_width=_whole(config, "intermediate_size", where),
        context=context,
        rope_base=base,
        rope_scaling=scaling,
        norm_eps=float(config.get("rms_norm_eps", 1e-6)),
        tied=bool(config.get("tie_word_embeddings", False)),
        init_std=float(config.get("initializer_range", 0.02)),
        bos=_id(config.get("bos_token_id")),
        eos=_id(config.get("eos_token_id")),
        pad=_id(config.get("pad_token_id")),
        window=_window(config, str(family), where),
        **({"qkv_bias": family == "qwen2", "qk_norm": family == "qwen3"} | own),
    )


def config_of(shape: Shape, dtype: str) -> dict[str, Any]:
    """The config.json of a shape, in the family whose `transformers` class computes the same numbers.

    Raises `UserError` for head norms or biases together with a sliding window that no family has.
    """
    family = family_of(shape)
    scaling = shape.rope_scaling
    reached = scaling.original_context if scaling is not None and scaling.kind == "dynamic" else shape.context
    config: dict[str, Any] = {
        "architectures": [_ARCHITECTURES[family]],
        "model_type": family,
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.mlp_width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_width,
        "hidden_act": "silu" if shape.activation == "swiglu" else "gelu",
        "max_position_embeddings": reached,
        "initializer_range": shape.init_std,
        "rms_norm_eps": shape.norm_eps,
        "tie_word_embeddings": shape.tied,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_cache": True,
        "bos_token_id": shape.bos,
        "eos_token_id": shape.eos,
        "pad_token_id": shape.pad,
        # Written twice, as transformers 4 and 5 read it.
        "rope_theta": shape.rope_base,
        "rope_parameters": {"rope_theta": shape.rope_base, **(_scaling_of(scaling) or {"rope_type": "default"})},
        "torch_dtype": dtype,
        "dtype": dtype,
    }
    if scaling is not None:
        config["rope_scaling"] = _scaling_of(scaling)
    if family in ("mistral", "tandem"):
        config["sliding_window"] = shape.window
    elif shape.window is not None:
        config |= {"use_sliding_window": True, "sliding_window": shape.window, "max_window_layers": 0}
        config["layer_types"] = ["sliding_attention"] * shape.layers
    elif family != "llama":
        config |= {"use_sliding_window": False, "sliding_window": None, "max_window_layers": shape.layers}
        config["layer_types"] = ["full_attention"] * shape.layers
    if family == "llama":
        config["mlp_bias"] = False
    if family == "tandem":
        config |= {name: getattr(shape, name) for name in _TANDEM_FIELDS}
    return config


def family_of(shape: Shape) -> str:
    """The `model_type` whose class in `transformers` computes what the shape says; "tandem" where there is none."""
    if shape.norm != "rms" or shape.activation != "swiglu" or shape.parallel or (shape.qkv_bias and shape.qk_norm):
        return "tandem"
    if shape.qk_norm:
        return "qwen3"
    if shape.qkv_bias:
        return "qwen2"
    # Llama's class wants a width that is a multiple of the heads; Mistral's computes the same and does not.
    return "llama" if shape.window is None and shape.width % shape.heads == 0 else "mistral"


def _scaling_of(scaling: RopeScaling | None) -> dict[str, Any] | None:
    if scaling is None:
        return None
    values: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind in ("llama3", "yarn"):
        values["original_max_position_embeddings"] = scaling.original_context
    if scaling.kind == "llama3":
        values |= {"low_freq_factor": scaling.low_frequency, "high_freq_factor": scaling.high_frequency}
    if scaling.kind == "yarn":
        values |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow}
        if scaling.attention_factor is not None:
            values["attention_factor"] = scaling.attention_factor
    return values


def _rope(config: Config, where: str) -> tuple[float, RopeScaling | None, int]:
    """Base, scaling and usable context, from either spelling (`rope_scaling` + `rope_theta`, or `rope_parameters`)."""
    context = int(config.get("max_position_embeddings", 2048))
    key = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    rope = config.get(key) or {}
    place = f"{where}: {key}"
    if not isinstance(rope, Mapping) or any(isinstance(value, Mapping) for value in rope.values()):
        raise UserError("rotary settings per layer are not supported", where=place, remedy="use one for all layers")
    base = float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if rope.get("partial_rotary_factor", 1.0) not in (None, 1, 1.0):
        raise UserError("partial rotary positions are not supported", where=f"{place}.partial_rotary_factor")
    if kind == "default":
        return base, None, context
    if kind not in ("linear", "dynamic", "yarn", "llama3"):
        raise UserError(
            f"rope type {kind!r} is not supported",
            where=f"{place}.rope_type",
            remedy="use one of default, linear, dynamic, yarn, llama3",
        )
    if not rope.get("truncate", True):
        raise UserError("yarn without rounding is not supported", where=f"{place}.truncate")

    def number(name: str) -> float:
        value = rope.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{kind} scaling needs a number, got {value!r}", where=f"{place}.{name}")
        return float(value)

    trained = rope.get("original_max_position_embeddings")
    if kind == "yarn" and rope.get("factor") is None and trained:
        factor = context / float(trained)
    else:
        factor = number("factor")
    if kind == "dynamic":
        # Here the config gives the trained length; the stretched positions reach `factor` times as far.
        return base, RopeScaling("dynamic", factor, context), int(context * factor)
    if kind == "linear":
        return base, RopeScaling("linear", factor, math.ceil(context / factor)), context
    original = int(number("original_max_position_embeddings"))
    if kind == "llama3":
        low, high = number("low_freq_factor"), number("high_freq_factor")
        return base, RopeScaling("llama3", factor, original, low_frequency=low, high_frequency=high), context
    attention = rope.get("attention_factor")
    if attention is None and rope.get("mscale") and rope.get("mscale_all_dim") and factor > 1:
        along = 0.1 * math.log(factor)
        attention = (along * rope["mscale"] + 1) / (along * rope["mscale_all_dim"] + 1)
    scaling = RopeScaling(
        cast(RopeKind, kind),
        factor,
        original,
        beta_fast=float(rope.get("beta_fast") or 32),
        beta_slow=float(rope.get("beta_slow") or 1),
        attention_factor=None if attention is None else float(attention),
    )
    return base, scaling, context


def _window(config: Config, family: str, where: str) -> int | None:
    """The sliding window, when all layers have it; layers of two kinds are refused."""
    kinds = set(config.get("layer_types") or ())
    layers = int(config.get("num_hidden_layers") or 0)
    window = config.get("sliding_window")
    if family in ("mistral", "tandem"):
        return window if window is None else int(window)
    if family == "llama" or not config.get("use_sliding_window") or window is None:
        if "sliding_attention" in kinds:
            raise UserError("a sliding window on some layers is not supported", where=f"{where}: layer_types")
        return None
    if not kinds:
        full = int(config.get("max_window_layers", 28))
        kinds = {"sliding_attention" if layer >= full else "full_attention" for layer in range(layers)}
    if kinds == {"full_attention"}:
        return None
    if kinds != {"sliding_attention"}:
        key = "layer_types" if config.get("layer_types") else "max_window_layers"
        raise UserError(
            "a sliding window on some layers and not on others is not supported",
            where=f"{where}: {key}",
            remedy="set use_sliding_window to false if texts stay shorter than the window",
        )
    return int(window)


def _whole(config: Config, key: str, where: str) -> int:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(
            f"{key} is {'missing' if value is None else repr(value)}", where=f"{where}: {key}", remedy="give a number"
        )
    return value


def _id(value: Any) -> int | None:
    """A token id; of several ends (Llama 3) the first, `weights.stop_ids` has them all. -1 stands for none."""
    if isinstance(value, list):
        value = value[0] if value else None
    return None if value is None or int(value) < 0 else int(value)
