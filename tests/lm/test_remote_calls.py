"""The back end over http, against a loopback server that speaks each wire format."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from loopback_server import Act, LoopbackServer, Request
from tandem.errors import CallFailed, Unsupported, UserError
from tandem.http.pace import Limits
from tandem.lm.endpoints import Endpoint, able_by_format, anthropic
from tandem.lm.remote import Remote
from tandem.types import LM, Chat, Message, Sampling, Text

ASK = Chat((Message("user", "Capital of France?"),))
DRAW = Sampling(temperature=1.0, max_tokens=5)
KEY = "sk-0123456789abcdef"
QUICK = Limits(tries=2)


def run(
    answer: Callable[[Request], Act | Any],
    use: Callable[[Remote], Coroutine[Any, Any, Any]],
    *,
    form: Any = "chat",
    **changes: Any,
) -> tuple[Any, list[Request]]:
    """What `use` made of a back end at a server that answers so, and the requests that the server saw."""
    seen: list[Request] = []

    def act(request: Request) -> Act:
        seen.append(request)
        answered = answer(request)
        return answered if isinstance(answered, Act) else Act(body=answered)

    async def whole() -> Any:
        async with LoopbackServer(act) as server:
            plain = anthropic("m") if form == "anthropic" else Endpoint("", "m", form, able_by_format(form))
            endpoint = replace(plain, address=f"{server.url}/v1", limits=QUICK, **changes)
            model = Remote(endpoint, environment={"ANTHROPIC_API_KEY": KEY, "K": KEY})
            try:
                return await use(model)
            finally:
                await model.close()

    return asyncio.run(whole()), seen


def chat(texts: list[str], **choice: Any) -> dict[str, Any]:
    return {
        "model": "m-2",
        "choices": [{"message": {"content": text}, "finish_reason": "stop", **choice} for text in texts],
        "usage": {"prompt_tokens": 9, "completion_tokens": len(texts)},
    }


def generate(prompt: Any = ASK, sampling: Sampling = DRAW, samples: range = range(1)) -> Any:
    return lambda model: model.generate(prompt, sampling, samples)


def test_it_is_a_language_model() -> None:
    async def use(model: Remote) -> None:
        assert isinstance(model, LM)
        assert model.name == f"m@{model.endpoint.host}"

    run(lambda request: chat(["x"]), use)


def test_samples_are_one_call_where_the_server_takes_n() -> None:
    drawn, seen = run(lambda request: chat([f"s{i}" for i in range(request.body["n"])]), generate(samples=range(4)))
    assert [one.text for one in drawn] == ["s0", "s1", "s2", "s3"]
    assert [request.body["n"] for request in seen] == [4]


def test_samples_are_one_call_each_where_it_does_not() -> None:
    able = replace(able_by_format("chat"), many=False)
    drawn, seen = run(lambda request: chat([str(request.body["seed"])]), generate(samples=range(3)), abilities=able)
    assert [one.text for one in drawn] == ["0", "1", "2"]
    assert len(seen) == 3
    assert all(not one.notes for one in drawn)


def test_samples_that_a_server_ignored_are_asked_for_again_under_other_seeds() -> None:
    drawn, seen = run(
        lambda request: chat([str(request.body["seed"])]), generate(sampling=replace(DRAW, seed=1), samples=range(2, 5))
    )
    assert [one.text for one in drawn] == ["65538", "65539", "65540"]
    assert all(one.notes == ("server-ignored-n",) for one in drawn)
    assert len(seen) == 3


def test_a_server_that_gives_a_few_at_a_time_is_asked_a_few_at_a_time() -> None:
    drawn, seen = run(
        lambda request: chat([f"{request.body['seed'] + i}" for i in range(min(2, request.body.get("n", 1)))]),
        generate(samples=range(5)),
    )
    assert [one.text for one in drawn] == ["0", "1", "2", "3", "4"]
    assert [request.body.get("n", 1) for request in seen] == [5, 2, 1]


def test_no_samples_are_no_call() -> None:
    drawn, seen = run(lambda request: chat(["x"]), generate(samples=range(0)))
    assert (drawn, seen) == ((), [])


def test_samples_up_to_the_first_failed_call_are_kept() -> None:
    able = replace(able_by_format("chat"), many=False)

    def answer(request: Request) -> Any:
        return Act(status=400, body={"error": "no"}) if request.body["seed"] == 2 else chat([str(request.body["seed"])])

    drawn, seen = run(answer, generate(samples=range(5)), abilities=able)
    assert [one.text for one in drawn] == ["0", "1"]
    assert len(seen) == 5


def test_a_sample_that_the_server_broke_off_is_asked_for_again() -> None:
    def answer(request: Request) -> Any:
        reply = chat(["a", "b"] if request.body.get("n") else ["c"])
        if request.body.get("n"):
            reply["choices"][0]["finish_reason"] = "abort"
        return reply

    drawn, _ = run(answer, generate(samples=range(2)))
    assert [(one.text, one.notes) for one in drawn] == [("b", ("answer-broken-off",)), ("c", ())]


def test_an_answer_that_the_server_broke_off_is_its_failure() -> None:
    with pytest.raises(CallFailed, match="broke its answer off") as caught:
        run(lambda request: chat(["x"], finish_reason="abort"), generate())
    assert caught.value.kind == "server"


def test_when_every_call_failed_the_failure_is_raised() -> None:
    with pytest.raises(CallFailed) as caught:
        run(lambda request: Act(status=400, body={"error": {"message": "no such field"}}), generate())
    assert caught.value.kind == "refused"
    assert "no such field" in str(caught.value)


def test_a_reply_of_another_shape_is_malformed() -> None:
    with pytest.raises(CallFailed, match="the reply has no choices") as caught:
        run(lambda request: {"hello": "world"}, generate())
    assert caught.value.kind == "malformed"


def test_plain_text_goes_to_completions() -> None:
    def answer(request: Request) -> Any:
        assert request.path == "/v1/completions"
        return {
            "model": "m",
            "choices": [{"text": " upon", "finish_reason": "length"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        }

    (one,), _ = run(answer, generate(Text("Once")), form="completions")
    assert (one.text, one.finish, one.notes) == (" upon", "length", ())


def test_anthropic_gets_its_version_its_key_and_one_call_a_sample() -> None:
    def answer(request: Request) -> Any:
        assert request.path == "/v1/messages"
        assert request.headers["anthropic-version"] == "2026-10-21"
        assert request.headers["authorization"] == f"Bearer {KEY}"
        return {
            "model": "m",
            "content": [{"type": "text", "text": "Paris"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 9, "output_tokens": 2},
        }

    own = Sampling(temperature=None, max_tokens=5)
    drawn, seen = run(answer, generate(sampling=own, samples=range(2)), form="anthropic")
    assert [one.text for one in drawn] == ["Paris", "Paris"]
    assert len(seen) == 2


def test_stops_that_cannot_be_sent_are_cut_here() -> None:
    sampling = replace(DRAW, stop=("a", "b", "c"))
    (one,), seen = run(lambda request: chat(["xxc"]), generate(sampling=sampling), max_stops=2)
    assert seen[0].body["stop"] == ["a", "b"]
    assert (one.text, one.notes) == ("xx", ("stop-cut-here",))


@pytest.mark.parametrize(
    ("prompt", "sampling", "lacking", "words"),
    [
        (replace(ASK, prefill="It"), DRAW, {}, "continue a begun answer"),
        (ASK, DRAW, {"temperature": False}, "obey a temperature"),
        (ASK, Sampling(temperature=None, top_p=0.5), {"temperature": False}, "obey top_p"),
        (ASK, replace(DRAW, logprobs=True), {"logprobs": False}, "return log-probabilities"),
        (ASK, replace(DRAW, presence_penalty=1.0), {"presence_penalty": False}, "obey a presence penalty"),
        (ASK, replace(DRAW, stop=("\n",)), {"stop": False}, "end at given texts"),
        (ASK, replace(DRAW, ignore_end=True), {}, "write past its own end"),
        (Text("Once"), DRAW, {}, "takes conversations"),
    ],
)
def test_what_is_not_declared_is_refused_before_anything_is_sent(
    prompt: Any, sampling: Sampling, lacking: dict[str, bool], words: str
) -> None:
    seen: list[Request] = []
    with pytest.raises(Unsupported, match=words):
        run(seen.append, generate(prompt, sampling), abilities=replace(able_by_format("chat"), **lacking))
    assert not seen


def test_texts_are_scored_by_echo() -> None:
    def answer(request: Request) -> Any:
        words = [f" {word}" for word in request.body["prompt"].split(" ")]
        words[0] = words[0][1:]
        assert request.body["echo"] is True
        listed = {
            "tokens": [*words, " more"],
            "token_logprobs": [None, *(-float(len(word)) for word in words[1:]), -0.5],
            "top_logprobs": [None, *({} for _ in words)],
        }
        choice = {"text": request.body["prompt"] + " more", "finish_reason": "length", "logprobs": listed}
        return {"choices": [choice], "usage": {"prompt_tokens": len(words), "completion_tokens": 1}}

    able = replace(able_by_format("completions"), scoring=True)
    scores, seen = run(
        answer,
        lambda model: model.score(Text("the capital is"), [" Paris", " New York"]),
        form="completions",
        abilities=able,
        scoring="echo",
    )
    assert [(score.logprob, score.tokens) for score in scores] == [(-6.0, 1), (-9.0, 2)]
    assert len(seen) == 2


def test_a_context_that_is_too_long_loses_its_beginning_when_asked() -> None:
    async def use(model: Remote) -> str:
        return model._cut(Text("ä" * 1000 + "end"), "x" * 40).text

    kept, _ = run(lambda request: chat(["x"]), use, abilities=replace(able_by_format("completions"), context=50))
    assert kept.endswith("äend")
    assert 20 < len(kept) < 60


def test_scoring_that_is_not_declared_is_refused() -> None:
    with pytest.raises(Unsupported, match="log-probabilities of given texts"):
        run(lambda request: chat(["x"]), lambda model: model.score(Text("a"), ["b"]))


def test_an_empty_continuation_is_refused() -> None:
    able = replace(able_by_format("completions"), scoring=True)
    with pytest.raises(UserError, match="a continuation is empty"):
        run(lambda request: chat(["x"]), lambda model: model.score(Text("a"), [""]), abilities=able)


def test_lengths_are_estimates() -> None:
    async def use(model: Remote) -> Any:
        return model.count(Text("word" * 100)), model.count(ASK)

    (text, turn), _ = run(lambda request: chat(["x"]), use)
    assert 80 < text.tokens < 120 and not text.exact
    assert turn.tokens > 4 and not turn.exact


def test_the_key_is_in_no_repr_and_no_error() -> None:
    shown: list[str] = []

    async def use(model: Remote) -> None:
        shown.extend([repr(model), repr(model.endpoint), repr(model.caller), str(vars(model))])
        try:
            await model.generate(ASK, DRAW)
        except CallFailed:
            shown.append(traceback.format_exc())

    def answer(request: Request) -> Act:
        return Act(status=401, body={"error": f"bad key {request.headers['authorization']}"})

    run(answer, use, key="K")
    assert len(shown) == 5
    assert not any(KEY in text for text in shown)


def test_the_rate_of_tokens_counts_what_a_call_used_not_its_worst_case() -> None:
    async def use(model: Remote) -> float:
        await model.generate(ASK, DRAW)
        model.caller.pace.tighten(Limits(tokens_per_minute=60_000))  # 1,000 at once
        await model.generate(ASK, replace(DRAW, max_tokens=900))
        allowance = model.caller.pace._tokens
        assert allowance is not None
        return allowance.wait(asyncio.get_running_loop().time(), 900)

    waits, _ = run(lambda request: chat(["Paris"]), use)
    assert waits == 0
