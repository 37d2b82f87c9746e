"""Endpoints: which server answers for a remote model, in which wire format, with which key, at what price.

An endpoint is a plain description: built in (`openai`, `anthropic`), an address (`https://host/v1#MODEL`), or a table
of models.toml. What a server cannot do is declared here, never tried out. No key is read before `headers_with_key`,
none is kept, and no message shows one. What this does not do: open a connection, or ask a server what it can do.
Rejected: keys in the file, and abilities guessed from answers, which would change what a run means in the middle of it.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from tandem.errors import UserError
from tandem.http.pace import Limits
from tandem.lm.budget import Prices
from tandem.text import fingerprint
from tandem.types import Abilities

Format: TypeAlias = Literal["chat", "completions", "anthropic"]
"""OpenAI chat completions, OpenAI completions (plain text), Anthropic messages."""
KeyHeader: TypeAlias = Literal["bearer", "x-api-key", "api-key"]
Prefill: TypeAlias = Literal["none", "last-turn", "continue-final-message"]
Scoring: TypeAlias = Literal["none", "echo", "prompt-logprobs"]
MaxTokensField: TypeAlias = Literal["max_tokens", "max_completion_tokens"]

ASSUMED_CONTEXT = 131_072
"""Tokens of context where none is declared; a server that has less refuses by itself."""
ANTHROPIC_VERSION = "2026-10-21"
"""Version of Anthropic's API; from this one on it refuses temperature and top_p."""

_REASONING = re.compile(r"(ft:)?(o\d|gpt-([5-9]|\d\d))(?!.*chat)")
_TEXT_ONLY = re.compile(r"(ft:)?(babbage-002|davinci-002|gpt-3\.5-turbo-instruct)")


@dataclass(frozen=True)
class Endpoint:
    """One remote model: where it is and what may be asked of it."""

    address: str
    """Up to the version, as in https://api.openai.com/v1; without a slash at its end."""
    model: str
    """The model's name on that server."""
    format: Format = "chat"
    """How requests and answers are written."""
    abilities: Abilities = field(default_factory=lambda: Abilities(ASSUMED_CONTEXT))
    """What it can be asked for."""
    key: str | None = None
    """Environment variable that holds the key; None where none is needed."""
    key_header: KeyHeader = "bearer"
    """Where the key goes: `Authorization: Bearer …`, `x-api-key` or `api-key`."""
    prices: Prices | None = None
    """Money per million tokens, for budgets; None when unknown."""
    limits: Limits = field(default_factory=Limits)
    """Calls and tokens that the server allows, and how long one call may take."""
    prefill: Prefill = "none"
    """How a begun answer is sent: as the last turn alone, or with vLLM's and SGLang's fields beside it."""
    scoring: Scoring = "none"
    """How given texts are scored: with `echo`, or with vLLM's `prompt_logprobs`."""
    max_tokens_field: MaxTokensField = "max_tokens"
    """Name of the field that limits an answer's length."""
    max_stops: int | None = None
    """Stop texts that a request may hold; the others are cut here. None: as many as there are."""
    version: str = ANTHROPIC_VERSION
    """Value of `anthropic-version`; other formats have none."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers to send along; never a secret."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """Fields added to every request, such as reasoning_effort; they are part of the name."""
    insecure: bool = False
    """Whether a key may go over plain http to another machine."""

    @property
    def host(self) -> str:
        """Host, and port where one is given."""
        return urlsplit(self.address).netloc

    @property
    def name(self) -> str:
        """MODEL@host, the name under which answers are kept; with `body`, a hash of it behind."""
        name = f"{self.model}@{self.host}"
        return f"{name}+{fingerprint(dict(self.body))[:8]}" if self.body else name

    def headers_with_key(self, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Every header of a request, the key read from `environment`. Raises `UserError` when it is not there."""
        headers = dict(self.headers)
        if self.format == "anthropic":
            headers["anthropic-version"] = self.version
        if self.key is None:
            return headers
        secret = environment.get(self.key, "").strip()
        if not secret:
            raise UserError(
                f"the environment variable {self.key}, which holds the key, is {_lack(environment, self.key)}",
                where=self.name,
                remedy=f"set it before you start: export {self.key}=…",
            )
        if not secret.isascii() or not secret.isprintable() or " " in secret:
            raise UserError(
                f"the environment variable {self.key} holds characters that no key has",
                where=self.name,
                remedy="copy the key again, without quotes and line ends",
            )
        if self.key_header == "bearer":
            headers["Authorization"] = f"Bearer {secret}"
        else:
            headers[self.key_header] = secret
        return headers


def _lack(environment: Mapping[str, str], variable: str) -> str:
    return "empty" if variable in environment else "not set"


def checked(endpoint: Endpoint, where: str) -> Endpoint:
    """The endpoint, once its address is one that a key may go to. Raises `UserError`; `where` names its origin."""
    address = endpoint.address.rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{address!r} is no address", where=where, remedy="write it as in https://host/v1")
    if parts.username is not None or parts.password is not None:
        raise UserError(
            "the address holds a user name or password", where=where, remedy="name the key's variable with: key = …"
        )
    if parts.query or parts.fragment:
        raise UserError("the address has a query", where=where, remedy="end the address at the version, as in /v1")
    for path in ("/chat/completions", "/completions", "/messages"):
        if parts.path.endswith(path):
            raise UserError(f"the address ends in {path}", where=where, remedy=f"leave {path} away")
    if not endpoint.model:
        raise UserError("no model is named", where=where, remedy="name one, as in https://host/v1#MODEL")
    if endpoint.key and parts.scheme == "http" and not loopback(parts.hostname) and not endpoint.insecure:
        raise UserError(
            f"the key {endpoint.key} would go to {parts.hostname} over plain http, readable on the way",
            where=where,
            remedy="use https, or say insecure = true",
        )
    return replace(endpoint, address=address)


def loopback(host: str) -> bool:
    """Whether a host is this machine, by its name alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# ── What each format and each known server can do ───────────────────────────────────────────────────────────────────


def openai(model: str) -> Endpoint:
    """OpenAI's own server. Its reasoning models take no temperature, no log-probabilities and no stop texts."""
    reasoning = bool(_REASONING.match(model))
    form: Format = "completions" if _TEXT_ONLY.fullmatch(model) else "chat"
    able = replace(able_by_format(form), context=16_384 if form == "completions" else 128_000)
    if reasoning:
        able = replace(able, temperature=False, logprobs=False, alternatives=0, presence_penalty=False, stop=False)
    return Endpoint(
        address="https://api.openai.com/v1",
        model=model,
        format=form,
        abilities=able,
        key="OPENAI_API_KEY",
        max_tokens_field="max_completion_tokens" if form == "chat" else "max_tokens",
        max_stops=4,
    )


def anthropic(model: str) -> Endpoint:
    """Anthropic's own server."""
    return Endpoint(
        address="https://api.anthropic.com/v1",
        model=model,
        format="anthropic",
        abilities=replace(able_by_format("anthropic"), context=200_000),
        key="ANTHROPIC_API_KEY",
    )


def able_by_format(form: Format, version: str = ANTHROPIC_VERSION) -> Abilities:
    """What a server of a format is taken to obey unless models.toml says otherwise."""
    if form == "anthropic":
        return Abilities(ASSUMED_CONTEXT, chat=True, text=False, temperature=version < ANTHROPIC_VERSION)
    return Abilities(
        ASSUMED_CONTEXT,
        chat=form == "chat",
        text=form == "completions",
        many=True,
        temperature=True,
        seed=True,
        logprobs=True,
        alternatives=20 if form == "chat" else 5,
        presence_penalty=True,
    )


BUILT_IN = {"openai": openai, "anthropic": anthropic}
"""Endpoints that need no file."""
