"""`tandem generate prompts.jsonl --out FILE`: many prompts to any model, recorded; the same command goes on.

Prompts are checked before anything is sent. Answers go into a store as they come, so what is answered is never asked
again; the output is written at the end, whole, in the order of the prompts.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tandem.cli.asking import how_to_sample, sampling_of, what_it_may_take, which_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tandem.lm.answer_file import Standing
    from tandem.lm.model import Model
    from tandem.lm.prompt_file import Line
    from tandem.store import Store
    from tandem.types import Prompt, Sampling


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem generate`."""
    add = parser.add_argument
    add("prompts", type=Path, help='JSONL: {"prompt": "…"} or {"messages": […]} a line; id, prefill; .gz too')
    add("--out", type=Path, metavar="FILE", help="where the answers go (default: beside the prompts, .answers.jsonl)")
    which_model(parser)
    add("--system", default="", metavar="TEXT", help="a system message in front of every prompt without one")
    add("--text", action="store_true", help="continue each prompt as plain text, without a conversation")
    add("--n", type=int, default=1, metavar="N", help="answers per prompt (default: 1)")
    how_to_sample(parser, temperature=0.0)
    what_it_may_take(parser, "answers", "beside --out")
    add("--concurrency", type=int, metavar="N", help="prompts under way at once (default: 512)")
    add(
        "--dry-run",
        action="store_true",
        help="say how many calls, tokens and how much money it would take; send nothing",
    )
    add("--price-file", type=Path, metavar="FILE", help="prices per million tokens, by model (docs/generate.md)")


def run(options: argparse.Namespace) -> int:
    """Check the prompts, ask, write the output, say what became of everything."""
    if options.out is None:
        options.out = Path(options.prompts.name.removesuffix(".gz")).with_suffix(".answers.jsonl")
        options.out = options.prompts.with_name(options.out.name)
    import asyncio

    from tandem.cli.asking import plain_warnings

    sampling = sampling_of(options)
    _check(options)
    if options.n > 1 and sampling.temperature == 0:
        print("at temperature 0 all answers to a prompt are the same; try --temperature 0.8", file=sys.stderr)
    with plain_warnings(), ExitStack() as opened:
        total = sum(1 for _ in _lines(options))
        model = _model(options, opened)
        if options.dry_run:
            _tell_estimate(options, model, sampling, total)
            return 0
        return asyncio.run(_generate(options, model, sampling, total))


def _check(options: argparse.Namespace) -> None:
    from tandem.errors import UserError

    if options.concurrency is not None and options.concurrency < 1:
        raise UserError(f"is {options.concurrency}", where="--concurrency", remedy="give at least 1")
    if options.prompts.exists() and not options.prompts.is_file():
        remedy = "name a file: it is read once to check it, and once to ask"
        raise UserError("is not a regular file", where=str(options.prompts), remedy=remedy)
    if options.out.exists() and not options.out.is_file():
        kind = "a folder" if options.out.is_dir() else "not a regular file, and would be replaced"
        raise UserError(f"is {kind}", where=f"--out {options.out}", remedy="name a file")
    if options.out.exists() and options.prompts.exists() and options.out.samefile(options.prompts):
        raise UserError("is the file of prompts", where=f"--out {options.out}", remedy="name another file")


def _lines(options: argparse.Namespace) -> Iterator[Line]:
    from tandem.lm.prompt_file import read

    return read(options.prompts, system=options.system, plain=options.text)


def _model(options: argparse.Namespace, opened: ExitStack) -> Model:
    """The model with its store, budget and prices; closed when `opened` is."""
    from tandem.lm import connect, prices
    from tandem.lm.budget import Budget

    budget = Budget(options.budget_money, options.budget_tokens, options.budget_calls, options.budget_seconds)
    priced = prices.read(options.price_file) if options.price_file else None
    store = _store(options)
    if store is not None:
        opened.callback(store.close)
    return connect(
        options.model,
        store=store,
        budget=None if options.dry_run else budget,
        allow=options.allow,
        precision=options.precision,
        device=options.device,
        retry_failed=options.retry_failed,
        prices=priced,
        dry=options.dry_run,
    )


def _store(options: argparse.Namespace) -> Store | None:
    """The file of recorded answers; a dry run makes none, and a replay has its own."""
    from tandem.runs import beside
    from tandem.store import Store

    path = options.store or beside(options.out, ".answers.db")
    if options.model.startswith("replay:") or (options.dry_run and not path.exists()):
        return None
    return Store(path, read_only=options.dry_run)


# ── Before anything is sent ─────────────────────────────────────────────────────────────────────────────────────────


def _questions(
    options: argparse.Namespace, model: Model, sampling: Sampling
) -> Iterator[tuple[Prompt, Sampling, range]]:
    """Every prompt; one that the model cannot be asked is named with file and line."""
    from tandem.errors import UserError

    for line in _lines(options):
        try:
            model.check(line.prompt, sampling, range(options.n))
        except UserError as e:
            where = f"{options.prompts}:{line.number}"
            raise type(e)(e.problem, where=f"{where}: {e.where}" if e.where else where, remedy=e.remedy) from None
        yield line.prompt, sampling, range(options.n)


def _tell_estimate(options: argparse.Namespace, model: Model, sampling: Sampling, total: int) -> None:
    from tandem.text import count

    estimate = model.estimate(_questions(options, model, sampling))
    about = "" if estimate.exact else "about "
    print(f"{options.prompts}: {count(total)} prompts, {count(estimate.samples)} different answers")
    print(f"  recorded already   {count(estimate.recorded)}")
    print(f"  calls              {count(estimate.calls)}")
    print(f"  tokens to read     {about}{count(estimate.tokens_read)}")
    print(f"  tokens to write    at most {count(estimate.tokens_written)}")
    unknown = "unknown: give --price-file, or prices in models.toml"
    print(f"  money              {unknown if estimate.money is None else f'at most {estimate.money:.4g}'}")
    print("Nothing was sent.")


# ── Asking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _generate(options: argparse.Namespace, model: Model, sampling: Sampling, total: int) -> int:
    import asyncio

    from tandem.cli.counting import counting
    from tandem.lm.answer_file import CONCURRENT, Standing, answer_all

    async with model:
        for _ in _questions(options, model, sampling):  # one pass, so that a bad line is known before anything is sent
            pass
        standing = Standing()
        with counting(model, standing, total) as show:
            watch = asyncio.create_task(show())
            try:
                concurrent = min(total, options.concurrency or CONCURRENT)
                await answer_all(
                    model, _lines(options), sampling, options.n, options.out, standing=standing, concurrent=concurrent
                )
            finally:
                watch.cancel()
    return _tell(options, model, standing, total)


def _tell(options: argparse.Namespace, model: Model, standing: Standing, total: int) -> int:
    """What became of everything; status 1 when something is missing."""
    from tandem.cli.asking import cost_of
    from tandem.text import count

    named = ("re-used", "truncated", "refusal", "filter")
    outcomes = [f"{count(n)} {name}" for name in named if (n := model.tally[name])]
    used = model.usage
    print(f"{options.out}: {count(standing.done - standing.failures)} of {count(total)} prompts answered")
    cached = f" ({count(used.cached_tokens)} from a cache)" if used.cached_tokens else ""
    parts = [*outcomes, f"{count(used.prompt_tokens)} tokens read{cached}", f"{count(used.completion_tokens)} written"]
    print("  " + " · ".join([*parts, *([cost] if (cost := cost_of(model)) else [])]))
    told = {*named, "answered", "joined", "failed", "budget-spent", "short", "surplus", "call-failed"}
    for name, n in sorted(model.tally.items()):
        if name not in told and not name.startswith(("failed:", "scores")):
            print(f"  note: {name} ({count(n)} answers)", file=sys.stderr)
    for line, kind, message in standing.failed[:10]:
        print(f"  line {line.number} (id {line.id}): {kind}: {message}", file=sys.stderr)
    if standing.failures > 10:
        print(f"  and {count(standing.failures - 10)} more, under `error` in {options.out}", file=sys.stderr)
    if standing.failures:
        print(f"{count(standing.failures)} failed; --retry-failed asks again what is missing", file=sys.stderr)
    if standing.spent is not None:
        print(f"tandem generate: {standing.spent}", file=sys.stderr)
        print(f"  {count(standing.not_asked)} prompts were not asked, or not for all answers", file=sys.stderr)
    return 1 if standing.failures or standing.spent else 0
