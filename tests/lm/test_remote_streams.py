"""Answers of servers that come piece by piece: the same in the end, seen on the way, and whole or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from loopback_server import Act, LoopbackServer, Request
from tandem.errors import CallFailed
from tandem.http.pace import Limits
from tandem.lm.budget import Budget
from tandem.lm.endpoints import Endpoint, able_by_format, anthropic
from tandem.lm.growing import sure, watching
from tandem.lm.model import Model
from tandem.lm.remote import Remote
from tandem.store import Store
from tandem.types import Chat, Completion, Message, Sampling, Text

TALK = Chat((Message("user", "Capital of France?"),))
PLAIN = Text("The capital of France is")
DRAW = Sampling(temperature=None, max_tokens=9)
KEY = "sk-0123456789abcdef"
PIECES = ["It", " is", " Pâ", "ris 你好", "."]
ANSWER = "".join(PIECES)


def events(*data: Any, done: bool = True) -> Act:
    """Server-sent events, as OpenAI writes them."""
    lines = [json.dumps(one, ensure_ascii=False) for one in data] + ["[DONE]"] * done
    body = "".join(f"data: {line}\n\n" for line in lines).encode()
    return Act(body=body, headers={"Content-Type": "text/event-stream; charset=utf-8"})


def chunk(form: str, text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    said = {"delta": {"content": text}} if form == "chat" else {"text": text}
    return {"model": "m-2", "choices": [{"index": 0, **said, "finish_reason": finish, **more}], "usage": None}


USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}


def openai_events(form: str, pieces: list[str] = PIECES, **more: Any) -> list[dict[str, Any]]:
    first = [{"model": "m-2", "choices": []}]
    return [
        *first,
        *(chunk(form, text) for text in pieces),
        chunk(form, "", "stop", **more),
        {"choices": [], "usage": USAGE},
    ]


def anthropic_events(pieces: list[str] = PIECES) -> list[dict[str, Any]]:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 1}
    return [
        {"type": "message_start", "message": {"model": "m-2", "content": [], "stop_reason": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "ping"},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": t}} for t in pieces),
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]


def streamed(form: str, pieces: list[str] = PIECES) -> Act:
    return (
        events(*anthropic_events(pieces), done=False) if form == "anthropic" else events(*openai_events(form, pieces))
    )


def whole(form: str) -> dict[str, Any]:
    if form == "anthropic":
        usage = {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 5}
        content = [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": ANSWER}]
        return {"model": "m-2", "content": content, "stop_reason": "end_turn", "usage": usage}
    said = {"message": {"content": ANSWER}} if form == "chat" else {"text": ANSWER}
    return {"model": "m-2", "choices": [{**said, "finish_reason": "stop"}], "usage": USAGE}


class Talk:
    """One question to a server that answers so: what came, what was seen growing, what the server was sent."""

    def __init__(
        self,
        answer: Callable[[Request], Act | Any],
        *,
        form: Any = "chat",
        sampling: Sampling = DRAW,
        samples: range = range(1),
        stream: bool = True,
        seconds: float = 20.0,
        store: Store | None = None,
        budget: Budget | None = None,
        **changes: Any,
    ) -> None:
        self.requests: list[Request] = []
        self.seen: list[str] = []
        self.first = 0.0
        """The share of the time after which the first piece was seen."""

        def act(request: Request) -> Act:
            self.requests.append(request)
            answered = answer(request)
            return answered if isinstance(answered, Act) else Act(body=answered)

        async def main() -> None:
            loop = asyncio.get_running_loop()
            seen_at: list[float] = []

            def see(text: str) -> None:
                seen_at.append(loop.time())
                self.seen.append(text)

            async with LoopbackServer(act) as server:
                plain = (
                    anthropic("m") if form == "anthropic" else Endpoint("", "m", form, able_by_format(form), key="K")
                )
                limits = Limits(tries=3, first_wait=0.001, first_pause=0.001, seconds_a_try=seconds)
                endpoint = replace(plain, address=f"{server.url}/v1", limits=limits, **changes)
                remote = Remote(endpoint, environment={"ANTHROPIC_API_KEY": KEY, "K": KEY})
                self.model = Model(remote, store=store, budget=budget)
                begun = loop.time()
                async with self.model:
                    with watching(see, stream=stream):
                        prompt = PLAIN if form == "completions" else TALK
                        (got,) = (await self.model.outcomes(prompt, sampling, samples))[:1]
                        assert isinstance(got, Completion | CallFailed)
                        self.got = got
                if seen_at:
                    self.first = (seen_at[0] - begun) / (loop.time() - begun)

        asyncio.run(main())

    @property
    def completion(self) -> Completion:
        assert isinstance(self.got, Completion), self.got
        return self.got

    @property
    def failure(self) -> CallFailed:
        assert isinstance(self.got, CallFailed), self.got
        return self.got


FORMS = pytest.mark.parametrize("form", ["chat", "completions", "anthropic"])


@FORMS
def test_a_streamed_answer_is_the_one_that_comes_whole_and_is_seen_growing(form: str) -> None:
    one = Talk(lambda request: streamed(form), form=form)
    assert one.requests[0].body["stream"] is True
    assert one.requests[0].headers["accept"].startswith("text/event-stream")
    assert one.completion == Talk(lambda request: whole(form), form=form, stream=False).completion
    assert one.completion.text == ANSWER and one.completion.usage.cached_tokens == 4
    assert one.seen == ["".join(PIECES[: n + 1]) for n in range(len(PIECES))]


@FORMS
def test_a_server_that_ignores_the_wish_and_sends_one_reply_is_understood(form: str) -> None:
    one = Talk(lambda request: whole(form), form=form)
    assert one.completion.text == ANSWER and one.seen == []


@FORMS
def test_pieces_are_seen_while_the_rest_is_on_its_way_however_they_are_torn(form: str) -> None:
    one = Talk(lambda request: replace(streamed(form), drip=0.0003), form=form)
    assert one.completion.text == ANSWER and one.seen[-1] == ANSWER
    assert one.first < 0.75


@FORMS
@pytest.mark.parametrize("how", ["in the middle of a line", "between events"])
def test_an_answer_that_breaks_off_is_a_failure_asked_once_charged_in_full_and_not_recorded(
    form: str, how: str, tmp_path: Any
) -> None:
    act = streamed(form)
    end = act.body.index("Pâ".encode()) + 2
    broken = (
        replace(act, cut=end)
        if how.endswith("line")
        else replace(act, body=act.body[: act.body.rindex(b"data", 0, end)])
    )
    with Store(tmp_path / "answers.db") as store:
        one = Talk(lambda request: broken, form=form, store=store, budget=Budget(tokens=1000))
        assert (one.failure.kind, one.failure.begun) == ("connection", True)
        assert "broke off" in one.failure.problem
        assert one.seen == ["It", "It is"] and len(one.requests) == 1
        assert one.model.usage.completion_tokens == DRAW.max_tokens
        assert all(isinstance(record.outcome, CallFailed) for record in store.records())


def test_an_answer_without_an_end_mark_is_whole_when_all_of_it_came() -> None:
    assert Talk(lambda request: events(*openai_events("chat")[:-1], done=False)).completion.text == ANSWER


OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
BROKEN = {"error": {"message": "the engine died", "type": "server_error", "code": None}}


@pytest.mark.parametrize(("form", "error"), [("anthropic", OVERLOADED), ("chat", BROKEN)])
def test_an_error_before_any_text_is_tried_again(form: str, error: Any) -> None:
    start = anthropic_events()[:1] if form == "anthropic" else openai_events(form)[:1]
    one = Talk(lambda request: streamed(form) if request.before else events(*start, error), form=form)
    assert one.completion.text == ANSWER and len(one.requests) == 2


@pytest.mark.parametrize(
    ("form", "error", "kind", "words"),
    [("anthropic", OVERLOADED, "rate-limit", "Overloaded"), ("chat", BROKEN, "server", "the engine died")],
)
def test_an_error_after_text_was_shown_is_final_and_charged_in_full(
    form: str, error: Any, kind: str, words: str
) -> None:
    begin = anthropic_events()[:8] if form == "anthropic" else openai_events(form)[:3]
    one = Talk(lambda request: events(*begin, error), form=form, budget=Budget(tokens=1000))
    assert one.failure.kind == kind and words in one.failure.problem and one.failure.begun
    assert len(one.requests) == 1 and one.seen
    assert one.model.usage.completion_tokens == DRAW.max_tokens


def test_a_time_out_after_text_was_shown_is_not_tried_again() -> None:
    act = events(*openai_events("chat")[:2], done=False)
    one = Talk(lambda request: replace(act, body=act.body + b":" * 3000, drip=0.0002), seconds=0.4)
    assert (one.failure.kind, one.failure.begun) == ("timeout", True)
    assert one.seen == ["It"] and len(one.requests) == 1


def test_a_server_that_refuses_to_stream_is_asked_for_one_reply() -> None:
    refusal = Act(status=400, body={"error": {"message": "Unknown parameter: stream_options"}})
    one = Talk(lambda request: refusal if "stream" in request.body else whole("chat"))
    assert one.completion.text == ANSWER
    assert ["stream" in request.body for request in one.requests] == [True, False]


@pytest.mark.parametrize("event", [[1], {"choices": [{"index": 0, "delta": {"content": 3}}]}, "text"])
def test_an_event_of_another_shape_is_malformed_and_names_its_place(event: Any) -> None:
    one = Talk(lambda request: events(event))
    assert one.failure.kind == "malformed" and len(one.requests) == 1
    if isinstance(event, dict):
        assert "choices[0].delta.content is a number where text belongs" in one.failure.problem


@pytest.mark.parametrize("changes", [{"stream": False}, {"samples": range(2)}, {"body": {"stream": False}}])
def test_nobody_who_does_not_watch_one_answer_is_sent_pieces(changes: Any) -> None:
    choice = whole("chat")["choices"]
    one = Talk(lambda request: whole("chat") | {"choices": choice * request.body.get("n", 1)}, **changes)
    assert all(not request.body.get("stream") for request in one.requests)


def test_log_probabilities_come_in_pieces_too() -> None:
    def listed(text: str) -> dict[str, Any]:
        return {"logprobs": {"content": [{"token": text, "logprob": -0.5, "bytes": list(text.encode())}]}}

    chunks = [chunk("chat", text, **listed(text)) for text in PIECES]
    one = Talk(lambda request: events(*chunks, chunk("chat", "", "stop")), sampling=replace(DRAW, logprobs=True))
    assert one.completion.tokens is not None
    assert [token.text for token in one.completion.tokens] == PIECES
    assert "usage-estimated" in one.completion.notes


def test_reasoning_is_not_seen_and_a_refusal_is_one() -> None:
    thought = {"choices": [{"index": 0, "delta": {"reasoning_content": "Hm"}}]}
    one = Talk(lambda request: events(thought, *openai_events("chat")))
    assert one.completion.text == ANSWER and one.seen[0] == "It"
    refused = {"choices": [{"index": 0, "delta": {"refusal": "No."}}]}
    assert Talk(lambda request: events(refused, chunk("chat", "", "stop"))).completion.finish == "refusal"


def test_what_may_still_be_a_stop_text_is_not_seen() -> None:
    sampling = replace(DRAW, stop=("\n\nQ",))
    one = Talk(lambda request: streamed("chat", ["A\n", "\n", "B\n", "\nQ", ": C"]), sampling=sampling)
    assert one.completion.text == "A\n\nB" == one.seen[-1]
    assert all(one.completion.text.startswith(text) for text in one.seen)


def test_a_key_that_a_server_repeats_in_pieces_is_not_kept() -> None:
    one = Talk(lambda request: streamed("chat", ["Your key: ", KEY[:6], KEY[6:]]))
    assert one.completion.text == "Your key: [removed]"


@pytest.mark.parametrize(
    ("text", "stop", "kept"),
    [("ab", (), "ab"), ("ab", ("x",), "ab"), ("abc", ("xyz",), "a"), ("axb", ("x", "b"), "a"), ("a", ("xyz",), "")],
)
def test_what_is_sure_of_a_growing_text(text: str, stop: tuple[str, ...], kept: str) -> None:
    assert sure(text, stop) == kept
