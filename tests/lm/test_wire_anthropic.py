"""Anthropic's messages: requests and replies against the official package's types, and what is not as asked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from anthropic.types import Message as TheirMessage
from anthropic.types import TextBlock, ThinkingBlock
from anthropic.types import Usage as TheirUsage
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from anthropic.types.output_tokens_details import OutputTokensDetails
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tandem.errors import CallFailed, Unsupported
from tandem.lm.endpoints import anthropic
from tandem.lm.wire import anthropic_messages
from tandem.lm.wire.answers import Asked
from tandem.lm.wire.reply import Part
from tandem.types import Chat, Completion, Message, Sampling, Text, Usage

CLAUDE = anthropic("claude-sonnet-4-5")
ASK = Chat((Message("system", "Be brief."), Message("user", "Capital of France?")))
OWN = Sampling(temperature=None)
OFFICIAL = TypeAdapter(MessageCreateParamsNonStreaming)
SINCE_REMOVED = {"temperature", "top_p"}

turns = st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), st.text(min_size=1)), max_size=4)


def checked(body: dict[str, Any]) -> None:
    validated = OFFICIAL.validate_python(json.loads(json.dumps(body)))
    list(validated["messages"])
    official = MessageCreateParamsNonStreaming.__required_keys__ | MessageCreateParamsNonStreaming.__optional_keys__
    assert set(body) <= official | SINCE_REMOVED


def reply(*blocks: Any, reason: Any = "end_turn", **usage: Any) -> Any:
    """A reply as the official package's own classes write it."""
    usage = {"input_tokens": 20, "output_tokens": 5, **usage}
    return TheirMessage(
        id="1",
        content=[TextBlock(text=block, type="text") if isinstance(block, str) else block for block in blocks],
        model="claude-sonnet-4-5-20250929",
        role="assistant",
        stop_reason=reason,
        type="message",
        usage=TheirUsage(**usage),
    ).model_dump(mode="json")


def only(body: Any, sampling: Sampling = OWN, **asked: Any) -> Completion:
    (completion,) = anthropic_messages.answers(CLAUDE, Part(body, "m@host"), Asked(sampling, 1, **asked))
    return completion


@given(turns, st.text(), st.lists(st.text(min_size=1)).map(tuple), st.integers(1, 9999))
def test_requests_are_of_the_official_type(
    conversation: list[Message], prefill: str, stops: tuple[str, ...], length: int
) -> None:
    prompt = Chat((*ASK.messages, *conversation), prefill)
    sampling = Sampling(temperature=None, max_tokens=length, stop=stops)
    checked(anthropic_messages.body(CLAUDE, prompt, Asked(sampling, 1, stops_sent=stops)))


def test_the_system_turn_has_a_field_of_its_own() -> None:
    sampling = Sampling(temperature=None, max_tokens=9, stop=("Q:",))
    assert anthropic_messages.body(CLAUDE, ASK, Asked(sampling, 1, stops_sent=("Q:",))) == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Capital of France?"}],
        "stop_sequences": ["Q:"],
    }


def test_an_older_api_version_obeys_a_temperature() -> None:
    body = anthropic_messages.body(CLAUDE, ASK, Asked(Sampling(temperature=0.5, top_p=0.9), 1))
    assert (body["temperature"], body["top_p"]) == (0.5, 0.9)
    checked(body)


def test_a_prefill_is_the_last_turn_without_white_space_at_its_end() -> None:
    prompt = replace(ASK, prefill="The capital is ")
    body = anthropic_messages.body(CLAUDE, prompt, Asked(OWN, 1))
    assert body["messages"][-1] == {"role": "assistant", "content": "The capital is"}
    completion = only(reply(" Paris"), prefill=prompt.prefill)
    assert (completion.text, completion.notes) == ("Paris", ("prefill-trimmed",))


def test_plain_text_is_refused() -> None:
    with pytest.raises(Unsupported, match="takes conversations"):
        anthropic_messages.body(CLAUDE, Text("Once"), Asked(OWN, 1))


def test_a_reply_becomes_a_completion() -> None:
    body = reply(
        "Par",
        "is.",
        cache_read_input_tokens=100,
        cache_creation_input_tokens=10,
        output_tokens_details=OutputTokensDetails(thinking_tokens=2),
    )
    assert only(body) == Completion("Paris.", "stop", None, Usage(130, 5, 100, 2), "claude-sonnet-4-5-20250929")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
    ],
)
def test_reasons_for_ending_are_mapped(theirs: str, ours: str) -> None:
    assert only(reply("x", reason=theirs)).finish == ours


def test_an_unknown_reason_for_ending_is_noted() -> None:
    assert only(reply("x", reason="pause_turn")).notes == ("finish-unknown",)


def test_an_empty_answer_after_thinking_says_so() -> None:
    thinking = ThinkingBlock(signature="s", thinking="", type="thinking")
    completion = only(reply(thinking, reason="max_tokens"))
    assert (completion.text, completion.finish, completion.notes) == ("", "length", ("answer-spent-on-reasoning",))


def test_what_is_missing_is_named_by_its_path() -> None:
    body = reply("x")
    del body["usage"]["input_tokens"]
    with pytest.raises(CallFailed, match=r"the reply has no usage\.input_tokens") as caught:
        only(body)
    assert caught.value.kind == "malformed"


def test_scoring_is_refused() -> None:
    with pytest.raises(Unsupported, match="no log-probabilities"):
        anthropic_messages.scoring_body(CLAUDE, ASK, "Paris")
