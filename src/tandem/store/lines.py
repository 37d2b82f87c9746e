"""Records as JSON lines, for other programs and other machines: one self-contained object a line.

    {"kind": "stop", "model": …, "request": {…}, "sample": 0, "max_tokens": 256, "logprobs": false, "text": …, "usage":
     {…}, "served_model": …, "notes": […], "tokens": [[text, logprob, start, end], …] | null, "at": …}
    {"kind": "failed", …, "error": {"kind": …, "problem": …, "status": …, "where": …, "remedy": …}, "at": …}
    {"kind": "score", "model": …, "request": {…}, "continuation": …, "logprob": …, "tokens": …, "greedy": …, "at": …}
    {"kind": "look-up", "source": …, "request": {…}, "result": {…}, "at": …}
    {"kind": "look-up failed", "source": …, "request": {…}, "error": {…}, "at": …}

Reading is strict: a field that is missing, unknown or of another type spoils its line, which is reported by file and
line; the others are read. Nothing is lost on the way out and in again. What this does not do: know what a request may
hold; a function given by the caller checks that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, get_args

from tandem.errors import CallFailed
from tandem.store.lookups import Lookup
from tandem.store.records import Record, Request, Sample, Scored, number, token_list, tokens_of
from tandem.text import canonical
from tandem.types import Completion, Finish, Score, Usage

Check: TypeAlias = Callable[[str, Any], Request]
"""Makes the request of a model's name and JSON; raises ValueError."""
Bad: TypeAlias = Callable[[str, str], None]
"""Hears of a line that cannot be read: its place (file:line) and why."""

LOOKUP, FAILED_LOOKUP = "look-up", "look-up failed"
LONGEST = 256 << 20
"""Bytes; a longer line is not read."""
LATEST = 253_402_300_800
"""Seconds since 1970 of the year 10000: later times cannot be written as dates."""
_USAGE = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")


def to_line(record: Record | Lookup) -> bytes:
    """A record as one line, its end included."""
    if isinstance(record, Lookup):
        part = {"result": record.result} if record.answered else {"error": record.error}
        asked = {"source": record.request.name, "request": json.loads(record.request.body), "at": record.at}
        return canonical(asked | part | {"kind": LOOKUP if record.answered else FAILED_LOOKUP}) + b"\n"
    common = {"model": record.request.name, "request": json.loads(record.request.body), "at": record.at}
    if isinstance(record, Scored):
        score = record.score
        told: dict[str, Any] = {
            "kind": "score",
            "continuation": record.continuation,
            "logprob": number(score.logprob),
            "tokens": score.tokens,
            "greedy": score.greedy,
        }
        return canonical(common | told) + b"\n"
    common |= {"sample": record.index, "max_tokens": record.max_tokens, "logprobs": record.logprobs}
    outcome = record.outcome
    if isinstance(outcome, CallFailed):
        error = {"problem": outcome.problem, "kind": outcome.kind, "status": outcome.status}
        return (
            canonical(common | {"kind": "failed", "error": error | {"where": outcome.where, "remedy": outcome.remedy}})
            + b"\n"
        )
    told = {
        "kind": outcome.finish,
        "text": outcome.text,
        "usage": {name: getattr(outcome.usage, name) for name in _USAGE},
        "served_model": outcome.served_model,
        "notes": list(outcome.notes),
        "tokens": None if outcome.tokens is None else token_list(outcome.tokens),
    }
    return canonical(common | told) + b"\n"


def from_lines(lines: Iterable[bytes], source: str, check: Check, bad: Bad) -> Iterator[Record | Lookup]:
    """The records of a file's lines, one at a time; lines that cannot be read go to `bad`, empty ones nowhere."""
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield from_line(line, check)
        except ValueError as e:
            bad(f"{source}:{at}", str(e))


def from_line(line: bytes, check: Check) -> Record | Lookup:
    """The record of one line. Raises ValueError, saying what is wrong, when it holds none."""
    if len(line) > LONGEST:
        raise ValueError("the line is too long")
    try:
        told = json.loads(line.removeprefix(b"\xef\xbb\xbf").decode())
    except UnicodeDecodeError as e:
        raise ValueError(f"not UTF-8 ({e.reason} at byte {e.start})") from e
    except (json.JSONDecodeError, RecursionError) as e:
        raise ValueError(f"not JSON ({e})") from e
    if not isinstance(told, dict):
        raise ValueError("not a JSON object")
    fields = _Fields(told)
    kind = fields.take("kind", str)
    if kind in (LOOKUP, FAILED_LOOKUP):
        return _lookup(kind, fields)
    request = check(fields.take("model", str), fields.take("request", dict))
    at = float(fields.take("at", int, float))
    if not 0 <= at < LATEST:
        raise ValueError(f"at is no time: {at:g}")
    record: Record
    if kind == "score":
        logprob = _float(fields.take("logprob", int, float, str))
        score = Score(logprob, fields.take("tokens", int), fields.take("greedy", bool))
        record = Scored(request, fields.take("continuation", str), score, at)
    elif kind in get_args(Finish):
        about = (fields.take("sample", int), fields.take("max_tokens", int), fields.take("logprobs", bool))
        if about[0] < 0 or about[1] < 1:
            raise ValueError("sample begins with 0 and max_tokens with 1")
        outcome = _failure(fields) if "error" in told else _completion(kind, fields)
        record = Sample(request, *about, outcome, at)
        if record.finish != kind:
            raise ValueError(f"an error in a record of kind {kind!r}")
    else:
        raise ValueError(f"unknown kind {kind!r}")
    fields.end()
    return record


def _lookup(kind: str, fields: _Fields) -> Lookup:
    request = Request.of(fields.take("source", str), fields.take("request", dict))
    at = float(fields.take("at", int, float))
    result = fields.take("result", dict) if kind == LOOKUP else None
    error = fields.take("error", dict) if kind == FAILED_LOOKUP else None
    fields.end()
    if not 0 <= at < LATEST:
        raise ValueError(f"at is no time: {at:g}")
    return Lookup(request, result, error, at)


class _Fields:
    """The fields of an object, each taken once."""

    def __init__(self, told: Mapping[str, Any], place: str = "") -> None:
        self._rest = dict(told)
        self._place = place

    def take(self, name: str, *types: type | None) -> Any:
        """The value of a field that has to be there and of one of these types; None among them allows null."""
        if name not in self._rest:
            raise ValueError(f"{self._place}{name} is missing")
        value = self._rest.pop(name)
        right = (value is None and None in types) or (
            isinstance(value, tuple(t for t in types if t)) and (not isinstance(value, bool) or bool in types)
        )
        if not right or (isinstance(value, int) and abs(value) >= 2**63):
            raise ValueError(f"{self._place}{name} cannot be {str(value)[:60]!r}")
        return value

    def end(self) -> None:
        """Nothing may be left."""
        if self._rest:
            raise ValueError(f"unknown field {self._place}{min(self._rest)}")


def _completion(kind: Finish, fields: _Fields) -> Completion:
    usage = _Fields(fields.take("usage", dict), "usage.")
    counts = [usage.take(name, int) for name in _USAGE]
    usage.end()
    notes = fields.take("notes", list)
    if not all(isinstance(note, str) for note in notes):
        raise ValueError("notes are a list of texts")
    listed = fields.take("tokens", list, None)
    if listed is not None and not all(map(_is_token, listed)):
        raise ValueError("a token is [text, log-probability, start, end], [[text, log-probability], …] behind at most")
    text, served = fields.take("text", str), fields.take("served_model", str)
    return Completion(text, kind, None if listed is None else tokens_of(listed), Usage(*counts), served, tuple(notes))


def _failure(fields: _Fields) -> CallFailed:
    error = _Fields(fields.take("error", dict), "error.")
    problem, kind = error.take("problem", str), error.take("kind", str)
    where, remedy, status = (
        error.take("where", str, None),
        error.take("remedy", str, None),
        error.take("status", int, None),
    )
    error.end()
    return CallFailed(problem, kind=kind, where=where, remedy=remedy, status=status)


def _is_token(listed: Any) -> bool:
    if not isinstance(listed, list) or len(listed) not in (4, 5) or any(isinstance(part, bool) for part in listed):
        return False
    own, (start, end), others = listed[:2], listed[2:4], listed[4] if len(listed) == 5 else []
    return (
        isinstance(others, list)
        and all(map(_is_likelihood, [own, *others]))
        and all(isinstance(n, int) for n in (start, end))
    )


def _is_likelihood(pair: Any) -> bool:
    if not isinstance(pair, list) or len(pair) != 2:
        return False
    text, logprob = pair
    if isinstance(logprob, str):
        _float(logprob)
    return isinstance(text, str) and isinstance(logprob, int | float | str) and not isinstance(logprob, bool)


def _float(value: float | str) -> float:
    """A number, or the name of one that is not finite."""
    if isinstance(value, str) and value not in ("inf", "-inf", "nan"):
        raise ValueError(f"not a number: {value[:60]!r}")
    return float(value)
