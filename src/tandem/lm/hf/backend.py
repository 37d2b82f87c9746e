"""`hf:DIR`: any causal language model that `transformers` can load, from a folder on this machine.

For what our own decoder does not read (BLOOM, CodeGen, GPT-2 …). Safetensors only, no code from the folder, no network.
Samples are drawn by the same rule and noise as the engine's. What this does not do: serve many callers as fast as our
decoder (`local:DIR`) serves the families it knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tandem.decoder.sampling import Rule, stream_of
from tandem.decoder.threads import apart
from tandem.lm.growing import WATCH, Growing, speller
from tandem.lm.hf import loading
from tandem.lm.hf.jobs import Generation, Row, Scoring
from tandem.lm.hf.padded import Padded
from tandem.lm.wording import Wording
from tandem.types import Completion, Count, Prompt, Sampling, Score, Usage


class HuggingFace:
    """A back end over a `transformers` model: its tokenizer, its template, and one thread of padded batches."""

    def __init__(self, model: Any, wording: Wording, *, name: str, ends: frozenset[int], batch_tokens: int) -> None:
        """Use `HuggingFace.load`."""
        self.name = name
        self.wording = wording
        self.abilities = wording.abilities
        self._ends = ends
        self._padded = Padded(model, batch_tokens=batch_tokens)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        adapter: str | Path | None = None,
        precision: str = "auto",
        device: str | None = None,
    ) -> HuggingFace:
        """The model of a folder; `precision` is fp32, bf16 or auto (bf16 on a card that has it).

        Raises UserError: `transformers` is missing, pickled weights only, code of its own, tensors that are missing.
        """

        def loaded() -> HuggingFace:
            parts = loading.load(Path(folder), None if adapter is None else Path(adapter), precision, device)
            return cls(parts.model, parts.wording, name=parts.name, ends=parts.ends, batch_tokens=parts.batch_tokens)

        return apart(loaded)

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        """One completion per sample index; those of all waiting callers share batches.

        Raises UserError when the prompt leaves no room in the context (both lengths are told).
        """
        ids = self.wording.fitting(prompt)
        limit = min(sampling.max_tokens, self.wording.context - len(ids))
        rule = Rule(
            1.0 if sampling.temperature is None else sampling.temperature, sampling.top_p, sampling.presence_penalty
        )
        seed = stream_of(sampling.seed, ids)
        start = self._starter(ids, sampling)
        ends = frozenset[int]() if sampling.ignore_end else self._ends
        rows = [Row(index, rule, seed, start, sampling.logprobs) for index in samples]
        size = max(1, self._padded.batch_tokens // (len(ids) + limit))
        jobs = [Generation(ids, rows[at : at + size], limit, ends) for at in range(0, len(rows), size)]
        await self._all(jobs)
        notes = self.wording.notes(prompt)
        short = limit < sampling.max_tokens
        completions = []
        for n, row in enumerate(rows):
            assert row.finish is not None
            usage = Usage(len(ids), len(row.tokens), cached_tokens=len(ids) if n else 0)
            cut = ("context-full",) if short and row.finish == "length" else ()
            completions.append(
                row.answer.completion(row.finish, usage=usage, served_model=self.name, notes=(*notes, *cut))
            )
        return tuple(completions)

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        """Log-probability of each continuation; what shares its context's ids reads them once.

        Raises UserError when a pair does not fit into the context, or a continuation is empty.
        """
        pairs = [self.wording.pair(context, one, cut_left=cut_left) for one in continuations]
        groups: dict[tuple[int, ...], list[int]] = {}
        for number, (before, _) in enumerate(pairs):
            groups.setdefault(tuple(before), []).append(number)
        jobs: list[Scoring] = []
        members: list[list[int]] = []
        for first, numbers in groups.items():
            longest = max(len(pairs[number][1]) for number in numbers)
            by_cache = self._padded.batch_tokens // (len(first) + longest)
            size = max(1, min(by_cache, self._padded.most_logits // longest))
            for at in range(0, len(numbers), size):
                members.append(numbers[at : at + size])
                jobs.append(Scoring(list(first), [pairs[number][1] for number in members[-1]]))
        results = await self._all(jobs)
        scores: dict[int, Score] = {}
        for numbers, scored in zip(members, results, strict=True):
            for number, one in zip(numbers, scored, strict=True):
                scores[number] = Score(one.logprob, len(pairs[number][1]), one.greedy)
        return tuple(scores[number] for number in range(len(pairs)))

    def count(self, prompt: Prompt) -> Count:
        """Tokens of a prompt, by the model's own tokenizer."""
        return Count(len(self.wording.ids(prompt)), exact=True)

    async def close(self) -> None:
        """End the thread; the weights go when nothing holds them."""
        await asyncio.to_thread(self._padded.close)

    async def _all(self, jobs: Sequence[Generation] | Sequence[Scoring]) -> list[Any]:
        """Submit, wait for all; a caller that is cancelled takes its rows out of the batch."""
        for job in jobs:
            self._padded.submit(job)
        return await asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs))

    def _starter(self, ids: Sequence[int], sampling: Sampling) -> Callable[[], Growing]:
        made, watch = self.wording.tokenizer, WATCH.get()  # answers are begun on the thread, which has its own context
        return lambda: Growing(speller(made, ids), stop=sampling.stop, logprobs=sampling.logprobs, watch=watch)
