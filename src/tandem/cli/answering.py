"""What `tandem answer` makes of its options: sources, settings of the method, how questions are put; and one answer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tandem.errors import UserError
from tandem.reason import demonstrations, kinds
from tandem.reason.agreement import Gate
from tandem.reason.chain_of_knowledge import Domain
from tandem.reason.chains import Asking
from tandem.reason.editing import CONFIRMED
from tandem.reason.methods import EDITING, Settings
from tandem.reason.running import ANSWERED
from tandem.reason.running import one as answer_one
from tandem.sources import addresses
from tandem.sources.recorded import Recorder, behind
from tandem.sources.registry import Registry
from tandem.text import count

if TYPE_CHECKING:
    from tandem.lm.budget import Cost
    from tandem.lm.model import Model
    from tandem.store import Store
    from tandem.types import Answer, Method, Question, Source


class Sources(Sequence["Source"]):
    """The sources of a command, closed together; and the fields of knowledge of its sources.toml."""

    def __init__(self, own: Sequence[Source], registry: Registry | None) -> None:
        self.domains: Mapping[str, Domain] = {}
        named: tuple[Source, ...] = ()
        if registry is not None:
            named = registry.all()
            self.domains = {
                name: Domain(domain.about, tuple(source.name for source in registry.serving(name)))
                for name, domain in registry.domains.items()
            }
        self._all = [*own, *named]
        names = [source.name for source in self._all]
        if twice := next((name for name in names if names.count(name) > 1), None):
            remedy = "name each once, or give them names of their own in a sources.toml (docs/sources.md)"
            raise UserError(f"two sources are called {twice!r}", where="--source", remedy=remedy)
        self._registry, self._own = registry, own

    def __getitem__(self, place: Any) -> Any:
        return self._all[place]

    def __len__(self) -> int:
        return len(self._all)

    async def __aenter__(self) -> Sources:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None
    ) -> None:
        await addresses.close(self._own)
        if self._registry is not None:
            await self._registry.close()


def opened(options: argparse.Namespace, store: Store | None) -> Sources:
    """The sources that were named; their look-ups are recorded beside the model's answers."""
    recorder = Recorder(store, retry_failed=options.retry_failed)
    if options.encoder and not any(map(_is_index, options.source)):
        remedy = 'in a sources.toml write encoder = "…" with the source (docs/sources.md)'
        raise UserError("is for --source passages:DIR", where="--encoder", remedy=remedy)
    registry = Registry.read(options.sources, recorder=recorder) if options.sources else None
    own = [addresses.open(a, recorder=recorder, settings=_encoder(options, a)) for a in options.source]
    return Sources(own, registry)


def _is_index(address: str) -> bool:
    return address.strip().startswith("passages:")


def _encoder(options: argparse.Namespace, address: str) -> dict[str, str]:
    return {"encoder": options.encoder} if options.encoder and _is_index(address) else {}


def tell_unused(sources: Sequence[Source]) -> None:
    """Say of an index that its vectors are not used."""
    for source in sources:
        if getattr(behind(source), "unused", False):
            way = '--encoder MODEL, or in a sources.toml encoder = "…" (or by = "words"), says what is wanted'
            print(f"note: {source.name} holds vectors and is searched by words only; {way}", file=sys.stderr)


def check(questions: Sequence[Question], sources: Sequence[Source]) -> None:
    """Raise UserError, naming them, where questions come without the passages that a source would need of them."""
    bare = [question for question in questions if not question.context]
    for source in sources:
        lacking = []
        for question in bare:
            try:
                source.about(question)
            except UserError as e:
                lacking.append((question.id, e))
        if lacking:
            shown = ", ".join(id for id, _ in lacking[:10]) + (" …" if len(lacking) > 10 else "")
            problem = f"{len(lacking)} of {len(questions)} questions: {lacking[0][1].problem} ({shown})"
            raise UserError(problem, where=source.name, remedy=lacking[0][1].remedy)


def settings(options: argparse.Namespace, domains: Mapping[str, Domain] | None = None) -> Settings:
    """The method's settings. Raises UserError, naming the option."""
    for option, value, least in (
        ("--samples", options.n, 1),
        ("--temperature", options.temperature, 0),
        ("--top", options.top, 1),
        ("--fetch", options.fetch, 1),
        ("--turns", options.turns, 1),
        ("--max-tokens", options.max_tokens, 1),
        ("--answer-tokens", options.answer_tokens, 1),
        ("--step-tokens", options.step_tokens, 1),
        ("--shots", options.shots, 0),
        ("--fit", options.fit, 1),
        ("--concurrency", options.concurrency, 1),
    ):
        if value is not None and not value >= least:
            raise UserError(f"is {value:g}", where=option, remedy=f"give at least {least}")
    if options.temperature == 0 and options.n > 1 and options.method not in ("standard", "cot", "react"):
        remedy = "give a temperature above 0, or --samples 1"
        raise UserError(f"is 0: {options.n} chains would be one and the same", where="--temperature", remedy=remedy)
    longest = options.step_tokens
    return Settings(
        samples=options.n,
        temperature=options.temperature,
        gate=gate(options),
        top=options.top,
        fetch=max(options.fetch, options.top),
        target=options.target,
        domains=domains or {},
        at_once=options.at_once,
        style=options.edit_style,
        most_steps=options.turns,
        **({"sentence_tokens": longest, "turn_tokens": longest} if longest else {}),
    )


def gate(options: argparse.Namespace) -> Gate:
    """When to look things up."""
    name, colon, threshold = options.gate.partition(":")
    try:
        made = Gate(name, float(threshold) if colon else None)
        made.limit(options.n)
    except ValueError as e:
        problem, remedy = (e.problem, e.remedy) if isinstance(e, UserError) else ("is no number", "write count:3")
        raise UserError(problem, where=f"--gate {options.gate}", remedy=remedy) from None
    return made


def asking(options: argparse.Namespace, questions: Sequence[Question]) -> dict[kinds.Name, Asking]:
    """How questions of each kind are put."""
    found: dict[kinds.Name, Asking] = {}
    own = demonstrations.read(options.demonstrations) if options.demonstrations else None
    for kind in dict.fromkeys(kinds.of(question).name for question in questions):
        if own is None:
            shown = demonstrations.shipped(kind, options.shots)
        else:
            shown = tuple(each for each in own if kinds.of(each.question).name == kind)[: options.shots]
            if not shown and options.shots:
                remedy = "add some, or give --shots 0"
                raise UserError(
                    f"has no demonstration of the kind {kind}", where=str(options.demonstrations), remedy=remedy
                )
        found[kind] = Asking(
            shown,
            context=options.context,
            chat=options.chat,
            max_tokens=options.max_tokens,
            answer_tokens=options.answer_tokens or Asking.answer_tokens,
            seed=options.seed,
        )
    return found


def taken(cost: Cost) -> str:
    """What was charged, in words; money where any was."""
    words = f"{count(cost.calls)} call{'s' * (cost.calls != 1)} · {count(cost.tokens)} tokens"
    return words + (f" · cost {cost.money:.4g}" if cost.money else "")


def more_room(options: argparse.Namespace) -> str:
    """The options that give a chain and its answer more tokens."""
    return "--answer-tokens" if options.method == "standard" else "--max-tokens or --answer-tokens"


def cut_steps(answer: Answer) -> int:
    """Corrections that reached the most tokens and so are none."""
    return sum(edit["outcome"] == "cut" for edit in answer.facts.get("edits", ()))


# ── One question ────────────────────────────────────────────────────────────────────────────────────────────────────


async def one(
    options: argparse.Namespace, question: Question, method: Method, model: Model, sources: Sequence[Source]
) -> int:
    """Answer one question on the terminal."""
    from tandem.cli import explaining

    record = await answer_one(question, method, model, sources, name=options.method)
    answer = record.answer
    if options.explain:
        explaining.show(explaining.explained(record.trace))
        print()
    explaining.answered(record)
    for what, n in record.source_outcomes.items():
        if what not in ANSWERED:
            print(f"note: a source did not answer: {what} ({n} of {record.source_outcomes.total()})", file=sys.stderr)
    if (kept := answer.facts.get("kept")) == CONFIRMED:
        print("note: every step was confirmed; the answer stays", file=sys.stderr)
    elif kept:
        print(f"note: the answer from before looking things up stays: {kept}", file=sys.stderr)
    if options.method in EDITING and answer.text and "edits" not in answer.facts:
        agree = f"{answer.facts['count']} of {answer.facts['n']} chains agree"
        print(f"note: nothing was looked up: {agree} (--gate always checks every answer)", file=sys.stderr)
    if n := cut_steps(answer):
        print(
            f"note: {n} correction{'s were' if n > 1 else ' was'} cut; --step-tokens gives more room", file=sys.stderr
        )
    if sys.stderr.isatty() and model.budget:
        print(f"· {taken(model.budget.spent)}", file=sys.stderr)
    if answer.text:
        return 0
    unread = "the model's text holds no answer that could be read"
    if answer.outcome == "no-answer" and "turns" in answer.facts:
        unread = f"the model did not finish in {answer.facts['turns']} turns (--turns)"
    elif answer.outcome == "abstained":
        unread = "the model says that it does not know"
    elif answer.outcome == "truncated":
        unread = f"the model's text was cut before its answer was whole; {more_room(options)} gives more room"
    problem = answer.facts.get("error", unread)
    print(f"no answer ({answer.outcome}): {problem}", file=sys.stderr)
    if remedy := answer.facts.get("remedy"):
        print(f"  → {remedy}", file=sys.stderr)
    return 1
