"""A batch of a `transformers` model: rows flush right, what hides their padding, and the cache the model keeps of them.

Asks the model for no more logits than are needed, and for positions and cache only where its `forward` takes them; a
model without a cache reads its rows again at each step. What this does not do: choose tokens, or decide what runs.

B rows, T columns, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

NO_TARGET = -100
"""Marks a position where nothing is predicted."""


class Batch:
    """Rows of tokens flush right, what hides their padding, and the model's cache of them."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        """Rows for `prompts`, none of them empty, on the device of the model's embeddings."""
        width = max(map(len, prompts))
        device = model.get_input_embeddings().weight.device
        self.tokens_BT = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids in prompts], device=device)
        self.mask_BT = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=device)
        # Without padding the mask says nothing, and recurrent models do not take one when they go on from a cache.
        self._padded = any(len(ids) < width for ids in prompts)
        self._model = model
        self._takes = frozenset(inspect.signature(model.forward).parameters)
        # `cache` since transformers 5.2x, `past_key_values` before; a model that takes neither has none.
        self._named = next((name for name in ("cache", "past_key_values") if name in self._takes), None)
        self._cache: Any = None

    @property
    def spreads(self) -> bool:
        """Whether rows can be dropped and repeated, the cache's layers included."""
        layers = getattr(self._cache, "layers", ())
        return self._cache is None or (bool(layers) and all(hasattr(one, "batch_select_indices") for one in layers))

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, repeated where named twice; only where the batch `spreads`."""
        if list(rows) == list(range(len(self.mask_BT))):
            return
        at = torch.tensor(rows, device=self.mask_BT.device)
        self.tokens_BT, self.mask_BT = self.tokens_BT[at], self.mask_BT[at]
        if self._cache is not None:
            self._cache.batch_select_indices(at)

    def read(self) -> Tensor:
        """Logits after the last token of every row (B, V); fills the cache."""
        return self._forward(self.tokens_BT, keep=1)[:, -1]

    def last(self, columns: int) -> Tensor:
        """Logits at the last columns (B, columns, V), without a cache."""
        return self._forward(self.tokens_BT, keep=columns, cached=False)[:, -columns:]

    def step(self, tokens_B1: Tensor) -> Tensor:
        """Append a token to every row; logits after it (B, V)."""
        return self.extend(tokens_B1, torch.ones_like(tokens_B1, dtype=torch.bool))[:, -1]

    def extend(self, tokens_BT: Tensor, real_BT: Tensor) -> Tensor:
        """Append columns, of which `real_BT` says what is text; logits at each of them (B, T, V)."""
        self.mask_BT = torch.cat([self.mask_BT, real_BT.long()], dim=1)
        self._padded = self._padded or not bool(real_BT.all())
        if self._cache is not None:
            return self._forward(tokens_BT, keep=tokens_BT.shape[1])
        self.tokens_BT = torch.cat([self.tokens_BT, tokens_BT], dim=1)
        return self._forward(self.tokens_BT, keep=tokens_BT.shape[1])[:, -tokens_BT.shape[1] :]

    def _forward(self, tokens_BT: Tensor, *, keep: int, cached: bool = True) -> Tensor:
        options: dict[str, Any] = {}
        if "position_ids" in self._takes:
            columns = tokens_BT.shape[1]
            options["position_ids"] = (self.mask_BT.cumsum(1) - 1).clamp_(min=0)[:, -columns:]
        if "logits_to_keep" in self._takes:
            options["logits_to_keep"] = keep
        if self._named is not None:
            options |= {self._named: self._cache, "use_cache": cached}
        if self._padded:
            options["attention_mask"] = self.mask_BT
        out = self._model(input_ids=tokens_BT, **options)
        if self._named is not None and cached:
            self._cache = getattr(out, self._named)
        logits: Tensor = out.logits
        return logits.float()


def judged(logits_BTV: Tensor, target_BT: Tensor) -> list[tuple[float, bool]]:
    """Summed log-probability of each row's targets, and whether each was the likeliest; `NO_TARGET` is none."""
    loss_BT = F.cross_entropy(logits_BTV.transpose(1, 2), target_BT, reduction="none")
    likeliest_B = ((logits_BTV.argmax(-1) == target_BT) | (target_BT < 0)).all(1)
    return list(zip((-loss_BT.double().sum(1)).tolist(), likeliest_B.tolist(), strict=True))
