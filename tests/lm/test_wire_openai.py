"""OpenAI's two wire formats: requests and replies against the official package's types, and what is not as asked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion as TheirCompletion
from openai.types import CompletionChoice, CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionMessage, ChatCompletionTokenLogprob
from openai.types.chat.chat_completion import Choice, ChoiceLogprobs
from openai.types.chat.chat_completion_token_logprob import TopLogprob
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as ChatParams
from openai.types.completion_choice import Logprobs
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming as TextParams
from openai.types.completion_usage import CompletionTokensDetails, PromptTokensDetails
from pydantic import TypeAdapter

from tandem.errors import CallFailed, Unsupported
from tandem.lm.endpoints import Endpoint, able_by_format, openai
from tandem.lm.wire import openai_chat, openai_completions
from tandem.lm.wire.answers import Asked
from tandem.lm.wire.reply import Part
from tandem.types import Chat, Completion, Message, Sampling, Text, Usage

CHAT = Endpoint("https://host/v1", "m", abilities=able_by_format("chat"))
TEXT = Endpoint("https://host/v1", "m", "completions", able_by_format("completions"))
ASK = Chat((Message("system", "Be brief."), Message("user", "Capital of France?")))
PLAIN = Sampling()
BEYOND_OPENAI = {"ignore_eos", "continue_final_message", "add_generation_prompt", "prompt_logprobs"}

samplings = st.builds(
    Sampling,
    temperature=st.none() | st.floats(0, 2),
    top_p=st.floats(0.01, 1),
    max_tokens=st.integers(1, 10_000),
    stop=st.lists(st.text(min_size=1), max_size=4).map(tuple),
    seed=st.integers(0, 2**31),
    logprobs=st.booleans(),
    presence_penalty=st.floats(-2, 2),
    ignore_end=st.booleans(),
    alternatives=st.integers(0, 20),
)


OFFICIAL = {params: TypeAdapter(params) for params in (ChatParams, TextParams)}


def checked(params: Any, body: dict[str, Any]) -> None:
    """Validate a request against the official types; pydantic reads lists of messages only when asked to."""
    validated = OFFICIAL[params].validate_python(json.loads(json.dumps(body)))
    list(validated.get("messages", ()))
    assert set(body) <= params.__required_keys__ | params.__optional_keys__ | BEYOND_OPENAI


def chat_reply(*texts: str | None, finish: Any = "stop", usage: CompletionUsage | None = None, **message: Any) -> Any:
    """A reply as the official package's own classes write it."""
    choices = [
        Choice(
            index=i,
            finish_reason=finish,
            message=ChatCompletionMessage.model_validate({"role": "assistant", "content": text, **message}),
        )
        for i, text in enumerate(texts)
    ]
    usage = usage or CompletionUsage(prompt_tokens=20, completion_tokens=5, total_tokens=25)
    whole = ChatCompletion(id="1", choices=choices, created=1, model="m-2", object="chat.completion", usage=usage)
    return whole.model_dump(mode="json")


def chat_answers(reply: Any, sampling: Sampling = PLAIN, samples: int = 1, **asked: Any) -> tuple[Completion, ...]:
    asked.setdefault("stops_sent", sampling.stop)
    return openai_chat.answers(CHAT, Part(reply, "m@host"), Asked(sampling, samples, **asked))


def only(reply: Any, sampling: Sampling = PLAIN, **asked: Any) -> Completion:
    (completion,) = chat_answers(reply, sampling, **asked)
    return completion


def logprobs(*tokens: tuple[str, list[int] | None, float]) -> ChoiceLogprobs:
    listed = [ChatCompletionTokenLogprob(token=t, bytes=b, logprob=p, top_logprobs=[]) for t, b, p in tokens]
    return ChoiceLogprobs(content=listed)


# ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(samplings, st.integers(1, 9), st.sampled_from(["", "The capital is"]))
def test_chat_requests_are_of_the_official_type(sampling: Sampling, samples: int, prefill: str) -> None:
    endpoint = replace(CHAT, prefill="continue-final-message")
    checked(ChatParams, openai_chat.body(endpoint, replace(ASK, prefill=prefill), Asked(sampling, samples)))


@given(samplings, st.integers(1, 9), st.text())
def test_text_requests_are_of_the_official_type(sampling: Sampling, samples: int, text: str) -> None:
    checked(TextParams, openai_completions.body(TEXT, Text(text), Asked(sampling, samples)))


def test_a_plain_request_holds_what_is_asked_and_nothing_else() -> None:
    assert openai_chat.body(CHAT, ASK, Asked(Sampling(max_tokens=9), 1)) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Capital of France?"},
        ],
        "max_tokens": 9,
        "temperature": 0.0,
    }


def test_a_full_request_holds_every_field_under_its_name() -> None:
    sampling = Sampling(0.7, 0.9, 9, ("\n",), 5, True, 0.5, True)
    body = openai_completions.body(TEXT, Text("Once"), Asked(sampling, 3, stops_sent=("\n",), seed=327_680))
    assert body == {
        "model": "m",
        "prompt": "Once",
        "max_tokens": 9,
        "n": 3,
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 327_680,
        "stop": ["\n"],
        "presence_penalty": 0.5,
        "ignore_eos": True,
        "logprobs": 1,
    }


LIKELIEST = Sampling(logprobs=True, alternatives=3)


def test_the_likeliest_tokens_are_asked_for_and_read() -> None:
    assert openai_chat.body(CHAT, ASK, Asked(LIKELIEST, 1))["top_logprobs"] == 3
    assert openai_completions.body(TEXT, Text("Once"), Asked(LIKELIEST, 1))["logprobs"] == 3
    tops = [TopLogprob(token=t, bytes=list(t.encode()), logprob=p) for t, p in (("M", -0.2), ("m", -1.8), ("M.", -9.0))]
    listed = [ChatCompletionTokenLogprob(token="M", bytes=[77], logprob=-0.2, top_logprobs=tops)]
    reply = chat_reply("M")
    reply["choices"][0]["logprobs"] = ChoiceLogprobs(content=listed).model_dump(mode="json")
    (token,) = only(reply, LIKELIEST).tokens or ()
    assert token.alternatives == (("M", -0.2), ("m", -1.8), ("M.", -9.0))
    (token,) = only(reply, Sampling(logprobs=True)).tokens or ()
    assert token.alternatives == ()


def test_the_likeliest_tokens_of_a_plain_text_are_read() -> None:
    reply = echoed(["M", "."], [-0.25, -1.0], [{"M": -0.25, "m": -1.5}, {".": -1.0}], "M.")
    (one,) = openai_completions.answers(TEXT, Part(reply, "m@host"), Asked(LIKELIEST, 1))
    assert [token.alternatives for token in one.tokens or ()] == [(("M", -0.25), ("m", -1.5)), ((".", -1.0),)]


def test_a_server_that_passes_over_the_likeliest_tokens_is_noted() -> None:
    reply = chat_reply("M")
    reply["choices"][0]["logprobs"] = logprobs(("M", [77], -0.2)).model_dump(mode="json")
    assert only(reply, LIKELIEST).notes == ("server-ignored-alternatives",)
    assert only(reply, Sampling(logprobs=True)).notes == ()


def test_without_a_temperature_none_is_sent() -> None:
    body = openai_chat.body(CHAT, ASK, Asked(Sampling(temperature=None), 1))
    assert not {"temperature", "top_p"} & set(body)


def test_openais_own_models_get_max_completion_tokens_and_servers_like_it_max_tokens() -> None:
    assert openai_chat.body(openai("o3"), ASK, Asked(Sampling(max_tokens=7), 1))["max_completion_tokens"] == 7
    assert openai_chat.body(CHAT, ASK, Asked(Sampling(max_tokens=7), 1))["max_tokens"] == 7


def test_a_prefill_is_the_last_turn_and_vllm_is_told_to_go_on_with_it() -> None:
    prompt = replace(ASK, prefill="The capital is")
    plain = openai_chat.body(replace(CHAT, prefill="last-turn"), prompt, Asked(Sampling(), 1))
    told = openai_chat.body(replace(CHAT, prefill="continue-final-message"), prompt, Asked(Sampling(), 1))
    assert plain["messages"][-1] == {"role": "assistant", "content": "The capital is"}
    assert "add_generation_prompt" not in plain
    assert told == {**plain, "continue_final_message": True, "add_generation_prompt": False}


def test_fields_of_the_endpoint_are_added_to_every_request() -> None:
    endpoint = replace(CHAT, body={"reasoning_effort": "low"})
    assert openai_chat.body(endpoint, ASK, Asked(Sampling(), 1))["reasoning_effort"] == "low"


def test_text_for_a_chat_endpoint_and_a_chat_for_a_text_endpoint_are_refused() -> None:
    with pytest.raises(Unsupported, match="takes conversations"):
        openai_chat.body(CHAT, Text("Once"), Asked(Sampling(), 1))
    with pytest.raises(Unsupported, match="continues a plain text"):
        openai_completions.body(TEXT, ASK, Asked(Sampling(), 1))


# ── Replies ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reply_becomes_a_completion() -> None:
    usage = CompletionUsage(
        prompt_tokens=20,
        completion_tokens=5,
        total_tokens=25,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=16),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=3),
    )
    assert only(chat_reply("Paris.", usage=usage)) == Completion("Paris.", "stop", None, Usage(20, 5, 16, 3), "m-2")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "filter")],
)
def test_reasons_for_ending_are_mapped(theirs: str, ours: str) -> None:
    reply = chat_reply("x")
    reply["choices"][0]["finish_reason"] = theirs
    assert only(reply).finish == ours


def test_an_unknown_reason_for_ending_is_noted() -> None:
    completion = only(chat_reply("", finish="tool_calls"))
    assert (completion.finish, completion.notes) == ("stop", ("finish-unknown",))


def test_a_refusal_is_a_finish_of_its_own_with_the_servers_words() -> None:
    completion = only(chat_reply(None, refusal="I can't help with that."))
    assert (completion.finish, completion.text) == ("refusal", "I can't help with that.")


def test_an_answer_in_parts_is_the_text_among_them() -> None:
    reply = chat_reply("")
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Par"}, {"type": "text", "text": "is"}]
    reply["choices"][0]["message"]["content"] = parts
    assert only(reply).text == "Paris"


def test_sglangs_count_of_reasoning_is_read() -> None:
    reply = chat_reply("Paris")
    reply["usage"] = {"prompt_tokens": 3, "completion_tokens": 9, "reasoning_tokens": 7, "prompt_tokens_details": None}
    assert only(reply).usage == Usage(3, 9, 0, 7)


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    reply = json.loads('{"text": "a\\ud83d", "whole": "\\ud83d\\ude00"}')
    assert [Part(reply, "m")[key].text() for key in ("text", "whole")] == ["a\ufffd", "😀"]


def test_tokens_carry_byte_spans_where_characters_are_split() -> None:
    reply = chat_reply("aé")
    listed = logprobs(("a", [97], -0.1), ("\\xc3", [0xC3], -0.2), ("\\xa9", [0xA9], -0.3), ("<|end|>", None, -0.4))
    reply["choices"][0]["logprobs"] = listed.model_dump(mode="json")
    tokens = only(reply, Sampling(logprobs=True)).tokens
    assert tokens is not None
    assert [(t.text, t.logprob, t.start, t.end) for t in tokens] == [
        ("a", -0.1, 0, 1),
        ("", -0.2, 1, 2),
        ("é", -0.3, 2, 3),
    ]


def test_llama_cpps_completions_list_tokens_as_its_chat_does() -> None:
    reply = text_reply("ab")
    reply["choices"][0]["logprobs"] = logprobs(("a", [97], -0.1), ("b", [98], -0.2)).model_dump(mode="json")
    asked = Asked(Sampling(logprobs=True), 1)
    (completion,) = openai_completions.answers(TEXT, Part(reply, "m@host"), asked)
    assert completion.tokens is not None
    assert [token.logprob for token in completion.tokens] == [-0.1, -0.2]


def text_reply(*texts: str, lists: Logprobs | None = None) -> Any:
    choices = [CompletionChoice(finish_reason="stop", index=i, text=t, logprobs=lists) for i, t in enumerate(texts)]
    usage = CompletionUsage(prompt_tokens=4, completion_tokens=2, total_tokens=6)
    whole = TheirCompletion(id="1", choices=choices, created=1, model="m-2", object="text_completion", usage=usage)
    return whole.model_dump(mode="json")


def test_parallel_lists_of_log_probabilities_become_tokens() -> None:
    lists = Logprobs(tokens=[" New", " York"], token_logprobs=[-0.5, -0.25], text_offset=[0, 4])
    asked = Asked(Sampling(logprobs=True), 1)
    (completion,) = openai_completions.answers(TEXT, Part(text_reply(" New York", lists=lists), "m@host"), asked)
    assert completion.tokens is not None
    assert [(t.text, t.logprob, t.start, t.end) for t in completion.tokens] == [
        (" New", -0.5, 0, 4),
        (" York", -0.25, 4, 9),
    ]


def test_the_counts_of_several_samples_add_up_to_the_calls() -> None:
    usage = CompletionUsage(prompt_tokens=20, completion_tokens=11, total_tokens=31)
    drawn = chat_answers(chat_reply("a", "bb", "cccc", usage=usage), samples=3)
    assert [one.usage.prompt_tokens for one in drawn] == [20, 0, 0]
    assert sum(one.usage.completion_tokens for one in drawn) == 11
    assert drawn[2].usage.completion_tokens > drawn[0].usage.completion_tokens


def test_parallel_lists_of_different_lengths_are_malformed() -> None:
    lists = Logprobs(tokens=["a", "b"], token_logprobs=[-0.5])
    with pytest.raises(CallFailed, match=r"choices\[0\]\.logprobs has lists of different lengths"):
        openai_completions.answers(TEXT, Part(text_reply("ab", lists=lists), "m@host"), Asked(PLAIN, 1))


# ── What is not as asked ────────────────────────────────────────────────────────────────────────────────────────────


def test_fewer_samples_than_asked_are_noted() -> None:
    assert only(chat_reply("a"), samples=4).notes == ("server-ignored-n",)


def test_surplus_samples_are_dropped_noted_and_counted() -> None:
    completion = only(chat_reply("a", "b", "c"))
    assert completion.notes == ("more-samples-than-asked",)
    assert completion.usage.completion_tokens == 5


def test_missing_log_probabilities_are_noted() -> None:
    completion = only(chat_reply("a"), Sampling(logprobs=True))
    assert (completion.tokens, completion.notes) == (None, ("server-ignored-logprobs",))


def test_log_probabilities_of_another_text_are_dropped_and_noted() -> None:
    reply = chat_reply("Paris")
    reply["choices"][0]["logprobs"] = logprobs(("London", None, -0.1)).model_dump(mode="json")
    completion = only(reply, Sampling(logprobs=True))
    assert (completion.tokens, completion.notes) == (None, ("logprobs-do-not-fit",))


@pytest.mark.parametrize(
    ("text", "sent", "note"),
    [
        ("Paris\n\nQ: ", True, "server-ignored-stop"),
        ("Paris\n", True, "stop-text-left-in"),
        ("Paris\nand more", False, "stop-cut-here"),
    ],
)
def test_a_stop_text_in_the_answer_is_cut_and_noted(text: str, sent: bool, note: str) -> None:
    sampling = Sampling(stop=("###", "\n"))
    reply = chat_reply(
        text, finish="length", usage=CompletionUsage(prompt_tokens=1, completion_tokens=4, total_tokens=5)
    )
    completion = only(reply, sampling, stops_sent=sampling.stop if sent else ())
    assert (completion.text, completion.finish, completion.notes) == ("Paris", "stop", (note,))


def test_tokens_of_a_cut_answer_end_where_it_ends() -> None:
    reply = chat_reply("Paris\nQ")
    listed = logprobs(("Par", None, -0.1), ("is\n", None, -0.2), ("Q", None, -0.3))
    reply["choices"][0]["logprobs"] = listed.model_dump(mode="json")
    tokens = only(reply, Sampling(logprobs=True, stop=("\n",))).tokens
    assert tokens is not None
    assert [(token.text, token.end) for token in tokens] == [("Par", 3), ("is", 5)]


def test_more_tokens_than_asked_are_noted() -> None:
    assert only(chat_reply("a"), Sampling(max_tokens=4)).notes == ("server-ignored-max-tokens",)


def test_an_empty_answer_whose_tokens_went_into_reasoning_says_so() -> None:
    usage = CompletionUsage(
        prompt_tokens=20,
        completion_tokens=256,
        total_tokens=276,
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=256),
    )
    completion = only(chat_reply("", finish="length", usage=usage))
    assert completion.notes == ("answer-spent-on-reasoning",)
    assert completion.usage.reasoning_tokens == 256


def test_reasoning_that_a_server_lists_with_the_answer_is_not_taken_for_it() -> None:
    reply = chat_reply("No", reasoning_content="No, or is it")
    listed = logprobs(("No", None, -1.0), (", or is it", None, -2.0), ("</think>", None, -3.0), ("No", None, -4.0))
    reply["choices"][0]["logprobs"] = listed.model_dump(mode="json")
    tokens = only(reply, Sampling(logprobs=True)).tokens
    assert tokens is not None
    assert [token.logprob for token in tokens] == [-4.0]


def test_a_repeated_prefill_is_noted() -> None:
    assert only(chat_reply("It is Paris"), prefill="It is").notes == ("prefill-repeated",)


def test_without_counts_usage_is_estimated_and_noted() -> None:
    reply = chat_reply("some words of text")
    reply["usage"] = None
    completion = only(reply, estimate=lambda: 7)
    assert (completion.usage, completion.notes) == (Usage(7, 4), ("usage-estimated",))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("choices",), None, "the reply has no choices"),
        (("choices",), [], "the reply has no answer"),
        (("choices",), "x", "choices is text where a list belongs"),
        (("choices", 0), 3, "choices[0] is a number where an object belongs"),
        (("choices", 0, "message"), None, "the reply has no choices[0].message"),
        (("choices", 0, "message", "content"), 5, "choices[0].message.content is a number where text belongs"),
        (("choices", 0, "finish_reason"), None, "the reply has no choices[0].finish_reason"),
        (("usage", "prompt_tokens"), -1, "usage.prompt_tokens is a number where a whole number belongs"),
        (("usage", "completion_tokens"), True, "usage.completion_tokens is true or false where a number belongs"),
        (
            ("choices", 0, "logprobs"),
            {"content": [{"token": "a"}]},
            "the reply has no choices[0].logprobs.content[0].logprob",
        ),
        (
            ("choices", 0, "logprobs"),
            {"content": [{"token": "a", "bytes": [300], "logprob": 0}]},
            "choices[0].logprobs.content[0].bytes is a list where a list of bytes belongs",
        ),
    ],
)
def test_what_is_missing_or_of_the_wrong_type_is_named_by_its_path(path: Any, value: Any, message: str) -> None:
    reply = chat_reply("a")
    at = reply
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(CallFailed) as caught:
        chat_answers(reply)
    assert caught.value.kind == "malformed"
    assert caught.value.problem == message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_a_reply_with_anything_in_it_gives_completions_or_a_typed_error(data: st.DataObject) -> None:
    reply = chat_reply("a", "b")
    reply["choices"][0]["logprobs"] = logprobs(("a", [97], -0.1)).model_dump(mode="json")
    places: list[tuple[Any, Any]] = []

    def walk(at: Any) -> None:
        for key, value in at.items() if isinstance(at, dict) else enumerate(at):
            places.append((at, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(reply)
    at, key = data.draw(st.sampled_from(places))
    at[key] = data.draw(json_values)
    try:
        drawn = chat_answers(reply, Sampling(logprobs=True), samples=2)
    except CallFailed as failure:
        assert failure.kind == "malformed"
    else:
        assert drawn
        for one in drawn:
            assert isinstance(one.text, str)
            assert one.tokens is None or "".join(token.text for token in one.tokens) == one.text


# ── Scoring ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def echoed(tokens: list[str], values: list[float | None], tops: list[dict[str, float] | None], text: str) -> Any:
    return {
        "choices": [
            {
                "text": text,
                "finish_reason": "length",
                "logprobs": {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops},
            }
        ]
    }


ECHO = replace(TEXT, scoring="echo")


def test_echoed_log_probabilities_are_summed_over_the_continuation() -> None:
    reply = echoed(
        ["<s>", "The cap", "ital", " is", " Paris", "."],
        [None, -9.0, -1.0, -0.5, -0.25, -7.0],
        [None, {}, {}, {" is": -0.5}, {" Paris": -0.25, " in": -0.125}, {}],
        "The capital is Paris.",
    )
    score = openai_completions.scored(ECHO, Part(reply, "m@host"), Text("The capital"), " is Paris")
    assert (score.logprob, score.tokens, score.greedy) == (-0.75, 2, False)


def test_a_token_across_the_border_belongs_to_the_continuation() -> None:
    tokens, values = ["a", "bc", "d", "!"], [None, -1.0, -2.0, -4.0]
    tops: list[Any] = [None, {"bc": -1.0}, {"d": -2.0}, {}]
    score = openai_completions.scored(ECHO, Part(echoed(tokens, values, tops, "abcd!"), "m@host"), Text("ab"), "cd")
    assert (score.logprob, score.tokens, score.greedy) == (-3.0, 2, True)


def test_a_server_that_does_not_echo_is_found_out() -> None:
    reply = echoed(["x"], [-1.0], [None], "x")
    with pytest.raises(CallFailed, match="did not echo"):
        openai_completions.scored(ECHO, Part(reply, "m@host"), Text("ab"), "cd")


def test_a_first_token_without_a_probability_asks_for_a_context() -> None:
    reply = echoed(["ab", "c"], [None, -1.0], [None, None], "abc")
    with pytest.raises(CallFailed, match="needs a context"):
        openai_completions.scored(ECHO, Part(reply, "m@host"), Text(""), "ab")


def listing(*tokens: tuple[str, float, float]) -> list[Any]:
    """vLLM's prompt_logprobs: for each position its own token, and the likeliest where that is another."""
    positions: list[Any] = [None]
    for number, (text, own, best) in enumerate(tokens):
        position = {str(number): {"logprob": own, "rank": 1 if own == best else 2, "decoded_token": text}}
        if own != best:
            position["999"] = {"logprob": best, "rank": 1, "decoded_token": "?"}
        positions.append(position)
    return positions


def test_vllms_prompt_log_probabilities_score_plain_text() -> None:
    endpoint = replace(TEXT, scoring="prompt-logprobs")
    listed = listing(("The", -9, -9), (" capital", -1, -1), (" is", -0.5, -0.5), (" Paris", -2, -0.25))
    reply = {"choices": [{"text": "!", "finish_reason": "length", "prompt_logprobs": listed}]}
    score = openai_completions.scored(endpoint, Part(reply, "m@host"), Text("The capital"), " is Paris")
    assert (score.logprob, score.tokens, score.greedy) == (-2.5, 2, False)


def test_vllms_prompt_log_probabilities_score_the_end_of_a_conversation() -> None:
    endpoint = replace(CHAT, prefill="continue-final-message", scoring="prompt-logprobs")
    body = openai_chat.scoring_body(endpoint, replace(ASK, prefill="It is"), " Paris")
    assert body["messages"][-1]["content"] == "It is Paris"
    assert body["continue_final_message"] is True
    listed = listing(
        ("<|im_start|>", -3, -3), (" Paris", -1, -1), ("It is", -1, -1), (" Par", -0.5, -0.5), ("is", -0.25, -0.25)
    )
    reply = {"choices": [], "prompt_logprobs": listed}
    score = openai_chat.scored(endpoint, Part(reply, "m@host"), replace(ASK, prefill="It is"), " Paris")
    assert (score.logprob, score.tokens, score.greedy) == (-0.75, 2, True)
