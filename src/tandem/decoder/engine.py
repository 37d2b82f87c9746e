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

from tandem.decoder.continuations import Plan, not_finite, plan, scored
from tandem.decoder.head import Head
from tandem.decoder.jobs import Scoring, Writing, Written
from tandem.decoder.model import Decoder
from tandem.decoder.sampling import choose, penalise, stream_of, uniform
from tandem.decoder.segments import Segment
from tandem.decoder.stream import Stream
from tandem.decoder.tails import Tail, Tails, slot
from tandem.decoder.tree import Ids, Node, Tree, shared
from tandem.errors import UserError

ROWS = 256
"""Answers in progress at once."""
PASS_TOKENS = 2_048
"""Tokens of prompts and texts read in one pass, at most; each answer in progress adds one."""
MEMORY = 2 << 30
"""Bytes for keys and values, shared spans and tails together."""
SHARE = 16
"""Tokens from which a common beginning is worth a span of its own."""
_LONGEST = 1_024
_WINDOW = 1_024
_LOGIT_ROWS = 64
_FEW = 8
"""Requests that waited together, up to which a scored text is kept: of many, what they share is known already."""
_KEEP = 32


@dataclass(eq=False)
class _Unit:
    """A request while it waits and starts."""

    job: Writing | Scoring
    path: Ids
    """The part of its tokens that others may share."""
    plan: Plan | None = None
    common: int = 0
    """Tokens it has in common with others that wait."""
    leaf: Node | None = None
    kept: int = 0
    """Tokens of its path that the tree holds or will hold."""
    filled: int = 0
    """Tokens of shared spans that were computed on its account."""
    left: deque[int] = field(default_factory=deque)
    """Samples not begun."""
    few: bool = False
    """Whether hardly anybody waited beside it, so that what it shares with others may show later."""


@dataclass(eq=False)
class _Row:
    """An answer in progress."""

    job: Writing
    sample: int
    leaf: Node
    tail: Tail
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
        self.rows, self.pass_tokens, self.memory = rows, pass_tokens, memory
        self.dtype = model.compute or model.dtype
        self.tree = Tree(model.shape, self.dtype, model.device, longest=_LONGEST, least=SHARE)
        self.tails = Tails(model.shape, self.dtype, model.device)
        self.tokens_computed = 0
        """Tokens that went through the model, for measuring what sharing saved."""
        self.head = Head(model)
        self._waiting: deque[_Unit] = deque()
        self._window: deque[_Unit] = deque()
        self._starting: list[_Unit] = []
        self._writing: list[_Row] = []

    def add(self, job: Writing | Scoring) -> None:
        """Queue a request. Raises `UserError` when it cannot be served: empty, too long, ids outside the vocabulary."""
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
            # In parts, so that neither rows nor memory are exceeded by one request of very many samples.
            half = self.memory // self.tree.token_bytes // 2
            part = max(1, min(self.rows, half // _room(job, 0)))
            for at in range(0, len(job.samples), part):
                self._waiting.append(_Unit(job, prompt[:-1], left=deque(job.samples[at : at + part])))
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
        self._waiting.append(_Unit(job, planned.stem[: planned.shareable], planned))

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._waiting or self._window or self._starting or self._writing)

    def abandon(self) -> list[Writing | Scoring]:
        """Drop everything after a failure, the tree included; the requests that will get no answer."""
        units = [*self._waiting, *self._window, *self._starting]
        jobs = list(dict.fromkeys([*(u.job for u in units), *(row.job for row in self._writing)]))
        self._waiting.clear()
        self._window.clear()
        self._starting, self._writing = [], []
        self.tree.clear()
        self.tails = Tails(self.model.shape, self.dtype, self.model.device)
        return jobs

    @torch.inference_mode()
    def step(self) -> bool:
        """One pass of the model; False when there was nothing to do."""
        self._drop_cancelled()
        self._admit()
        fills, started, texts = self._ready()
        expected = Counter(slot(len(unit.path) + 2 - unit.kept) for unit in started for _ in unit.left)
        for room, count in expected.items():
            self.tails.expect(room, count)
        for unit in started:
            self._begin(unit)
        rows = self._writing
        for row in rows:
            self.tails.make_room(row.tail, len(row.feed))
        segments = [Segment(node.parent or node, node.tokens.tolist(), fills=node) for node in fills]
        segments += (texts_of := [self._text(unit) for unit in texts])
        segments += (rows_of := [Segment(row.leaf, row.feed, tail=row.tail) for row in rows])
        if not segments:
            return False
        for node in fills:
            self.tree.reserve(node)
        stream = Stream(segments, self.model.shape, self.model.device, self.dtype)
        self.tokens_computed += stream.tokens_BT.shape[1]
        x_ND = self.model.states(stream.tokens_BT, stream.positions_BT, stream.reach, stream)[0]
        self._score(x_ND, texts, texts_of)
        self._write(x_ND, rows, rows_of)
        return True

    # ── what runs next ──────────────────────────────────────────────────────────────────────────────────────────────

    def _drop_cancelled(self) -> None:
        for row in [row for row in self._writing if row.job.cancelled]:
            self._close(row)
        # Looked at once: another thread may cancel meanwhile.
        gone = {unit for unit in (*self._waiting, *self._window, *self._starting) if unit.job.cancelled}
        if gone:
            self._waiting = deque(unit for unit in self._waiting if unit not in gone)
            self._window = deque(unit for unit in self._window if unit not in gone)
            for unit in self._starting:
                if unit in gone:
                    self._leave(unit)
            self._starting = [unit for unit in self._starting if unit not in gone]

    def _admit(self) -> None:
        """Move waiting requests to the start, in an order in which what they share stands together."""
        rows = len(self._writing) + sum(len(unit.left) for unit in self._starting)
        tokens = sum(len(unit.path) for unit in self._starting if unit.plan)
        private = self._promised()
        while (self._window or self._waiting) and tokens < 2 * self.pass_tokens:
            if not self._window:
                self._look_ahead()
            unit = self._window[0]
            if rows and rows + len(unit.left) > self.rows:
                break
            known = self.tree.known(unit.path)
            held = self.tree.insert(unit.path[:known])
            held.users += 1  # so that making room does not take what is about to be used
            keep = max(known, unit.common if unit.common - known >= SHARE else 0, len(unit.path) - _LONGEST)
            keep = keep if keep >= SHARE else 0
            needs = max(0, keep - known) + _room(unit.job, keep) * len(unit.left)
            fits = self._fits(private + needs)
            held.users -= 1
            if not fits and (self._starting or self._writing):
                break
            self._window.popleft()
            unit.leaf, unit.kept = self.tree.insert(unit.path[:keep]), keep
            unit.leaf.users += 1
            self._starting.append(unit)
            private += _room(unit.job, keep) * len(unit.left)
            rows += len(unit.left)
            tokens += len(unit.path) if unit.plan else 0

    def _promised(self) -> int:
        """Tokens of the slots that answers in progress and about to begin may come to need."""
        begun = sum(_room(row.job, row.above) for row in self._writing)
        return begun + sum(_room(unit.job, unit.kept) * len(unit.left) for unit in self._starting)

    def _fits(self, tokens: int) -> bool:
        """Whether memory holds so many tokens beside the tree, which lets go of what nobody uses to make it so."""
        over = tokens + self.tree.bytes // self.tree.token_bytes - self.memory // self.tree.token_bytes
        return over <= 0 or (self.tree.idle() >= over and self.tree.shrink(over) >= over)

    def _look_ahead(self) -> None:
        """Order the requests that have waited longest by their tokens, and find what neighbours have in common."""
        count = min(_WINDOW, len(self._waiting))
        units = [self._waiting.popleft() for _ in range(count)]
        units.sort(key=lambda unit: unit.path.astype(">u4").tobytes())
        for unit in units:
            unit.common = len(unit.path) if len(unit.left) > 1 else 0
            unit.few = count <= _FEW
        for one, other in itertools.pairwise(units):
            both = shared(one.path, other.path)
            one.common, other.common = max(one.common, both), max(other.common, both)
        self._window.extend(units)

    def _ready(self) -> tuple[list[Node], list[_Unit], list[_Unit]]:
        """Shared spans to compute now, answers to begin, texts to score: within the pass's tokens, at least one."""
        room = self.pass_tokens
        fills: dict[Node, None] = {}
        begin: list[_Unit] = []
        texts: list[_Unit] = []
        stay: list[_Unit] = []
        for unit in self._starting:
            assert unit.leaf is not None
            missing = next((node for node in unit.leaf.path() if not node.ready), None)
            if missing is not None:
                if missing not in fills and (room >= len(missing.tokens) or room == self.pass_tokens):
                    fills[missing] = None
                    unit.filled += len(missing.tokens)
                    room -= len(missing.tokens)
                stay.append(unit)
                continue
            rest = len(unit.plan.tokens) - unit.kept if unit.plan else (len(unit.path) + 1 - unit.kept) * len(unit.left)
            if room < rest and room < self.pass_tokens:
                stay.append(unit)
                continue
            room -= rest
            (texts if unit.plan else begin).append(unit)
        self._starting = stay
        return list(fills), begin, texts

    def _begin(self, unit: _Unit) -> None:
        """One row per sample, each with a tail of its own."""
        job = unit.job
        assert isinstance(job, Writing) and unit.leaf is not None
        above = unit.kept
        feed = [int(i) for i in job.prompt[above:]]
        stream = stream_of(job.seed, job.prompt)
        for number, sample in enumerate(unit.left):
            unit.leaf.users += 1
            cached = above if number else above - unit.filled
            tail = self.tails.open(len(feed) + 1)
            self._writing.append(_Row(job, sample, unit.leaf, tail, feed, unit.kept, stream, cached))
        self._leave(unit)

    def _text(self, unit: _Unit) -> Segment:
        """What is read of a text; where few wait, what the next may share is kept if there is room for it."""
        assert unit.leaf is not None and unit.plan is not None
        own = unit.path[unit.kept :]
        kept = None
        if unit.few and len(own) >= SHARE and self._fits(self._promised() + len(own)):
            kept = self.tree.beside(unit.leaf, own)
        return Segment(unit.leaf, unit.plan.tokens[unit.kept :], fills=kept, branches=unit.plan.branches)

    # ── what came out ───────────────────────────────────────────────────────────────────────────────────────────────

    def _score(self, x_ND: Tensor, units: list[_Unit], segments: list[Segment]) -> None:
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
            self._leave(unit)
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
        for row, token, logprob in zip(rows, chosen, logprobs, strict=True):
            self._extend(row, token, logprob)

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
        self._close(row)
        job.ended(Written(row.sample, row.answer, row.logprobs if job.logprobs else None, finish, row.cached))

    def _give(self, row: _Row) -> None:
        """Leave what a lone answer computed in the tree, for the next turn of its conversation."""
        if self._fits(row.tail.length + self._promised()):
            text = [*row.job.prompt[row.above :], *row.answer][: row.tail.length]
            node = self.tree.beside(row.leaf, np.asarray(text, dtype=np.int32))
            keys, values = row.tail.kept()
            assert node.keys_LGSK is not None and node.values_LGSK is not None
            node.keys_LGSK.copy_(keys)
            node.values_LGSK.copy_(values)
            self.tree.adopt(node)

    def _lose(self, job: Writing | Scoring, e: Exception) -> None:
        """End one request by an error; the others go on."""
        job.cancelled = True
        for row in self._writing:
            if row.job is job:  # what is not a number must not stay where another row will stand
                for kept in row.tail.kept():
                    kept.zero_()
        if job.failed is None:
            raise e
        job.failed(e)

    def _close(self, row: _Row) -> None:
        row.leaf.users -= 1
        self.tails.close(row.tail)
        self._writing = [other for other in self._writing if other is not row]

    def _leave(self, unit: _Unit) -> None:
        assert unit.leaf is not None
        unit.leaf.users -= 1

    # ── sizes ───────────────────────────────────────────────────────────────────────────────────────────────────────

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


def _room(job: Writing | Scoring, kept: int) -> int:
    """Tokens of the slot that an answer's tail may come to need."""
    return slot(len(job.prompt) - kept + job.max_tokens) if isinstance(job, Writing) else 0


def run(engine: Engine, jobs: Sequence[Writing | Scoring] = ()) -> None:
    """Add requests and step until all have ended."""
    for job in jobs:
        engine.add(job)
    while engine.step():
        pass
