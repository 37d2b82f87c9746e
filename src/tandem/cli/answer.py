"""`tandem answer QUESTION|FILE --method M --source S`: answer questions, from memory or by looking things up.

One question is answered on the terminal, with its citations; a file of questions becomes a run folder with one line of
JSON for each question (its trace in it), figures where answers are known, and a report. The same command goes on.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tandem.cli import query_models
from tandem.cli.asking import what_it_may_take, which_model

if TYPE_CHECKING:
    from tandem.lm.budget import Budget
    from tandem.lm.model import Model
    from tandem.store import Store
    from tandem.types import Question


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem answer`."""
    add = parser.add_argument
    add("question", metavar="QUESTION|FILE", help="a question, or a file of them (JSON Lines; docs/answer.md)")
    add("--method", default="verify-and-edit", metavar="NAME", help="how to answer; see below (verify-and-edit)")
    add("--source", action="append", default=[], metavar="ADDRESS", help="where to look things up; repeatable")
    add("--sources", type=Path, metavar="FILE", help="sources and fields of knowledge as TOML (docs/sources.md)")
    add("--encoder", metavar="MODEL", help="of --source passages:DIR that was indexed with one: search by meaning, too")
    add("--out", type=Path, metavar="DIR", help="run folder for a file of questions")
    add("--limit", type=int, metavar="N", help="the first N questions only")
    add("--explain", action="store_true", help="show samples, votes, gate, queries, findings and edits")
    which_model(parser)
    how = parser.add_argument_group("how questions are put")
    how.add_argument("--shots", type=int, default=6, metavar="N", help="worked examples in front (default: 6)")
    how.add_argument("--demonstrations", type=Path, metavar="FILE", help="worked examples of your own (docs/answer.md)")
    how.add_argument("--context", action="store_true", help="show a question's own passages with it")
    how.add_argument("--chat", action="store_true", help="ask in conversation although the model continues plain text")
    how.add_argument("--max-tokens", type=int, default=160, metavar="N", help="longest chain, in tokens (default: 160)")
    how.add_argument(
        "--answer-tokens", type=int, metavar="N", help="longest answer without a chain (40; a sentence 120)"
    )
    how.add_argument(
        "--step-tokens", type=int, metavar="N", help="longest check or correction (70), or turn of ReAct (100)"
    )
    how.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the sampling (default: 0)")
    method = parser.add_argument_group("the method")
    add = method.add_argument
    add("--samples", dest="n", type=int, default=5, metavar="N", help="chains that vote (default: 5)")
    add("--temperature", type=float, default=0.7, metavar="T", help="of the chains (default: 0.7)")
    gates = "look things up where this is below T: count, share, mass, verbal; always, never (default: count)"
    add("--gate", default="count", metavar="SCORE[:T]", help=gates)
    add("--top", type=int, default=3, metavar="K", help="findings kept for a step (default: 3)")
    add("--fetch", type=int, default=10, metavar="N", help="findings asked of each source (default: 10)")
    add(
        "--rank",
        dest="target",
        choices=["question", "sentence", "source"],
        default="question",
        help="findings by fit to",
    )
    add("--edit-style", choices=["replace", "correct"], default="replace", help="of verify-and-edit (docs/answer.md)")
    add("--at-once", action="store_true", help="chain-of-knowledge: correct all steps apart")
    add("--turns", type=int, metavar="N", help="react: most turns (default: 7, of claims 5)")
    query_models.arguments(method)
    add("--fit", type=int, metavar="K", help="calibrated: fit on the first K questions (default: 58 of 308)")
    money = parser.add_argument_group("what it may take, and where it is kept")
    money.add_argument("--concurrency", type=int, metavar="N", help="questions under way at once (default: 64)")
    what_it_may_take(money, "answers and look-ups", "OUT.answers.db")
    from tandem.reason.methods import NAMES

    width = max(map(len, NAMES))
    parser.epilog = "methods:\n" + "\n".join(f"  {name:{width}}  {what}" for name, what in NAMES.items())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(default=parser.get_default)


def run(options: argparse.Namespace) -> int:
    """Answer one question, or a file of them."""
    import asyncio

    from tandem.cli.asking import plain_warnings
    from tandem.errors import UserError
    from tandem.reason.methods import NAMES, WITH_SOURCES

    if options.method not in NAMES:
        raise UserError(
            f"no method is called {options.method!r}", where="--method", remedy=f"known: {', '.join(NAMES)}"
        )
    if options.method in WITH_SOURCES and not (options.source or options.sources):
        remedy = "name one: --source passages:DIR, --source dataset (docs/sources.md), or take --method cot-sc"
        raise UserError(f"{options.method} looks things up, and there is no source", where="--source", remedy=remedy)
    questions, several = _questions(options)
    options.keeps = several or bool(options.store)
    if several and options.out is None:
        raise UserError("no folder for the results", where="--out", remedy="name a new one, or the one to go on with")
    if several and options.explain:
        raise UserError("is for one question", where="--explain", remedy="a run's items hold every trace: tandem view")
    if not several and (options.out or options.method == "calibrated"):
        where = "--out" if options.out else "--method calibrated"
        raise UserError(
            "takes a file of questions, and this is one", where=where, remedy="name a file (docs/answer.md)"
        )
    if options.method not in WITH_SOURCES and (options.source or options.sources):
        print(f"note: {options.method} looks nothing up; the sources are not asked", file=sys.stderr)
    if ignored := _ignored(options):
        print(f"note: {options.method} has no use for {', '.join(ignored)}", file=sys.stderr)
    with plain_warnings(), ExitStack() as opened:
        return asyncio.run(_answer(options, questions, several, opened))


def _ignored(options: argparse.Namespace) -> list[str]:
    """Options that were given and that the method does not use."""
    from tandem.reason.methods import USED

    given = {
        "--samples": ("n", "samples"),
        "--temperature": ("temperature", "temperature"),
        "--gate": ("gate", "gate"),
        "--top": ("top", "top"),
        "--fetch": ("fetch", "fetch"),
        "--rank": ("target", "target"),
        "--edit-style": ("edit_style", "style"),
        "--at-once": ("at_once", "at_once"),
        "--turns": ("turns", "most_steps"),
        "--max-tokens": ("max_tokens", "max_tokens"),
        "--answer-tokens": ("answer_tokens", "answer_tokens"),
        "--query-model": ("query_model", "writer"),
    }
    changed = {
        name: setting for name, (dest, setting) in given.items() if getattr(options, dest) != options.default(dest)
    }
    found = [name for name, setting in changed.items() if options.method not in USED[setting]]
    if options.step_tokens and options.method not in USED["sentence_tokens"] | USED["turn_tokens"]:
        found.append("--step-tokens")
    if options.fit and options.method != "calibrated":
        found.append("--fit")
    return found


def _questions(options: argparse.Namespace) -> tuple[list[Question], bool]:
    """What is asked, and whether it is a file."""
    from tandem.errors import UserError
    from tandem.reason import question_file
    from tandem.types import Question

    given = options.question
    if _meant_as_file(given) or _is_file(given):
        if options.limit is not None and options.limit < 1:
            raise UserError(f"is {options.limit}", where="--limit", remedy="give at least 1")
        return question_file.read(Path(given))[: options.limit], True
    if not given.strip():
        raise UserError("is empty", where="QUESTION", remedy="give a question, or a file of them")
    return [Question("1", given.strip())], False


def _meant_as_file(given: str) -> bool:
    """Whether a name was given rather than a question: one word with an ending or a folder, or `-`."""
    import os
    import re

    name = given.strip()
    if name.endswith((".jsonl", ".jsonl.gz", ".json")) and os.sep in name:
        return True
    one_word = len(name.split()) == 1 and "?" not in name
    return one_word and (name == "-" or os.sep in name or re.search(r"\w\.[A-Za-z]\w{0,5}$", name) is not None)


def _is_file(given: str) -> bool:
    """Whether there is such a file or folder; a question may be too long for a name."""
    try:
        return Path(given).exists()
    except OSError:
        return False


async def _answer(options: argparse.Namespace, questions: list[Question], several: bool, opened: ExitStack) -> int:
    from dataclasses import replace

    from tandem.cli import answering
    from tandem.lm.budget import Budget
    from tandem.reason.methods import WITH_SOURCES, named
    from tandem.sources.opening import opened_first

    answering.settings(options)  # what is wrong with the options is told before anything is opened
    query_models.named(options)
    asking = answering.asking(options, questions)
    store = _store(options, opened)
    budget = Budget(options.budget_money, options.budget_tokens, options.budget_calls, options.budget_seconds)
    async with answering.opened(options, store) as sources, AsyncExitStack() as models:
        settings = answering.settings(options, sources.domains)
        if options.method in WITH_SOURCES:
            answering.check(questions, sources)
            answering.tell_unused(sources)
            await opened_first(sources)
        if writer := await query_models.writer(options, store, budget, models, sources):
            settings = replace(settings, writer=writer)
        method = named(options.method, asking, settings)
        async with _model(options, store, budget) as model:
            if several:
                from tandem.cli import answering_many

                return await answering_many.run(options, questions, method, model, sources)
            return await answering.one(options, questions[0], method, model, sources)


def _store(options: argparse.Namespace, opened: ExitStack) -> Store | None:
    """The file of recorded answers and look-ups; one question is recorded only where --store says so."""
    from tandem.runs import beside, check_place
    from tandem.store import Store

    if options.out:
        check_place(options.out)
    if options.model.startswith("replay:") or not (options.store or options.out):
        return None
    path = options.store or beside(options.out, ".answers.db")
    path.parent.mkdir(parents=True, exist_ok=True)
    return opened.enter_context(Store(path))


def _model(options: argparse.Namespace, store: Store | None, budget: Budget) -> Model:
    from tandem.lm import connect

    return connect(
        options.model,
        store=store,
        budget=budget,
        allow=options.allow,
        precision=options.precision,
        device=options.device,
        retry_failed=options.retry_failed,
    )
