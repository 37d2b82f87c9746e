"""Choosing the next token: the most likely one, or a draw from the distribution.

Noise is drawn by counter from (seed, prompt, sample, position), so an answer depends neither on what else is in the
batch nor on when it was asked, and an interrupted run repeats it. A draw inverts the distribution's sum in two levels
(blocks of the vocabulary, then inside one), which costs one pass of exponentials instead of a sum over the vocabulary.
What this does not do: stop, or score. Rejected: torch's generators (their stream depends on batch size and device), and
adding noise to every logit (a number per token of the vocabulary and row).

B rows, V vocabulary, C blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

COLDEST = 1e-6
"""Below this temperature the most likely token is all there is (and its logit, divided, may overflow)."""
_BLOCK = 256
_LIKELY = 1024
"""How many of the most likely tokens are looked at for a nucleus before the whole vocabulary is sorted."""


@dataclass(frozen=True)
class Rule:
    """How one row chooses."""

    temperature: float = 0.0
    """0 takes the most likely token."""
    top_p: float = 1.0
    """Among the most likely tokens that together hold this probability."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of every token already in the answer."""


def stream_of(seed: int, prompt: Sequence[int]) -> int:
    """The 64-bit seed of a prompt's answers under a run's seed."""
    return xxhash.xxh3_64_intdigest(np.asarray(prompt, dtype=np.int32).tobytes(), seed=seed & 0xFFFFFFFFFFFFFFFF)


def uniform(
    seed: NDArray[np.uint64] | int, index: NDArray[np.int64], position: NDArray[np.int64] | int
) -> NDArray[np.float64]:
    """A number in [0, 1) for each index, a pure function of (seed, index, position): SplitMix64 chained over the three.

    Steele, Lea & Flood 2014; the 53 high bits become the fraction.
    """
    with np.errstate(over="ignore"):
        start = seed & 0xFFFFFFFFFFFFFFFF if isinstance(seed, int) else seed
        state = np.zeros(index.shape, dtype=np.uint64) + np.asarray(start, dtype=np.uint64)
        for word in (index.astype(np.uint64), np.asarray(position).astype(np.uint64)):
            state = _mixed(state) + word * np.uint64(0x9E3779B97F4A7C15)
        return (_mixed(state) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def choose(logits_BV: Tensor, rules: Sequence[Rule], noise: NDArray[np.float64]) -> Tensor:
    """The next token of each row (B, on the CPU): float32 logits, a rule and a uniform number for each row."""
    greedy = [i for i, rule in enumerate(rules) if rule.temperature < COLDEST]
    if len(greedy) == len(rules):
        return logits_BV.argmax(-1).cpu()
    chosen_B = torch.empty(len(rules), dtype=torch.long)
    if greedy:
        chosen_B[greedy] = logits_BV[greedy].argmax(-1).cpu()
    for nucleus in (False, True):
        rows = [i for i, rule in enumerate(rules) if rule.temperature >= COLDEST and (rule.top_p < 1) == nucleus]
        if rows:
            picked_BV = logits_BV if len(rows) == len(rules) else logits_BV[rows]
            cold = torch.tensor([1 / rules[i].temperature for i in rows], device=logits_BV.device)[:, None]
            at = torch.from_numpy(noise[rows]).to(logits_BV.device)
            weights_BV = torch.softmax(picked_BV * cold, dim=-1)
            if nucleus:
                chosen_B[rows] = _nucleus(weights_BV, [rules[i].top_p for i in rows], at).cpu()
            else:
                chosen_B[rows] = _draw(weights_BV, at).cpu()
    return chosen_B


def penalise(logits_BV: Tensor, rules: Sequence[Rule], answers: Sequence[Sequence[int]]) -> None:
    """Lower, in place, the logits of tokens that stand in a row's answer already."""
    for row, (rule, answer) in enumerate(zip(rules, answers, strict=True)):
        if rule.presence_penalty and answer:
            seen = torch.tensor(sorted(set(answer)), device=logits_BV.device)
            logits_BV[row, seen] -= rule.presence_penalty


def _draw(weights_BV: Tensor, at_B: Tensor) -> Tensor:
    """Invert the running sum of each row's weights at a share of their total."""
    short = -weights_BV.shape[1] % _BLOCK
    padded = F.pad(weights_BV, (0, short)) if short else weights_BV
    blocks_BCN = padded.view(len(padded), -1, _BLOCK)
    return _invert(blocks_BCN, at_B)


def _invert(blocks_BCN: Tensor, at_B: Tensor) -> Tensor:
    sums_BC = blocks_BCN.sum(-1).double()
    up_to_BC = sums_BC.cumsum(-1)
    aim_B1 = at_B[:, None].double() * up_to_BC[:, -1:]
    block_B1 = _first_above(up_to_BC, aim_B1, sums_BC)
    before_B1 = up_to_BC.gather(1, block_B1) - sums_BC.gather(1, block_B1)
    inside_BN = blocks_BCN[torch.arange(len(blocks_BCN), device=blocks_BCN.device), block_B1[:, 0]].double()
    within_B1 = _first_above(inside_BN.cumsum(-1), aim_B1 - before_B1, inside_BN)
    return (block_B1 * blocks_BCN.shape[2] + within_B1)[:, 0]


def _first_above(up_to_BN: Tensor, aim_B1: Tensor, weights_BN: Tensor) -> Tensor:
    """The first place whose running sum exceeds the aim; rounding never leads behind the last one with any weight."""
    at_B1 = torch.searchsorted(up_to_BN, aim_B1, right=True)
    places_N = torch.arange(weights_BN.shape[1], device=weights_BN.device)
    last_B1 = torch.where(weights_BN > 0, places_N, 0).amax(-1, keepdim=True)
    return torch.minimum(at_B1, last_B1)


def _nucleus(weights_BV: Tensor, top_p: Sequence[float], at_B: Tensor) -> Tensor:
    """A draw from the fewest most likely tokens that hold `top_p`, the one that crosses it included."""
    share_B1 = torch.tensor(top_p, device=weights_BV.device)[:, None]
    few = min(_LIKELY, weights_BV.shape[1])
    weights_BN, ids_BN = weights_BV.topk(few, dim=-1)
    if few < weights_BV.shape[1] and bool((weights_BN.sum(-1, keepdim=True) < share_B1).any()):
        weights_BN, ids_BN = weights_BV.sort(dim=-1, descending=True, stable=True)
    before_BN = weights_BN.cumsum(-1) - weights_BN
    weights_BN = weights_BN.masked_fill(before_BN >= share_B1, 0.0)
    return ids_BN.gather(1, _draw(weights_BN, at_B)[:, None])[:, 0]
