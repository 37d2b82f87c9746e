"""The decoder: token embedding, blocks of attention and MLP, final norm, output head (Touvron et al. 2023, LLaMA).

Reads like the paper and knows nothing of devices, parallelism, optimisers or files. q, k and v are one matrix product,
gate and up another, and rotary pairs are neighbours; Hugging Face's names and order exist only in `weights.py`. Weights
start from a normal distribution of standard deviation `init_std` everywhere, residual projections included, as LLaMA
and XGen do; norms at 1, biases at 0.
Rejected: GPT-2's smaller start of residual projections (not published for either model).

B batch, T tokens, D width, H query heads, G key/value heads, J = H + 2G, K head width, M MLP width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tandem.decoder import kernels, loss, products
from tandem.decoder.attention import Memory, Visible, attend, visible
from tandem.decoder.rope import Rope
from tandem.decoder.shape import Shape


class Projection(nn.Module):
    """A linear map whose output is one or more named parts side by side: ("q_proj", "k_proj", "v_proj"), …

    `adapters` holds low-rank additions by part name (see `adapters.py`); empty unless attached.
    """

    def __init__(self, inputs: int, parts: Sequence[tuple[str, int]], *, bias: bool = False) -> None:
        super().__init__()
        self.parts: dict[str, slice] = {}
        at = 0
        for name, rows in parts:
            self.parts[name] = slice(at, at + rows)
            at += rows
        self.weight = nn.Parameter(torch.empty(at, inputs))
        self.bias = nn.Parameter(torch.empty(at)) if bias else None
        self.adapters = nn.ModuleDict()
        self.packed: Tensor | None = None
        """The weight as `pack` arranged it; the parameter is then a shape without content."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, sum of the parts)."""
        if self.packed is None:
            y = products.linear(x, self.weight, self.bias)
        else:
            y = products.linear_packed(x, self.packed, self.bias)
        if self.adapters:
            added = [
                self.adapters[name](x) if name in self.adapters else torch.zeros_like(y[..., rows])
                for name, rows in self.parts.items()
            ]
            y = y + torch.cat(added, dim=-1)
        return y


class Norm(nn.Module):
    """RMSNorm, or LayerNorm when the shape says so."""

    def __init__(self, width: int, shape: Shape, kind: str | None = None) -> None:
        super().__init__()
        self.eps = shape.norm_eps
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width)) if (kind or shape.norm) == "layer" else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        if self.bias is not None:
            return F.layer_norm(x, self.weight.shape, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)
        return kernels.rms_norm(x, self.weight.to(x.dtype), self.eps)


class Attention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.groups, self.head_width = shape.heads, shape.kv_heads, shape.head_width
        queries, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
        self.qkv = Projection(
            shape.width, [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)], bias=shape.qkv_bias
        )
        self.out = Projection(queries, [("o_proj", shape.width)])
        self.q_norm = Norm(shape.head_width, shape, "rms") if shape.qk_norm else None
        self.k_norm = Norm(shape.head_width, shape, "rms") if shape.qk_norm else None

    def forward(
        self, x_BTD: Tensor, turn: Tensor, seen: Visible | None, memory: Memory | None = None, layer: int = 0
    ) -> Tensor:
        """`turn` (T, 1, K/2), or (B, T, 1, K/2) where rows stand at their own positions."""
        qkv_BTJK = self.qkv(x_BTD).unflatten(-1, (-1, self.head_width))
        if self.q_norm is not None and self.k_norm is not None:
            q_BTHK, k_BTGK, v_BTGK = qkv_BTJK.split([self.heads, self.groups, self.groups], dim=2)
            q_BTHK = kernels.rotary(self.q_norm(q_BTHK), turn)
            k_BTGK = kernels.rotary(self.k_norm(k_BTGK), turn)
        else:
            q_BTHK, k_BTGK, v_BTGK = kernels.rotary_split(qkv_BTJK, turn, self.heads)
        if memory is None:
            assert seen is not None
            out_BTHK = attend(q_BTHK, k_BTGK, v_BTGK, seen)
        else:
            out_BTHK = memory.attend(layer, q_BTHK, k_BTGK, v_BTGK)
        y: Tensor = self.out(out_BTHK.flatten(2))
        return y


class MLP(nn.Module):
    """SwiGLU, or GELU when the shape says so."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gated = shape.activation == "swiglu"
        inner = [("gate_proj", shape.mlp_width)] if self.gated else []
        self.up = Projection(shape.width, [*inner, ("up_proj", shape.mlp_width)])
        self.down = Projection(shape.mlp_width, [("down_proj", shape.width)])

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) → (…, D)."""
        inner_M = self.up(x)
        y: Tensor = self.down(kernels.swiglu(inner_M) if self.gated else F.gelu(inner_M))
        return y


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); or both on one norm, added at once, when parallel."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = Norm(shape.width, shape)
        self.attention = Attention(shape)
        self.mlp_norm = None if shape.parallel else Norm(shape.width, shape)
        self.mlp = MLP(shape)

    def forward(
        self, x_BTD: Tensor, turn: Tensor, seen: Visible | None, memory: Memory | None = None, layer: int = 0
    ) -> Tensor:
        """One block."""
        normed = self.attention_norm(x_BTD)
        if self.mlp_norm is None:
            both: Tensor = x_BTD + (self.attention(normed, turn, seen, memory, layer) + self.mlp(normed))
            return both
        x_BTD = x_BTD + self.attention(normed, turn, seen, memory, layer)
        y: Tensor = x_BTD + self.mlp(self.mlp_norm(x_BTD))
        return y


class Decoder(nn.Module):
    """A LLaMA-family language model of a given `Shape`.

    Build it under `torch.device("meta")` to get the structure without the memory, then `weights.load` fills it in.
    """

    def __init__(self, shape: Shape, *, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.empty(shape.vocabulary, shape.width))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width, shape)
        self.output = None if shape.tied else nn.Parameter(torch.empty(shape.vocabulary, shape.width))
        self.recompute = False
        """Keep only each block's input and run it again in the backward pass: less memory, a third more time."""
        self.compute: torch.dtype | None = None
        """What to compute in when it is not what the weights are kept in: bfloat16 over float32 weights is mixed
        precision, with their gradients and the loss in float32. Weights follow what they are multiplied with."""
        self._rope = Rope(shape)
        if not self.embedding.is_meta:
            self.initialise(seed)

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Fresh weights, the same for a seed on every device: drawn on the CPU, in the order of the parameters."""
        generator = torch.Generator().manual_seed(seed % 2**63)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):
                weight.zero_()
            elif weight.dim() == 1:
                weight.fill_(1.0)
            else:
                drawn = torch.empty(weight.shape).normal_(0.0, self.shape.init_std, generator=generator)
                weight.copy_(drawn)

    def pack(self) -> None:
        """Arrange the projections' weights for serving, where that is faster: nothing but forward passes after it.

        The plain weights go, so the model can no longer be trained, moved, saved or merged with an adapter.
        """
        for module in self.modules():
            if isinstance(module, Projection) and module.packed is None:
                module.packed = products.packed(module.weight.data)
                if module.packed is not None:
                    module.weight = nn.Parameter(module.weight.to("meta"), requires_grad=False)

    @property
    def head(self) -> Tensor:
        """The output head's weight (V, D)."""
        return self.embedding if self.output is None else self.output

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are kept in."""
        return self.embedding.dtype

    def hidden(self, tokens_BT: Tensor, documents_BT: Tensor | None = None) -> Tensor:
        """States after the final norm (B, T, D).

        `documents_BT` numbers the documents of each row, non-decreasing; attention stays inside them.
        """
        tokens = tokens_BT.shape[1]
        seen = visible(tokens, documents_BT, self.shape.window, tokens_BT.device, self.compute or self.dtype)
        return self._states(tokens_BT, self._rope.table(tokens, tokens_BT.device), seen, None)

    def states(self, tokens_BT: Tensor, positions_BT: Tensor, reach: int, memory: Memory) -> Tensor:
        """States after the final norm of tokens at given positions, all below `reach`; `memory` says what they see."""
        x_BTD = self._states(tokens_BT, self._rope.table(reach, tokens_BT.device)[positions_BT], None, memory)
        memory.advance(tokens_BT.shape[1])
        return x_BTD

    def _states(self, tokens_BT: Tensor, turn: Tensor, seen: Visible | None, memory: Memory | None) -> Tensor:
        x_BTD = F.embedding(tokens_BT, self.embedding).to(self.compute or self.dtype)
        turn = turn.unsqueeze(-2)
        for layer, block in enumerate(self.blocks):
            if self.recompute and torch.is_grad_enabled() and memory is None:
                x_BTD = checkpoint(block, x_BTD, turn, seen, use_reentrant=False)
            else:
                x_BTD = block(x_BTD, turn, seen, memory, layer)
        y: Tensor = self.norm(x_BTD)
        return y

    def logits(self, x: Tensor) -> Tensor:
        """Float32 logits (…, V) of states after the final norm."""
        if torch.is_grad_enabled():
            return products.linear(x.float(), self.head.float())
        return loss.logits_of(x.flatten(0, -2), self.head).view(*x.shape[:-1], -1)

    def forward(self, tokens_BT: Tensor, documents_BT: Tensor | None = None) -> Tensor:
        """Float32 logits (B, T, V): for looking at; training goes through `loss`."""
        return self.logits(self.hidden(tokens_BT, documents_BT))

    def loss(
        self,
        tokens_BT: Tensor,
        targets_BT: Tensor,
        documents_BT: Tensor | None = None,
        chunk: int | None = None,
    ) -> Tensor:
        """SUM of the cross-entropy over all targets that are not -100, in nats: a float32 scalar to differentiate.

        Never holds the logits of more than `chunk` positions. Divide by the number of targets yourself.
        """
        x_BTD = self.hidden(tokens_BT, documents_BT)
        return loss.sum_cross_entropy(x_BTD.flatten(0, 1), self.head, targets_BT.flatten(), chunk)

    @torch.no_grad()
    def losses(self, tokens_BT: Tensor, targets_BT: Tensor, documents_BT: Tensor | None = None) -> Tensor:
        """Cross-entropy of every position in nats (B, T, float32), 0 where the target is -100; no gradients."""
        x_BTD = self.hidden(tokens_BT, documents_BT)
        return loss.cross_entropy(x_BTD.flatten(0, 1), self.head, targets_BT.flatten()).view(targets_BT.shape)
