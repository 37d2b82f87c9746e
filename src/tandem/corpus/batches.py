"""The batches of one stage: a pure function of (seed, step), with exact shares, without any state.

A source is a stream of tokens, repeated without end. In a stage it gives n_s windows of T tokens, one after the other
from where the last stage stopped; n_s is its share of all rows of the stage. All windows of all sources form one range,
which one permutation without a table (`order.py`) puts into the order of training. Hence:

- the shares of a stage are exact to one window;
- every token, so every document, is seen ⌊e⌋ or ⌈e⌉ times in e epochs, also across stages of different length;
- any step is computed at once: resuming, more workers, or fewer rows per call change nothing.

Rejected: sampling a source for each row (shares are then right on average only) and shuffling epoch by epoch (needs an
epoch to be a whole number of steps, or state).

A document is cut where a window ends: nothing is padded. Attention shall stay inside a document: `Batch.documents`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tandem.corpus.order import Order
from tandem.corpus.shards import Shards
from tandem.errors import UserError

IGNORED = -100
"""The target of a position that is not to be predicted (the convention of torch's cross-entropy)."""


class Batch(NamedTuple):
    """Rows ready for a model. B rows, T tokens."""

    tokens: NDArray[np.int32]
    """Input ids [B, T]."""
    targets: NDArray[np.int32]
    """The id to predict at each position [B, T]; -100 where there is none: behind an end mark."""
    documents: NDArray[np.int32]
    """Number of the document within its row [B, T], from 0, non-decreasing; attention stays among equals."""
    sources: NDArray[np.int16]
    """Which source each row comes from [B], an index into the parts of the mixture."""


@dataclass(frozen=True)
class Part:
    """One source's part in a stage."""

    shards: Shards
    """Its tokens."""
    share: float
    """Of the stage's tokens; shares are used in proportion to their sum."""
    offset_tokens: int = 0
    """Tokens of this source already seen in earlier stages: the stage goes on from there."""


class Realised(NamedTuple):
    """What a source gives in a stage."""

    share: float
    """Of the tokens seen in the stage."""
    tokens: int
    """Tokens seen in the stage."""
    epochs: float
    """Tokens seen in the stage by tokens stored."""
    offset_tokens: int
    """`Part.offset_tokens` for the next stage."""


class Mixed:
    """All batches of one stage.

    Args: `context` T, `rows` B per step, `steps` in the stage. Raises UserError when the parts come from different
    tokenizers, hold no tokens, or their shares are not positive.
    """

    def __init__(self, sources: Sequence[Part], context: int, rows: int, steps: int, seed: int) -> None:
        assert context > 0 and rows > 0 and steps > 0
        _check(sources)
        self.parts = tuple(sources)
        self.context = context
        self.rows = rows
        self.steps = steps
        self.seed = seed
        self._windows = apportion([part.share for part in sources], rows * steps)
        self._ends = np.cumsum(self._windows)
        self._begins = self._ends - self._windows
        self._offsets = np.array([part.offset_tokens % part.shards.tokens for part in sources], dtype=np.int64)
        self._lengths = np.array([part.shards.tokens for part in sources], dtype=np.int64)
        # The label tells stages of one run apart, which share a seed and may have the same number of windows.
        label = f"batches/{context}/" + "/".join(str(part.offset_tokens) for part in sources)
        self._order = Order(rows * steps, seed, label)

    def batch(self, step: int, first_row: int = 0, n_rows: int | None = None) -> Batch:
        """Rows `first_row` … `first_row + n_rows - 1` of a step; all rows by default. Steps count from 0."""
        n_rows = self.rows - first_row if n_rows is None else n_rows
        if not (0 <= step < self.steps and first_row >= 0 and 0 <= n_rows <= self.rows - first_row):
            raise IndexError(f"step {step}, rows {first_row} + {n_rows} of {self.steps} steps of {self.rows} rows")
        source, start = self.places(np.arange(n_rows, dtype=np.int64) + (step * self.rows + first_row))
        rows = np.empty((n_rows, self.context + 1), dtype=np.int32)
        for row, (s, at) in enumerate(zip(source.tolist(), start.tolist())):
            rows[row] = self.parts[s].shards.read(at, self.context + 1)
        return _batch(rows, self.parts[0].shards.end, source.astype(np.int16))

    def places(self, row: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Source and first token of rows numbered through the stage (step · rows + row)."""
        window = self._order(row)
        source = np.searchsorted(self._ends, window, side="right")
        begin = self._offsets[source] + (window - self._begins[source]) * self.context
        return source, begin % self._lengths[source]

    def realised(self) -> tuple[Realised, ...]:
        """Shares, tokens and epochs of each part in this stage, and where the next stage begins in it."""
        total = self.rows * self.steps
        return tuple(
            Realised(
                share=int(n) / total,
                tokens=int(n) * self.context,
                epochs=int(n) * self.context / part.shards.tokens,
                offset_tokens=part.offset_tokens + int(n) * self.context,
            )
            for n, part in zip(self._windows, self.parts)
        )


def once(shards: Shards, context: int, rows: int, *, tokens: int | None = None) -> Iterator[Batch]:
    """Every token of `shards` once, in order (at most `tokens` of them): for validation. The last batch may be smaller.

    Positions past the end hold end marks, which are not predicted and predict nothing.
    """
    limit = shards.tokens if tokens is None else min(tokens, shards.tokens)
    starts = list(range(0, limit, context))
    for first in range(0, len(starts), rows):
        some = starts[first : first + rows]
        block = np.full((len(some), context + 1), shards.end, dtype=np.int32)
        for row, start in enumerate(some):
            known = min(context + 1, shards.tokens - start)
            block[row, :known] = shards.read(start, known)
            cut = min(context, limit - start)
            block[row, cut + 1 :] = shards.end
        batch = _batch(block, shards.end, np.zeros(len(some), dtype=np.int16))
        for row, start in enumerate(some):
            batch.tokens[row, limit - start :] = shards.end
            batch.targets[row, limit - start :] = IGNORED
        yield batch


def tokens_given(shares: Sequence[float], context: int, rows: int, steps: int) -> list[int]:
    """Tokens each source gives in a stage, exactly: what `Part.offset_tokens` adds up, without opening files."""
    return [int(n) * context for n in apportion(shares, rows * steps)]


def apportion(shares: Sequence[float], total: int) -> NDArray[np.int64]:
    """Whole numbers that sum to `total`, in proportion to `shares`, by largest remainder (ties: the first)."""
    exact = np.array(shares, dtype=np.float64) / float(np.sum(shares)) * total
    whole = np.floor(exact).astype(np.int64)
    left = total - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:left]] += 1
    return whole


def _batch(rows_BU: NDArray[np.int32], end: int, sources_B: NDArray[np.int16]) -> Batch:
    """Inputs, targets and document numbers of rows that are one token longer than the context (U = T + 1)."""
    tokens_BT = rows_BU[:, :-1].copy()  # not ascontiguousarray: of a single row it makes a view, which -100 would reach
    targets_BT = rows_BU[:, 1:].copy()
    ends_BT = tokens_BT == end
    np.putmask(targets_BT, ends_BT, IGNORED)
    documents_BT = np.zeros_like(tokens_BT)
    np.cumsum(ends_BT[:, :-1], axis=1, dtype=np.int32, out=documents_BT[:, 1:])
    return Batch(tokens_BT, targets_BT, documents_BT, sources_B)


def _check(parts: Sequence[Part]) -> None:
    if not parts:
        raise UserError("a mixture without sources", remedy="name at least one source with its share")
    first = parts[0].shards
    for part in parts:
        if part.shards.tokenizer != first.tokenizer:
            raise UserError(
                f"tokens of another tokenizer than in {first.folder}",
                where=str(part.shards.folder),
                remedy="build all sources of a mixture with one tokenizer",
            )
        if not part.share > 0:
            raise UserError(f"a share of {part.share}", where=str(part.shards.folder), remedy="give a share above 0")
        assert part.offset_tokens >= 0
