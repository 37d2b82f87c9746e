"""States of texts that begin alike, with what is common computed once: a trunk, and branches that each continue it.

A row holds document 0, the trunk, then any number of other documents, the branches. A branch's tokens see the trunk and
their own branch, at the positions they would have if the branch stood behind the trunk alone; so states and gradients
are those of the whole texts, one by one. Training on many questions about one long schema costs the schema once a row.

What this does not do: serve (the engine's tree shares beginnings there), or branch again inside a branch. Rejected for
it: the masks of `attention.visible`, which know only documents apart.

B batch, T tokens.
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor

from tandem.decoder.attention import Part, Visible
from tandem.decoder.model import Decoder

TRUNK = 0
"""Number of the document that all others of its row see."""


def positions(documents_BT: Tensor) -> Tensor:
    """Where each token stands in its own text (B, T); documents of a row are numbered in any order, each in one run."""
    at_T = torch.arange(documents_BT.shape[1], device=documents_BT.device)
    begins_BT = torch.ones_like(documents_BT, dtype=torch.bool)
    begins_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    starts_BT = torch.where(begins_BT, at_T, 0).cummax(dim=1).values
    trunk_B1 = (documents_BT == TRUNK).sum(1, keepdim=True)
    return at_T - starts_BT + torch.where(documents_BT == TRUNK, 0, trunk_B1)


def hidden(model: Decoder, tokens_BT: Tensor, documents_BT: Tensor) -> Tensor:
    """States after the final norm (B, T, D) of rows of a trunk and its branches."""
    positions_BT = positions(documents_BT)
    turn = model._rope.table(int(positions_BT.max()) + 1, tokens_BT.device)[positions_BT]
    return model._states(tokens_BT, turn, visible(documents_BT, positions_BT, model.shape.window), None)


def visible(documents_BT: Tensor, positions_BT: Tensor, window: int | None) -> Visible:
    """Trunk and own branch: on a CPU part by part, which leaves out what a mask would only hide; else by a mask."""
    if documents_BT.device.type == "cpu" and (window is None or window > int(positions_BT.max())):
        return Visible(causal=False, parts=tuple(_parts(row) for row in documents_BT))
    at_T = torch.arange(documents_BT.shape[1], device=documents_BT.device)
    seen_BTS = (documents_BT[:, :, None] == documents_BT[:, None, :]) | (documents_BT[:, None, :] == TRUNK)
    seen_BTS &= at_T[:, None] >= at_T[None, :]
    if window is not None:
        seen_BTS &= positions_BT[:, :, None] - positions_BT[:, None, :] < window
    return Visible(causal=False, mask=seen_BTS[:, None])


def _parts(documents_T: Tensor) -> tuple[Part, ...]:
    """The trunk, then every branch, as they lie in a row."""
    lengths = torch.unique_consecutive(documents_T, return_counts=True)[1].tolist()
    trunk = lengths[0] if documents_T[0] == TRUNK else 0
    ends = list(accumulate(lengths))
    return tuple(Part.of(end - n, end, trunk if end > trunk else 0) for n, end in zip(lengths, ends, strict=True))
