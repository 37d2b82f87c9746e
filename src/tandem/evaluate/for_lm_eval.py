"""Any of our models under lm-evaluation-harness: its tasks, our engine. Needs the package `lm_eval` (seen with 0.4.13).

    import lm_eval
    from tandem.evaluate.for_lm_eval import TandemLM
    lm_eval.simple_evaluate(model=TandemLM("embedded"), tasks=["arc_easy"])

All requests of a call are handed in at once, continuations of one context in one piece, so the engine shares what they
have in common. A text longer than the model's context is scored in windows that do not overlap, as the harness does,
each after the last word of the one before; the harness's own back end cuts between tokens, this one between words.

What this does not do: chat templates (the harness's own formatting needs a tokenizer; ask for plain prompts), or
sampling settings that our models do not have, which are errors.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from lm_eval.api.model import LM as HarnessLM  # noqa: N811

from tandem.errors import UserError
from tandem.lm import connect
from tandem.together import together
from tandem.types import LM, Sampling, Score, Text

R = TypeVar("R")

LONGEST = 256
"""Tokens of an answer, where a task does not say; the harness's own default."""
_WORD = re.compile(r"\s*\S+\s*\Z|\s*\S+|\s+\Z")


class TandemLM(HarnessLM):  # type: ignore[misc,unused-ignore]
    """A model for lm-evaluation-harness."""

    def __init__(self, model: LM | str, **settings: Any) -> None:
        """Take a model, or an address; `settings` are those of `connect` (precision, device, store …)."""
        super().__init__()
        settings = {name: value for name, value in settings.items() if name not in _PASSED and value is not None}
        if not isinstance(model, str) and settings:
            raise UserError(f"{', '.join(settings)} cannot be set on a model", remedy="give them to connect")
        self.model: LM = connect(model, **settings) if isinstance(model, str) else model

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Log-probability of each continuation after its context, and whether it is the greedy one."""
        behind: dict[str, list[str]] = defaultdict(list)
        for context, continuation in (request.args for request in requests):
            behind[context].append(continuation)

        async def ask() -> list[tuple[Score, ...]]:
            calls = (self.model.score(Text(context), some, cut_left=True) for context, some in behind.items())
            return await together(calls)

        rest = {context: iter(each) for context, each in zip(behind, _run(ask()), strict=True)}
        scores = [next(rest[request.args[0]]) for request in requests]
        return self._kept("loglikelihood", requests, [(score.logprob, score.greedy) for score in scores])

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of each whole text."""
        texts = [request.args[0] for request in requests]
        windows = [self._windows(text) if text else [] for text in texts]

        async def ask() -> list[list[tuple[Score, ...]]]:
            async def one(pairs: list[tuple[str, str]]) -> list[tuple[Score, ...]]:
                return await together(self.model.score(Text(a), [b], cut_left=True) for a, b in pairs)

            return await together(map(one, windows))

        sums = [sum(score.logprob for (score,) in each) for each in _run(ask())]
        return self._kept("loglikelihood_rolling", requests, sums)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """What follows each context, up to a stop text. Raises UserError on a setting our models do not have."""
        asked = [(Text(request.args[0]), _sampling(request.args[1])) for request in requests]

        async def ask() -> list[str]:
            answers = await together(self.model.generate(prompt, sampling) for prompt, sampling in asked)
            return [completions[0].text for completions in answers]

        return self._kept("generate_until", requests, _run(ask()))

    @property
    def tokenizer_name(self) -> str:
        """The model's name, which depends on its tokenizer."""
        return self.model.name

    def _kept(self, kind: str, requests: Sequence[Any], results: list[R]) -> list[R]:
        """Results, told to the harness's cache."""
        for request, result in zip(requests, results, strict=True):
            self.cache_hook.add_partial(kind, request.args, result)
        return results

    def _windows(self, text: str) -> list[tuple[str, str]]:
        """The text in pieces that fit, each with what it is scored after."""
        room = self.model.abilities.context - 1
        if self._length(text) <= room:
            return [("", text)]
        words = _WORD.findall(text)
        pairs, at, before = [], 0, ""
        while at < len(words):
            low, high = at + 1, len(words)
            while low < high:  # as many words as fit
                middle = (low + high + 1) // 2
                low, high = (
                    (middle, high) if self._length(before + "".join(words[at:middle])) <= room else (low, middle - 1)
                )
            pairs.append((before, "".join(words[at:low])))
            at, before = low, words[low - 1]
        return pairs

    def _length(self, text: str) -> int:
        return self.model.count(Text(text)).tokens


_PASSED = ("batch_size", "max_batch_size")
"""What the harness tells every model; the engine sizes its passes itself."""


def _sampling(given: Mapping[str, Any]) -> Sampling:
    """The harness's settings as ours."""
    known = {"until", "max_gen_toks", "do_sample", "temperature", "top_p"}
    if odd := sorted(set(given) - known):
        raise UserError(f"the task asks for {', '.join(odd)}", where="generation_kwargs", remedy="take it out")
    until = given.get("until") or ()
    stop = (until,) if isinstance(until, str) else tuple(one for one in until if one)
    temperature = float(given.get("temperature", 0) or 0)
    return Sampling(
        temperature=temperature if given.get("do_sample", temperature > 0) else 0.0,
        top_p=float(given.get("top_p", 1.0)),
        max_tokens=int(given.get("max_gen_toks", LONGEST)),
        stop=stop,
    )


def _run(work: Coroutine[Any, Any, R]) -> R:
    """A coroutine's result; the harness knows no event loop."""
    return asyncio.run(work)
