from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tandem.http.faults import KINDS, asked_pause, judged, parsed


def test_retry_after_is_read_in_seconds_and_milliseconds():
    assert asked_pause({"retry-after": "2"}) == 2
    assert asked_pause({"retry-after": " 0.5 "}) == 0.5
    assert asked_pause({"retry-after-ms": "250", "retry-after": "1"}) == 0.25


def test_retry_after_as_a_date_counts_from_the_servers_own_clock():
    now = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    headers = {"date": format_datetime(now, usegmt=True)}
    later = {"retry-after": format_datetime(now + timedelta(seconds=90), usegmt=True)}
    earlier = {"retry-after": format_datetime(now - timedelta(seconds=90), usegmt=True)}
    assert asked_pause(headers | later) == 90
    assert asked_pause(headers | earlier) == 0


def test_resets_count_where_nothing_remains():
    headers = {
        "x-ratelimit-remaining-requests": "12",
        "x-ratelimit-reset-requests": "6m0s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m2.5s",
    }
    assert asked_pause(headers) == 62.5


def test_resets_are_read_in_every_usual_form():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    date = {"date": format_datetime(now, usegmt=True)}
    assert asked_pause(date | {"x-ratelimit-reset": "30"}) == 30
    assert asked_pause(date | {"x-ratelimit-reset": str(int(now.timestamp()) + 40)}) == 40
    assert asked_pause(date | {"anthropic-ratelimit-tokens-reset": "2026-01-01T00:00:50Z"}) == 50
    assert asked_pause(date | {"ratelimit-reset": "20ms"}) == pytest.approx(0.02)


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan", "inf", "1e99", "Mon, 99 Foo 2026", "7 years"])
def test_a_pause_that_makes_no_sense_is_passed_over(value):
    assert asked_pause({"retry-after": value}) is None
    assert asked_pause({"x-ratelimit-reset": value}) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"message": "too many words", "type": "x", "code": null}}',
        b'{"error": "too many words"}',
        b'{"message": "too many words"}',
        b'{"detail": "too many words"}',
        b'"too many words"',
        b"too many words",
    ],
)
def test_the_servers_own_words_pass_into_the_problem(body):
    assert judged(400, {}, body, safe=True).problem == "answered 400: too many words"


def test_every_status_has_a_kind():
    kinds = {status: judged(status, {}, b"", safe=True).kind for status in range(300, 600)}
    assert set(kinds.values()) <= set(KINDS)
    assert [kinds[s] for s in (307, 400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 529)] == [
        "not-found", "refused", "key", "key", "not-found", "timeout", "server", "refused", "refused",
        "rate-limit", "server", "server", "rate-limit",
    ]  # fmt: skip


def test_only_what_may_succeed_is_sent_again():
    again = {s for s in range(300, 600) if judged(s, {}, b"", safe=True).again}
    assert again == {408, 409, 425, 429, 500, 502, 503, 504, 529}


def test_what_is_not_safe_to_repeat_is_repeated_only_when_nothing_was_done():
    again = {s for s in range(300, 600) if judged(s, {}, b"", safe=False).again}
    assert again == {425, 429, 503, 529}


def test_an_account_without_money_is_not_asked_again():
    fault = judged(429, {}, b'{"error": {"message": "no money", "code": "insufficient_quota"}}', safe=True)
    assert not fault.again
    assert "account" in fault.remedy


def test_a_server_may_forbid_a_repeat():
    assert not judged(500, {"x-should-retry": "false"}, b"", safe=True).again


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "application/problem+json", None]
)
def test_a_json_object_is_returned(kind):
    assert parsed(b'{"a": 1}', {"content-type": kind} if kind else {}, 200, safe=True) == {"a": 1}


@pytest.mark.parametrize("raw", [b"", b" \n", b"{", b"[1]", b'"a"', b'{"a": "\xff"}', b"[" * 100_000, b"9" * 10_000])
def test_any_other_body_is_malformed(raw):
    fault = parsed(raw, JSON, 200, safe=True)
    assert fault.kind == "malformed"
    assert len(fault.problem) < 400


@pytest.mark.parametrize(
    ("code", "kind", "again"), [(429, "rate-limit", True), (400, "refused", False), (None, "refused", False)]
)
def test_an_error_inside_a_200_is_an_error(code, kind, again):
    raw = b'{"error": {"message": "no", "code": %s}}' % (str(code).encode() if code else b"null")
    fault = parsed(raw, JSON, 200, safe=True)
    assert (fault.kind, fault.again, fault.status, fault.problem) == (kind, again, 200, "answered 200: no")


def test_a_null_error_beside_an_answer_is_none():
    assert parsed(b'{"error": null, "a": 1}', JSON, 200, safe=True) == {"error": None, "a": 1}
