"""A model of this machine, asked in rounds: whoever can ask has asked before anything is computed.

    rounds = Rounds(Local.load(folder, precision="fp32"), store)
    await answer_all(questions, method, rounds, [rounds.beside(source)])

A round begins when nobody goes on without an answer. What it asks is put in a fixed order and cut into chunks of a
fixed size; each chunk is computed by an engine that holds nothing yet, and committed to the store whole. So what is
written depends on the questions alone, not on who came first, nor on where a run was interrupted: with the same CPU,
torch, precision and number of threads the same bytes. What is recorded is not computed again, and takes part in its
round all the same.

What this does not do: score, hold a budget, or wait for others: an event loop on which something else than its callers
and the sources it stands beside goes on (timers, connections) makes other rounds. Rejected: one request after the other
(a tenth of the speed), and answers of a continuous batch, which depend on it in the last digit and, now and then, in
the word.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from tandem.decoder.engine import Engine
from tandem.decoder.jobs import Written
from tandem.errors import CallFailed, Unsupported
from tandem.lm import keys
from tandem.lm.local import Local
from tandem.lm.model import BackEnd
from tandem.store import Request, Sample, Store
from tandem.types import Completion, Count, Prompt, Question, Result, Sampling, Schema, Score, Source

CHUNK = 32
"""Requests computed and committed together."""
QUIET = 64
"""Turns of the event loop in which nobody asks, after which all are taken to wait."""

_Key: TypeAlias = tuple[str, range, int, bool]
"""What tells requests apart: the key, the samples, the most tokens, whether log-probabilities are wanted."""


@dataclass(eq=False)
class _Asked:
    """One request of a round, for all who wait for it."""

    request: Request
    prompt: Prompt
    sampling: Sampling
    samples: range
    came: asyncio.Future[tuple[Completion, ...]] = field(default_factory=lambda: asyncio.Future())

    @property
    def indices(self) -> list[int]:
        """The indices that its samples are recorded under; at temperature 0 one serves all."""
        return sorted({keys.index(self.sampling, sample) for sample in self.samples})


class Rounds:
    """A language model over a back end of this machine; for callers of one event loop, on which it computes."""

    def __init__(
        self, backend: BackEnd, store: Store, *, chunk: int = CHUNK, told: Callable[[int, int, int], None] | None = None
    ) -> None:
        """`told` hears of every chunk: the number of its round, requests of the round answered so far, and in all."""
        self.backend, self._store, self._chunk, self._told = backend, store, chunk, told
        self.name = backend.name
        self.abilities = replace(backend.abilities, scoring=False)
        self.round = 0
        """Rounds so far."""
        self._asked: dict[_Key, _Asked] = {}
        self._away = 0
        self._running: asyncio.Task[None] | None = None
        self._known: dict[_Key, tuple[Completion, ...]] = {}

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        """One completion per sample index, at the end of the round.

        Raises UserError where the prompt leaves no room, CallFailed where the engine refuses it.
        """
        if not samples:
            return ()
        if isinstance(self.backend, Local):
            self.backend.wording.fitting(prompt)  # what cannot be asked is refused now
        request = keys.request(self.name, prompt, sampling)
        key = (request.key, samples, sampling.max_tokens, sampling.logprobs)
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = _Asked(request, prompt, sampling, samples)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
            self._running.add_done_callback(_noticed)
        return await asyncio.shield(asked.came)

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        """Raises Unsupported."""
        raise Unsupported("a model asked in rounds does not score", where=self.name, remedy="ask the model itself")

    def count(self, prompt: Prompt) -> Count:
        """As the model's own."""
        return self.backend.count(prompt)

    def beside(self, source: Source) -> Source:
        """The source with its look-ups waited for: no round begins while one is under way."""
        return _Beside(source, self)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """While this is open no round begins."""
        self._away += 1
        try:
            yield
        finally:
            self._away -= 1

    async def close(self) -> None:
        """Give up what is under way, and close the back end; the store stays open."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
        await self.backend.close()

    # ── A round ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self) -> None:
        try:
            while await self._all_wait():
                here, self._asked = self._asked, {}
                self.round += 1
                try:
                    await self._answer(here)
                except BaseException as e:
                    for asked in here.values():
                        _refuse(asked.came, e)
                    raise
                for key, asked in here.items():
                    if not asked.came.done():
                        asked.came.set_result(self._known[key])
        finally:
            self._running = None  # before anybody else has a turn: who asks next begins anew

    async def _all_wait(self) -> bool:
        """Return when nobody goes on: whether anybody has asked."""
        quiet, before = 0, -1
        while quiet < QUIET:
            await asyncio.sleep(0.0005 if self._away else 0)
            quiet = quiet + 1 if not self._away and len(self._asked) == before else 0
            before = len(self._asked)
        return bool(self._asked)

    async def _answer(self, here: dict[_Key, _Asked]) -> None:
        def place(key: _Key) -> tuple[str, int, int, int, bool]:
            return here[key].request.body, key[1].start, key[1].stop, key[2], key[3]

        new = sorted((key for key in here if key not in self._known), key=place)
        for first in range(0, len(new), self._chunk):
            chunk = [here[key] for key in new[first : first + self._chunk]]
            found = [self._recorded(asked) for asked in chunk]
            if any(each is None for each in found):
                found = await self._commit(chunk, await self._compute(chunk))
            for key, came in zip(new[first:], found):
                assert came is not None, "a chunk is recorded whole"
                self._known[key] = came
            if self._told is not None:
                self._told(self.round, min(first + self._chunk, len(new)), len(new))

    def _recorded(self, asked: _Asked) -> tuple[Completion, ...] | None:
        sampling = asked.sampling
        found = self._store.find(
            asked.request, asked.indices, max_tokens=sampling.max_tokens, logprobs=sampling.logprobs
        )
        came = [found.get(keys.index(sampling, sample)) for sample in asked.samples]
        whole = tuple(one for one in came if isinstance(one, Completion))
        return whole if len(whole) == len(came) else None

    async def _compute(self, chunk: Sequence[_Asked]) -> list[tuple[Completion, ...]]:
        if not isinstance(self.backend, Local):
            return [await self.backend.generate(a.prompt, a.sampling, a.samples) for a in chunk]
        jobs = [self.backend.job(asked.prompt, asked.sampling, _drawn(asked)) for asked in chunk]
        written: list[dict[int, Written]] = [{} for _ in jobs]
        problems: list[Exception] = []
        for (job, _), into in zip(jobs, written, strict=True):
            job.ended = lambda one, into=into: into.__setitem__(one.sample, one)  # type: ignore[misc]
            job.failed = problems.append
        engine = Engine(self.backend.engine.model)
        for job, _ in jobs:
            engine.add(job)
        while engine.step():
            await asyncio.sleep(0)  # nobody else goes on; but an interruption is heard
        if problems:
            raise CallFailed(str(problems[0]), kind="malformed", where=self.name) from problems[0]
        return [
            tuple(read(into[keys.index(asked.sampling, sample)]) for sample in asked.samples)
            for asked, (_, read), into in zip(chunk, jobs, written, strict=True)
        ]

    async def _commit(
        self, chunk: Sequence[_Asked], came: Sequence[tuple[Completion, ...]]
    ) -> list[tuple[Completion, ...] | None]:
        """Record a chunk in one transaction; what stands afterwards, which is what a later run will read."""
        now = time.time()
        samples = {
            (asked.request.key, index): Sample(
                asked.request, index, asked.sampling.max_tokens, asked.sampling.logprobs, one, now
            )
            for asked, completions in zip(chunk, came, strict=True)
            for index, one in zip([keys.index(asked.sampling, s) for s in asked.samples], completions, strict=True)
        }
        await self._store.put(list(samples.values()))
        return [self._recorded(asked) for asked in chunk]


def _refuse(came: asyncio.Future[tuple[Completion, ...]], e: BaseException) -> None:
    if came.done():
        return
    if isinstance(e, asyncio.CancelledError):
        came.cancel()
        return
    came.set_exception(e)
    came.exception()  # whoever asked may be gone


def _noticed(task: asyncio.Task[None]) -> None:
    """Those who asked have been told of what went wrong; nobody asks the task."""
    if not task.cancelled():
        task.exception()


def _drawn(asked: _Asked) -> range:
    """The samples to be drawn: of a greedy request one."""
    return range(1) if asked.sampling.temperature == 0 else asked.samples


class _Beside:
    """A source whose look-ups hold up the rounds of a model."""

    def __init__(self, source: Source, rounds: Rounds) -> None:
        self._source, self._rounds = source, rounds
        self.name = source.name
        self.language: Literal["text", "sparql", "sql"] = source.language

    def describe(self) -> Schema:
        """As the source's own."""
        return self._source.describe()

    async def schema(self) -> Schema:
        """As the source's own, which may have to be waited for."""
        asked = getattr(self._source, "schema", None)
        if asked is None:
            return self._source.describe()
        with self._rounds.waiting():
            found: Schema = await asked()
            return found

    def about(self, question: Question) -> Source:
        """The part that belongs to a question, or itself."""
        part = self._source.about(question)
        return self if part is self._source else _Beside(part, self._rounds)

    async def look_up(self, query: str, limit: int) -> Result:
        """As the source's own."""
        with self._rounds.waiting():
            return await self._source.look_up(query, limit)
