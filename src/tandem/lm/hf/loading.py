"""Loading what `transformers` can load, as a padded batch needs it: weights, wording, end marks, room for a batch.

Safetensors only, no code from the folder, no network; every tensor has to be there. What this does not do: run it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tandem.errors import UserError
from tandem.lm.hf.padded import BATCH_TOKENS
from tandem.lm.names import content_name
from tandem.lm.wording import Wording
from tandem.tokenizer import Tokenizer

INSTALL = "pip install 'tandem-llm[hf]'"
UNKNOWN_CONTEXT = 2048
"""Tokens where the configuration names no limit (relative positions)."""
CUDA_SHARE = 0.3
"""Share of a card's free memory that a batch's cache may take."""


@dataclass(frozen=True)
class Parts:
    """A model that is ready to run."""

    model: Any
    """A `transformers` causal LM in evaluation mode, on its device."""
    wording: Wording
    """Its tokenizer, template and context."""
    name: str
    """Content hash of all of it."""
    ends: frozenset[int]
    """Ids that end an answer."""
    batch_tokens: int
    """Columns of cache that a batch may have."""


def load(folder: Path, adapter: Path | None, precision: str, device: str | None) -> Parts:
    """See `HuggingFace.load`."""
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = _dtype(precision, where)
    with _quietly(folder) as transformers:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        _check(folder, config)
        auto = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model, loading = transformers.AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
        )
    if loading["missing_keys"] or loading["mismatched_keys"]:
        lacking = sorted(map(str, [*loading["missing_keys"], *loading["mismatched_keys"]]))
        raise UserError(
            f"{len(lacking)} tensors are missing or of another shape: {', '.join(lacking[:3])}",
            where=str(folder),
            remedy="get the folder again, whole",
        )
    if adapter is not None:
        model = _adapted(model, adapter)
    model = model.to(where).eval().requires_grad_(False)
    if dtype != torch.float32:
        _float_logits(model)
    made = _tokenizer(auto, config, folder)
    wording = Wording(made, context=_context(config, auto), lead=_lead(auto, made))
    name = content_name("hf", [folder] if adapter is None else [folder, adapter], str(dtype))
    return Parts(model, wording, name, _ends(model, made), _batch_tokens(config, where, dtype))


@contextmanager
def _quietly(folder: Path) -> Iterator[Any]:
    """`transformers` without its bars and log; what it raises on a folder becomes a UserError."""
    try:
        import transformers
        from transformers.utils import logging
    except ImportError as e:
        raise UserError(f"needs transformers, which is not installed ({e})", where="hf:", remedy=INSTALL) from None
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield transformers
    except (OSError, ValueError, KeyError, RuntimeError) as e:
        if isinstance(e, UserError):
            raise
        first = next(iter(str(e).strip().splitlines()), type(e).__name__)
        raise UserError(
            f"transformers cannot load it: {first}",
            where=str(folder),
            remedy="name a folder with config.json, tokenizer files and *.safetensors of a causal language model",
        ) from e
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _check(folder: Path, config: Any) -> None:
    problem, remedy = "", ""
    if getattr(config, "is_encoder_decoder", False):
        problem, remedy = "is an encoder-decoder, not a causal language model", "name a model that continues text"
    elif getattr(config, "auto_map", None):
        problem, remedy = "its model is code in the folder, which is not run", "name a model transformers itself knows"
    elif not any(folder.glob("*.safetensors")):
        problem = "has no *.safetensors; pickled weights are never opened"
        remedy = "convert them once: load with transformers and save_pretrained"
    if problem:
        raise UserError(problem, where=str(folder), remedy=remedy)


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision not in ("auto", "fp32", "bf16"):
        raise UserError(f"is {precision!r}", where="precision", remedy="one of auto, fp32, bf16")
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if precision == "bf16" or (precision == "auto" and fast) else torch.float32


class _FloatHead(nn.Module):
    """An output head in float32 behind a model in bfloat16, whose own head would tie close tokens."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight", head.weight.detach().float(), persistent=False)
        self.register_buffer("bias", None if head.bias is None else head.bias.detach().float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits in float32."""
        weight, bias = self.weight, self.bias
        assert isinstance(weight, Tensor) and (bias is None or isinstance(bias, Tensor))
        return F.linear(x.float(), weight, bias)


def _float_logits(model: Any) -> None:
    head = model.get_output_embeddings()
    if isinstance(head, nn.Linear):
        model.set_output_embeddings(_FloatHead(head))


def _adapted(model: Any, adapter: Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError as e:
        raise UserError(f"needs peft, which is not installed ({e})", where="+adapter:", remedy=INSTALL) from None
    if not (adapter / "adapter_config.json").is_file() or not (adapter / "adapter_model.safetensors").is_file():
        raise UserError(
            "no adapter here", where=str(adapter), remedy="name a folder with adapter_config.json and *.safetensors"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft's own use of transformers
        return PeftModel.from_pretrained(model, adapter).merge_and_unload()


def _tokenizer(auto: Any, config: Any, folder: Path) -> Tokenizer:
    """Our own class around the tokenizer's core: marks in a text stay text, bytes of a token are known."""
    if not hasattr(auto, "backend_tokenizer"):
        raise UserError(
            f"its tokenizer ({type(auto).__name__}) has no tokenizer.json form",
            where=str(folder),
            remedy="convert it once to a tokenizer.json",
        )
    template = auto.chat_template
    if isinstance(template, dict):
        template = template.get("default") or next(iter(template.values()), None)
    return Tokenizer(
        tokenizers.Tokenizer.from_str(auto.backend_tokenizer.to_str()),
        rows=max(int(getattr(config, "vocab_size", 0) or 0), len(auto)),
        end=auto.eos_token,
        pad=auto.pad_token,
        bos=auto.bos_token,
        unk=auto.unk_token,
        chat_template=template,
        name=str(folder),
    )


def _lead(auto: Any, made: Tokenizer) -> list[int]:
    """Ids the tokenizer's own post-processor puts in front of a text."""
    plain = made.encode("a")
    whole = list(auto("a")["input_ids"])
    at = next((n for n in range(len(whole)) if whole[n : n + len(plain)] == plain), 0)
    return whole[:at]


def _context(config: Any, auto: Any) -> int:
    named = [getattr(config, key, None) for key in ("max_position_embeddings", "n_positions", "seq_length")]
    limits = [n for n in [*named, auto.model_max_length] if isinstance(n, int) and 0 < n < 10**8]
    return limits[0] if limits else UNKNOWN_CONTEXT


def _ends(model: Any, made: Tokenizer) -> frozenset[int]:
    """Ids that end an answer: those of the generation settings, of the configuration, of the tokenizer."""
    ends: set[int] = set()
    for source in (getattr(model, "generation_config", None), model.config):
        named = getattr(source, "eos_token_id", None)
        ends |= set(named) if isinstance(named, list | tuple) else {named} if isinstance(named, int) else set()
    if "eos" in made.marks:
        ends.add(made.end)
    return frozenset(ends)


def _batch_tokens(config: Any, device: torch.device, dtype: torch.dtype) -> int:
    """Columns of cache that fit: a fixed number on the CPU, a share of the free memory on a card."""
    if device.type != "cuda":
        return BATCH_TOKENS
    width, layers = getattr(config, "hidden_size", 4096), getattr(config, "num_hidden_layers", 32)
    heads, kv_heads = getattr(config, "num_attention_heads", 1), getattr(config, "num_key_value_heads", None)
    share = (kv_heads or heads) / heads
    per_column = 2 * width * layers * share * dtype.itemsize
    free, _ = torch.cuda.mem_get_info(device)
    return max(BATCH_TOKENS, min(1 << 20, int(free * CUDA_SHARE / per_column)))
