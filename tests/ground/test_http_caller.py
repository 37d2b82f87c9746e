import asyncio
import gc
import io
import json
import logging
import shutil
import ssl
import subprocess
import time
import traceback
import warnings
from contextlib import asynccontextmanager

import pytest

from loopback_server import FAULTS, HTML, Act, LoopbackServer
from tandem.errors import CallFailed, UserError
from tandem.http import Caller, connection
from tandem.http.pace import Limits

KEY = "sk-test-0123456789abcdefSECRET"
QUICK = Limits(first_wait=0.002, first_pause=0.002, tries=4, body_bytes=1 << 20)


@asynccontextmanager
async def connected(answer, **settings):
    """A server that answers as told and a caller of it."""
    async with LoopbackServer(answer) as server:
        headers = settings.pop("headers", {"Authorization": f"Bearer {KEY}"})
        caller = Caller(server.url + "/v1", headers, **{"limits": QUICK, **settings})
        try:
            yield server, caller
        finally:
            await caller.close()


def ask(answer, *, path="/chat", body=None, settings=None, **options):
    """One call; returns the reply or the failure, the server, and the caller."""

    async def main():
        async with connected(answer, **(settings or {})) as (server, caller):
            try:
                return await caller.post(path, body or {"a": 1}, **options), server, caller
            except CallFailed as e:
                return e, server, caller

    return asyncio.run(main())


def after(fault, times, then):
    """Plays a fault so many times, then answers."""
    return lambda request: fault if request.before < times else then


OK = Act(body={"ok": True})

# ── What goes out and comes in ──────────────────────────────────────────────────────────────────────────────────────


def test_a_json_object_goes_out_with_the_headers_and_one_comes_back():
    seen = []
    reply, _, caller = ask(lambda r: seen.append(r) or OK, body={"text": "übung \U0001f600"})
    assert (reply.status, reply.json, reply.tries) == (200, {"ok": True}, 1)
    assert reply.headers["content-type"] == "application/json"
    assert (seen[0].path, seen[0].body) == ("/v1/chat", {"text": "übung \U0001f600"})
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert (caller.stats.calls, caller.stats.answered, caller.stats.sent) == (1, 1, 1)


def test_the_query_of_the_address_is_kept():
    seen = []

    async def main():
        async with LoopbackServer(lambda r: seen.append(r.path) or OK) as server:
            caller = Caller(server.url + "/v1/?api-version=7", {})
            await caller.post("chat", {})
            await caller.close()

    asyncio.run(main())
    assert seen == ["/v1/chat?api-version=7"]


def test_a_large_request_arrives_whole_and_without_a_warning():
    text = "x" * (3 << 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reply, _, _ = ask(lambda r: Act(body={"n": len(r.body["text"])}), body={"text": text})
    assert reply.json == {"n": len(text)}


def test_a_request_that_is_no_json_is_the_users_error():
    async def main():
        async with connected(lambda _: OK) as (server, caller):
            for wrong in (float("nan"), object(), "\ud800"):
                with pytest.raises(UserError, match="JSON"):
                    await caller.post("/chat", {"a": wrong})
            return server.acts, caller.pace.in_flight

    assert asyncio.run(main()) == ({}, 0)


# ── Faults ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        ("half", "malformed", "20 bytes that are not JSON: {"),
        ("cut", "connection", "after 11 bytes"),
        ("html", "malformed", "an HTML page instead of JSON: <!DOCTYPE html>"),
        ("text", "malformed", "'text/plain' instead of JSON"),
        ("empty", "malformed", "empty body"),
        ("redirect", "not-found", "a redirect to http://127.0.0.1:9/elsewhere"),
        ("huge", "malformed", "longer than 1.00 MiB"),
        ("400", "refused", "answered 400: no, not now"),
    ],
)
def test_what_no_repeat_mends_fails_at_once_with_its_kind_and_place(fault, kind, said):
    failure, server, caller = ask(lambda _: FAULTS[fault])
    assert isinstance(failure, CallFailed)
    assert failure.kind == kind
    assert said in failure.problem
    assert failure.where == f"127.0.0.1:{server.port}/v1/chat"
    assert failure.remedy
    assert server.acts == {fault: 1}
    assert caller.stats.failed == {kind: 1}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("429", "rate-limit"),
        ("429-after", "rate-limit"),
        ("500", "server"),
        ("503", "server"),
        ("drop", "connection"),
        ("reset", "connection"),
    ],
)
def test_what_a_repeat_may_mend_is_sent_again(fault, kind):
    reply, server, caller = ask(after(FAULTS[fault], 2, OK))
    assert (reply.json, reply.tries) == ({"ok": True}, 3)
    assert server.acts == {fault: 2, "ok": 1}
    assert (caller.stats.sent, caller.stats.repeated) == (3, {kind: 2})
    failure, server, caller = ask(lambda _: FAULTS[fault])
    assert (failure.kind, server.acts[fault]) == (kind, QUICK.tries)
    assert "sent 4 times" in str(failure)


@pytest.mark.parametrize(
    ("fault", "times"),
    [("429", 4), ("503", 4), ("500", 1), ("drop", 1), ("reset", 1), ("400", 1)],
)
def test_what_is_not_safe_to_repeat_is_repeated_only_if_nothing_was_done(fault, times):
    _, server, _ = ask(lambda _: FAULTS[fault], safe_to_repeat=False)
    assert server.acts[fault] == times


def test_a_server_that_is_not_there_is_tried_again_and_named():
    async def main():
        caller = Caller("http://127.0.0.1:9/v1", {}, limits=QUICK)
        with pytest.raises(CallFailed, match=r"127\.0\.0\.1:9/v1/chat: cannot be reached") as caught:
            await caller.post("/chat", {}, safe_to_repeat=False)
        await caller.close()
        return caught.value, caller.stats

    failure, stats = asyncio.run(main())
    assert (failure.kind, stats.sent, stats.failed) == ("connection", 4, {"connection": 1})


def test_an_answer_that_is_not_http_is_malformed():
    async def main():
        async def babble(_, writer):
            writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        caller = Caller(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", {}, limits=QUICK)
        with pytest.raises(CallFailed) as caught:
            await caller.post("/chat", {})
        await caller.close()
        server.close()
        return caught.value

    assert asyncio.run(main()).kind == "malformed"


def test_control_characters_of_a_server_are_escaped():
    body = json.dumps({"error": {"message": "\x1b[2Jgone\r\nX-Injected: 1" + " z" * 5000}}).encode()
    failure, _, _ = ask(lambda _: Act(status=400, body=body))
    assert r"\x1b[2Jgone X-Injected: 1" in failure.problem
    assert failure.problem.isprintable()
    assert len(failure.problem) < 400


def test_a_refusal_whose_body_never_ends_is_judged_by_its_status(monkeypatch):
    monkeypatch.setattr("tandem.http.caller.ERROR_SECONDS", 0.05)
    failure, _, _ = ask(lambda _: Act(status=400, body={"error": "slow"}, drip=1.0))
    assert (failure.kind, failure.status, failure.problem) == ("refused", 400, "answered 400")


# ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_deadline_covers_a_slow_answer():
    began = time.monotonic()
    failure, _, caller = ask(lambda _: FAULTS["drip"], deadline=0.3)
    assert time.monotonic() - began < 2
    assert failure.kind == "timeout"
    assert "reading the answer" in failure.problem
    assert caller.pace.in_flight == 0


def test_the_deadline_covers_waiting_for_a_turn():
    async def main():
        async with connected(lambda _: Act(delay=5), limits=Limits(concurrency=1)) as (server, caller):
            first = asyncio.create_task(caller.post("/chat", {"a": 1}))
            await asyncio.sleep(0.05)
            with pytest.raises(CallFailed, match="while waiting for a turn") as caught:
                await caller.post("/chat", {"a": 2}, deadline=0.1)
            first.cancel()
            await asyncio.wait([first])
            return caught.value, server.acts, caller.pace

    failure, acts, pace = asyncio.run(main())
    assert failure.kind == "timeout"
    assert acts == {"ok": 1}
    assert (pace.in_flight, pace.waiting) == (0, 0)


def test_the_deadline_covers_repeats_and_tells_what_came_before():
    limits = Limits(first_wait=100, first_pause=0)
    failure, _, _ = ask(lambda _: FAULTS["500"], deadline=0.2, settings={"limits": limits})
    assert failure.kind == "timeout"
    assert "waiting to send it again" in failure.problem
    assert "before: answered 500: no, not now" in failure.problem


def test_a_try_that_takes_too_long_is_repeated_if_that_is_safe():
    limits = Limits(seconds_a_try=0.1, first_wait=0.002, tries=2)
    for safe, times in ((True, 2), (False, 1)):
        failure, server, _ = ask(lambda _: Act(delay=3), safe_to_repeat=safe, settings={"limits": limits})
        assert (failure.kind, server.acts["ok"]) == ("timeout", times)


def test_retry_after_is_waited_for():
    slow = Act(status=429, headers={"Retry-After": "0.3"}, body=b"")
    began = time.monotonic()
    reply, _, caller = ask(after(slow, 1, OK))
    assert reply.tries == 2
    assert 0.3 <= time.monotonic() - began < 2
    assert caller.pace.cuts == 1


def test_a_pause_beyond_the_deadline_fails_at_once():
    slow = Act(status=429, headers={"Retry-After": "100"}, body=b"")
    began = time.monotonic()
    failure, _, _ = ask(lambda _: slow, deadline=20)
    assert time.monotonic() - began < 2
    assert (failure.kind, failure.status) == ("rate-limit", 429)
    assert "deadline" in failure.problem


def test_a_pause_of_a_day_fails_all_at_once_and_is_told():
    async def main():
        day = Act(status=429, headers={"Retry-After": "86400"}, body=b"")
        async with connected(lambda _: day, limits=Limits(concurrency=2)) as (server, caller):
            calls = [caller.post("/chat", {"a": i}) for i in range(50)]
            return await asyncio.gather(*calls, return_exceptions=True), server, caller

    failures, server, caller = asyncio.run(main())
    assert {e.kind for e in failures} == {"rate-limit"}
    assert any("24 h" in e.problem for e in failures)
    assert sum(server.acts.values()) <= 2
    assert caller.stats.failed == {"rate-limit": 50}


# ── Concurrency ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_server_that_bears_so_many_at_once_is_found_out():
    """It refuses what exceeds 30 at once; all is answered in the end, and the limit settles near 30."""

    async def main():
        def answer(_):
            if server.in_flight > 30:
                return Act(name="429", status=429, body=b"", headers={"Retry-After": "0.01"})
            return Act(body={"ok": True}, delay=0.01)

        async with LoopbackServer(lambda r: answer(r)) as server:
            caller = Caller(server.url, {}, limits=Limits(first_wait=0.01, tries=50))
            await asyncio.gather(*(caller.post("/chat", {"i": i}) for i in range(1500)))
            await caller.close()
            return server, caller

    server, caller = asyncio.run(main())
    assert caller.stats.answered == 1500
    assert caller.pace.cuts >= 1
    assert 20 <= caller.pace.limit <= 45
    assert server.acts["429"] < 300


def test_no_more_than_the_limit_are_in_flight_and_connections_are_used_again():
    async def main():
        async with connected(lambda _: Act(body={}, delay=0.005), limits=Limits(concurrency=7)) as (server, caller):
            await asyncio.gather(*(caller.post("/chat", {"i": i}) for i in range(200)))
            return server.most_in_flight, server.accepted

    assert asyncio.run(main()) == (7, 7)


def test_callers_of_the_same_model_share_one_pace():
    async def main():
        async with LoopbackServer(lambda _: OK) as server:
            callers = [Caller(server.url, {}, model=name) for name in ("m", "m", "other")]
            for caller in callers:
                await caller.post("/chat", {})
                await caller.close()
            return [caller.pace for caller in callers]

    one, same, other = asyncio.run(main())
    assert one is same
    assert one is not other


def test_cancelling_frees_the_turn_and_ends_the_connection():
    async def main():
        async with connected(lambda _: Act(delay=30), limits=Limits(concurrency=3)) as (server, caller):
            tasks = [asyncio.create_task(caller.post("/chat", {"i": i})) for i in range(10)]
            await asyncio.sleep(0.1)
            assert (caller.pace.in_flight, caller.pace.waiting) == (3, 7)
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert (caller.pace.in_flight, caller.pace.waiting) == (0, 0)
            await asyncio.sleep(0.05)
            return outcomes, len(server.connections), caller.stats

    outcomes, open_connections, stats = asyncio.run(main())
    assert {type(o) for o in outcomes} == {asyncio.CancelledError}
    assert open_connections == 0
    assert (stats.calls, stats.cancelled, stats.sent) == (10, 10, 3)


def test_one_caller_serves_several_event_loops_without_leaving_anything_open():
    caller, served = None, 0

    async def main(close):
        nonlocal caller, served
        async with LoopbackServer(lambda _: OK) as server:
            # the same caller each time; only the port of its server is new
            caller = caller or Caller(server.url, {}, limits=QUICK)
            caller._base = caller._base.with_port(server.port)
            caller._urls.clear()
            await asyncio.gather(*(caller.post("/chat", {}) for _ in range(5)))
            served += server.acts["ok"]
            if close:
                await caller.close()

    for close in (False, False, True):
        asyncio.run(main(close))
    assert served == 15
    assert not caller._lines


# ── Secrets ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def everything(failure):
    """All that can be seen of an exception: itself, what it is chained to, and every local variable on the way."""
    told = io.StringIO()
    seen = traceback.TracebackException.from_exception(failure, capture_locals=True)
    print(*seen.format(), file=told)
    chain = [failure]
    while chain:
        e = chain.pop()
        print(repr(e), str(e), e.args, vars(e), file=told)
        chain += [x for x in (e.__cause__, e.__context__) if x is not None]
    return told.getvalue()


def echo(request):
    """What a nasty server does with a key: shows it in every place it can."""
    key = request.headers["authorization"]
    return {
        "400": Act(status=400, body={"error": {"message": f"bad key {key}", "code": key}}),
        "401": Act(status=401, body=f"Incorrect API key provided: {key[:25]}".encode()),
        "page": Act(body=HTML + key.encode(), headers={"Content-Type": "text/html"}),
        "kind": Act(body=b"{}", headers={"Content-Type": key}),
        "half": Act(body=f'{{"a": "{key}'.encode()),
        "array": Act(body=[key]),
        "redirect": Act(status=302, body=b"", headers={"Location": f"http://x.example/?key={key}"}),
        "500": Act(status=500, body=key.encode() * 1000),
        "cut": Act(body={"a": key}, cut=40),
        "drop": Act(drop=True),
        "drip": Act(body={"a": key}, drip=0.05),
    }[request.body["how"]]


@pytest.mark.parametrize(
    "how", ["400", "401", "page", "kind", "half", "array", "redirect", "500", "cut", "drop", "drip"]
)
def test_no_piece_of_a_key_is_seen_in_any_failure(how, caplog):
    caplog.set_level(logging.DEBUG)
    failure, _, caller = ask(echo, body={"how": how}, deadline=0.5)
    told = everything(failure) + caplog.text + repr(caller) + repr(caller.stats) + repr(caller.pace)
    assert isinstance(failure, CallFailed)
    assert not [KEY[i : i + 8] for i in range(len(KEY) - 7) if KEY[i : i + 8] in told]


def test_no_key_is_seen_when_the_connection_fails_or_the_call_is_cancelled():
    async def main():
        caller = Caller("http://127.0.0.1:9/", {"X-Api-Key": KEY}, limits=QUICK)
        with pytest.raises(CallFailed) as refused:
            await caller.post("/chat", {})
        await caller.close()
        async with connected(lambda _: Act(delay=9)) as (_, caller):
            task = asyncio.create_task(caller.post("/chat", {}))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await task
        return refused.value, cancelled.value

    for failure in asyncio.run(main()):
        assert KEY[:8] not in everything(failure)


def test_a_key_that_a_server_echoes_in_an_answer_does_not_come_back():
    reply, _, _ = ask(lambda r: Act(body={"a": r.headers["authorization"]}, headers={"X-Echo": KEY}))
    assert KEY not in repr(reply)
    assert reply.json == {"a": "[removed]"}


def test_a_key_in_the_address_is_not_seen():
    async def main():
        async with LoopbackServer(lambda _: Act(status=404, body=b"")) as server:
            caller = Caller(f"{server.url}/?key={KEY}", {}, limits=QUICK)
            with pytest.raises(CallFailed) as caught:
                await caller.post("/chat", {})
            await caller.close()
            return everything(caught.value) + repr(caller)

    assert KEY[:8] not in asyncio.run(main())


@pytest.mark.parametrize("address", [f"https://me:{KEY}@host/", f"ftp://{KEY}/", f"{KEY}", "http://[::1", ""])
def test_an_address_that_cannot_be_used_is_refused_without_being_shown(address):
    with pytest.raises(UserError, match="base_url") as caught:
        Caller(address, {})
    assert KEY[:8] not in str(caught.value)


@pytest.mark.parametrize("key", [KEY + "\n", KEY + "\r\nX: y", KEY + "é", "\u200b" + KEY])
def test_a_key_with_a_stray_character_is_refused_without_being_shown(key):
    with pytest.raises(UserError, match="header Authorization") as caught:
        Caller("https://host/", {"Authorization": key})
    assert KEY[:8] not in str(caught.value)


# ── Ways to the server ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def certificate(tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl program to make a certificate")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    connection._certificates.cache_clear()
    yield key, cert
    connection._certificates.cache_clear()


def test_https_is_spoken_to_a_server_whose_authority_is_named_and_to_no_other(certificate, monkeypatch):
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def main():
        async with LoopbackServer(lambda _: OK, tls=context) as server:
            caller = Caller(server.url, {}, limits=QUICK)
            try:
                return await caller.post("/chat", {})
            except CallFailed as e:
                return e
            finally:
                await caller.close()

    failure = asyncio.run(main())
    assert (failure.kind, "SSL_CERT_FILE" in failure.remedy) == ("connection", True)
    connection._certificates.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    assert asyncio.run(main()).json == {"ok": True}


def test_https_to_a_server_that_speaks_http_says_so():
    async def main():
        async with LoopbackServer(lambda _: OK) as server:
            caller = Caller(server.url.replace("http", "https"), {}, limits=QUICK)
            with pytest.raises(CallFailed, match="https or http") as caught:
                await caller.post("/chat", {})
            await caller.close()
            return caught.value.kind

    assert asyncio.run(main()) == "connection"


def test_a_proxy_of_the_environment_is_used_only_when_asked(monkeypatch):
    async def main():
        async with LoopbackServer(lambda _: OK) as proxy:
            monkeypatch.setenv("http_proxy", f"http://me:{KEY}@127.0.0.1:{proxy.port}")
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            paths = []
            proxy.answer = lambda r: paths.append((r.path, "proxy-authorization" in r.headers)) or OK
            for asked in (True, False):
                caller = Caller("http://127.0.0.1:9/v1", {}, limits=QUICK, environment_proxies=asked)
                try:
                    await caller.post("/chat", {})
                except CallFailed as e:
                    paths.append(e.kind)
                await caller.close()
            return paths

    assert asyncio.run(main()) == [("http://127.0.0.1:9/v1/chat", True), "connection"]


def test_nothing_is_left_open(recwarn):
    ask(lambda _: OK)
    ask(lambda _: FAULTS["cut"])
    gc.collect()
    assert not [str(w.message) for w in recwarn if issubclass(w.category, ResourceWarning)]
