"""`hops`: questions about a made-up world by the number of facts that lead to the answer, with the steps or without.

The facts stand in the prompt among others (`facts=shown`), or not at all, for a model that was trained on the world
(`facts=hidden`). Written out, every step is a sentence that gives one fact; it is right when it is the fact that comes
next, and follows when it is true of what the step before ended with. So an error is told from what it leads to. What is
measured is labelled a mechanism, as everything on a made-up world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tandem.errors import UserError
from tandem.evaluate.answers import after, first_line
from tandem.evaluate.long import facts, steps
from tandem.evaluate.long.asking import Asked, Asking, Replies, Request, ask, seen
from tandem.evaluate.long.documents import holds
from tandem.evaluate.long.facts import CUE, Reader
from tandem.evaluate.long.found import Found, by_group, share
from tandem.evaluate.long.inputs import Inputs
from tandem.evaluate.long.settings import OPTION, at_least, one_of
from tandem.evaluate.long.steps import Chain
from tandem.metrics.normalise import answer_form
from tandem.results import Curve, Example, Figure, Item, Series, Table
from tandem.text import count
from tandem.types import Question
from tandem.world import MECHANISM, World, questions

VERSION = "1"
FORMS = ("steps", "direct")
STEPS = (
    "Answer the question. First write the facts that lead to the answer, one sentence a line, each about what the one "
    f"before ended with. End with a line that begins with {CUE} and holds the answer and nothing else."
)
DIRECT = "Answer the question with a name, a year or a word, and nothing else."


@dataclass(frozen=True)
class Settings:
    """What `--set` may say."""

    hops: tuple[int, ...] = (1, 2, 3, 4)
    """Facts that lead to an answer."""
    items: int = 50
    """Questions of each number of hops; `--limit` lowers it."""
    form: str = "steps"
    """steps: with the facts written out; direct: the answer alone."""
    show: str = "facts"
    """facts: those that lead to the answer, among others; nothing: for a model that was trained on the world."""
    facts: int = 4_000
    """Size of the world."""
    seed: int = 0
    """Of the world."""
    answer_tokens: int = 200
    """Longest answer."""

    def __post_init__(self) -> None:
        at_least(1, items=self.items, answer_tokens=self.answer_tokens)
        one_of("form", self.form, FORMS)
        one_of("show", self.show, ("facts", "nothing"))
        if not self.hops:
            raise UserError("names none", where=f"{OPTION} hops", remedy="write numbers as in 1,2,3")


class Hops:
    """The task as it was asked for."""

    name = "hops"
    version = VERSION

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        self.settings = replace(settings, items=inputs.first(settings.items))
        self.world = World.make(settings.seed, settings.facts)
        hops = list(dict.fromkeys(settings.hops))
        self.questions = questions(self.world, hops, self.settings.items * len(hops), settings.seed)
        # Examples come from another draw; one whose question is asked is passed over.
        texts = {question.text for question in self.questions}
        spare = questions(self.world, hops, len(hops) * (inputs.shots + 8), settings.seed + 1) if inputs.shots else []
        turns = [[q for q in spare if q.meta["hops"] == n and q.text not in texts] for n in hops]
        in_turn = [n % len(hops) for n in range(inputs.shots)]
        self.examples = [turns[turn].pop(0) for turn in in_turn if turns[turn]]
        if len(self.examples) < inputs.shots:
            remedy = f"make the world larger: {OPTION} facts={4 * settings.facts}"
            raise UserError("the world has too few other questions for examples", where="--shots", remedy=remedy)
        self.total = len(self.questions)
        self.wanted = self.settings.items * len(hops)
        self.facts: Mapping[str, Any] = asdict(self.settings) | {
            "hops": hops,
            "shots": inputs.shots,
            "from": f"world ({MECHANISM})",
        }

    async def measure(self, model: Asked, asking: Asking) -> Found:
        """Ask every question, check every step."""
        direct = self.settings.form == "direct"
        how = asking.how(self.settings.answer_tokens, "\n\n")
        body = self.body
        requests = [
            Request(q.id, asking.prompt(body(q), CUE if direct else "Facts in order:"), how) for q in self.questions
        ]
        replies = await ask(requests, model, asking)
        there = [q for q in self.questions if q.id in replies.got]
        reader = Reader(self.world)
        read = first_line if direct else after(CUE)
        rows = [_row(q, replies, read(replies.got[q.id].text), self.settings.show == "facts") for q in there]
        chains: list[Chain] = []
        if not direct:
            chains = [reader.check(q, replies.got[q.id].text) for q in there]
            rows = [row | chain.row() for row, chain in zip(rows, chains, strict=True)]
        found = _found(rows, chains, replies, {request.id: seen(request.prompt) for request in requests})
        few = f"the world has {count(self.total)} such questions, {count(self.wanted)} were asked for"
        return replace(found, notes=(*((few,) if self.total < self.wanted else ()), *found.notes))

    def body(self, question: Question) -> str:
        """Instruction, examples, facts and question, without the cue."""
        direct = self.settings.form == "direct"
        parts = [DIRECT if direct else STEPS]
        for example in self.examples:
            end = f"{CUE} {example.answers[0]}" if direct else f"Facts in order:\n{facts.written(example)}"
            parts.append(f"{self._asked(example)}\n{end}")
        return "\n\n".join([*parts, self._asked(question)])

    def _asked(self, question: Question) -> str:
        shown = "Facts:\n" + "\n".join(question.context) + "\n" if self.settings.show == "facts" else ""
        return f"{shown}Question: {question.text}"


def _row(q: Question, replies: Replies, answer: str | None, shown: bool) -> dict[str, Any]:
    reply = replies.got[q.id]
    right = answer is not None and answer_form(answer) in {answer_form(each) for each in q.answers}
    return {
        "id": q.id,
        "group": str(q.meta["hops"]),
        "question": q.text,
        "gold": list(q.answers),
        "written": reply.text,
        "answer": answer or "",
        "outcome": reply.outcome,
        "unread": answer is None,
        "right": float(right),
        "holds": float(holds(answer or "", q.answers)),
        "chance": 1 / len(q.context) if shown else None,
    }


_METRICS = {"right": "answer right", "holds": "answer holds it", "chain_right": "every step right"}


def _found(
    rows: Sequence[Mapping[str, Any]], chains: Sequence[Chain], replies: Replies, prompts: Mapping[str, str]
) -> Found:
    depths = list(dict.fromkeys(row["group"] for row in rows))
    of_depth = {depth: [row for row in rows if row["group"] == depth] for depth in depths}
    metrics = ["right", "holds", *(["chain_right"] if chains else [])]

    def of(depth: str, metric: str) -> Figure:
        here = of_depth[depth]
        known = metric == "right" and all(row["chance"] is not None for row in here)
        chance = sum(row["chance"] for row in here) / len(here) if known else None
        return share(_METRICS[metric], [bool(row[metric]) for row in here], chance)

    table = Table(
        "Right by number of hops",
        ("hops", *(_METRICS[metric] for metric in metrics), "unread", "n"),
        tuple(
            (
                depth,
                *(of(depth, metric) for metric in metrics),
                sum(row["unread"] for row in of_depth[depth]),
                len(of_depth[depth]),
            )
            for depth in depths
        ),
        note="Right: equals an accepted answer after normalising; holds: contains one. Chance: what the end of a fact "
        "shown gives, taken at random. Unread: no answer where one should stand. 95 % Wilson intervals.",
    )
    x = tuple(float(depth) for depth in depths)
    lines = tuple(Series(_METRICS[m], x, tuple(100 * of(depth, m).value for depth in depths)) for m in metrics)
    items: list[Item] = [table]
    if len(depths) > 1:
        items.append(Curve("hops: right over depth", "facts that lead to the answer", "right, %", lines))
    if chains:
        names = {depth: [*(f"fact {n}" for n in range(1, int(depth) + 1)), "answer"] for depth in depths}
        items += [
            steps.first_errors(chains, facts.KINDS),
            steps.by_step(chains, names),
            steps.verdicts(chains),
        ]
    chosen = [row for row in rows if not row["right"]][:3] + [row for row in rows if row["right"]][:1]
    items += [
        Example(row["id"], prompts[row["id"]], (("model", row["written"]),), row["gold"][0], (bool(row["right"]),))
        for row in chosen
    ]
    named = {depth: f"{depth} hop{'' if depth == '1' else 's'}" for depth in depths}
    lead = f"{count(len(rows))} questions about a made-up world ({MECHANISM})."
    return by_group(
        "hops", VERSION, named, metrics, of, items=items, rows=rows, lead=lead, replies=replies, unread="answer"
    )
