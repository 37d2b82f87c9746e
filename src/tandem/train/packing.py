"""Encoded conversations in rows of one length: several to a row, each its own document, loss on answers only.

First-fit decreasing (Johnson 1973): longest first, each into the first row that still has room; never more than
11/9 of the fewest rows possible, plus one. The rows are then visited in an order drawn anew for each epoch, a pure
function of (seed, step), so that resuming needs no state.

What this does not do: split a conversation over two rows. Concatenating everything and cutting every `context` tokens
was rejected: it wastes nothing, but the second half of an answer would be learnt without its question.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tandem.corpus.batches import IGNORED, Batch
from tandem.corpus.order import Order
from tandem.errors import UserError


@dataclass(frozen=True)
class PackingReport:
    """What went into the rows, and what did not fit."""

    conversations: int
    """Given."""
    packed: int
    """Placed in rows, cut ones included."""
    cut: int
    """Longer than a row, and cut after the last answer that fits whole."""
    dropped: int
    """Longer than a row up to the end of their first answer: left out."""
    without_answer: int
    """Without a single token to learn: left out."""
    rows: int
    """Rows of one epoch."""
    tokens: int
    """Tokens in them, padding not counted."""
    targets: int
    """Tokens with a loss."""
    context: int
    """Tokens a row has room for."""

    @property
    def efficiency(self) -> float:
        """Share of the rows that is not padding."""
        return self.tokens / (self.rows * self.context)


class Packed:
    """The batches of an instruction tuning: `epochs` visits of every packed row, then padding to a whole last step.

    A conversation of n tokens takes n - 1 places: its last token is only ever a target.
    """

    def __init__(
        self,
        encoded: Sequence[tuple[Sequence[int], Sequence[bool]]],
        *,
        context: int,
        rows: int,
        pad: int,
        seed: int,
        epochs: float = 1.0,
    ) -> None:
        """Pack (ids, is_target) pairs, as `templates.encode` returns them, into rows of `context` tokens.

        `rows` is the number of rows in a batch, `epochs` may be a fraction. Raises UserError when nothing fits.
        """
        if context < 1 or rows < 1 or epochs <= 0:
            raise UserError(f"packing needs context, rows and epochs above 0, got {context}, {rows}, {epochs}")
        self.context = context
        self.rows = rows
        self.pad = pad
        self.seed = seed
        kept: list[tuple[NDArray[np.int32], NDArray[np.bool_]]] = []
        cut = dropped = without_answer = 0
        for ids, is_target in encoded:
            assert len(ids) == len(is_target)
            ids_T = np.asarray(ids, dtype=np.int32)
            target_T = np.asarray(is_target, dtype=bool)
            if not target_T[1:].any():
                without_answer += 1
                continue
            whole = _room_taken(target_T, context)
            if whole is None:
                dropped += 1
                continue
            cut += whole < len(ids_T)
            kept.append((ids_T[:whole], target_T[:whole]))
        if not kept:
            raise _none_fits(context, dropped, without_answer)
        lengths = np.array([len(ids_T) - 1 for ids_T, _ in kept], dtype=np.int64)
        self._ids = np.concatenate([ids_T for ids_T, _ in kept])
        self._is_target = np.concatenate([target_T for _, target_T in kept])
        self._starts = np.concatenate([[0], np.cumsum(lengths + 1)])
        self._packed = first_fit_decreasing(lengths.tolist(), context)
        self._visits = max(1, round(epochs * len(self._packed)))
        self.steps = math.ceil(self._visits / rows)
        self.report = PackingReport(
            conversations=len(encoded),
            packed=len(kept),
            cut=cut,
            dropped=dropped,
            without_answer=without_answer,
            rows=len(self._packed),
            tokens=int(lengths.sum()),
            targets=int(sum(target_T[1:].sum() for _, target_T in kept)),
            context=context,
        )

    @property
    def fingerprint(self) -> str:
        """Content hash of everything that decides the batches: two with the same one give the same batches."""
        settings = (self.context, self.rows, self.pad, self.seed, self._visits)
        found = hashlib.sha256(repr(settings).encode())
        for array in (self._starts, self._ids, self._is_target):
            found.update(array.tobytes())
        return found.hexdigest()[:16]

    def batch(self, step: int, first_row: int = 0, n_rows: int | None = None) -> Batch:
        """Rows first_row … first_row + n_rows - 1 of a step's batch (all by default).

        Documents number the conversations of a row from 0; its padding is one more document without targets.
        """
        n_rows = self.rows - first_row if n_rows is None else n_rows
        if not (0 <= step < self.steps and first_row >= 0 and 0 <= n_rows <= self.rows - first_row):
            raise IndexError(f"step {step} of {self.steps}, rows {first_row}+{n_rows} of {self.rows}")
        tokens_BT = np.full((n_rows, self.context), self.pad, dtype=np.int32)
        targets_BT = np.full((n_rows, self.context), IGNORED, dtype=np.int32)
        documents_BT = np.zeros((n_rows, self.context), dtype=np.int32)
        for b in range(n_rows):
            self._fill(step * self.rows + first_row + b, tokens_BT[b], targets_BT[b], documents_BT[b])
        return Batch(tokens_BT, targets_BT, documents_BT, np.zeros(n_rows, dtype=np.int16))

    def _fill(
        self, visit: int, tokens_T: NDArray[np.int32], targets_T: NDArray[np.int32], documents_T: NDArray[np.int32]
    ) -> None:
        if visit >= self._visits:
            return
        epoch, place = divmod(visit, len(self._packed))
        at = 0
        order = Order(len(self._packed), self.seed, f"packed/{epoch}")
        row = self._packed[int(order(np.array([place], dtype=np.int64))[0])]
        for document, conversation in enumerate(row):
            start, stop = self._starts[conversation], self._starts[conversation + 1]
            n = stop - start - 1
            tokens_T[at : at + n] = self._ids[start : stop - 1]
            targets_T[at : at + n] = np.where(self._is_target[start + 1 : stop], self._ids[start + 1 : stop], IGNORED)
            documents_T[at : at + n] = document
            at += n
        documents_T[at:] = len(row)


def some_fit(encoded: Iterable[tuple[Sequence[int], Sequence[bool]]], context: int) -> None:
    """Raise the UserError of `Packed` where none of the (ids, is_target) pairs fits; stops at the first that does."""
    dropped = without_answer = 0
    for _, is_target in encoded:
        target_T = np.asarray(is_target, dtype=bool)
        if not target_T[1:].any():
            without_answer += 1
        elif _room_taken(target_T, context) is None:
            dropped += 1
        else:
            return
    raise _none_fits(context, dropped, without_answer)


def _none_fits(context: int, dropped: int, without_answer: int) -> UserError:
    return UserError(
        f"none of {dropped + without_answer} conversations fits into {context} tokens ({dropped} too long, "
        f"{without_answer} without an answer)",
        where="tuning.context",
        remedy="raise the context length, or give shorter conversations",
    )


def _room_taken(is_target_T: NDArray[np.bool_], context: int) -> int | None:
    """How many of a conversation's tokens go into a row: all, or up to the last whole answer; None when none fits."""
    return len(is_target_T) if len(is_target_T) - 1 <= context else _end_of_last_whole_answer(is_target_T, context + 1)


def _end_of_last_whole_answer(is_target_T: NDArray[np.bool_], limit: int) -> int | None:
    """The largest number of leading tokens, at most `limit`, that ends where an answer ends; None without one."""
    ends_T = is_target_T[:limit].copy()
    ends_T[: limit - 1] &= ~is_target_T[1:limit]
    if limit < len(is_target_T) and is_target_T[limit]:
        ends_T[limit - 1] = False
    ends_T[0] = False
    places = np.flatnonzero(ends_T)
    return int(places[-1]) + 1 if len(places) else None


def first_fit_decreasing(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Indices of `lengths` in bins of size `room`, longest first into the first bin with room; n log n.

    The bins' free room is kept in a tournament tree, so that the first bin with enough room is found from the root.
    """
    assert all(0 < length <= room for length in lengths)
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    leaves = 1 << max(1, (len(lengths) - 1).bit_length())
    free = [room] * (2 * leaves)
    bins: list[list[int]] = []
    for item in order:
        need, node = lengths[item], 1
        while node < leaves:
            node = 2 * node if free[2 * node] >= need else 2 * node + 1
        if node - leaves == len(bins):
            bins.append([])
        bins[node - leaves].append(item)
        free[node] -= need
        while node > 1:
            node //= 2
            free[node] = max(free[2 * node], free[2 * node + 1])
    return bins
