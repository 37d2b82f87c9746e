"""models.toml: named endpoints of one user, read strictly; and the endpoint that an address means.

The file is ~/.config/tandem/models.toml ($TANDEM_CONFIG_DIR names another folder). Each table is an endpoint:

    [big]
    address = "https://host/v1"
    model = "org/model-70b"
    key = "HOST_API_KEY"          # the variable that holds the key, never the key
    prices = { input = 0.5, output = 1.5, cached = 0.1 }

A key of the file that is not known is an error; a misspelt limit must not pass for no limit. No connection is opened
and no environment variable but $TANDEM_CONFIG_DIR is read here.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from tandem.errors import UserError
from tandem.http.pace import Limits
from tandem.lm.budget import Prices
from tandem.lm.endpoints import (
    BUILT_IN,
    Endpoint,
    Format,
    KeyHeader,
    MaxTokensField,
    Prefill,
    Scoring,
    able_by_format,
    checked,
)

FILE = "models.toml"
ABILITIES = ("many", "temperature", "seed", "logprobs", "stop", "presence_penalty", "ignore_end")
"""Abilities that a table may grant or deny; the others follow from format, prefill, scoring and context."""
RESERVED = ("embedded", "local", "hf", "replay", "scripted", "http", "https")
"""Words that begin addresses of other kinds."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_SECRET_HEADERS = re.compile(r"authorization|cookie|key|token|secret|password", re.IGNORECASE)


def path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the user's models.toml is looked for."""
    folder = environment.get("TANDEM_CONFIG_DIR")
    return (Path(folder) if folder else Path.home() / ".config" / "tandem") / FILE


def find(address: str, file: Path | None = None) -> Endpoint:
    """The endpoint that an address means.

    `https://host/v1#MODEL` (or http), `NAME` of a table, or `NAME:MODEL`, which names another model on the same server;
    `openai:MODEL` and `anthropic:MODEL` need no file. Raises `UserError` for what is none of these.
    """
    if address.startswith(("http://", "https://")):
        url, _, model = address.partition("#")
        endpoint = Endpoint(url, model, abilities=able_by_format("chat"))
        return checked(endpoint, where=_without_login(address))
    name, _, model = address.partition(":")
    place = path() if file is None else file
    tables = _tables(place)
    if name not in tables and name not in BUILT_IN:
        known = [*tables, *BUILT_IN]
        raise UserError(
            f"no endpoint is called {name!r}",
            where=str(place) if tables else f"{place} (not there)" if not place.exists() else str(place),
            remedy=_nearest(name, known) or f"known are: {', '.join(known)}",
        )
    return _endpoint(name, tables.get(name, {}), model, place)


def names(file: Path | None = None) -> list[str]:
    """Names of the file's tables; empty when there is no file."""
    return list(_tables(path() if file is None else file))


def load(file: Path) -> dict[str, Endpoint]:
    """Every endpoint of a file that names its model. Raises `UserError` for the first thing that is wrong."""
    return {
        name: _endpoint(name, table, "", file)
        for name, table in _tables(file).items()
        if "model" in table or name not in BUILT_IN
    }


def _tables(file: Path) -> dict[str, dict[str, Any]]:
    try:
        data = tomllib.loads(file.read_bytes().decode("utf-8").removeprefix("\ufeff"))
    except FileNotFoundError:
        return {}
    except OSError as e:
        raise UserError(f"cannot be read: {e.strerror}", where=str(file)) from None
    except UnicodeDecodeError as e:
        raise UserError(f"byte {e.start} is not UTF-8", where=str(file), remedy="save it as UTF-8 text") from None
    except tomllib.TOMLDecodeError as e:
        raise UserError(f"not TOML: {e}", where=str(file), remedy="mend the line; texts need quotes") from None
    for name, table in data.items():
        if not isinstance(table, dict):
            raise UserError("is not in a table", where=f"{file}: {name}", remedy="write it below a line [NAME]")
        if name in RESERVED or not _NAME.fullmatch(name):
            raise UserError(
                f"{name!r} cannot name an endpoint",
                where=f"{file}: {name}",
                remedy=f"use letters, digits, dot, dash and underscore, and none of: {', '.join(RESERVED)}",
            )
    return data


def _endpoint(name: str, table: Mapping[str, Any], model: str, file: Path) -> Endpoint:
    """A table's endpoint, over the built-in one of the same name where there is one."""
    where = f"{file}: {name}"
    given = _Table(where, table)
    for key in table:
        if key not in _KEYS:
            raise UserError(
                "is not a key of an endpoint",
                where=f"{where}.{key}",
                remedy=_nearest(key, _KEYS) or f"keys are: {', '.join(_KEYS)}",
            )
    model = model or given.text("model", "")
    if name in BUILT_IN:
        if not model:
            raise UserError("no model is named", where=name, remedy=f"write it as in {name}:MODEL")
        base = BUILT_IN[name](model)
    else:
        for key in ("address",) if model else ("address", "model"):
            if key not in table:
                raise UserError("is missing", where=f"{where}.{key}", remedy=_KEYS[key])
        base = Endpoint(given.text("address", ""), model)
    form: Format = given.choice("format", base.format, get_args(Format))
    version = given.text("version", base.version)
    able = base.abilities
    if name not in BUILT_IN or form != base.format or version != base.version:
        able = replace(able_by_format(form, version), context=base.abilities.context)
    endpoint = replace(
        base,
        address=given.text("address", base.address),
        format=form,
        version=version,
        key=given.variable("key", base.key),
        key_header=given.choice("key_header", base.key_header, get_args(KeyHeader)),
        prices=given.prices(base.prices),
        limits=given.limits(base.limits),
        prefill=given.choice("prefill", base.prefill, get_args(Prefill)),
        scoring=given.choice("scoring", base.scoring, get_args(Scoring)),
        max_tokens_field=given.choice("max_tokens_field", base.max_tokens_field, get_args(MaxTokensField)),
        max_stops=given.whole("max_stops", base.max_stops, least=0),
        headers=given.headers(base.headers),
        body=given.table("body", base.body),
        insecure=given.flag("insecure", base.insecure),
        abilities=replace(
            able,
            context=given.whole("context", able.context) or able.context,
            alternatives=given.whole("alternatives", able.alternatives, least=0) or 0,
            **given.abilities(),
        ),
    )
    return checked(_agreeing(endpoint, where), where)


def _agreeing(endpoint: Endpoint, where: str) -> Endpoint:
    """The endpoint with the abilities that follow from other keys, once those fit its format."""
    form = endpoint.format
    if endpoint.prefill != "none" and form == "completions":
        raise UserError("plain text has no turns", where=f"{where}.prefill", remedy="leave it away")
    if endpoint.prefill == "continue-final-message" and form == "anthropic":
        raise UserError("is not of this format", where=f"{where}.prefill", remedy='say "last-turn"')
    if endpoint.scoring == "echo" and form != "completions":
        raise UserError("echo is not of this format", where=f"{where}.scoring", remedy='format = "completions"')
    if endpoint.scoring != "none" and form == "anthropic":
        raise UserError("this format cannot score", where=f"{where}.scoring", remedy="leave it away")
    if endpoint.scoring == "prompt-logprobs" and form == "chat" and endpoint.prefill != "continue-final-message":
        raise UserError(
            "a conversation is scored by continuing its last turn",
            where=f"{where}.scoring",
            remedy='add prefill = "continue-final-message"',
        )
    able = replace(endpoint.abilities, prefill=endpoint.prefill != "none", scoring=endpoint.scoring != "none")
    if not able.logprobs:
        able = replace(able, alternatives=0)
    return replace(endpoint, abilities=able)


_KEYS = {
    "address": "where the server is, up to the version: https://host/v1",
    "model": "the model's name on that server",
    "format": "chat, completions or anthropic",
    "key": "the environment variable that holds the key",
    "key_header": "bearer, x-api-key or api-key",
    "context": "longest prompt plus answer, in tokens",
    "alternatives": "the likeliest tokens that it lists at each place, at most",
    "prices": "money per million tokens: { input = …, output = …, cached = … }",
    "limits": "{ concurrency = …, requests_per_minute = …, tokens_per_minute = … }",
    "abilities": f"true or false for any of: {', '.join(ABILITIES)}",
    "prefill": "none, last-turn or continue-final-message",
    "scoring": "none, echo or prompt-logprobs",
    "max_tokens_field": "max_tokens or max_completion_tokens",
    "max_stops": "stop texts that a request may hold",
    "version": "value of anthropic-version",
    "headers": "headers to send along, no secrets",
    "body": "fields added to every request",
    "timeout": "seconds one call may take",
    "insecure": "true lets the key go over plain http to another machine",
}
"""Every key of a table, and what it means."""


@dataclass(frozen=True)
class _Table:
    """Values of a TOML table by their types; a wrong type is an error that names the key."""

    where: str
    values: Mapping[str, Any]

    def _as(self, key: str, default: Any, fits: Callable[[Any], bool], wanted: str) -> Any:
        value = self.values.get(key, default)
        if key in self.values and not fits(value):
            raise UserError(f"is not {wanted}", where=f"{self.where}.{key}", remedy=_KEYS.get(key))
        return value

    def text(self, key: str, default: str) -> str:
        return str(self._as(key, default, lambda v: isinstance(v, str) and bool(v), "a text"))

    def flag(self, key: str, default: bool) -> bool:
        return bool(self._as(key, default, lambda v: isinstance(v, bool), "true or false"))

    def number(self, key: str, default: float | None, *, zero: bool = False) -> float | None:
        value = self._as(key, default, lambda v: _is_number(v) and (v > 0 or (zero and v == 0)), "a positive number")
        return None if value is None else float(value)

    def whole(self, key: str, default: int | None, *, least: int = 1) -> int | None:
        value = self._as(key, default, lambda v: type(v) is int and v >= least, f"a whole number from {least} on")
        return None if value is None else int(value)

    def choice(self, key: str, default: Any, allowed: tuple[str, ...]) -> Any:
        value = self.values.get(key, default)
        if value not in allowed:
            raise UserError(
                f"is {value!r}, not one of {', '.join(allowed)}",
                where=f"{self.where}.{key}",
                remedy=_nearest(str(value), allowed) or _KEYS[key],
            )
        return value

    def table(self, key: str, default: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(self._as(key, default, lambda v: isinstance(v, dict), "a table"))

    def below(self, key: str, allowed: Iterable[str]) -> _Table:
        """A table in this one, all of whose keys are allowed."""
        inner = _Table(f"{self.where}.{key}", self.table(key, {}))
        for name in inner.values:
            if name not in allowed:
                raise UserError(
                    f"is not a key of {key}",
                    where=f"{inner.where}.{name}",
                    remedy=_nearest(name, allowed) or _KEYS[key],
                )
        return inner

    def variable(self, key: str, default: str | None) -> str | None:
        """The name of an environment variable. What is no such name may be a key, and is not shown."""
        value = self.values.get(key, default)
        if value is not None and not (isinstance(value, str) and _VARIABLE.fullmatch(value)):
            raise UserError(
                "is not the name of an environment variable",
                where=f"{self.where}.{key}",
                remedy="keep the key in a variable and write the variable's name here; take the key out of this file",
            )
        return value

    def prices(self, default: Prices | None) -> Prices | None:
        if "prices" not in self.values:
            return default
        inner = self.below("prices", ("input", "output", "cached"))
        for needed in ("input", "output"):
            if needed not in inner.values:
                raise UserError("is missing", where=f"{inner.where}.{needed}", remedy=_KEYS["prices"])
        given = {key: inner.number(key, None, zero=True) for key in inner.values}
        return Prices(**{key: value for key, value in given.items() if value is not None})

    def limits(self, default: Limits) -> Limits:
        inner = self.below("limits", ("concurrency", "requests_per_minute", "tokens_per_minute"))
        return replace(
            default,
            concurrency=inner.whole("concurrency", default.concurrency) or default.concurrency,
            seconds_a_try=self.number("timeout", default.seconds_a_try),
            requests_per_minute=inner.number("requests_per_minute", default.requests_per_minute),
            tokens_per_minute=inner.number("tokens_per_minute", default.tokens_per_minute),
        )

    def abilities(self) -> dict[str, bool]:
        elsewhere = {
            "prefill": "prefill",
            "scoring": "scoring",
            "context": "context",
            "chat": "format",
            "text": "format",
        }
        for name in self.table("abilities", {}):
            if name in elsewhere:
                raise UserError(
                    f"follows from the key {elsewhere[name]}",
                    where=f"{self.where}.abilities.{name}",
                    remedy=f"{elsewhere[name]}: {_KEYS[elsewhere[name]]}",
                )
        inner = self.below("abilities", ABILITIES)
        return {name: inner.flag(name, False) for name in inner.values}

    def headers(self, default: Mapping[str, str]) -> Mapping[str, str]:
        given = self.table("headers", default)
        for name, value in given.items():
            place = f"{self.where}.headers.{name}"
            if _SECRET_HEADERS.search(name):
                raise UserError("looks like a secret", where=place, remedy="name the key's variable with: key = …")
            if not isinstance(value, str) or not value.isprintable():
                raise UserError("is not a text of one line", where=place)
        return given


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {found[0]}?" if found else None


def _without_login(address: str) -> str:
    """An address for messages, without what stands before an @ in its host."""
    return re.sub(r"//[^/@]*@", "//", address)
