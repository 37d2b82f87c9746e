"""Tuning on texts that begin alike, and on what is wrong beside what is right.

`Branched` packs texts of one group (questions about one schema) into rows: their common beginning once, then the rest
of each. `loss` is the cross-entropy of the targets, and, where texts come with wrong endings, a margin: at the token
where a wrong ending leaves the right one, the right token's log-probability shall exceed the wrong one's by `margin`,

    sum over wrong endings of max(0, margin − (log p(right token) − log p(wrong token)))

Up to there both are the same text, so this costs two products with the head's rows and no second pass. It is all of
the contrast that a decoder can act on that takes the likeliest token: a wrong ending is only written if its first wrong
token is. Rejected: a margin between whole sequences, for five times the tokens, most of them behind a mistake that is
not made; unlikelihood (Welleck et al. 2020) at the same token, whose gradient all but vanishes where the wrong token is
still unlikely but the likeliest.

What this does not do: make token ids out of anything (the caller's), or step (`loop`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tandem.corpus.batches import IGNORED, Batch
from tandem.corpus.order import Order
from tandem.decoder import Decoder, branches
from tandem.decoder.loss import sum_cross_entropy
from tandem.errors import UserError
from tandem.train.loop import Loss
from tandem.train.packing import first_fit_decreasing


@dataclass(frozen=True)
class Text:
    """A text to learn from."""

    ids: tuple[int, ...]
    """All of it."""
    asked: int
    """Tokens of the prompt; what follows is to be written."""
    wrong: tuple[tuple[int, ...], ...] = ()
    """Endings that are not to be written, in place of what follows the prompt."""

    @property
    def partings(self) -> tuple[tuple[int, int], ...]:
        """(place, wrong token) where a wrong ending leaves the right one; each once."""
        right = self.ids[self.asked :]
        found = []
        for ending in self.wrong:
            at = next((n for n, (a, b) in enumerate(zip(right, ending, strict=False)) if a != b), None)
            if at is not None:
                found.append((self.asked + at, ending[at]))
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class BranchedReport:
    """What went into the rows."""

    texts: int
    """Given."""
    dropped: int
    """Too long for a row: left out."""
    rows: int
    """Rows of one epoch."""
    tokens: int
    """Tokens in them, padding not counted."""
    alone: int
    """Tokens the same texts would have in rows of their own, without sharing their beginnings."""
    targets: int
    """Tokens with a loss."""
    partings: int
    """Places where a wrong ending leaves the right one."""
    context: int
    """Tokens a row has room for."""


class Branched:
    """Batches of rows, each a common beginning and the rest of several texts; `epochs` visits of every row."""

    def __init__(
        self,
        groups: Sequence[Sequence[Text]],
        *,
        context: int,
        rows: int,
        pad: int,
        seed: int,
        epochs: float = 1.0,
        whole: bool = False,
    ) -> None:
        """Pack each group by itself. `whole` learns a text's prompt too; a common beginning counts once a row.

        Raises UserError when no text fits.
        """
        if context < 2 or rows < 1 or epochs <= 0:
            raise UserError(f"packing needs context, rows and epochs above 0, got {context}, {rows}, {epochs}")
        self.context, self.rows, self.pad, self.seed, self._whole = context, rows, pad, seed, whole
        given = sum(map(len, groups))
        self.texts: list[Text] = []
        self._trunks: list[tuple[int, ...]] = []
        self._packed: list[tuple[int, list[int]]] = []
        for group in groups:
            kept = [text for text in group if len(text.ids) - 1 <= context and text.asked < len(text.ids)]
            if not kept:
                continue
            trunk = common(kept)
            first = len(self.texts)
            self.texts += kept
            lengths = [len(text.ids) - 1 - len(trunk) for text in kept]
            packed = first_fit_decreasing(lengths, context - len(trunk))
            self._packed += [(len(self._trunks), [first + n for n in row]) for row in packed]
            self._trunks.append(trunk)
        if not self._packed:
            remedy = "raise the context, or show fewer parts of the schema"
            raise UserError(f"none of {given} texts fits into {context:,} tokens", where="context", remedy=remedy)
        self._visits = max(1, round(epochs * len(self._packed)))
        self.steps = math.ceil(self._visits / rows)
        shared = sum(len(self._trunks[t]) for t, _ in self._packed)
        own = sum(len(self.texts[n].ids) - 1 - len(self._trunks[t]) for t, row in self._packed for n in row)
        self.report = BranchedReport(
            texts=given,
            dropped=given - len(self.texts),
            rows=len(self._packed),
            tokens=shared + own,
            alone=sum(len(text.ids) - 1 for text in self.texts),
            targets=sum(int((self._row(n)[1] != IGNORED).sum()) for n in range(len(self._packed))),
            partings=sum(len(text.partings) for text in self.texts),
            context=context,
        )

    @property
    def fingerprint(self) -> str:
        """Content hash of everything that decides the batches and their contrast."""
        settings = (self.context, self.rows, self.pad, self.seed, self._visits, self._whole, self._packed, self._trunks)
        texts = [(text.ids, text.asked, text.wrong) for text in self.texts]
        return hashlib.sha256(repr((settings, texts)).encode()).hexdigest()[:16]

    def batch(self, step: int, first_row: int = 0, n_rows: int | None = None) -> Batch:
        """Rows of a step's batch. Document 0 is the common beginning, n + 1 is text n, the padding another one."""
        n_rows = self.rows - first_row if n_rows is None else n_rows
        filled = [self._visit(step * self.rows + first_row + b) for b in range(n_rows)]
        tokens_BT, targets_BT, documents_BT = (np.stack(part) for part in zip(*filled, strict=True))
        return Batch(tokens_BT, targets_BT, documents_BT, np.zeros(n_rows, dtype=np.int16))

    def partings(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """By document number: (place behind the common beginning, wrong token)."""
        trunk = {n: len(self._trunks[t]) for t, row in self._packed for n in row}
        return {
            n + 1: tuple((at - 1 - trunk[n], wrong) for at, wrong in text.partings)
            for n, text in enumerate(self.texts)
            if text.partings
        }

    def _visit(self, visit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if visit >= self._visits:
            return (
                np.full(self.context, self.pad, dtype=np.int32),
                np.full(self.context, IGNORED, dtype=np.int32),
                np.full(self.context, len(self.texts) + 1, dtype=np.int32),
            )
        epoch, place = divmod(visit, len(self._packed))
        order = Order(len(self._packed), self.seed, f"branched/{epoch}")
        return self._row(int(order(np.array([place], dtype=np.int64))[0]))

    def _row(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        which, members = self._packed[number]
        trunk = self._trunks[which]
        tokens_T = np.full(self.context, self.pad, dtype=np.int32)
        targets_T = np.full(self.context, IGNORED, dtype=np.int32)
        documents_T = np.full(self.context, len(self.texts) + 1, dtype=np.int32)
        at = len(trunk)
        tokens_T[:at], documents_T[:at] = trunk, branches.TRUNK
        if self._whole and at > 1:
            targets_T[: at - 1] = trunk[1:]
        for n in members:
            text = self.texts[n]
            rest = np.asarray(text.ids[len(trunk) :], dtype=np.int32)
            end = at + len(rest) - 1
            tokens_T[at:end], documents_T[at:end] = rest[:-1], n + 1
            first = 1 if self._whole else text.asked - len(trunk)
            targets_T[at + first - 1 : end] = rest[first:]
            at = end
        return tokens_T, targets_T, documents_T


def common(texts: Sequence[Text]) -> tuple[int, ...]:
    """The ids that all texts begin with, at least one token short of every prompt."""
    first, last = min(text.ids for text in texts), max(text.ids for text in texts)
    most = min(text.asked for text in texts) - 1
    same = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[: max(0, min(same, most))]


def loss(
    partings: Mapping[int, Sequence[tuple[int, int]]] | None = None, *, margin: float = 1.0, weight: float = 1.0
) -> Loss:
    """The loss of `Branched` rows: cross-entropy, and `weight` times the margin at the places in `partings`."""

    def summed(model: nn.Module, tokens: torch.Tensor, targets: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        assert isinstance(model, Decoder)
        x_ND = branches.hidden(model, tokens, documents).flatten(0, 1)
        total = sum_cross_entropy(x_ND, model.head, targets.flatten())
        places, wrong = _places(documents, partings) if partings else ([], [])
        if places:
            at = torch.tensor(places, device=tokens.device)
            right_ND = model.head[targets.flatten()[at]].float()
            wrong_ND = model.head[torch.tensor(wrong, device=tokens.device)].float()
            ahead = (x_ND[at].float() * (right_ND - wrong_ND)).sum(1)
            total = total + weight * torch.relu(margin - ahead).sum()
        return total

    return summed


def _places(documents: torch.Tensor, partings: Mapping[int, Sequence[tuple[int, int]]]) -> tuple[list[int], list[int]]:
    """Flat places in a batch, and the wrong token at each."""
    places, wrong = [], []
    numbers = documents.cpu().numpy()
    for b, row in enumerate(numbers):
        found, starts = np.unique(row, return_index=True)
        for number, start in zip(found.tolist(), starts.tolist(), strict=True):
            for offset, token in partings.get(number, ()):
                places.append(b * row.size + start + offset)
                wrong.append(token)
    return places, wrong
