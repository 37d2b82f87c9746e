"""Scoring: how likely a model finds given continuations of given contexts.

Pairs that share their context are one row: the context once, then its continuations side by side, each of which sees
the context and itself. Rows run in batches of a token budget, and the vocabulary is projected only where a continuation
is predicted. What
this does not do: tokenise (context and continuation must be cut where the tokenizer cuts them), or normalise by length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tandem.decoder.attention import branching
from tandem.decoder.loss import chunk_size
from tandem.decoder.model import Decoder
from tandem.errors import UserError

BATCH_TOKENS = 8_192
"""Tokens in one batch, padding included."""


class Scored(NamedTuple):
    """How likely a continuation is."""

    logprob: float
    """Sum of the log-probabilities of its tokens, in nats."""
    greedy: bool
    """Whether every token was the most likely one."""


@torch.inference_mode()
def score(
    model: Decoder, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], *, batch_tokens: int = BATCH_TOKENS
) -> list[Scored]:
    """Log-probability of each continuation after its context, in the order given.

    Raises `UserError` on an empty context or continuation, or when both together exceed the model's context.
    """
    for i, (context, continuation) in enumerate(pairs):
        if not context or not continuation:
            which = "continuation" if context else "context"
            raise UserError(f"the {which} is empty", where=f"pair {i}", remedy="give at least one token (bos)")
        if len(context) + len(continuation) > model.shape.context + 1:
            raise UserError(
                f"{len(context)} + {len(continuation)} tokens exceed a context of {model.shape.context}",
                where=f"pair {i}",
                remedy="cut the context on its left",
            )
    results: list[Scored | None] = [None] * len(pairs)
    rows = sorted(_rows(pairs, model.shape.context), key=lambda row: row.length)
    while rows:
        # From the longest down, so that the first batch is the one that needs the most memory.
        batch = rows[-max(1, batch_tokens // rows[-1].length) :]
        del rows[-len(batch) :]
        for index, scored in _batch(model, batch):
            results[index] = scored
    assert None not in results
    return [scored for scored in results if scored is not None]


@dataclass
class _Row:
    """A context and the continuations that share it, side by side."""

    context: tuple[int, ...]
    pairs: list[int] = field(default_factory=list)
    continuations: list[Sequence[int]] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens to read: the last one of each continuation is only predicted."""
        return len(self.context) + sum(len(continuation) - 1 for continuation in self.continuations)


def _rows(pairs: Sequence[tuple[Sequence[int], Sequence[int]]], room: int) -> list[_Row]:
    """Pairs gathered by context; a context is read again when its continuations exceed `room`."""
    rows: list[_Row] = []
    open_rows: dict[tuple[int, ...], _Row] = {}
    for i, (context, continuation) in enumerate(pairs):
        key = tuple(context)
        row = open_rows.get(key)
        if row is None or row.length + len(continuation) > room:
            row = open_rows[key] = _Row(key)
            rows.append(row)
        row.pairs.append(i)
        row.continuations.append(continuation)
    return rows


def _batch(model: Decoder, rows: list[_Row]) -> Iterator[tuple[int, Scored]]:
    """(index of the pair, its score) of rows flush left; what stands behind a text cannot be seen by it."""
    longest = max(row.length for row in rows)
    tokens = np.zeros((len(rows), longest), dtype=np.int64)
    positions = np.zeros_like(tokens)
    branch = np.zeros_like(tokens)
    at: list[tuple[int, int]] = []
    targets: list[int] = []
    for b, row in enumerate(rows):
        end = len(row.context)
        tokens[b, :end], positions[b, :end] = row.context, range(end)
        for number, continuation in enumerate(row.continuations, 1):
            more = len(continuation) - 1
            tokens[b, end : end + more] = continuation[:-1]
            positions[b, end : end + more] = range(len(row.context), len(row.context) + more)
            branch[b, end : end + more] = number
            at += [(b, len(row.context) - 1), *((b, t) for t in range(end, end + more))]
            targets += continuation
            end += more
    tokens_BT = torch.from_numpy(tokens).to(model.device)
    if all(len(row.pairs) == 1 for row in rows):
        x_BTD = model.hidden(tokens_BT)
    else:
        positions_BT = torch.from_numpy(positions).to(model.device)
        seen = branching(torch.from_numpy(branch).to(model.device), positions_BT, model.shape.window)
        x_BTD = model.states(tokens_BT, seen, positions_BT, int(positions.max()) + 1)
    rows_N, columns_N = torch.tensor(at, device=model.device).T
    target_N = torch.tensor(targets, device=model.device)
    logprob_N, greedy_N = _tokens(model, x_BTD[rows_N, columns_N], target_N)
    start = 0
    for row in rows:
        for index, continuation in zip(row.pairs, row.continuations, strict=True):
            end = start + len(continuation)
            yield index, Scored(float(logprob_N[start:end].double().sum()), bool(greedy_N[start:end].all()))
            start = end


def _tokens(model: Decoder, x_ND: Tensor, target_N: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability and greediness of each target, on the CPU."""
    logprobs, greedy = [], []
    size = chunk_size(model.shape.vocabulary, model.device)
    for x_CD, target_C in zip(torch.split(x_ND, size), torch.split(target_N, size), strict=True):
        logits_CV = model.logits(x_CD)
        logprobs.append(-F.cross_entropy(logits_CV, target_C, reduction="none"))
        greedy.append(logits_CV.argmax(-1) == target_C)
    return torch.cat(logprobs).cpu(), torch.cat(greedy).cpu()
