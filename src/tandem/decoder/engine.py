"""The engine: continuous batching of generating and scoring over a prefix tree of keys and values.

    engine = Engine(model)
    engine.add(Writing(prompt, samples=range(10), …, ended=…));  engine.add(Scoring(sequences, starts, ended=…))
    while engine.step(): ...

Each step is one pass of the model over whatever is ready: spans that several requests share (computed once, kept in the
tree), prompts that start, texts to be scored, and one token of every answer in progress. Waiting requests are looked at
together, so that what they share is known before anything is computed; who arrives while a shared span is pending waits
for it. In float32 what a request gets does not depend on the others, up to rounding. What this does not do: threads,
asyncio or text (`lm`). Rejected: batches that run until their longest answer ends, and sharing found only after a first
request has finished (the first wave, often the only one, would compute everything).

N tokens of a pass, R rows or positions, V vocabulary, D width.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tandem.decoder.admission import LONGEST, SHARE, Admission, Unit, leave
from tandem.decoder.continuations import not_finite, plan, scored
from tandem.decoder.head import Head
from tandem.decoder.jobs import Scoring, Writing, Written
from tandem.decoder.model import Decoder
from tandem.decoder.sampling import choose, penalise, stream_of, uniform
from tandem.decoder.segments import Segment
from tandem.decoder.space import Meter, Space
from tandem.decoder.stream import Stream
from tandem.decoder.tails import Tail, Tails
from tandem.decoder.tree import Ids, Node, Tree
from tandem.errors import UserError

ROWS = 256
"""Answers in progress at once."""
PASS_TOKENS = 2_048
"""Tokens of prompts and texts read in one pass, at most; each answer in progress adds one."""
MEMORY = 2 << 30
"""Bytes for keys and values, shared spans and tails together."""
_LOGIT_ROWS = 64
_KEEP = 32


@dataclass(eq=False)
class _Row:
    """An answer in progress."""

    job: Writing
    sample: int
    leaf: Node
    tail: Tail
    room: int
    """Tokens of the slot that it may come to need."""
    feed: Sequence[int]
    """Tokens to be read next."""
    above: int
    """Tokens on the shared path."""
    stream: int
    cached: int
    answer: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class Engine:
    """Runs requests on one model. Not safe to share between threads."""

    def __init__(
        self, model: Decoder, *, rows: int = ROWS, pass_tokens: int = PASS_TOKENS, memory: int = MEMORY
    ) -> None:
        self.model = model
        scaling = model.shape.rope_scaling
        dynamic = scaling is not None and scaling.kind == "dynamic"
        self.context = scaling.original_context if scaling is not None and dynamic else model.shape.context
        """Longest prompt with answer. Under `dynamic` scaling the trained length: past it, kept keys would be stale."""
        self.dtype = model.compute or model.dtype
        self.meter = Meter()
        """Bytes of keys and values, now and at most."""
        self.tree = Tree(model.shape, self.dtype, model.device, longest=LONGEST, least=SHARE, meter=self.meter)
        self.tails = Tails(model.shape, self.dtype, model.device, self.meter)
        self.space = Space(model.shape, self.dtype.itemsize, memory, self.tree, self.tails)
        self.tokens_computed = 0
        """Tokens that went through the model, for measuring what sharing saved."""
        self.head = Head(model)
        self._admission = Admission(self.tree, self.space, rows=rows, pass_tokens=pass_tokens)
        self._writing: list[_Row] = []
        self._ended: list[tuple[_Row, Written]] = []

    def add(self, job: Writing | Scoring) -> None:
        """Queue a request.

        Raises `UserError` when it cannot be served: empty, too long, more than memory can hold, ids outside the
        vocabulary, a sample asked for twice.
        """
        if isinstance(job, Writing):
            prompt = self._ids(job.prompt, "prompt")
            if len(prompt) >= self.context:
                raise UserError(
                    f"{len(prompt):,} tokens leave no room in a context of {self.context:,}",
                    where="prompt",
                    remedy="shorten it",
                )
            if len(set(job.samples)) < len(job.samples):
                twice, _ = Counter(job.samples).most_common(1)[0]
                raise UserError(
                    f"sample {twice} is asked for twice", where="samples", remedy="give each sample a number of its own"
                )
            most = min(len(prompt) + job.max_tokens, self.context)
            if job.samples:
                self._admission.add(Unit(job, prompt[:-1], most, left=deque(job.samples)))
            return
        sequences = [self._ids(sequence, f"sequence {i}") for i, sequence in enumerate(job.sequences)]
        for i, (sequence, start) in enumerate(zip(sequences, job.starts, strict=True)):
            if len(sequence) > self.context + 1:
                raise UserError(
                    f"{start:,} + {len(sequence) - start:,} tokens exceed a context of {self.context:,}",
                    where=f"sequence {i}",
                    remedy="cut the context on its left",
                )
        planned = plan(sequences, job.starts)
        self._admission.add(Unit(job, planned.stem[: planned.shareable], plan=planned))

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._writing or self._admission.busy)

    def abandon(self) -> list[Writing | Scoring]:
        """Drop everything after a failure, the tree included; the requests that will get no answer."""
        jobs = list(dict.fromkeys([*self._admission.clear(), *(row.job for row in self._writing)]))
        self._writing = []
        self.tree.clear()
        self.tails.clear()
        return jobs

    @torch.inference_mode()
    def step(self) -> bool:
        """One pass of the model; False when there was nothing to do."""
        self._admission.drop_cancelled()
        self._close([row for row in self._writing if row.job.cancelled])
        self._admission.admit(len(self._writing), sum(row.room for row in self._writing))
        fills, started, texts = self._admission.ready()
        for unit in started:
            self._begin(unit)
        rows = self._writing
        filling = sum(len(node.tokens) for node in fills)
        self.space.claim(filling)
        short = [row for row in rows if row.tail.free < len(row.feed)]
        if short:
            # One more, since the first pass of an answer is always followed by another.
            wanted = [(row.tail, row.tail.length + len(row.feed) + (row.tail.length == 0)) for row in short]
            self.tails.settle(wanted, self.space.for_slots(filling))
        segments = [Segment(node.parent or node, node.tokens.tolist(), fills=node) for node in fills]
        for node in fills:
            self.tree.reserve(node)
        segments += (texts_of := [self._text(unit) for unit in texts])
        segments += (rows_of := [Segment(row.leaf, row.feed, tail=row.tail) for row in rows])
        if not segments:
            return False
        stream = Stream(segments, self.model.shape, self.model.device, self.dtype)
        self.tokens_computed += stream.tokens_BT.shape[1]
        x_ND = self.model.states(stream.tokens_BT, stream.positions_BT, stream.reach, stream)[0]
        self._score(x_ND, texts, texts_of)
        self._write(x_ND, rows, rows_of)
        return True

    # ── what goes in ────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, unit: Unit) -> None:
        """One row per sample, each with a tail of its own."""
        job = unit.job
        assert isinstance(job, Writing) and unit.leaf is not None
        above = unit.kept
        feed = [int(i) for i in job.prompt[above:]]
        stream = stream_of(job.seed, job.prompt)
        for number, sample in enumerate(unit.left):
            unit.leaf.users += 1
            cached = above if number else above - unit.filled
            self._writing.append(_Row(job, sample, unit.leaf, Tail(), unit.room(above), feed, above, stream, cached))
        leave(unit)

    def _text(self, unit: Unit) -> Segment:
        """What is read of a text; where few wait, what the next may share is kept if there is room for it."""
        assert unit.leaf is not None and unit.plan is not None
        own = unit.path[unit.kept :]
        kept = None
        if unit.few and len(own) >= SHARE and self._fits(len(own)):
            kept = self.tree.beside(unit.leaf, own)
        return Segment(unit.leaf, unit.plan.tokens[unit.kept :], fills=kept, branches=unit.plan.branches)

    # ── what came out ───────────────────────────────────────────────────────────────────────────────────────────────

    def _score(self, x_ND: Tensor, units: list[Unit], segments: list[Segment]) -> None:
        """Results of the texts of this pass."""
        places = [
            segment.begin - (len(unit.plan.tokens) - len(segment.tokens))
            for unit, segment in zip(units, segments, strict=True)
            if unit.plan
        ]
        plans = [unit.plan for unit in units if unit.plan]
        results = scored(x_ND, plans, places, self.head)
        sound = [all(math.isfinite(one.logprob) for one in result) for result in results]
        for segment, fine in zip(segments, sound, strict=True):
            if segment.fills is not None:
                (self.tree.adopt if fine else self.tree.let_go)(segment.fills)
        for unit, result, fine in zip(units, results, sound, strict=True):
            leave(unit)
            assert isinstance(unit.job, Scoring)
            if fine:
                unit.job.ended(result)
            else:
                self._lose(unit.job, not_finite())

    def _write(self, x_ND: Tensor, rows: list[_Row], segments: list[Segment]) -> None:
        """The next token of every answer in progress."""
        chosen: list[int] = []
        logprobs: list[float] = []
        for at in range(0, len(rows), _LOGIT_ROWS):
            some = rows[at : at + _LOGIT_ROWS]
            last = [s.begin + len(s.tokens) - 1 for s in segments[at : at + _LOGIT_ROWS]]
            tokens, likely = self._next(x_ND[last], some)
            chosen += tokens
            logprobs += likely
        try:
            for row, token, logprob in zip(rows, chosen, logprobs, strict=True):
                self._extend(row, token, logprob)
        finally:
            ended, self._ended = self._ended, []
            self._close([row for row, _ in ended])
        for row, written in ended:  # told when their slots are free
            row.job.ended(written)

    def _next(self, x_RD: Tensor, rows: list[_Row]) -> tuple[list[int], list[float]]:
        logits_RV = self.head(x_RD)
        lse_R = logits_RV.logsumexp(-1)
        rules = [row.job.rule for row in rows]
        raw_RV = logits_RV
        if any(rule.presence_penalty for rule in rules):
            logits_RV = logits_RV.clone()
            penalise(logits_RV, rules, [row.answer for row in rows])
        noise = uniform(
            np.array([row.stream for row in rows], dtype=np.uint64),
            np.array([row.sample for row in rows]),
            np.array([len(row.answer) for row in rows]),
        )
        chosen_R = choose(logits_RV, rules, noise)
        picked_R = raw_RV.gather(1, chosen_R.to(raw_RV.device)[:, None])[:, 0] - lse_R
        return chosen_R.tolist(), picked_R.tolist()

    def _extend(self, row: _Row, token: int, logprob: float) -> None:
        job = row.job
        if job.cancelled:
            return
        if not math.isfinite(logprob):
            self._lose(job, not_finite())
            return
        if token in job.stop_ids:
            self._end(row, "stop")
            return
        row.answer.append(token)
        if job.logprobs:
            row.logprobs.append(logprob)
        row.feed = [token]
        try:
            stopped = job.watch is not None and job.watch(row.sample, token, logprob)
        except Exception as e:  # the watcher's fault is its own request's, nobody else's
            self._lose(job, e)
            return
        if stopped:
            self._end(row, "stop")
        elif len(row.answer) >= job.max_tokens or len(job.prompt) + len(row.answer) >= self.context:
            self._end(row, "length")

    def _end(self, row: _Row, finish: Literal["stop", "length"]) -> None:
        job = row.job
        if len(job.samples) == 1 and row.tail.length >= _KEEP:
            self._give(row)
        written = Written(row.sample, row.answer, row.logprobs if job.logprobs else None, finish, row.cached)
        self._ended.append((row, written))

    def _give(self, row: _Row) -> None:
        """Leave what a lone answer computed in the tree, for the next turn of its conversation."""
        if self._fits(row.tail.length):
            text = [*row.job.prompt[row.above :], *row.answer][: row.tail.length]
            node = self.tree.beside(row.leaf, np.asarray(text, dtype=np.int32))
            for layer, (keys, values) in enumerate(row.tail.kept()):
                node.keys_LGSK[layer].copy_(keys)
                node.values_LGSK[layer].copy_(values)
            self.tree.adopt(node)

    def _lose(self, job: Writing | Scoring, e: Exception) -> None:
        """End one request by an error; the others go on."""
        job.cancelled = True
        for row in self._writing:
            if row.job is job:  # what is not a number must not stay where another row will stand
                for kept in itertools.chain(*row.tail.kept()):
                    kept.zero_()
        if job.failed is None:
            raise e
        job.failed(e)

    def _close(self, rows: Sequence[_Row]) -> None:
        """Free the rows of answers that have ended."""
        if rows:
            for row in rows:
                row.leaf.users -= 1
            self.tails.close([row.tail for row in rows])
            gone = set(rows)
            self._writing = [row for row in self._writing if row not in gone]

    def _fits(self, tokens: int) -> bool:
        """Whether a span of so many tokens may be kept beside all that is promised; if so, there is room for it now."""
        if not self.space.fits(tokens + self._admission.promised + sum(row.room for row in self._writing)):
            return False
        self.space.claim(tokens)
        return True

    # ── checks ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ids(self, tokens: Sequence[int], where: str) -> Ids:
        ids = np.asarray(tokens, dtype=np.int64)
        if not len(ids):
            raise UserError("is empty", where=where, remedy="begin it with at least one token (bos)")
        if ids.min() < 0 or ids.max() >= self.model.shape.vocabulary:
            raise UserError(
                f"an id lies outside the {self.model.shape.vocabulary:,} rows of the vocabulary",
                where=where,
                remedy="use the tokenizer the model was trained with",
            )
        return ids.astype(np.int32)


def run(engine: Engine, jobs: Sequence[Writing | Scoring] = ()) -> None:
    """Add requests and step until all have ended."""
    for job in jobs:
        engine.add(job)
    while engine.step():
        pass
