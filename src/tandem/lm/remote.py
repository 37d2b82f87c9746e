"""A remote model: prompts go out over `tandem.http` in the wire format of its endpoint, completions come back.

The name is MODEL@host; abilities are those its endpoint declares, and what goes beyond them raises before anything is
sent. Several samples are one call where the server takes `n`; where fewer come back than were asked for, the rest is
asked for again and every answer says so. What this does not do: store, count money, apply policies, retry (`http`
does), or tokenise: lengths are estimates.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from tandem.errors import CallFailed, Unsupported, UserError
from tandem.http import Caller, Reply
from tandem.http.events import Streamed
from tandem.lm.endpoints import Endpoint, Format
from tandem.lm.growing import STREAM, WATCH, sure
from tandem.lm.wire import anthropic_messages, openai_chat, openai_completions
from tandem.lm.wire.answers import Asked, estimated
from tandem.lm.wire.reply import Part
from tandem.lm.wire.streams import Tell
from tandem.types import Chat, Completion, Count, Prompt, Sampling, Score, Text

Result = TypeVar("Result")

SEEDS_APART = 1 << 16
"""Sample i of seed s is drawn from s · 65,536 + i: no two of them share a seed, however calls divide the samples."""
TURN_TOKENS = 4
"""Tokens that a chat template adds to a turn, about."""


class Wire(Protocol):
    """A wire format, as a module of pure functions."""

    PATH: str
    STREAMING: dict[str, Any]

    def streamed(self, tell: Tell, where: str) -> Streamed:
        """What puts together an answer that comes piece by piece."""
        ...

    def body(self, endpoint: Endpoint, prompt: Prompt, asked: Asked) -> dict[str, Any]:
        """A request."""
        ...

    def answers(self, endpoint: Endpoint, reply: Part, asked: Asked) -> tuple[Completion, ...]:
        """What its reply holds."""
        ...

    def scoring_body(self, endpoint: Endpoint, context: Prompt, continuation: str) -> dict[str, Any]:
        """A request for a score."""
        ...

    def scored(self, endpoint: Endpoint, reply: Part, context: Prompt, continuation: str) -> Score:
        """What its reply holds."""
        ...


WIRES: Mapping[Format, Wire] = {
    "chat": openai_chat,
    "completions": openai_completions,
    "anthropic": anthropic_messages,
}


class Remote:
    """A back end over http or https. Reads its key from `environment` at once; only the caller's headers hold it.

    Raises `UserError` when the key's variable is not set.
    """

    def __init__(self, endpoint: Endpoint, *, environment: Mapping[str, str] = os.environ) -> None:
        self.endpoint = endpoint
        self.name = endpoint.name
        self.abilities = endpoint.abilities
        self.caller = Caller(
            endpoint.address,
            endpoint.headers_with_key(environment),
            model=endpoint.model,
            limits=endpoint.limits,
        )
        self._wire = WIRES[endpoint.format]

    def __repr__(self) -> str:
        return f"Remote({self.name!r})"

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        """One completion per sample index. Raises `Unsupported` before sending, and `CallFailed` when nothing came.

        Where calls failed after others had come, the samples up to the first gap are returned: fewer than asked for.
        """
        self._refuse(prompt, sampling)
        if not samples:
            return ()
        size = len(samples) if self.abilities.many else 1
        return await self._drawn(prompt, sampling, samples, size)

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        """Log-probability of each continuation, one call each.

        With `cut_left`, a plain text that is too long by the estimate loses its beginning. The server has the last
        word on lengths.
        """
        if not self.abilities.scoring:
            raise Unsupported(
                "does not return log-probabilities of given texts",
                where=self.name,
                remedy='declare scoring = "echo" or "prompt-logprobs" in models.toml, if the server can do it',
            )
        if not all(continuations):
            raise UserError("a continuation is empty", where=self.name, remedy="give at least one character")
        ended = await _all([self._scored(context, text, cut_left) for text in continuations])
        for one in ended:
            if isinstance(one, CallFailed):
                raise one
        return tuple(one for one in ended if isinstance(one, Score))

    def count(self, prompt: Prompt) -> Count:
        """About how many tokens a prompt has."""
        if isinstance(prompt, Text):
            return Count(estimated(prompt.text), exact=False)
        turns = [message.content for message in prompt.messages]
        return Count(sum(estimated(turn) + TURN_TOKENS for turn in (*turns, prompt.prefill)), exact=False)

    async def close(self) -> None:
        """Close the connections."""
        await self.caller.close()

    async def _drawn(self, prompt: Prompt, sampling: Sampling, samples: range, size: int) -> tuple[Completion, ...]:
        """Samples in calls of `size`, all under way at once; what a call did not bring is drawn in smaller calls."""
        if len(samples) <= size:  # one call: a task for each of several costs more than all else here
            came = await self._called(prompt, sampling, samples)
            if len(came) == len(samples):
                return came
            return (*came, *await self._rest(prompt, sampling, samples[len(came) :], came))
        parts = [samples[i : i + size] for i in range(0, len(samples), size)]
        ended = await _all([self._called(prompt, sampling, part) for part in parts])
        results: list[Completion] = []
        wanted = 0
        for part, got in zip(parts, ended, strict=True):
            wanted += len(part)
            if isinstance(got, CallFailed):
                if not results:
                    raise got
                break
            results += [*got, *await self._rest(prompt, sampling, part[len(got) :], got)]
            if len(results) < wanted:
                break  # what came after a gap would be taken for the sample in the gap
        return tuple(results)

    async def _rest(
        self, prompt: Prompt, sampling: Sampling, missing: range, got: Sequence[Completion]
    ) -> list[Completion]:
        """The samples that a call did not bring; nothing when they cannot be had."""
        if not missing:
            return []
        try:
            more = await self._drawn(prompt, sampling, missing, len(got))
        except CallFailed:
            return []
        ignored = [note for note in got[0].notes if note == "server-ignored-n"]
        return [replace(one, notes=tuple(dict.fromkeys([*ignored, *one.notes]))) for one in more]

    async def _called(self, prompt: Prompt, sampling: Sampling, samples: range) -> tuple[Completion, ...]:
        """What one call brings: at least one completion, at most as many as asked for."""
        asked = Asked(
            sampling,
            samples=len(samples),
            prefill=prompt.prefill if isinstance(prompt, Chat) else "",
            estimate=lambda: self.count(prompt).tokens,
            stops_sent=self._stops(sampling),
            seed=(sampling.seed * SEEDS_APART + samples.start) % (1 << 31),
        )
        body = self._wire.body(self.endpoint, prompt, asked)
        tokens = 0
        if self.caller.counts_tokens:
            tokens = asked.estimate() + sampling.max_tokens * len(samples)
        watch = WATCH.get() if STREAM.get() and len(samples) == 1 else None
        if watch is None:
            reply = await self.caller.post(self._wire.PATH, body, tokens=tokens)
        else:
            reply = await self._watched(body, tokens, asked, watch)
        answers = self._wire.answers(self.endpoint, Part(reply.json, self.name), asked)
        if tokens:
            used = sum(one.usage.prompt_tokens + one.usage.completion_tokens for one in answers)
            self.caller.pace.settle(tokens, used)
        return answers

    async def _watched(self, body: dict[str, Any], tokens: int, asked: Asked, watch: Callable[[str], None]) -> Reply:
        """An answer that is seen growing where the server sends it piece by piece; from others it comes whole."""

        def made() -> Streamed:
            return self._wire.streamed(lambda text: watch(sure(text, asked.sampling.stop)), self.name)

        try:
            fields = {**self._wire.STREAMING, **body}  # an endpoint's own `body` has the last word
            return await self.caller.post(self._wire.PATH, fields, tokens=tokens, streamed=made)
        except CallFailed as e:
            if e.kind != "refused" or "stream" not in e.problem:
                raise
        return await self.caller.post(self._wire.PATH, body, tokens=tokens)

    async def _scored(self, context: Prompt, continuation: str, cut_left: bool) -> Score:
        if cut_left and isinstance(context, Text):
            context = self._cut(context, continuation)
        body = self._wire.scoring_body(self.endpoint, context, continuation)
        tokens = self.count(context).tokens + estimated(continuation) + 1
        reply = await self.caller.post(self._wire.PATH, body, tokens=tokens)
        return self._wire.scored(self.endpoint, Part(reply.json, self.name), context, continuation)

    def _cut(self, context: Text, continuation: str) -> Text:
        """The end of a context that leaves room for the continuation and one token more."""
        room = self.abilities.context - estimated(continuation) - 1
        text = context.text
        while text and (tokens := estimated(text)) > room:
            # In characters, so that no character is torn; the share that is too much, and at least one.
            text = text[max(1, len(text) * (tokens - max(room, 0)) // tokens) :]
        return Text(text)

    def _stops(self, sampling: Sampling) -> tuple[str, ...]:
        """The stop texts that can be sent; the answer is cut here at the others."""
        stops = [stop for stop in sampling.stop if stop]
        if self.endpoint.format == "anthropic":
            stops = [stop for stop in stops if anthropic_messages.sendable(stop)]
        return tuple(stops[: self.endpoint.max_stops])

    def _refuse(self, prompt: Prompt, sampling: Sampling) -> None:
        """Raise `Unsupported` for what the endpoint does not declare."""
        able = self.abilities
        for lacks, what in (
            (isinstance(prompt, Chat) and bool(prompt.prefill) and not able.prefill, "continue a begun answer"),
            (sampling.temperature is not None and not able.temperature, "obey a temperature"),
            (sampling.top_p < 1 and not able.temperature, "obey top_p"),
            (sampling.logprobs and not able.logprobs, "return log-probabilities"),
            (sampling.alternatives > able.alternatives, f"list {sampling.alternatives} tokens for each place"),
            (bool(sampling.stop) and not able.stop, "end at given texts"),
            (sampling.presence_penalty != 0 and not able.presence_penalty, "obey a presence penalty"),
            (sampling.ignore_end and not able.ignore_end, "write past its own end"),
        ):
            if lacks:
                raise Unsupported(
                    f"does not {what}",
                    where=self.name,
                    remedy="ask without it, name a policy that does, or declare the ability in models.toml",
                )


async def _all(work: Sequence[Coroutine[Any, Any, Result]]) -> list[Result | CallFailed]:
    """Results in order, once all have ended: a call that failed must not lose the others, which are paid."""
    ended = await asyncio.gather(*work, return_exceptions=True)
    for one in ended:
        if isinstance(one, BaseException) and not isinstance(one, CallFailed):
            raise one
    return [one for one in ended if not isinstance(one, BaseException) or isinstance(one, CallFailed)]
