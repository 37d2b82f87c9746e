"""States of texts that begin alike, with what is common computed once: a trunk, and branches that each continue it.

A row holds document 0, the trunk, then any number of other documents, the branches. A branch's tokens see the trunk and
their own branch, at the positions they would have if the branch stood behind the trunk alone; so states and gradients
are those of the whole texts, one by one. Training on many questions about one long schema costs the schema once a row.

What this does not do: serve (the engine's tree shares beginnings there), or branch again inside a branch. Rejected for
it: the masks of `attention.visible`, which know only documents apart.

B batch, T tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tandem.decoder.attention import Visible
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
    at_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
    seen_BTS = (documents_BT[:, :, None] == documents_BT[:, None, :]) | (documents_BT[:, None, :] == TRUNK)
    seen_BTS &= at_T[:, None] >= at_T[None, :]
    if model.shape.window is not None:
        seen_BTS &= positions_BT[:, :, None] - positions_BT[:, None, :] < model.shape.window
    turn = model._rope.table(int(positions_BT.max()) + 1, tokens_BT.device)[positions_BT]
    return model._states(tokens_BT, turn, Visible(causal=False, mask=seen_BTS[:, None]), None)
