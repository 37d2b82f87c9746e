"""`multiplication`: whole numbers of k × l digits, with the work written out or not; which step goes wrong first.

More digits mean more steps of the same few kinds, so this shows how errors pile up with depth (Dziri et al. 2023).
Without the work (`form=direct`) only the product counts; its first and last digit are looked at, which can be right
without the rest. Numbers come from a seed; examples (`--shots`) have the size of the question and never its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tandem.errors import UserError
from tandem.evaluate.long import steps, working
from tandem.evaluate.long.asking import Asked, Asking, Replies, Request, ask, seen
from tandem.evaluate.long.found import Found, by_group, share
from tandem.evaluate.long.inputs import Inputs
from tandem.evaluate.long.settings import OPTION, at_least, one_of
from tandem.evaluate.long.steps import Chain
from tandem.results import Curve, Example, Figure, Item, Series, Table
from tandem.text import count
from tandem.world.noise import Draws

VERSION = "1"
FORMS = ("steps", "direct")
STEPS = (
    "Multiply two numbers step by step. First write a line for each digit of the second number, from its last digit to "
    "its first: the first number times that digit with its zeros, as in 12 x 30 = 360. Then add the products one after "
    f"the other, a line for each sum, as in 60 + 360 = 420. End with a line that begins with {working.CUE} and holds "
    "the product."
)
DIRECT = "Multiply two numbers. Give the product, and nothing else."


@dataclass(frozen=True)
class Settings:
    """What `--set` may say."""

    sizes: tuple[str, ...] = field(default=("1x1", "2x1", "2x2", "3x2", "3x3"), metadata={"texts": True})
    """Digits of the first and of the second number."""
    items: int = 50
    """Questions of each size, as far as there are so many; `--limit` lowers it."""
    form: str = "steps"
    """steps: with the work written out; direct: the product alone."""
    seed: int = 0
    """Of the numbers."""
    answer_tokens: int = 400
    """Longest answer."""

    def __post_init__(self) -> None:
        at_least(1, items=self.items, answer_tokens=self.answer_tokens)
        at_least(0, seed=self.seed)
        one_of("form", self.form, FORMS)
        if not self.sizes or isinstance(wrong := working.sizes_of(self.sizes), str):
            given = wrong if self.sizes else ""
            raise UserError(f"has {given!r}", where=f"{OPTION} sizes", remedy="write digits as in 2x1,3x3")


@dataclass(frozen=True)
class Problem:
    """Two numbers."""

    size: str
    """Digits, as in `3x2`."""
    a: int
    """First number."""
    b: int
    """Second number."""
    examples: tuple[tuple[int, int], ...] = ()
    """Numbers of the examples in front."""

    @property
    def id(self) -> str:
        """`3x2 417x25`."""
        return f"{self.size} {self.a}x{self.b}"


def problems(settings: Settings, shots: int) -> list[Problem]:
    """Distinct problems of every size, fewer where there are not so many, all of a size with the same examples."""
    found: list[Problem] = []
    sizes = working.sizes_of(settings.sizes)
    assert not isinstance(sizes, str)
    for size in dict.fromkeys(sizes):
        name = f"{size[0]}x{size[1]}"
        draws = Draws(settings.seed, f"multiplication {name}")
        least = [10 ** (digits - 1) if digits > 1 else 2 for digits in size]
        number = [10**digits - low for digits, low in zip(size, least, strict=True)]
        there = number[0] * number[1]
        pairs: dict[tuple[int, int], None] = {}
        while len(pairs) < min(settings.items + shots, there):
            a, b = (low + draws.bits() % n for low, n in zip(least, number, strict=True))
            pairs[a, b] = None
        drawn = list(pairs)
        examples, asked = tuple(drawn[:shots]), drawn[shots:]
        found += [Problem(name, a, b, examples) for a, b in asked]
    return found


def body(problem: Problem, form: str) -> str:
    """Instruction, examples and question, without the cue."""
    shown = [
        f"Multiply {a} by {b}.\n{working.written(a, b) if form == 'steps' else f'{working.CUE} {a * b}'}"
        for a, b in problem.examples
    ]
    return "\n\n".join([STEPS if form == "steps" else DIRECT, *shown, f"Multiply {problem.a} by {problem.b}."])


class Multiplication:
    """The task as it was asked for."""

    name = "multiplication"
    version = VERSION

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        self.settings = replace(settings, items=inputs.first(settings.items))
        self.problems = problems(self.settings, inputs.shots)
        self.total = len(self.problems)
        self.facts: Mapping[str, Any] = asdict(self.settings) | {"sizes": list(settings.sizes), "shots": inputs.shots}

    async def measure(self, model: Asked, asking: Asking) -> Found:
        """Ask every problem, check every line."""
        direct = self.settings.form == "direct"
        how = asking.how(self.settings.answer_tokens, "\n\n")
        cue = working.CUE if direct else ""
        requests = [Request(p.id, asking.prompt(body(p, self.settings.form), cue), how) for p in self.problems]
        replies = await ask(requests, model, asking)
        there = [p for p in self.problems if p.id in replies.got]
        prompts = {request.id: seen(request.prompt) for request in requests}
        if direct:
            return _direct(there, replies, prompts)
        return _stepped(there, replies, prompts)


def _stepped(there: Sequence[Problem], replies: Replies, prompts: Mapping[str, str]) -> Found:
    chains = {p.id: working.check(p.a, p.b, replies.got[p.id].text, p.size) for p in there}
    rows = [_row(p, replies, working.answer_of(replies.got[p.id].text)) | chains[p.id].row() for p in there]
    sizes = list(dict.fromkeys(p.size for p in there))
    names = {size: working.names(int(size.split("x")[1])) for size in sizes}
    every: list[Chain] = list(chains.values())
    tables = [steps.first_errors(every, working.KINDS), steps.by_step(every, names), steps.verdicts(every)]
    return _found(rows, sizes, ("right", "chain_right"), tables, replies, prompts)


def _direct(there: Sequence[Problem], replies: Replies, prompts: Mapping[str, str]) -> Found:
    rows = []
    for p in there:
        answer = working.direct_answer(replies.got[p.id].text)
        first, last = working.same_end(answer, p.a * p.b)
        rows.append(_row(p, replies, answer) | {"first_digit_right": float(first), "last_digit_right": float(last)})
    sizes = list(dict.fromkeys(p.size for p in there))
    return _found(rows, sizes, ("right", "first_digit_right", "last_digit_right"), [], replies, prompts)


def _row(p: Problem, replies: Replies, answer: int | None) -> dict[str, Any]:
    reply = replies.got[p.id]
    return {
        "id": p.id,
        "group": p.size,
        "question": f"Multiply {p.a} by {p.b}.",
        "gold": p.a * p.b,
        "written": reply.text,
        "answer": answer,
        "outcome": reply.outcome,
        "unread": answer is None,
        "right": float(answer == p.a * p.b),
    }


_METRICS = {
    "right": "product right",
    "chain_right": "every step right",
    "first_digit_right": "first digit right",
    "last_digit_right": "last digit right",
}


def _found(
    rows: Sequence[Mapping[str, Any]],
    sizes: list[str],
    metrics: Sequence[str],
    tables: Sequence[Table],
    replies: Replies,
    prompts: Mapping[str, str],
) -> Found:
    of_size = {size: [row for row in rows if row["group"] == size] for size in sizes}

    def of(size: str, metric: str) -> Figure:
        return share(_METRICS[metric], [bool(row[metric]) for row in of_size[size]])

    table = Table(
        "Right by size",
        ("digits", *(_METRICS[metric] for metric in metrics), "unread", "n"),
        tuple(
            (
                size,
                *(of(size, metric) for metric in metrics),
                sum(row["unread"] for row in of_size[size]),
                len(of_size[size]),
            )
            for size in sizes
        ),
        note="Unread: no answer where one should stand; counts as wrong. 95 % Wilson intervals.",
    )
    digits = tuple(float(sum(map(int, size.split("x")))) for size in sizes)
    lines = tuple(Series(_METRICS[m], digits, tuple(100 * of(size, m).value for size in sizes)) for m in metrics)
    curve = Curve("multiplication: right over size", "digits of both numbers together", "right, %", lines)
    items: list[Item] = [table, *([curve] if len(sizes) > 1 else []), *tables, *_examples(rows, prompts)]
    lead = f"{count(len(rows))} products of {len(sizes)} sizes."
    named = {size: size for size in sizes}
    found = by_group(
        "multiplication",
        VERSION,
        named,
        metrics,
        of,
        items=items,
        rows=rows,
        lead=lead,
        replies=replies,
        unread="product",
    )
    return replace(found, headline=tuple(replace(one, name=f"multiplication {one.name}") for one in found.headline))


def _examples(rows: Sequence[Mapping[str, Any]], prompts: Mapping[str, str], n: int = 3) -> list[Example]:
    chosen = [row for row in rows if not row["right"]][:n] + [row for row in rows if row["right"]][:1]
    return [
        Example(row["id"], prompts[row["id"]], (("model", row["written"]),), str(row["gold"]), (bool(row["right"]),))
        for row in chosen
    ]
