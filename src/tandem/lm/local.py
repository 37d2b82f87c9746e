"""`local:DIR`: a model our own decoder reads, on the engine: LLaMA, Mistral, Qwen2, Qwen3 and SmolLM folders, and runs.

Text in, text out: laying out prompts, stop texts, tokens with byte spans, joint tokenisation of what is scored. What
this does not do: batch (the engine), or record (the model around it).
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from tandem import decoder, tokenizer
from tandem.decoder import adapters, weights
from tandem.decoder.engine import Engine
from tandem.decoder.jobs import Scoring, Writing, Written
from tandem.decoder.memory import keep_freed_memory
from tandem.decoder.sampling import Rule
from tandem.decoder.score import TOGETHER
from tandem.decoder.threads import apart
from tandem.errors import UserError
from tandem.lm.growing import Growing, speller
from tandem.lm.names import content_name
from tandem.lm.serving import Serving
from tandem.lm.wording import Wording, lead_of
from tandem.types import Completion, Count, Prompt, Sampling, Score, Usage

CONTEXT_FULL = "context-full"
"""Note on an answer that ended because the context did, not at its own limit."""
CUDA_SHARE = 0.5
"""Share of a card's free memory for keys and values."""


class Local:
    """A back end over the engine."""

    def __init__(
        self, engine: Engine, wording: Wording, *, name: str, ends: frozenset[int], turn: threading.Lock
    ) -> None:
        """Use `Local.load`."""
        self.name = name
        self.wording = wording
        self.abilities = wording.abilities
        self.engine = engine
        """The engine, for looking at what it shared."""
        self._base: decoder.Decoder | None = None  # held, so that other adapters of the same folder find it
        self._ends = ends
        self._serving = Serving(engine, turn)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        adapter: str | Path | None = None,
        precision: str = "auto",
        device: str | None = None,
        memory: int | None = None,
        template: str | None = None,
    ) -> Local:
        """The model of a Hugging Face folder, with a LoRA adapter put on it if one is named.

        `precision`: fp32; bf16; auto takes bf16 where the processor or card computes in it. In bf16 a greedy answer may
        depend, at near ties, on what else is in the batch; fp32 is for checking. Models of one folder share their
        weights, whatever adapters they wear. `memory`: bytes for keys and values (2 GiB; on a card half of what is
        free). `template`: a chat template in place of the tokenizer's own. Raises UserError naming file, key or tensor
        where something does not fit.
        """
        keep_freed_memory()  # before the first thread: later it could no longer say how many heaps there are
        return apart(lambda: cls._load(Path(folder), adapter, precision, device, memory, template))

    @classmethod
    def _load(
        cls,
        folder: Path,
        adapter: str | Path | None,
        precision: str,
        device: str | None,
        memory: int | None,
        template: str | None,
    ) -> Local:
        where = _device(device)
        dtype = _dtype(precision, where)
        wording_of = tokenizer.load(folder)
        wording_of.chat_template = template or wording_of.chat_template
        how = str(dtype) if template is None else f"{dtype} {template}"
        name = content_name("local", [folder] if adapter is None else [folder, Path(adapter)], how)
        base, turn = _base(folder, dtype, where)
        model = base
        if adapter is not None:
            model = adapters.twin(base)
            adapters.load(model, adapter)
        if memory is None and where.type == "cuda":
            memory = int(torch.cuda.mem_get_info(where)[0] * CUDA_SHARE)
        engine = Engine(model.eval()) if memory is None else Engine(model.eval(), memory=memory)
        wording = Wording(wording_of, context=engine.context, lead=lead_of(wording_of))
        ends = weights.stop_ids(folder) | ({wording_of.end} if "eos" in wording_of.marks else set())
        made = cls(engine, wording, name=name, ends=frozenset(ends), turn=turn)
        made._base = base
        return made

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        """One completion per sample index, batched with whatever else is asked.

        Raises UserError when the prompt leaves no room in the context (both lengths are told).
        """
        job, read = self.job(prompt, sampling, samples)
        return tuple(read(written) for written in await self._serving.write(job))

    def job(
        self, prompt: Prompt, sampling: Sampling, samples: range
    ) -> tuple[Writing, Callable[[Written], Completion]]:
        """What the engine is to be asked for, and how what it writes is read. Raises UserError as `generate`."""
        ids = self.wording.fitting(prompt)
        temperature = 1.0 if sampling.temperature is None else sampling.temperature
        limit = min(sampling.max_tokens, self.wording.context - len(ids))
        tokenizer = self.wording.tokenizer
        growing = {
            sample: Growing(speller(tokenizer, ids), stop=sampling.stop, logprobs=sampling.logprobs)
            for sample in samples
        }
        job = Writing(
            ids,
            limit,
            lambda written: None,
            samples=tuple(samples),
            rule=Rule(temperature, sampling.top_p, sampling.presence_penalty),
            seed=sampling.seed,
            stop_ids=frozenset() if sampling.ignore_end else self._ends,
            logprobs=sampling.logprobs,
            watch=lambda sample, token, logprob: growing[sample].add(token, logprob),
        )
        notes = self.wording.notes(prompt)

        def read(written: Written) -> Completion:
            full = written.finish == "length" and limit < sampling.max_tokens
            return growing[written.sample].completion(
                written.finish,
                usage=Usage(len(ids), len(written.tokens), cached_tokens=written.cached),
                served_model=self.name,
                notes=(*notes, CONTEXT_FULL) if full else notes,
            )

        return job, read

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        """Log-probability of each continuation; the context is read once for all of them.

        Raises UserError when a pair does not fit into the context, or a continuation is empty.
        """
        pairs = [self.wording.pair(context, one, cut_left=cut_left) for one in continuations]
        if not pairs:
            return ()
        sequences = [([*before, *after], len(before)) for before, after in pairs]
        jobs = []
        for at in range(0, len(pairs), TOGETHER):
            some = sequences[at : at + TOGETHER]
            jobs.append(Scoring([s for s, _ in some], [start for _, start in some], lambda result: None))
        parts = await asyncio.gather(*(self._serving.score(job) for job in jobs))
        scored = [one for part in parts for one in part]
        return tuple(Score(one.logprob, len(after), one.greedy) for one, (_, after) in zip(scored, pairs, strict=True))

    def count(self, prompt: Prompt) -> Count:
        """Tokens of a prompt, by the model's own tokenizer."""
        return Count(len(self.wording.ids(prompt)), exact=True)

    async def close(self) -> None:
        """End the engine's thread; the weights go when nothing holds them."""
        await self._serving.close()


# ── loading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_bases: weakref.WeakValueDictionary[tuple[str, str, str], decoder.Decoder] = weakref.WeakValueDictionary()
_turns: weakref.WeakKeyDictionary[decoder.Decoder, threading.Lock] = weakref.WeakKeyDictionary()
_loading = threading.Lock()


def _unlock() -> None:
    """After a fork: threads of the parent will never give back what they held."""
    global _loading
    _loading = threading.Lock()
    _turns.clear()


os.register_at_fork(after_in_child=_unlock)


def _base(folder: Path, dtype: torch.dtype, device: torch.device) -> tuple[decoder.Decoder, threading.Lock]:
    """The base weights, loaded once while anybody holds them, and the lock under which they are used."""
    key = (content_name("base", [folder], str(dtype)), str(dtype), str(device))
    with _loading:
        model = _bases.get(key)
        if model is None:
            model = _bases[key] = decoder.load(folder, dtype, device).requires_grad_(False)
            model.pack()
        return model, _turns.setdefault(model, threading.Lock())


def _device(name: str | None) -> torch.device:
    """The device of that name, or the best there is."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ImportError) as e:
        reason = str(e).splitlines()[0]
        raise UserError(f"no such device here ({reason})", where=f"device {name}", remedy="try cpu") from None
    return device


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision not in ("auto", "fp32", "bf16"):
        raise UserError(f"is {precision!r}", where="precision", remedy="one of auto, fp32, bf16")
    if precision == "auto":
        precision = "bf16" if _computes_bf16(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _computes_bf16(device: torch.device) -> bool:
    """Whether products in bfloat16 have instructions of their own here; elsewhere they are slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu":
        return False
    return any(
        bool(getattr(torch.cpu, name, lambda: False)())
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
