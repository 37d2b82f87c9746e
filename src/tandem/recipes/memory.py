"""Memory of one device while training, by part, from the shape and the way the work is divided.

State. With bf16, a weight takes 2 bytes (bf16) + 4 (fp32 master) + 8 (AdamW's two moments) + its gradient, 2 in bf16 or
4 in fp32: 16 to 18 bytes. With fp32 it takes 4 + 4 + 8 = 16. ZeRO 1 divides master and moments over the data-parallel
devices, ZeRO 2 also gradients, ZeRO 3 (fsdp) also weights, and then gathers whole blocks, two at a time (Rajbhandari et
al. 2020, arXiv 1910.02054). Tensor parallel divides everything by its degree first.

Activations, of bytes s = 2 (bf16) or 4. A block keeps per token its two norms' inputs and outputs (4 D; one norm: 2 D
and the MLP's input is shared), q, k, v and the attention's output (2 H K + 2 H' K, and 4 bytes a head for its
log-sum-exp), and the MLP's inner values (SwiGLU: gate, up, their product, 3 M; GELU: 2 M); no square attention matrix
is kept (FlashAttention). A test holds this to what our decoder keeps. With recomputation all blocks keep s D a token,
and one block at a time the above. Logits are fp32, with a gradient as large: of all tokens at once, or of one chunk.

What this does not do: count fragmentation, communication buffers or the library itself; leave 5 to 10 % for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tandem.decoder.shape import Shape

Parallel: TypeAlias = Literal["ddp", "zero1", "zero2", "fsdp"]
LOSS_CHUNK = 1_024
"""Tokens whose logits exist at one time when the loss is computed in chunks."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device."""

    weights: float
    """The copy the products use."""
    master: float
    """The fp32 copy, where the products use another."""
    moments: float
    """AdamW's two, fp32."""
    gradients_bf16: float
    """Gradients kept in the precision of the products."""
    gradients_fp32: float
    """Gradients accumulated in fp32."""
    gathered: float
    """Blocks gathered for use (fsdp)."""
    activations: float
    """Kept for the backward pass, without recomputation."""
    activations_recomputed: float
    """The same with every block recomputed."""
    logits_chunked: float
    """Logits and their gradient, a chunk at a time."""
    logits_full: float
    """Logits and their gradient, all tokens at once."""

    @property
    def least(self) -> float:
        """With gradients of the products' precision, recomputation and the loss in chunks."""
        state = self.weights + self.master + self.moments + self.gradients_bf16 + self.gathered
        return state + self.activations_recomputed + self.logits_chunked

    @property
    def kept(self) -> float:
        """With fp32 gradients, all activations kept, the loss in chunks."""
        state = self.weights + self.master + self.moments + self.gradients_fp32 + self.gathered
        return state + self.activations + self.logits_chunked

    @property
    def most(self) -> float:
        """With fp32 gradients, all activations kept and full logits."""
        return self.kept - self.logits_chunked + self.logits_full


def estimate(
    shape: Shape,
    *,
    context: int,
    rows: int,
    precision: Literal["fp32", "bf16"],
    parallel: Parallel,
    data: int,
    tensor: int,
) -> Memory:
    """Bytes on one of `data` × `tensor` devices that train on `rows` rows of `context` tokens each in a pass."""
    weights = shape.parameters() / tensor
    compute, whole = (2, 4) if precision == "bf16" else (4, 4)
    division = {"ddp": 0, "zero1": 1, "zero2": 2, "fsdp": 3}[parallel]
    over_optimizer, over_gradients, over_weights = (data if division >= level else 1 for level in (1, 2, 3))
    gathered = 2 * compute * shape.layer_parameters() / tensor if parallel == "fsdp" and data > 1 else 0.0
    tokens = rows * context
    block = tokens * _block_bytes_per_token(shape, compute, tensor)
    logits = 2 * 4 * shape.vocabulary / tensor
    return Memory(
        weights=weights * compute / over_weights,
        master=weights * (4 if precision == "bf16" else 0) / over_optimizer,
        moments=weights * 8 / over_optimizer,
        gradients_bf16=weights * compute / over_gradients,
        gradients_fp32=weights * whole / over_gradients,
        gathered=gathered,
        activations=shape.layers * block,
        activations_recomputed=tokens * shape.layers * shape.width * compute + block,
        logits_chunked=logits * min(tokens, LOSS_CHUNK),
        logits_full=logits * tokens,
    )


def _block_bytes_per_token(shape: Shape, element: int, tensor: int) -> float:
    residual = (2 if shape.parallel else 4) * shape.width
    heads = 2 * shape.heads * shape.head_width + 2 * shape.kv_heads * shape.head_width
    inner = (3 if shape.activation == "swiglu" else 2) * shape.mlp_width
    return element * residual + (element * (heads + inner) + 4 * shape.heads) / tensor
