"""What went wrong with one request, in the words of `CallFailed`: from a status, a body, or an exception of aiohttp.

A `Fault` says of which kind it is, whether the request may be sent again, and how long the server asks to wait. What
this does not do: send, wait, raise, or hide secrets; the texts made here go through `redact` before anyone sees
them. Rejected: reading JSON whatever its content type: a proxy's page or a cut answer is not to pass for an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from tandem.http.redact import excerpt

REPEATED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may succeed."""
NOT_DONE = frozenset({425, 429, 503, 529})
"""Of these, those that say nothing was done: repeated even when the request is not safe to repeat."""
KINDS = {
    "rate-limit": "run again later, set a lower concurrency, or raise the limits of the account",
    "server": "the fault is the server's: run again later",
    "timeout": "give it more time, or ask for fewer tokens",
    "connection": "check that the server runs, and its address",
    "malformed": "check that the address is that of the API itself, not of a web page or a proxy",
    "refused": "the request must change; the server's words say how",
    "key": "check the key that is given to this endpoint",
    "not-found": "check the address (most end in /v1) and the name of the model",
}
"""All kinds of `CallFailed` that a call can raise, each with the remedy for want of a better one."""
_STATUSES = {
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What the type of an error inside an answer amounts to; those not named are refusals (400)."""
_SPENT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
"""Codes of a 429 that no waiting mends."""


@dataclass(frozen=True)
class Fault:
    """Why one try failed."""

    kind: str
    """One of `KINDS`."""
    problem: str
    """The sentence for the user, secrets not yet removed."""
    status: int | None = None
    """The HTTP status, when there was one."""
    again: bool = False
    """Whether to send it again is of use and safe."""
    limited: bool = False
    """Whether the server refused for its rate."""
    pause: float | None = None
    """Seconds the server asks to wait."""
    remedy: str | None = None
    """What to do, when more is known than the kind says."""
    begun: bool = False
    """Whether an answer had been begun, which may have to be paid."""


# ── Answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def parsed(
    raw: bytes, headers: Mapping[str, str], status: int, *, safe: bool, event: bool = False
) -> dict[str, Any] | Fault:
    """The JSON object of an answer of a status 2xx, or of an `event` of one, or what is wrong with it."""
    if not raw or raw.isspace():
        return Fault("malformed", f"answered {status} with an empty body", status)
    kind = "application/json" if event else headers.get("content-type", "application/json")
    if kind != "application/json":
        kind = kind.partition(";")[0].strip().lower()
        if not (kind == "application/json" or kind.endswith("+json")):
            what = "an HTML page" if "html" in kind else f"content type {excerpt(kind, 60)!r}"
            return Fault("malformed", f"answered {status} with {what} instead of JSON: {_shown(raw)}", status)
    try:
        value = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return Fault("malformed", f"answered {status} with {len(raw):,} bytes that are not JSON: {_shown(raw)}", status)
    if not isinstance(value, dict):
        return Fault("malformed", f"answered {status} with JSON that is no object: {_shown(raw)}", status)
    if error := value.get("error"):  # some gateways wrap a refusal in a 200
        return judged(_status_of(error), headers, raw, safe=safe, answered=status)
    return value


def judged(status: int, headers: Mapping[str, str], raw: bytes, *, safe: bool, answered: int | None = None) -> Fault:
    """What an answer of another status than 2xx means. `answered` is the HTTP status, where it is not `status`."""
    words, code = _words(raw)
    said = f"answered {answered or status}" + (f": {words}" if words else "")
    if 300 <= status < 400:
        target = excerpt(headers.get("location", "nowhere"), 200)
        advice = "give the address it points to, if you trust it"
        return Fault("not-found", f"answered {status}, a redirect to {target}", status, remedy=advice)
    pause = asked_pause(headers) if status in REPEATED else None
    limited = status in (429, 529) or (status == 503 and pause is not None)
    again = (
        status in REPEATED
        and (safe or status in NOT_DONE)
        and code not in _SPENT
        and headers.get("x-should-retry") != "false"
    )
    if status in (429, 529):
        kind = "rate-limit"
    elif status in (401, 403):
        kind = "key"
    elif status in (404, 405, 410):
        kind = "not-found"
    elif status == 408:
        kind = "timeout"
    elif status >= 500 or status in (409, 425):
        kind = "server"
    else:
        kind = "refused" if status >= 400 else "malformed"
    remedy = "the account has nothing left to spend: raise its limit" if code in _SPENT else None
    return Fault(kind, said, answered or status, again, limited, pause, remedy)


def _status_of(error: Any) -> int:
    """The status that an error inside an answer amounts to."""
    if not isinstance(error, dict):
        return 400
    for name in ("code", "status", "type"):
        value = error.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
        if isinstance(value, str) and value in _STATUSES:
            return _STATUSES[value]
    return 400


def _words(raw: bytes) -> tuple[str, str | None]:
    """What a server says about its refusal, and the code it gives to it."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return _shown(raw), None
    error = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return excerpt(error if isinstance(error, str) else json.dumps(error)), None
    words = next((error[name] for name in ("message", "detail", "msg", "title") if error.get(name)), error)
    code = error.get("code") or error.get("type")
    return excerpt(words if isinstance(words, str) else json.dumps(words)), code if isinstance(code, str) else None


def _shown(raw: bytes) -> str:
    return excerpt(raw[:4096].decode("utf-8", "backslashreplace"))


# ── Connections ─────────────────────────────────────────────────────────────────────────────────────────────────────


def broken(e: aiohttp.ClientError, *, safe: bool, read: int | None) -> Fault:
    """What an exception of aiohttp means; `read` is the bytes of the answer that had come, None before any answer."""
    reason = e.os_error.strerror if isinstance(e, aiohttp.ClientConnectorError) else None
    if isinstance(e, aiohttp.ClientConnectorCertificateError):
        said = getattr(e.certificate_error, "verify_message", "") or "not accepted"
        remedy = "name the file of the authority that signed it in SSL_CERT_FILE"
        return Fault("connection", f"its certificate is not trusted ({said})", remedy=remedy)
    if isinstance(e, aiohttp.ClientConnectorSSLError):
        return Fault("connection", "no encrypted connection comes about", remedy="check the port, and https or http")
    if isinstance(e, (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)):
        return Fault("connection", "the proxy cannot be reached or refuses", again=True, remedy="check HTTPS_PROXY")
    if isinstance(e, aiohttp.ClientConnectorDNSError):
        return Fault("connection", "no address is known for this host", again=True, remedy="check its name")
    if isinstance(e, aiohttp.ClientConnectorError):
        return Fault("connection", f"cannot be reached ({reason or 'no connection'})", again=True)
    if isinstance(e, aiohttp.ConnectionTimeoutError):
        return Fault("connection", "cannot be reached (no connection in time)", again=True)
    if isinstance(e, aiohttp.ClientResponseError):
        return Fault("malformed", "does not answer in HTTP")
    if read is not None:
        return cut_off(read)
    if isinstance(e, aiohttp.ClientConnectionError):
        return Fault("connection", "the connection broke off before an answer", again=safe)
    return Fault("connection", f"no connection ({type(e).__name__})")


def cut_off(read: int) -> Fault:
    """What an answer means that ends before its end, after so many bytes."""
    return Fault(
        "connection",
        f"the answer broke off or cannot be unpacked after {read:,} bytes",
        remedy="run again later; a proxy in between may cut long answers",
        begun=True,
    )


# ── What a server asks for ──────────────────────────────────────────────────────────────────────────────────────────

_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_YEAR = 366 * 86400.0


def asked_pause(headers: Mapping[str, str]) -> float | None:
    """Seconds a server asks to wait in a refusal, or None when it does not say so intelligibly.

    Reads, in this order: Retry-After-Ms; Retry-After, in seconds or as an HTTP date (against the server's own Date);
    and of the headers named *ratelimit*reset* those whose *remaining* twin says 0, or all if no twin says anything
    (plain seconds, "6m0s", seconds since 1970, or an ISO date). `headers` do not tell upper from lower case.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    now = _date(headers.get("date")) or datetime.now(UTC)
    if "retry-after" in headers:
        value = headers["retry-after"].strip()
        seconds = _number(value)
        if seconds is None and (date := _date(value)):
            seconds = max(0.0, (date - now).total_seconds())
        if seconds is not None:
            return seconds
    lower = {name.lower(): value for name, value in headers.items()}
    resets = {name: value for name, value in lower.items() if "ratelimit" in name and "reset" in name}
    twins = {name: lower.get(name.replace("reset", "remaining")) for name in resets}
    if any(twins.values()):
        resets = {name: value for name, value in resets.items() if _number(twins[name]) == 0}
    waits = [wait for value in resets.values() if (wait := _until(value.strip(), now)) is not None]
    return max(waits, default=None)


def _number(text: str | None) -> float | None:
    """A plain number of reasonable size, nothing else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e12 else None


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _until(text: str, now: datetime) -> float | None:
    """Seconds until a reset, however it is written."""
    number = _number(text)
    if number is not None:
        seconds = number - now.timestamp() if number > _YEAR else number
    elif _PARTS.sub("", text) == "" and text:
        seconds = sum(float(n) * _SECONDS[unit] for n, unit in _PARTS.findall(text))
    else:
        try:
            date = datetime.fromisoformat(text)
        except ValueError:
            return None
        seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    return max(0.0, seconds)
