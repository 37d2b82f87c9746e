"""Many requests at once through a server that misbehaves as a seed says; what must come of each is known beforehand."""

import asyncio
import json
from collections import Counter

import pytest

from loopback_server import LoopbackServer, Request, seeded
from tandem.errors import CallFailed
from tandem.http import Caller, Reply
from tandem.http.pace import Limits

RATES = {
    "429": 0.02,
    "429-after": 0.01,
    "500": 0.03,
    "503": 0.01,
    "drop": 0.02,
    "reset": 0.02,
    "half": 0.01,
    "cut": 0.01,
    "drip": 0.002,
    "html": 0.01,
    "text": 0.01,
    "empty": 0.01,
    "redirect": 0.01,
    "huge": 0.002,
    "400": 0.01,
}
REPEATED = {"429", "429-after", "500", "503", "drop", "reset", "drip"}
KINDS = {
    "429": "rate-limit", "429-after": "rate-limit", "500": "server", "503": "server", "drop": "connection",
    "reset": "connection", "drip": "timeout", "half": "malformed", "cut": "connection", "html": "malformed",
    "text": "malformed", "empty": "malformed", "redirect": "not-found", "huge": "malformed", "400": "refused",
}  # fmt: skip
LIMITS = Limits(concurrency=128, tries=3, seconds_a_try=2.5, first_wait=0.002, first_pause=0.002, body_bytes=1 << 18)


def body_of(number):
    return {"number": number, "text": "é" * (number % 50)}


def echoed(request):
    return {"number": request.body["number"]}


def expected(answer, number):
    """What must become of a request: its kind of failure, or "answered", and the acts it meets on the way."""
    acts = []
    while True:
        act = answer(Request("/", {}, body_of(number), len(acts))).name
        acts.append(act)
        if act == "ok":
            return "answered", acts
        if act not in REPEATED or len(acts) == LIMITS.tries:
            return KINDS[act], acts


async def through(n, seed):
    """Send n requests at once; returns what each caller got, the server, and the caller."""
    answer = seeded(seed, RATES, echoed)
    async with LoopbackServer(answer) as server:
        caller = Caller(server.url, {}, limits=LIMITS)
        calls = (caller.post("/", body_of(number)) for number in range(n))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        await caller.close()
        return outcomes, server, caller


def check(n, seed):
    outcomes, server, caller = asyncio.run(through(n, seed))
    answer = seeded(seed, RATES, echoed)
    kinds, acts, sent = Counter(), Counter(), 0
    assert len(outcomes) == n
    for number, outcome in enumerate(outcomes):
        kind, met = expected(answer, number)
        kinds[kind] += 1
        acts.update(met)
        sent += len(met)
        # its own answer or a typed failure, after exactly the requests that the server saw for it
        if kind == "answered":
            assert isinstance(outcome, Reply), outcome
            assert (outcome.json["number"], outcome.tries) == (number, len(met))
        else:
            assert isinstance(outcome, CallFailed), outcome
            assert outcome.kind == kind
        assert server.requests[json.dumps(body_of(number), sort_keys=True)] == len(met)
    stats = caller.stats
    assert server.acts == acts
    assert (stats.calls, stats.answered, stats.cancelled) == (n, kinds["answered"], 0)
    assert stats.failed == kinds - Counter(answered=n)
    assert (stats.sent, sum(stats.repeated.values())) == (sent, sent - n)
    assert (caller.pace.in_flight, caller.pace.waiting) == (0, 0)
    assert set(RATES) <= set(acts) | ({"drip", "huge"} if n < 5000 else set())


def test_a_thousand_requests_meet_every_fault_and_none_is_lost_or_answered_twice():
    check(1000, seed=1)


@pytest.mark.slow
def test_ten_thousand_requests_meet_every_fault_and_none_is_lost_or_answered_twice():
    check(10_000, seed=2)
