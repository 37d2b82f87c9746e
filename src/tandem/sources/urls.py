"""Addresses of servers as they may be seen and kept: no password, no value of a parameter that may be a key.

    shown("http://host/sparql?apikey=…")      # for names, places, errors and records
    meant("http://host/sparql?apikey=…")      # what tells addresses apart, to be hashed: without the key, too

A login in an address of the web is never sent, and an error. What this does not do: find a key in a path. Rejected:
masking only parameters with a telling name, since a key may be called anything; for telling addresses apart there is no
other way, as one whose key was renewed gives the same.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from tandem.errors import UserError

_KEYS = re.compile(
    r"(?:.*(?:apikey|token|secret|password|passwd|passphrase|signature)|key|pass|pwd|sig|auth|authorization"
    r"|credentials?|subscriptionkey|sessionid|session)"
)
"""Names of parameters that hold a key, without case and signs."""


def shown(address: str) -> str:
    """An address without a password, parameters without their values. Any text: what is no URL comes back as it is."""
    head, mark, rest = address.partition("://")
    if not mark:
        return address
    host, tail = _parted(rest)
    web = head.rpartition(":")[2].lower() in ("http", "https")
    if "@" in host:
        user, _, host = host.rpartition("@")
        host = host if web else f"{user.partition(':')[0]}@{host}"
    if web and not re.fullmatch(r"(?:\[[^\]]*\]|[^:]*)(?::\d*)?", host):
        return f"{head}://…"  # a password with a slash or a question mark in it, likely
    path, question, query = tail.partition("#")[0].partition("?")
    return f"{head}://{host}{path}{question}{_masked(query)}"


def meant(address: str) -> list[object]:
    """What an address says of what is asked: all of it but logins and keys."""
    head, _, rest = address.partition("://")
    host, tail = _parted(rest)
    path, _, query = tail.partition("#")[0].partition("?")
    kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if not is_key(pair[0])]
    return [head, host.rpartition("@")[2], path, [list(pair) for pair in kept]]


def is_key(parameter: str) -> bool:
    """Whether a parameter of this name holds a key."""
    return _KEYS.fullmatch(re.sub(r"[^a-z0-9]", "", parameter.lower())) is not None


def without_login(address: str, source: str) -> str:
    """The address. Raises UserError, which does not repeat it, where it holds a name or a password."""
    rest = address.partition("://")[2]
    if "@" in _parted(rest)[0] or shown(address).endswith("://…"):
        remedy = "take it out; an endpoint that asks who calls cannot be used, but for a key among the parameters"
        raise UserError("its address holds a name or a password, which is not sent", where=source, remedy=remedy)
    return address


def _parted(rest: str) -> tuple[str, str]:
    """Login, host and port; and what follows."""
    at = re.search(r"[/?#]", rest)
    return (rest[: at.start()], rest[at.start() :]) if at else (rest, "")


def _masked(query: str) -> str:
    parts = (part.partition("=") for part in re.split(r"[&;]", query) if part)
    return "&".join(f"{name}=…" if equals else "…" for name, equals, _ in parts)
