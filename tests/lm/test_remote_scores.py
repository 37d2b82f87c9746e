"""Scores over the wire equal the model's own: a tiny model behind replies as vLLM and its like write them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loopback_server import Act, LoopbackServer, Request
from tandem.decoder import Decoder, Shape, score
from tandem.errors import CallFailed
from tandem.lm.endpoints import Endpoint, able_by_format
from tandem.lm.remote import Remote
from tandem.tokenizer import train
from tandem.types import Chat, Message, Text

TOKENIZER = train(["Der Käse 漢字 kostet 😀 viel. " * 40, "the cheese costs a lot"], 330)
MODEL = Decoder(Shape(TOKENIZER.vocabulary, 2, 32, 4, 2, 8, 48, 256, init_std=0.2)).eval()


def logprobs(ids: list[int]) -> list[tuple[float, int, float]]:
    """Of each token but the first: its log-probability, the likeliest token in its place, and that one's."""
    with torch.inference_mode():
        rows = MODEL(torch.tensor([ids[:-1]]))[0].log_softmax(-1)
    best = rows.max(-1)
    return [
        (float(row[token]), int(top), float(value))
        for row, token, top, value in zip(rows, ids[1:], best.indices, best.values, strict=True)
    ]


def shown(token: int) -> str:
    """A token as servers spell it: parts of characters become U+FFFD."""
    return TOKENIZER.decode([token])


def reply(request: Request) -> Act:
    """What a server returns that lists the prompt's tokens, in the form that was asked for."""
    asked = request.body
    text = asked.get("prompt") or "".join(f"<{turn['role']}>{turn['content']}" for turn in asked["messages"])
    ids = [TOKENIZER.end, *TOKENIZER.encode(text)]
    values = logprobs(ids)
    usage = {"prompt_tokens": len(ids), "completion_tokens": 1}
    if asked.get("echo"):
        listed = {
            "tokens": [shown(token) for token in ids],
            "token_logprobs": [None, *(own for own, _, _ in values)],
            "top_logprobs": [None, *({shown(top): value} for _, top, value in values)],
        }
        return Act(body={"choices": [{"text": text, "finish_reason": "length", "logprobs": listed}], "usage": usage})
    positions: list[Any] = [None]
    for token, (own, top, value) in zip(ids[1:], values, strict=True):
        entries = {str(token): {"logprob": own, "decoded_token": shown(token)}}
        entries.setdefault(str(top), {"logprob": value, "decoded_token": shown(top)})
        positions.append(entries)
    if "messages" in asked:
        return Act(body={"choices": [], "prompt_logprobs": positions, "usage": usage})
    choice = {"text": "x", "finish_reason": "length", "prompt_logprobs": positions}
    return Act(body={"choices": [choice], "usage": usage})


def over_the_wire(endpoint: Endpoint, context: Text | Chat, continuations: list[str]) -> list[tuple[float, int, bool]]:
    async def ask() -> Any:
        async with LoopbackServer(reply) as server:
            model = Remote(replace(endpoint, address=server.url))
            try:
                return await model.score(context, continuations)
            finally:
                await model.close()

    return [(one.logprob, one.tokens, one.greedy) for one in asyncio.run(ask())]


def by_the_model(before: str, continuation: str) -> tuple[float, int, bool]:
    """The score of the tokens that reach beyond `before`, when both are tokenised together."""
    ids = [TOKENIZER.end, *TOKENIZER.encode(before + continuation)]
    length = len(before.encode())
    first = next(i for i in range(1, len(ids)) if len(TOKENIZER.decode_bytes(ids[1 : i + 1])) > length)
    (scored,) = score.score(MODEL, [(ids[:first], ids[first:])])
    return scored.logprob, len(ids) - first, scored.greedy


def endpoint(form: Any, scoring: Any) -> Endpoint:
    able = replace(able_by_format(form), scoring=True)
    return Endpoint("", "m", form, able, prefill="continue-final-message", scoring=scoring)


words = st.text("Der Käse漢字😀.", min_size=1, max_size=12)


@pytest.mark.parametrize("scoring", ["echo", "prompt-logprobs"])
@settings(max_examples=40, deadline=None)
@given(before=words, continuation=words)
def test_scores_of_plain_text_are_the_models_own(scoring: Any, before: str, continuation: str) -> None:
    expected = by_the_model(before, continuation)
    try:
        ((logprob, tokens, greedy),) = over_the_wire(endpoint("completions", scoring), Text(before), [continuation])
    except CallFailed as failure:
        # Tokens that hold parts of characters are all spelled alike; where they meet at the border, nobody can tell.
        assert "hide where" in failure.problem
        assert not (before + continuation).isascii()
    else:
        assert (logprob, tokens, greedy) == (pytest.approx(expected[0], abs=1e-4), *expected[1:])


def test_several_continuations_are_scored_in_order() -> None:
    texts = ["Käse", " kostet", "😀."]
    got = over_the_wire(endpoint("completions", "echo"), Text("Der "), texts)
    expected = [by_the_model("Der ", text) for text in texts]
    assert [one[0] for one in got] == pytest.approx([one[0] for one in expected], abs=1e-4)


def test_scores_of_an_answer_in_a_conversation_are_the_models_own() -> None:
    context = Chat((Message("user", "Was kostet viel?"),), prefill="Der ")
    got = over_the_wire(endpoint("chat", "prompt-logprobs"), context, ["Käse.", "漢字"])
    for (logprob, tokens, greedy), continuation in zip(got, ["Käse.", "漢字"], strict=True):
        expected = by_the_model("<user>Was kostet viel?<assistant>Der ", continuation)
        assert (logprob, tokens, greedy) == (pytest.approx(expected[0], abs=1e-4), *expected[1:])


def test_a_text_at_the_models_start_is_scored_whole() -> None:
    ((logprob, tokens, _),) = over_the_wire(endpoint("completions", "echo"), Text(""), ["Der Käse"])
    expected = by_the_model("", "Der Käse")
    assert (logprob, tokens) == (pytest.approx(expected[0], abs=1e-4), expected[1])
