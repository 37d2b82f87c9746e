"""Generating: the most likely next token, or a draw from the distribution, with a cache of keys and values.

Prompts of similar length run together, flush right; a row that has ended leaves the batch. Noise is drawn by counter
from (seed, index of the prompt, position in the answer), so a sample does not depend on what else is in the batch, and
an interrupted run repeats it. What this does not do: serve requests that arrive later (the engine of `lm/`), or text:
ids in, ids out. Rejected: torch's generators (their stream depends on batch size and device).

B rows, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tandem.decoder.cache import Cache
from tandem.decoder.model import Decoder
from tandem.errors import UserError

BATCH_TOKENS = 16_384
"""Columns of cache in one batch, over all its rows, prompts and answers included."""


def generate(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    stop_ids: Collection[int] = frozenset(),
    seed: int = 0,
    batch_tokens: int = BATCH_TOKENS,
) -> list[list[int]]:
    """Continue each prompt by at most `max_tokens` tokens; an answer ends before a stop id or at the context's end.

    `temperature` 0 is greedy; otherwise a draw from the most likely tokens that together hold `top_p`. In float32 the
    result of a prompt does not depend on the others, up to rounding; bfloat16 ties may fall either way.
    Raises `UserError` on an empty prompt, one that leaves no room in the context, or ids outside the vocabulary.
    """
    _check(model, prompts, temperature, top_p)
    answers: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    while order:
        rows = order[: max(1, batch_tokens // (len(prompts[order[0]]) + max_tokens))]
        order = order[len(rows) :]
        for index, token in _run(model, prompts, rows, max_tokens, temperature, top_p, frozenset(stop_ids), seed):
            answers[index].append(token)
    return answers


def stream(
    model: Decoder,
    prompt: Sequence[int],
    *,
    max_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    stop_ids: Collection[int] = frozenset(),
    seed: int = 0,
) -> Iterator[int]:
    """The answer `generate` gives to this prompt alone, token by token as it comes."""
    _check(model, [prompt], temperature, top_p)
    for _, token in _run(model, [prompt], [0], max_tokens, temperature, top_p, frozenset(stop_ids), seed):
        yield token


def _run(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    rows: list[int],
    max_tokens: int,
    temperature: float,
    top_p: float,
    stop_ids: frozenset[int],
    seed: int,
) -> Iterator[tuple[int, int]]:
    """(index of the prompt, next token) of one batch until every row has ended."""
    longest, shortest = max(len(prompts[i]) for i in rows), min(len(prompts[i]) for i in rows)
    # Not cut at the context: a short row may go on after the longest has reached it.
    room = longest + min(max_tokens, model.shape.context - shortest)
    starts = [longest - len(prompts[i]) for i in rows]
    padded = [[0] * start + list(prompts[i]) for start, i in zip(starts, rows, strict=True)]
    cache = Cache(model.shape, len(rows), room, dtype=model.compute or model.dtype, device=model.device, starts=starts)
    tokens_BT = torch.tensor(padded, device=model.device)
    for position in range(max_tokens):
        # A generator must not leave inference mode switched on in its caller while it is suspended.
        with torch.inference_mode():
            logits_BV = model.logits(model.hidden(tokens_BT, cache=cache)[:, -1])
            chosen = _choose(logits_BV, rows, position, temperature, top_p, seed)
        going: list[int] = []
        for row, token in enumerate(chosen):
            if token in stop_ids:
                continue
            yield rows[row], token
            if len(prompts[rows[row]]) + position + 1 < model.shape.context:
                going.append(row)
        if not going or position + 1 == max_tokens:
            return
        with torch.inference_mode():
            if len(going) < len(rows):
                cache.select(going)
                rows = [rows[row] for row in going]
            tokens_BT = torch.tensor([[chosen[row]] for row in going], device=model.device)


def _choose(
    logits_BV: Tensor, rows: list[int], position: int, temperature: float, top_p: float, seed: int
) -> list[int]:
    if temperature == 0:
        greedy: list[int] = logits_BV.argmax(-1).tolist()
        return greedy
    uniform_B = uniform(seed, np.asarray(rows), position)
    probability_BV = torch.softmax(logits_BV.cpu().double() / temperature, dim=-1)
    ids_BV: Tensor | None = None
    if top_p < 1:
        probability_BV, ids_BV = probability_BV.sort(dim=-1, descending=True, stable=True)
        before_BV = probability_BV.cumsum(-1) - probability_BV
        probability_BV = probability_BV.masked_fill(before_BV >= top_p, 0.0)
    up_to_BV = probability_BV.cumsum(-1)
    aim_B1 = torch.from_numpy(uniform_B)[:, None] * up_to_BV[:, -1:]
    picked_B1 = torch.searchsorted(up_to_BV, aim_B1, right=True)
    # A product rounded up to the total would land behind the last token that has any probability.
    last_B1 = (probability_BV > 0).long().mul_(torch.arange(probability_BV.shape[1])).amax(-1, keepdim=True)
    picked_B1 = torch.minimum(picked_B1, last_B1)
    if ids_BV is not None:
        picked_B1 = ids_BV.gather(1, picked_B1)
    drawn: list[int] = picked_B1.squeeze(1).tolist()
    return drawn


def uniform(seed: int, index: NDArray[np.int64], position: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each index, a pure function of (seed, index, position): SplitMix64 chained over the three.

    Steele, Lea & Flood 2014; the 53 high bits become the fraction.
    """
    with np.errstate(over="ignore"):
        state = np.full(index.shape, seed & 0xFFFFFFFFFFFFFFFF, dtype=np.uint64)
        for word in (index.astype(np.uint64), np.uint64(position)):
            state = _mixed(state) + word * np.uint64(0x9E3779B97F4A7C15)
        return (_mixed(state) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _check(model: Decoder, prompts: Sequence[Sequence[int]], temperature: float, top_p: float) -> None:
    if not 0 <= temperature < math.inf:
        raise UserError(
            f"is {temperature:g}", where="temperature", remedy="0 is greedy, 1 the model's own distribution"
        )
    if not 0 < top_p <= 1:
        raise UserError(f"is {top_p:g}", where="top_p", remedy="give a share above 0, at most 1")
    for i, prompt in enumerate(prompts):
        if not prompt:
            raise UserError("is empty", where=f"prompt {i}", remedy="begin it with at least one token (bos)")
        if len(prompt) >= model.shape.context:
            raise UserError(
                f"{len(prompt)} tokens leave no room in a context of {model.shape.context}",
                where=f"prompt {i}",
                remedy="shorten it",
            )
        if not 0 <= min(prompt) <= max(prompt) < model.shape.vocabulary:
            raise UserError(
                f"an id lies outside the {model.shape.vocabulary} rows of the vocabulary",
                where=f"prompt {i}",
                remedy="use the tokenizer the model was trained with",
            )
