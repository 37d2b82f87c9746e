"""The canonical request: what an answer depends on, in one form, so that equal questions are recognised.

Keyed are the prompt, the sampling without its defaults, and the policies that were applied. At temperature 0 the seed,
the nucleus and the sample's index change nothing, and drop out. `max_tokens` and `logprobs` are not keyed: the store
checks them on reading. The order and repetition of stop texts change nothing either.

What this does not do: normalise text. Rejected: the defaults of `Sampling` as defaults here; a later change there would
silently give recorded answers to other questions.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, get_args

from tandem.store import Request, normalised
from tandem.types import Chat, Message, Prompt, Role, Sampling, Text

DEFAULTS: Mapping[str, Any] = {
    "temperature": 0,
    "top_p": 1,
    "stop": (),
    "seed": 0,
    "presence_penalty": 0,
    "ignore_end": False,
    "alternatives": 0,
}
"""What is keyed of the sampling, and the values left out of it. Part of the file format: never to be changed."""
UNKEYED = ("max_tokens", "logprobs")
"""What is only checked on reading."""
IGNORED_WHEN_GREEDY = ("seed", "top_p")
"""What changes nothing at temperature 0."""
_JSON = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def request(name: str, prompt: Prompt, sampling: Sampling, policies: Collection[str] = ()) -> Request:
    """The canonical request of a question to a model."""
    try:
        about = _written_sampling(sampling)
    except TypeError:  # stop texts in a list
        about = _written_sampling.__wrapped__(sampling)
    # The JSON of `_body`, put together of parts of which all but the prompt seldom change.
    before = f'"policies":{_JSON.encode(sorted(set(policies)))},' if policies else ""
    text = f'{{{before}"prompt":{_JSON.encode(prompt_body(prompt))}{about}}}'
    try:
        return Request(name, text)
    except UnicodeEncodeError:  # half a surrogate pair: all of it is escaped then
        return Request.of(name, _body(prompt, sampling, policies))


def _body(prompt: Prompt, sampling: Sampling, policies: Collection[str]) -> dict[str, Any]:
    body: dict[str, Any] = {"prompt": prompt_body(prompt)}
    if keyed := _sampling_body(sampling):
        body["sampling"] = keyed
    if policies:
        body["policies"] = sorted(set(policies))
    return body


@lru_cache(maxsize=256)
def _written_sampling(sampling: Sampling) -> str:
    """The end of a request's JSON behind its prompt."""
    keyed = _sampling_body(sampling)
    return f',"sampling":{_JSON.encode(normalised(keyed))}' if keyed else ""


def score_request(name: str, context: Prompt, *, cut_left: bool = False) -> Request:
    """The canonical request of scoring continuations of a context; each continuation is keyed beside it."""
    body: dict[str, Any] = {"context": prompt_body(context)}
    return Request.of(name, body | {"cut_left": True} if cut_left else body)


def index(sampling: Sampling, sample: int) -> int:
    """The sample index an answer is recorded under: at temperature 0 one answer serves all."""
    return 0 if sampling.temperature == 0 else sample


def prompt_body(prompt: Prompt) -> dict[str, Any]:
    """A prompt as JSON."""
    if isinstance(prompt, Text):
        return {"text": prompt.text}
    body: dict[str, Any] = {"chat": [[message.role, message.content] for message in prompt.messages]}
    return body | {"prefill": prompt.prefill} if prompt.prefill else body


def _sampling_body(sampling: Sampling) -> dict[str, Any]:
    values = {
        "temperature": None if sampling.temperature is None else float(sampling.temperature),
        "top_p": float(sampling.top_p),
        "stop": tuple(sorted(set(sampling.stop))),
        "seed": int(sampling.seed),
        "presence_penalty": float(sampling.presence_penalty),
        "ignore_end": bool(sampling.ignore_end),
        "alternatives": int(sampling.alternatives),
    }
    left_out = IGNORED_WHEN_GREEDY if sampling.temperature == 0 else ()
    return {name: value for name, value in values.items() if value != DEFAULTS[name] and name not in left_out}


# ── Back from JSON ──────────────────────────────────────────────────────────────────────────────────────────────────


def read_prompt(body: Any) -> Prompt:
    """The prompt of its JSON. Raises ValueError on anything else."""
    if isinstance(body, dict) and set(body) == {"text"} and isinstance(body["text"], str):
        return Text(body["text"])
    if not isinstance(body, dict) or "chat" not in body or not set(body) <= {"chat", "prefill"}:
        raise ValueError('a prompt is {"text": …} or {"chat": [[role, content], …], "prefill": …}')
    turns, prefill = body["chat"], body.get("prefill", "")
    if not isinstance(prefill, str) or not isinstance(turns, list) or not all(map(_is_turn, turns)):
        raise ValueError(f"a turn of a chat is [role, content] with a role of {', '.join(get_args(Role))}")
    return Chat(tuple(Message(role, content) for role, content in turns), prefill)


def checked(name: str, body: Any) -> Request:
    """The canonical request of JSON that somebody else wrote. Raises ValueError, saying what is wrong, on any other."""
    if not isinstance(body, dict):
        raise ValueError("a request is a JSON object")
    if "context" in body:
        _only(body, ("context", "cut_left"), "a request to score")
        if not isinstance(body.get("cut_left", False), bool):
            raise ValueError("cut_left is true or false")
        return score_request(name, read_prompt(body["context"]), cut_left=body.get("cut_left", False))
    _only(body, ("prompt", "sampling", "policies"), "a request")
    if "prompt" not in body:
        raise ValueError("the request has no prompt")
    sampling, policies = body.get("sampling", {}), body.get("policies", [])
    if not isinstance(policies, list) or not all(isinstance(p, str) for p in policies):
        raise ValueError("policies are a list of names")
    return request(name, read_prompt(body["prompt"]), _read_sampling(sampling), policies)


def _read_sampling(body: Any) -> Sampling:
    if not isinstance(body, dict):
        raise ValueError("sampling is a JSON object")
    _only(body, tuple(DEFAULTS), "sampling")
    for name, value in body.items():
        right: bool
        if name == "stop":
            right = isinstance(value, list) and all(isinstance(text, str) for text in value)
        elif name == "ignore_end":
            right = isinstance(value, bool)
        elif name in ("seed", "alternatives"):
            right = isinstance(value, int) and not isinstance(value, bool)
        else:
            right = (isinstance(value, int | float) and not isinstance(value, bool)) or (
                name == "temperature" and value is None
            )
        if not right:
            raise ValueError(f"sampling.{name} cannot be {value!r}")
    values: dict[str, Any] = {name: tuple(value) if name == "stop" else value for name, value in body.items()}
    return Sampling(**values)


def _is_turn(turn: Any) -> bool:
    return (
        isinstance(turn, list)
        and len(turn) == 2
        and all(isinstance(part, str) for part in turn)
        and turn[0] in get_args(Role)
    )


def _only(body: Mapping[str, Any], known: Collection[str], what: str) -> None:
    if strange := sorted(set(body) - set(known)):
        raise ValueError(f"{what} has no field {strange[0]!r}")
