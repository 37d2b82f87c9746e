"""Scoring: what has to be read to know how likely continuations are, and how likely they then are.

Sequences that begin alike are laid out as one stem, read once, and the rest of each as a branch behind it; branches do
not see each other. The vocabulary is projected once per place where something is predicted, so the letters of a
multiple-choice question cost one place together. What this does not do: run the model (the engine), tokenise (context
and continuation must be cut where the tokenizer cuts them), or normalise by length.

P places, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tandem.decoder.tree import Ids, shared
from tandem.errors import Failure, UserError

_PLACES = 32
"""Places projected at a time: as fast as 64, and their logits take half the memory."""


class Scored(NamedTuple):
    """How likely a continuation is."""

    logprob: float
    """Sum of the log-probabilities of its tokens, in nats."""
    greedy: bool
    """Whether every token was the most likely one."""


@dataclass(frozen=True)
class Plan:
    """What is read for a few sequences that begin alike, and what is predicted where."""

    stem: Ids
    """What all begin with and is read as input."""
    branches: tuple[int, ...]
    """Length of what each has of its own, its last token aside; empty where nobody has anything."""
    tokens: list[int]
    """Stem and branches end to end."""
    shareable: int
    """Tokens of the stem in front of the first place that predicts: others may have computed them."""
    places: list[list[int]]
    """For each sequence, where in `tokens` each token of its continuation is predicted."""
    targets: list[list[int]]
    """The tokens of its continuation."""


def not_finite() -> Failure:
    """What there is to say when nothing can be chosen or scored by."""
    return Failure(
        "the model's logits are not finite",
        where="logits",
        remedy="check its weights for NaN and infinity; if they are sound, use precision fp32",
    )


def plan(sequences: Sequence[Ids], starts: Sequence[int]) -> Plan:
    """Lay out sequences whose continuations begin at `starts`.

    Raises `UserError` where a context or a continuation is empty.
    """
    for i, (sequence, start) in enumerate(zip(sequences, starts, strict=True)):
        if not 1 <= start < len(sequence):
            which = "context" if start < 1 else "continuation"
            raise UserError(f"the {which} is empty", where=f"sequence {i}", remedy="give at least one token (bos)")
    common = min(len(sequence) - 1 for sequence in sequences)
    for sequence in sequences[1:]:
        common = min(common, shared(sequences[0], sequence))
    stem = sequences[0][:common]
    branches = [len(sequence) - 1 - common for sequence in sequences]
    tokens = stem.tolist()
    places: list[list[int]] = []
    for sequence, start in zip(sequences, starts, strict=True):
        ahead = len(tokens) - common
        places.append([p if p < common else p + ahead for p in range(start - 1, len(sequence) - 1)])
        tokens += sequence[common:-1].tolist()
    return Plan(
        stem,
        tuple(branches) if any(branches) else (),
        tokens,
        min(common, min(starts) - 1),
        places,
        [sequence[start:].tolist() for sequence, start in zip(sequences, starts, strict=True)],
    )


def scored(
    x_ND: Tensor, plans: Sequence[Plan], begins: Sequence[int], logits: Callable[[Tensor], Tensor]
) -> list[list[Scored]]:
    """Results of each plan, whose token 0 stands (or would stand, if others computed it) at `begins` in `x_ND`."""
    rows: dict[int, int] = {}
    pairs: list[tuple[int, int]] = []
    for laid, begin in zip(plans, begins, strict=True):
        for places, targets in zip(laid.places, laid.targets, strict=True):
            for place, target in zip(places, targets, strict=True):
                pairs.append((rows.setdefault(begin + place, len(rows)), target))
    if not pairs:
        return []
    logprob, greedy = _read(x_ND, list(rows), np.array(pairs), logits)
    results: list[list[Scored]] = []
    at = 0
    for laid in plans:
        result = []
        for targets in laid.targets:
            end = at + len(targets)
            result.append(Scored(float(logprob[at:end].sum()), bool(greedy[at:end].all())))
            at = end
        results.append(result)
    return results


def _read(
    x_ND: Tensor,
    places: list[int],
    pairs: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    logits: Callable[[Tensor], Tensor],
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Log-probability (float64) and greediness of every (row of `places`, target)."""
    logprob = np.empty(len(pairs))
    greedy = np.empty(len(pairs), dtype=np.bool_)
    for at in range(0, len(places), _PLACES):
        logits_PV = logits(x_ND[places[at : at + _PLACES]])
        mine = np.flatnonzero((pairs[:, 0] >= at) & (pairs[:, 0] < at + _PLACES))
        row = torch.from_numpy(pairs[mine, 0] - at).to(logits_PV.device)
        target = torch.from_numpy(pairs[mine, 1]).to(logits_PV.device)
        lse_P = logits_PV.logsumexp(-1)
        logprob[mine] = (logits_PV[row, target] - lse_P[row]).double().cpu().numpy()
        greedy[mine] = (logits_PV.argmax(-1)[row] == target).cpu().numpy()
    return logprob, greedy
