"""Multiple choice by log-probability: which choice does the model find most likely after the context?

The rules of lm-evaluation-harness, whose numbers people compare: context and choice are encoded together and split at
the number of tokens of the context alone; white space at the end of the context belongs to the choice.

    acc         largest summed log-probability
    acc_norm    largest log-probability per character of the choice, the delimiter not counted
    acc_bytes   the same per UTF-8 byte

Ties go to the first choice. What this does not do: write prompts; the context is the whole text before the delimiter.
Encoding the choice alone was rejected: where a token spans the border, its ids differ from what training has seen.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tandem.errors import UserError
from tandem.evaluate.perplexity import figure
from tandem.results import Cell, Figure, Table
from tandem.stats import proportion
from tandem.types import Encoder, Question

Score: TypeAlias = Callable[[Sequence[tuple[list[int], list[int]]]], Sequence[tuple[float, bool]]]
"""For each (context ids, continuation ids): summed log-probability of the continuation, and whether it is greedy."""

METRICS = ("acc", "acc_norm", "acc_bytes")


@dataclass(frozen=True)
class ChoiceItem:
    """One multiple-choice question, ready to be asked."""

    id: str
    """Unique within its set."""
    context: str
    """Everything the model reads before the choice, delimiter not included."""
    choices: tuple[str, ...]
    """The texts to choose from."""
    answer: int
    """Index of the right one."""
    group: str = ""
    """What tables group by: a subject, a relation."""


@dataclass(frozen=True)
class ChoiceRecord:
    """What the model did with one item."""

    id: str
    """Of the item."""
    group: str
    """Of the item."""
    answer: int
    """Index of the right choice."""
    logprobs: tuple[float, ...]
    """Summed log-probability of each choice (nats)."""
    predictions: tuple[int, int, int]
    """Index chosen by acc, acc_norm and acc_bytes."""
    tokens_cut: int
    """Tokens of the context, of its longest choice, that did not fit and were cut from the left."""


@dataclass(frozen=True)
class ChoiceResult:
    """Accuracy on a set of items."""

    records: tuple[ChoiceRecord, ...]
    """Per item, sorted by id."""
    chance: float
    """Mean of 1 / number of choices."""
    chances: dict[str, float]
    """The same per group."""

    def accuracy(self, metric: str = "acc", group: str | None = None) -> Figure:
        """Share of right choices with Wilson's interval, on all items or one group."""
        m = METRICS.index(metric)
        records = [r for r in self.records if group is None or r.group == group]
        right = sum(r.predictions[m] == r.answer for r in records)
        chance = self.chance if group is None else self.chances[group]
        return figure(metric, proportion(right, len(records)), "%", chance)

    def correct(self, metric: str = "acc") -> dict[str, bool]:
        """Whether each item is right, by id: for paired comparisons."""
        m = METRICS.index(metric)
        return {r.id: r.predictions[m] == r.answer for r in self.records}

    @property
    def cut(self) -> int:
        """Items whose context did not fit whole."""
        return sum(r.tokens_cut > 0 for r in self.records)


def of_question(question: Question, context: str, group: str = "") -> ChoiceItem:
    """An item from a question with choices whose first accepted answer is one of them. Raises UserError otherwise."""
    if not question.answers or question.choices.count(question.answers[0]) != 1:
        raise UserError(
            f"the right answer must stand once among the choices {list(question.choices)}", where=f"item {question.id}"
        )
    return ChoiceItem(question.id, context, question.choices, question.choices.index(question.answers[0]), group)


def choose(
    items: Sequence[ChoiceItem],
    encoder: Encoder,
    score: Score,
    *,
    begin: int,
    limit: int,
    delimiter: str = " ",
) -> ChoiceResult:
    """Score every choice of every item in one call of `score`.

    `begin` is the id an empty context is replaced by (begin or end of text); `limit` the model's context length in
    tokens. Raises UserError on items without two choices, with an empty choice, with a right answer out of range, with
    a repeated id, on a choice that alone exceeds `limit`, and on log-probabilities that are not numbers.
    """
    _check(items)
    pairs: list[tuple[list[int], list[int]]] = []
    cut: list[int] = []
    for item in items:
        longest = 0
        for choice in item.choices:
            context, continuation = joint(encoder, item.context, delimiter + choice, begin)
            if len(continuation) > limit:
                raise UserError(
                    f"a choice of {len(continuation)} tokens does not fit into a context of {limit}",
                    where=f"item {item.id}",
                    remedy="leave the item out",
                )
            over = max(0, len(context) + len(continuation) - (limit + 1))  # the last token is not an input
            longest = max(longest, over)
            pairs.append((context[over:], continuation))
        cut.append(longest)
    scores = score(pairs)
    assert len(scores) == len(pairs), f"{len(scores)} scores for {len(pairs)} continuations"
    records, at = [], 0
    for item, n_cut in zip(items, cut, strict=True):
        logprobs = tuple(logprob for logprob, _ in scores[at : at + len(item.choices)])
        at += len(item.choices)
        if any(map(math.isnan, logprobs)):
            raise UserError(
                "the model's log-probabilities are not numbers",
                where=f"item {item.id}",
                remedy="the weights are damaged or the training diverged: evaluate an earlier checkpoint",
            )
        records.append(ChoiceRecord(item.id, item.group, item.answer, logprobs, predict(logprobs, item.choices), n_cut))
    chances: dict[str, list[float]] = defaultdict(list)
    for item in items:
        chances[item.group].append(1 / len(item.choices))
    return ChoiceResult(
        tuple(sorted(records, key=lambda r: r.id)),
        sum(map(sum, chances.values())) / len(items),
        {group: sum(values) / len(values) for group, values in chances.items()},
    )


def joint(encoder: Encoder, context: str, continuation: str, begin: int) -> tuple[list[int], list[int]]:
    """Ids of context and continuation, encoded together, split at the number of tokens of the context alone.

    Where the two melt into fewer tokens than that, the last one belongs to the continuation: it is never empty.
    """
    kept = context.rstrip()
    continuation = context[len(kept) :] + continuation
    if not kept:
        return [begin], encoder.encode(continuation)
    whole = encoder.encode(kept + continuation)
    at = min(len(encoder.encode(kept)), len(whole) - 1)
    return (whole[:at], whole[at:]) if at else ([begin], whole)


def predict(logprobs: Sequence[float], choices: Sequence[str]) -> tuple[int, int, int]:
    """Index chosen by acc, acc_norm and acc_bytes; ties go to the first."""
    return (
        _first_largest(logprobs),
        _first_largest([p / len(c) for p, c in zip(logprobs, choices, strict=True)]),
        _first_largest([p / len(c.encode()) for p, c in zip(logprobs, choices, strict=True)]),
    )


def table(result: ChoiceResult, title: str = "Multiple choice") -> Table:
    """All items, then each group; accuracy by the three rules."""
    groups = sorted({r.group for r in result.records} - {""})
    rows: list[tuple[Cell, ...]] = [("all", *(result.accuracy(m) for m in METRICS), len(result.records), result.chance)]
    rows += [
        (g, *(result.accuracy(m, g) for m in METRICS), sum(r.group == g for r in result.records), result.chances[g])
        for g in groups
    ]
    cut = f" {result.cut} of {len(result.records)} contexts were cut from the left to fit." if result.cut else ""
    return Table(
        title,
        ("group", *METRICS, "items", "chance"),
        tuple(rows),
        note="Log-probability of each choice after the context; acc_norm per character, acc_bytes per byte; "
        "95 % Wilson intervals." + cut,
    )


def _first_largest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda i: (values[i], -i))


def _check(items: Sequence[ChoiceItem]) -> None:
    if not items:
        raise UserError("no multiple-choice items to evaluate on")
    seen: set[str] = set()
    for item in items:
        problem = (
            "this id occurs twice"
            if item.id in seen
            else f"{len(item.choices)} choice(s) are no choice"
            if len(item.choices) < 2
            else "an empty choice"
            if not all(item.choices)
            else f"the right answer is number {item.answer}, of {len(item.choices)} choices counted from 0"
            if not 0 <= item.answer < len(item.choices)
            else None
        )
        if problem:
            raise UserError(problem, where=f"item {item.id}", remedy="mend or remove the item")
        seen.add(item.id)
