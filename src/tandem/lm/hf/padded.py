"""Padded batches for any `transformers` causal model: one thread that gathers what many callers ask.

Whoever waits goes into the next batch: prompts flush right, each read once however many samples or continuations it
has; then its cache is spread over the rows. A row that has ended, or whose caller has gone, leaves. A recurrent model's
rows are each read whole, beside rows of their own length only: slower, the same numbers.

What this does not do: admit requests into a running batch or keep prefixes between batches (our own decoder's engine
does), or text. Rejected: `model.generate`; it draws from one random stream per batch, so a sample would depend on its
neighbours, and it cannot stop a row at a text.

B rows, P prompts, T columns, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tandem.decoder.sampling import choose, penalise, uniform
from tandem.decoder.score import Scored
from tandem.errors import Failure
from tandem.lm.hf.batch import NO_TARGET, Batch, judged
from tandem.lm.hf.jobs import Generation, Job, Row, Scoring
from tandem.lm.worker import Worker, closed, fail, resolve

BATCH_TOKENS = 16_384
"""Columns of cache in one batch, over all its rows, prompts and answers included."""
BATCH_LOGITS = 1 << 27
"""Entries of the largest table of logits that scoring makes."""


class Padded:
    """A model and the thread that runs it."""

    def __init__(self, model: Any, *, batch_tokens: int = BATCH_TOKENS) -> None:
        """Run `model` (a `transformers` causal LM in evaluation mode) on its own device."""
        self.model = model
        self.batch_tokens = batch_tokens
        """Columns of cache in one batch; halved when memory runs out."""
        self._spreads, self._pads = _probe(model)
        embedding = model.get_input_embeddings().weight
        self.vocabulary = int(embedding.shape[0])
        """Rows of its table of embeddings."""
        self.most_logits = BATCH_LOGITS // self.vocabulary
        """Positions whose logits one batch of scoring may hold."""
        self.device: torch.device = embedding.device
        self._worker: Worker[Job] = Worker(self._work, name="tandem-padded")

    def submit(self, job: Job) -> None:
        """Let a job take part in one of the next batches; its future tells when it is done. From any thread.

        Raises Failure when closed.
        """
        self._worker.hand_in(job)

    def close(self) -> None:
        """End the thread after the step it is in; whoever still waits gets a Failure."""
        self._worker.close()

    # ── The thread ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        waiting: list[Job] = []
        while (new := self._worker.take(wait=not waiting)) is not None:
            waiting += new
            batch = self._next(waiting)
            taken = set(map(id, batch))
            waiting = [job for job in waiting if id(job) not in taken]
            self._run([job for job in batch if not job.future.cancelled()])
        _fail_all(waiting, closed())

    def _next(self, waiting: Sequence[Job]) -> list[Job]:
        """The one that waits longest, and those most like it in length as long as the batch has room."""
        first = waiting[0]
        batch: list[Job] = [first]
        alike = (
            job for job in waiting[1:] if type(job) is type(first) and (self._pads or len(job.ids) == len(first.ids))
        )
        for job in sorted(alike, key=lambda job: abs(len(job.ids) - len(first.ids))):
            more = [*batch, job]
            rows = sum(len(job.rows) for job in more)
            if rows * max(job.columns for job in more) > self.batch_tokens or rows * _longest(more) > self.most_logits:
                break
            batch = more
        return batch

    def _run(self, jobs: Sequence[Job]) -> None:
        """Run a batch; one that does not fit into memory is halved."""
        if not jobs:
            return
        try:
            with torch.inference_mode():
                if isinstance(jobs[0], Generation):
                    self._generate([job for job in jobs if isinstance(job, Generation)])
                else:
                    self._score([job for job in jobs if isinstance(job, Scoring)])
            return
        except torch.OutOfMemoryError as e:
            lack = str(e)
        except Exception as e:  # whatever a model of someone else's raises belongs to those who asked
            _fail_all(jobs, e)
            return
        # Behind the handler, which kept the tensors of the failed attempt alive.
        self._run_halves([job for job in jobs if not job.future.done()], lack)

    def _run_halves(self, jobs: Sequence[Job], lack: str) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.batch_tokens = max(1, self.batch_tokens // 2)
        if len(jobs) > 1:
            self._run(jobs[: len(jobs) // 2])
            self._run(jobs[len(jobs) // 2 :])
        elif jobs:
            failure = Failure(
                f"a request of {len(jobs[0].rows)} rows of up to {jobs[0].columns:,} tokens does not fit into memory: "
                + lack,
                remedy="ask for fewer samples at once, shorter answers, or bf16",
            )
            _fail_all(jobs, failure)

    # ── Generating ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _generate(self, jobs: Sequence[Generation]) -> None:
        rows = [(job, row) for job in jobs for row in job.rows]
        for _, row in rows:
            row.begin()
        origin = [p for p, job in enumerate(jobs) for _ in job.rows]
        state, logits_BV = self._read([job.ids for job in jobs], origin)
        while True:
            tokens, logprobs = _chosen(logits_BV, [row for _, row in rows])
            going: list[int] = []
            for b, (job, row) in enumerate(rows):
                if row.finish is not None or job.future.cancelled():
                    continue
                row.tokens.append(tokens[b])
                if tokens[b] in job.ends or row.answer.add(tokens[b], logprobs[b]):
                    row.finish = "stop"
                elif len(row.tokens) == job.limit:
                    row.finish = "length"
                else:
                    going.append(b)
            for job in {id(job): job for job, _ in rows}.values():
                if all(row.finish for row in job.rows):
                    resolve(job.future, job.rows)
            if not going:
                return
            if self._worker.closed:
                raise closed()
            if state.spreads and len(going) < len(rows):
                state.select(going)
                rows = [rows[b] for b in going]
                tokens = [tokens[b] for b in going]
            logits_BV = state.step(torch.tensor(tokens, device=self.device)[:, None])

    def _read(self, prompts: Sequence[list[int]], origin: Sequence[int]) -> tuple[Batch, Tensor]:
        """Read the prompts; the state of one row per entry of `origin`, and the logits after its prompt (B, V)."""
        if not self._spreads:
            state = Batch(self.model, [prompts[p] for p in origin])
            return state, state.read()
        state = Batch(self.model, prompts)
        logits_PV = state.read()
        state.select(origin)
        return state, logits_PV[torch.tensor(origin, device=self.device)]

    # ── Scoring ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _score(self, jobs: Sequence[Scoring]) -> None:
        pairs = [(p, continuation) for p, job in enumerate(jobs) for continuation in job.continuations]
        scored = self._shared(jobs, pairs) if self._spreads else self._whole(jobs, pairs)
        for job in jobs:
            resolve(job.future, scored[: len(job.continuations)])
            scored = scored[len(job.continuations) :]

    def _shared(self, jobs: Sequence[Scoring], pairs: Sequence[tuple[int, list[int]]]) -> list[Scored]:
        """Each context read once: its last position gives the first tokens."""
        state = Batch(self.model, [job.ids for job in jobs])
        first_PV = state.read()
        origin_B = torch.tensor([p for p, _ in pairs], device=self.device)
        first_B = torch.tensor([continuation[0] for _, continuation in pairs], device=self.device)
        logprob_PV = torch.log_softmax(first_PV, -1)
        total = logprob_PV[origin_B, first_B].double().tolist()
        greedy = (first_PV.argmax(-1)[origin_B] == first_B).tolist()
        longer = [b for b, (_, continuation) in enumerate(pairs) if len(continuation) > 1]
        if longer:
            state.select([pairs[b][0] for b in longer])
            more = self._continued(state, [pairs[b][1] for b in longer])
            for b, (logprob, likeliest) in zip(longer, more, strict=True):
                total[b] += logprob
                greedy[b] = greedy[b] and likeliest
        return [Scored(logprob, likeliest) for logprob, likeliest in zip(total, greedy, strict=True)]

    def _continued(self, state: Batch, continuations: Sequence[list[int]]) -> Iterable[tuple[float, bool]]:
        """All tokens but the first of each continuation, one row each, flush left."""
        width = max(map(len, continuations)) - 1
        tokens_BT = torch.tensor([[*c[:-1], *[0] * (width + 1 - len(c))] for c in continuations], device=self.device)
        target_BT = torch.tensor(
            [[*c[1:], *[NO_TARGET] * (width + 1 - len(c))] for c in continuations], device=self.device
        )
        return judged(state.extend(tokens_BT, target_BT >= 0), target_BT)

    def _whole(self, jobs: Sequence[Scoring], pairs: Sequence[tuple[int, list[int]]]) -> list[Scored]:
        """Each context read again for each continuation, flush right, without a cache."""
        groups: dict[int, list[int]] = {}
        for b, (p, continuation) in enumerate(pairs):
            groups.setdefault(0 if self._pads else len(jobs[p].ids) + len(continuation), []).append(b)
        scored: dict[int, Scored] = {}
        for group in groups.values():
            if self._worker.closed:
                raise closed()
            rows = [(jobs[pairs[b][0]].ids, pairs[b][1]) for b in group]
            width = max(len(continuation) for _, continuation in rows)
            state = Batch(self.model, [[*ids, *continuation[:-1]] for ids, continuation in rows])
            target_BT = torch.tensor([[NO_TARGET] * (width - len(c)) + c for _, c in rows], device=self.device)
            scored |= {b: Scored(*one) for b, one in zip(group, judged(state.last(width), target_BT), strict=True)}
        return [scored[b] for b in range(len(pairs))]


@torch.inference_mode()
def _probe(model: Any) -> tuple[bool, bool]:
    """Whether rows of the model's cache can be dropped and repeated, and whether padding leaves its logits alone.

    Recurrent models fail at both: their state runs through whatever is masked.
    """
    few = [1, 0, 1]
    alone = Batch(model, [few])
    logits_V = alone.read()[0]
    padded_V = Batch(model, [few, few * 3]).read()[0]
    tolerance = (1e-4 if model.dtype == torch.float32 else 0.1) * max(1e-6, float(logits_V.std()))
    return alone.spreads, alone.spreads and bool((logits_V - padded_V).abs().max() < tolerance)


def _chosen(logits_BV: Tensor, rows: Sequence[Row]) -> tuple[list[int], list[float]]:
    """Next token of every row and its log-probability in the model's own distribution (0 where nobody asked)."""
    own_BV = logits_BV
    rules = [row.rule for row in rows]
    if any(rule.presence_penalty for rule in rules):
        logits_BV = logits_BV.clone()
        penalise(logits_BV, rules, [row.tokens for row in rows])
    noise = uniform(
        np.array([row.stream for row in rows], dtype=np.uint64),
        np.array([row.index for row in rows]),
        np.array([len(row.tokens) for row in rows]),
    )
    chosen_B = choose(logits_BV, rules, noise)
    tokens: list[int] = chosen_B.tolist()
    if not any(row.logprobs for row in rows):
        return tokens, [0.0] * len(rows)
    chosen_B1 = chosen_B.to(own_BV.device)[:, None]
    logprobs: list[float] = (own_BV.gather(1, chosen_B1)[:, 0] - own_BV.logsumexp(-1)).tolist()
    return tokens, logprobs


def _longest(jobs: Sequence[Job]) -> int:
    return max((job.longest for job in jobs if isinstance(job, Scoring)), default=0)


def _fail_all(jobs: Iterable[Job], error: Exception) -> None:
    for job in jobs:
        fail(job.future, error)
