"""A model as everybody uses it: a back end, with everything around it that must not differ from one to the next.

    settle policies → look into the store → join identical requests under way → set the worst case of the budget aside
    → ask the back end for the missing samples only → charge what it cost → commit → give the answer out

So a recorded answer is never paid for twice, nothing is given out before it is committed, and what a model lacks is
refused before anything is sent. What this does not do: talk to a server or a GPU (back ends do), or hide a failure.
Rejected: a chain of wrappers, one per concern; their order is the point, and here it can be read.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Protocol, TypeVar

from tandem.errors import BudgetSpent, CallFailed, UserError
from tandem.lm import keys, policies
from tandem.lm.budget import Budget, Cost, Prices
from tandem.lm.estimate import Estimate
from tandem.lm.inflight import Got, InFlight
from tandem.lm.meter import Meter, of_call, worst_read
from tandem.lm.recorder import Ask, Recorder, ScoreSlot, Slot
from tandem.store import Request, Store
from tandem.types import LM, Abilities, Completion, Count, Prompt, Sampling, Score, Text, Usage

K = TypeVar("K")
V = TypeVar("V")


class BackEnd(LM, Protocol):
    """What a model is made around: it answers, and knows nothing of stores, budgets and policies."""

    async def close(self) -> None:
        """Free what it holds."""
        ...


class Model:
    """An `LM` around a back end. Safe to use from several event loops and threads, as far as the back end is."""

    def __init__(
        self,
        backend: BackEnd,
        *,
        store: Store | None = None,
        budget: Budget | None = None,
        prices: Prices | None = None,
        allow: Iterable[str] = (),
        retry_failed: bool = False,
    ) -> None:
        """Put a store, a budget and policies around a back end; store and budget may be shared by several models.

        `allow` names policies (see `policies.WHAT`). With `retry_failed`, refusals and failures that were recorded
        before the store was opened are asked again. Raises UserError on an unknown policy, and on a limit of money
        where the prices are not known.
        """
        self.backend, self.store = backend, store
        self.name: str = backend.name
        """The back end's: what answers are recorded under."""
        self.abilities: Abilities = backend.abilities
        """The back end's; allowed policies add to what may be asked."""
        self.allowed = policies.chosen(allow)
        self.tally: Counter[str] = Counter()
        """Named outcomes: answered, re-used, joined, truncated, refusal, filter, failed, notes of completions …"""
        self._meter = Meter(backend.name, budget, prices)
        self._recorder = Recorder(backend.name, store, retry_failed=retry_failed)
        self._samples: InFlight[Slot, Completion] = InFlight()
        self._scores: InFlight[ScoreSlot, Score] = InFlight()
        self._counting = threading.Lock()

    @property
    def budget(self) -> Budget | None:
        """The limits it keeps to, for other models that share them."""
        return self._meter.budget

    @property
    def prices(self) -> Prices | None:
        """What its tokens cost, where known."""
        return self._meter.prices

    @property
    def spent(self) -> Cost:
        """Calls, tokens and money charged so far."""
        return self._meter.spent

    @property
    def usage(self) -> Usage:
        """Tokens so far, as the back end reports them."""
        return self._meter.usage

    def count(self, prompt: Prompt) -> Count:
        """Length of a prompt in tokens."""
        return self.backend.count(prompt)

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        """One completion per sample index; recorded ones are not asked again. A refusal is a completion, too.

        Raises Unsupported and BudgetSpent (before sending), CallFailed (what else succeeded is kept; a recorded failure
        is raised again without sending), Failure when the store cannot be written.
        """
        came = await self._came(prompt, sampling, samples, in_spite=False)
        _raise_worst(came)
        return tuple(_sure(one) for one in came)

    async def outcomes(
        self, prompt: Prompt, sampling: Sampling, samples: range = range(1)
    ) -> tuple[Completion | CallFailed | BudgetSpent, ...]:
        """What became of each sample: for those who want what was answered although others failed.

        A recorded failure stands for its own sample; the others are asked for. Raises Unsupported, and Failure when the
        store cannot be written.
        """
        came = await self._came(prompt, sampling, samples, in_spite=True)
        _raise_worst(one for one in came if not isinstance(one, CallFailed | BudgetSpent))
        return tuple(one for one in came if isinstance(one, Completion | CallFailed | BudgetSpent))

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        """Log-probability of each continuation; recorded ones are not asked again, the others go in one call.

        Raises Unsupported and BudgetSpent (before sending), CallFailed; failures to score are not recorded.
        """
        policies.check_scoring(context, self.abilities, name=self.name)
        request = keys.score_request(self.name, context, cut_left=cut_left)
        got = await self._scores.gather(
            [(request.key, text) for text in continuations],
            recorded=lambda missing: self._recorder.scores(request, missing),
            grouped=lambda new: [new],
            send=lambda group: self._score(request, context, group, cut_left),
        )
        fine = [f"scores {one.how}" for one in got.values() if not isinstance(one.outcome, Exception)]
        self._tally(*fine, *_failures(got))
        _raise_worst(one.outcome for one in got.values())
        return tuple(_sure(got[request.key, text].outcome) for text in continuations)

    def check(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> None:
        """Raise what asking would raise before anything is sent: Unsupported, or UserError on what does not fit."""
        sent = self._ask(prompt, sampling, samples).settled.prompt
        length, context = self.count(sent), self.abilities.context
        if length.exact and length.tokens >= context:
            raise UserError(
                f"a prompt of {length.tokens:,} tokens leaves no room in a context of {context:,}",
                where=self.name,
                remedy=f"shorten it, use a model with a longer context, or {policies.allowing('cut-left')}",
            )

    def estimate(self, questions: Iterable[tuple[Prompt, Sampling, range]]) -> Estimate:
        """A dry run: what these questions would take at worst, beyond what is recorded. Nothing is sent.

        Raises Unsupported where asking would.
        """
        seen: set[Slot] = set()
        recorded = calls = read = written = 0
        money, exact = 0.0, True
        for prompt, sampling, samples in questions:
            ask = self._ask(prompt, sampling, samples)
            new = [slot for slot in _slots(ask, samples) if slot not in seen]
            seen.update(new)
            found = self._recorder.samples(ask, new)
            recorded += len(found)
            groups = self._groups([slot for slot in new if slot not in found])
            length = self.count(ask.settled.prompt) if groups else Count(0, True)
            exact = exact and length.exact
            for group in groups:
                usage = Usage(worst_read(length), len(group) * sampling.max_tokens)
                calls, read, written = calls + 1, read + usage.prompt_tokens, written + usage.completion_tokens
                money += self._meter.money(usage)
        known = self._meter.prices is not None
        return Estimate(len(seen), recorded, calls, read, written, money if known else None, exact)

    async def close(self) -> None:
        """Cancel what is under way, wait until all that came is committed, close the back end; the store stays open.

        In a process made by a fork, where none of that belongs to it, this does nothing.
        """
        if self._samples.forked:
            return
        await self._samples.close()
        await self._scores.close()
        await self._recorder.flush()
        await self.backend.close()

    async def __aenter__(self) -> Model:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.close()

    # ── Steps ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, prompt: Prompt, sampling: Sampling, samples: range) -> Ask:
        if samples and min(samples) < 0:
            raise UserError(f"sample indices begin with 0; {samples} was asked for", where=self.name)
        settled = policies.settle(
            prompt,
            sampling,
            samples,
            self.abilities,
            self.allowed,
            name=self.name,
            length=lambda prompt: worst_read(self.count(prompt)),
        )
        return Ask(settled, keys.request(self.name, prompt, settled.keyed, settled.keys))

    async def _came(
        self, prompt: Prompt, sampling: Sampling, samples: range, *, in_spite: bool
    ) -> list[Completion | Exception]:
        """The outcome of every sample; `in_spite` of failures on record, or those alone, and nothing is sent."""
        ask = self._ask(prompt, sampling, samples)
        slots = _slots(ask, samples)
        got: dict[Slot, Got[Completion]] = {}
        while missing := [slot for slot in slots if slot not in got]:
            got |= await self._samples.gather(
                missing,
                recorded=lambda missing: self._recorder.samples(ask, missing),
                grouped=self._groups,
                send=lambda group: self._draw(ask, group),
            )
            if not in_spite:
                break
        self._count_samples(got)
        order = slots * len(samples) if ask.settled.greedy else slots
        return [got[slot].outcome for slot in order if slot in got]

    def _groups(self, slots: list[Slot]) -> list[list[Slot]]:
        """Missing samples as calls: runs of neighbours, or one by one where the back end draws one at a time."""
        groups: list[list[Slot]] = []
        for slot in sorted(slots, key=lambda slot: slot[1]):
            if groups and self.abilities.many and slot[1] == groups[-1][-1][1] + 1:
                groups[-1].append(slot)
            else:
                groups.append([slot])
        return groups

    async def _draw(self, ask: Ask, slots: list[Slot]) -> dict[Slot, Completion | Exception]:
        """Ask the back end for neighbouring samples, once more for those it left out, and record what comes."""
        got: dict[Slot, Completion | Exception] = {}
        for _ in range(2):
            rest = slots[len(got) :]
            try:
                outcomes = await self._call(ask, range(rest[0][1], rest[-1][1] + 1))
            except CallFailed as e:
                return got | await self._recorder.commit(ask, rest, [e] * len(rest))
            except Exception as e:
                return got | dict.fromkeys(rest, e)
            got |= await self._recorder.commit(ask, rest[: len(outcomes)], outcomes)
            if len(got) == len(slots):
                return got
            self._tally("short")
        rest = slots[len(got) :]
        what = f"{len(slots)} samples were asked for and {len(got)} came back, asking again for the rest included"
        problem = CallFailed(what, kind="malformed", where=self.name)
        return got | await self._recorder.commit(ask, rest, [problem] * len(rest))

    async def _call(self, ask: Ask, part: range) -> list[Completion | CallFailed]:
        """One call, within the budget, and what came of it, at most as much as was asked for."""
        prompt, sampling = ask.settled.prompt, ask.settled.sampling
        worst = Usage(0, 0)
        if self._meter.counts_tokens:  # a server that ignores n reads the prompt once a sample
            worst = Usage(worst_read(self.count(prompt)) * len(part), sampling.max_tokens * len(part))
        came = await self._meter.metered(worst, of_call, self.backend.generate, prompt, sampling, part)
        if len(came) > len(part):
            self._tally("surplus")
        return [self._received(ask, completion) for completion in came[: len(part)]]

    def _received(self, ask: Ask, completion: Completion) -> Completion | CallFailed:
        """A completion as it is recorded and given out: what is not as asked stands in its notes."""
        notes = [*completion.notes, *ask.settled.policies]
        if completion.finish == "failed":
            kinds = [note.removeprefix(_LOST) for note in completion.notes if note.startswith(_LOST)]
            kind = kinds[0] if kinds else "malformed"
            return CallFailed(f"the call for this sample failed ({kind}), others came", kind=kind, where=self.name)
        if "cut-at-stop" in ask.settled.policies:
            completion = policies.cut(completion, ask.settled.keyed.stop)
        wanted = ask.settled.keyed.logprobs
        if wanted and completion.tokens is None and not any("logprobs" in note for note in notes):
            notes.append("logprobs-missing")
        if changed := self._recorder.served_note(completion.served_model):
            notes.append(changed)
        return replace(completion, tokens=completion.tokens if wanted else None, notes=tuple(dict.fromkeys(notes)))

    async def _score(
        self, request: Request, context: Prompt, group: list[ScoreSlot], cut_left: bool
    ) -> Mapping[ScoreSlot, Score]:
        texts = [text for _, text in group]
        length, most = self.count(context), self.abilities.context  # what is longer is cut, or refused
        lengths = [worst_read(self.count(Text(text))) for text in texts]
        worst = Usage(min(worst_read(length), most) * len(texts) + sum(lengths), 0)
        # Who counts with the model's own tokenizer reads the context once; a server is sent it with every continuation.
        read = min(length.tokens, most) * (1 if length.exact else len(texts))
        scores = await self._meter.metered(
            worst,
            lambda scores: Usage(read + sum(score.tokens for score in scores), 0),
            self.backend.score,
            context,
            texts,
            cut_left=cut_left,
        )
        if len(scores) != len(texts):
            what = f"{len(texts)} continuations were to be scored and {len(scores)} scores came back"
            raise CallFailed(what, kind="malformed", where=self.name)
        return await self._recorder.commit_scores(request, group, scores)

    # ── Counting ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _tally(self, *names: str) -> None:
        with self._counting:
            self.tally.update(names)

    def _count_samples(self, got: Mapping[Slot, Got[Completion]]) -> None:
        names = _failures(got)
        for one in got.values():
            if isinstance(one.outcome, Completion):
                names += [one.how, *(note.partition(":")[0] for note in one.outcome.notes)]
                if one.outcome.finish != "stop":
                    names.append("truncated" if one.outcome.finish == "length" else one.outcome.finish)
        self._tally(*names)


_LOST = "call-failed-"
"""How a back end notes, on a completion that ends with "failed", of what kind the failure was."""


def _slots(ask: Ask, samples: range) -> list[Slot]:
    """The samples to get: at temperature 0 one serves all."""
    keyed = ask.settled.keyed
    indices = samples[:1] if ask.settled.greedy else samples
    return [(ask.request.key, keys.index(keyed, i), keyed.max_tokens, keyed.logprobs) for i in indices]


def _failures(got: Mapping[K, Got[V]]) -> list[str]:
    """Names of failures for the tally."""
    names: list[str] = []
    for one in got.values():
        if isinstance(one.outcome, CallFailed):
            names += ["failed", f"failed: {one.outcome.kind}"]
        elif isinstance(one.outcome, BudgetSpent):
            names.append("budget-spent")
    return names


def _raise_worst(outcomes: Iterable[object]) -> None:
    """Raise what went wrong, if anything did: what must stop a run before what concerns one request."""
    problems = [one for one in outcomes if isinstance(one, Exception)]
    if problems:
        raise min(problems, key=lambda problem: isinstance(problem, CallFailed))


def _sure(outcome: V | Exception) -> V:
    assert not isinstance(outcome, Exception)
    return outcome
