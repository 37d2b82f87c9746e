"""What a decoder looks like, in numbers: its sizes, its variants, and the arithmetic that follows from them.

Pure Python without torch, so that a recipe can be planned in milliseconds. Parameters and FLOPs are computed from the
sizes alone and agree with the modules built from them (the decoder's tests count both). What this does not do: hold
weights, read a config.json, or know any model by name. Rejected: sizes derived from a "depth" dial; published shapes
(XGen, LLaMA, Qwen, SmolLM) do not lie on one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tandem.errors import UserError

RopeKind: TypeAlias = Literal["linear", "dynamic", "yarn", "llama3"]


@dataclass(frozen=True)
class RopeScaling:
    """How rotary positions are stretched past the length they were trained for."""

    kind: RopeKind
    """`linear` divides positions (Chen et al. 2023, arXiv 2306.15595); `dynamic` raises the base with the length;
    `yarn` stretches by wavelength (Peng et al. 2023, arXiv 2309.00071); `llama3` is Llama 3.1's rule."""
    factor: float
    """Trained length × factor = usable length; at least 1."""
    original_context: int
    """Length the positions were trained for, in tokens."""
    low_frequency: float = 1.0
    """`llama3`: wavelengths above original_context / this are stretched in full."""
    high_frequency: float = 4.0
    """`llama3`: wavelengths below original_context / this are left alone."""
    beta_fast: float = 32.0
    """`yarn`: dimensions that turn more often than this within original_context are left alone."""
    beta_slow: float = 1.0
    """`yarn`: dimensions that turn less often than this are stretched in full."""
    attention_factor: float | None = None
    """`yarn`: factor on queries and keys; None takes 0.1 ln(factor) + 1."""

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise UserError(f"is {self.factor:g}", where="rope_scaling.factor", remedy="a factor is at least 1")
        if self.original_context < 1:
            raise UserError(
                f"is {self.original_context}", where="rope_scaling.original_context", remedy="give a length in tokens"
            )

    @property
    def reach(self) -> int:
        """Longest sequence the stretched positions serve, in tokens; no bound under `llama3`."""
        return int(self.original_context * self.factor)


@dataclass(frozen=True)
class Shape:
    """The configuration of a LLaMA-family decoder: token embedding, `layers` blocks, final norm, output head.

    A block is norm → attention → add, norm → MLP → add; no projection has a bias except, with `qkv_bias`, q, k and v.
    Raises `UserError` naming the field when the sizes do not fit together.
    """

    vocabulary: int
    """V: rows of the embedding and of the output head."""
    layers: int
    """L: blocks."""
    width: int
    """D: width of the residual stream."""
    heads: int
    """H: query heads."""
    kv_heads: int
    """Key and value heads; divides `heads` (grouped-query attention, Ainslie et al. 2023)."""
    head_width: int
    """K: width of one head; even, for rotary pairs."""
    mlp_width: int
    """M: inner width of the MLP."""
    context: int = 2048
    """Longest sequence in tokens, stretching by `rope_scaling` included."""
    rope_base: float = 10000.0
    """Base of the rotary wavelengths (Su et al. 2021)."""
    rope_scaling: RopeScaling | None = None
    """How rotary positions are stretched; None leaves them plain."""
    norm: Literal["rms", "layer"] = "rms"
    """RMSNorm (a weight) or LayerNorm (a weight and a bias)."""
    norm_eps: float = 1e-6
    """Added to the variance."""
    activation: Literal["swiglu", "gelu"] = "swiglu"
    """SwiGLU (gate, up, down: Shazeer 2020) or GELU (up, down)."""
    parallel: bool = False
    """Attention and MLP side by side on one shared norm (GPT-J), instead of one after the other on a norm each."""
    qkv_bias: bool = False
    """Biases on q, k and v (Qwen2)."""
    qk_norm: bool = False
    """RMSNorm of width `head_width` on each query and key head (Qwen3)."""
    tied: bool = False
    """The output head is the embedding."""
    init_std: float = 0.02
    """Standard deviation of the initial weights."""
    bos: int | None = None
    """Id that begins a text."""
    eos: int | None = None
    """Id that ends a text."""
    pad: int | None = None
    """Id that fills rows up."""
    window: int | None = None
    """Sliding attention: a token sees itself and the window - 1 before it (Mistral); None sees all."""

    def __post_init__(self) -> None:
        for name in ("vocabulary", "layers", "width", "heads", "kv_heads", "head_width", "mlp_width", "context"):
            if getattr(self, name) < 1:
                raise UserError(f"is {getattr(self, name)}", where=name, remedy="a size is at least 1")
        if self.heads % self.kv_heads:
            raise UserError(
                f"is {self.kv_heads}, which does not divide the {self.heads} query heads",
                where="kv_heads",
                remedy="choose a divisor of heads",
            )
        if self.head_width % 2:
            raise UserError(
                f"is {self.head_width}", where="head_width", remedy="rotary positions need an even width per head"
            )
        if self.window is not None and self.window < 1:
            raise UserError(f"is {self.window}", where="window", remedy="leave it out, or give at least 1")
        scaling = self.rope_scaling
        # Llama 3.1's own factor, 8, takes 8,192 tokens to 131,072: under that rule the factor bounds nothing.
        if scaling is not None and scaling.kind != "llama3" and self.context > scaling.reach:
            raise UserError(
                f"is {self.context} tokens, but the rotary positions reach {scaling.reach}",
                where="context",
                remedy="raise rope_scaling.factor or lower the context",
            )
        for name in ("bos", "eos", "pad"):
            token = getattr(self, name)
            if token is not None and not 0 <= token < self.vocabulary:
                raise UserError(f"is {token}, outside the {self.vocabulary} rows", where=name)

    def attention_parameters(self) -> int:
        """Weights of one block's q, k, v and output projections, biases not counted."""
        queries = self.heads * self.head_width
        keys = self.kv_heads * self.head_width
        return self.width * queries + 2 * self.width * keys + queries * self.width

    def mlp_parameters(self) -> int:
        """Weights of one block's MLP."""
        return (3 if self.activation == "swiglu" else 2) * self.width * self.mlp_width

    def layer_parameters(self) -> int:
        """All weights of one block: projections, biases and norms."""
        a_norm = self.width * (1 if self.norm == "rms" else 2)
        norms = a_norm if self.parallel else 2 * a_norm
        biases = (self.heads + 2 * self.kv_heads) * self.head_width if self.qkv_bias else 0
        head_norms = 2 * self.head_width if self.qk_norm else 0
        return self.attention_parameters() + self.mlp_parameters() + norms + biases + head_norms

    def parameters(self) -> int:
        """All weights; a tied output head counts once."""
        final_norm = self.width * (1 if self.norm == "rms" else 2)
        tables = self.vocabulary * self.width * (1 if self.tied else 2)
        return tables + self.layers * self.layer_parameters() + final_norm

    def matmul_parameters(self) -> int:
        """Weights every token is multiplied with: all projections and the output head, not the input embedding."""
        blocks = self.layers * (self.attention_parameters() + self.mlp_parameters())
        return blocks + self.vocabulary * self.width

    def flops_per_token(self, context: int, *, causal: bool = False) -> float:
        """FLOPs to train on one token, forward and backward, in sequences of `context` tokens.

        6 × matmul_parameters + 12 × layers × heads × head_width × keys (Chowdhery et al. 2022, PaLM, appendix B), where
        keys is what a query is compared with: `context` when the whole square of the attention matrix is counted,
        context / 2 with `causal`, less under a sliding window. Recomputation is not counted.
        """
        seen = min(context, self.window) if self.window is not None else context
        keys = seen * (1 - seen / (2 * context)) if causal else seen
        return 6 * self.matmul_parameters() + 12 * self.layers * self.heads * self.head_width * keys
