"""Generated answers: ask, extract, compare with what is accepted, and count what could not be read.

An answer is right when its normalised form (SQuAD's rule, `metrics.normalise`) equals that of an accepted answer.
Every answer has an outcome: answered, truncated (the token limit came before an end), unparsed (the extraction found
nothing in it), or empty. All outcomes count in the denominator.

The majority answer, most frequent in training, is a system like any other: what a model that ignores the question gets.

What this does not do: write prompts or run a model. Accepting an answer that merely contains the gold string was
rejected: a model that lists everything would be right.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tandem.errors import UserError
from tandem.evaluate.perplexity import figure
from tandem.metrics.normalise import answer_form
from tandem.results import Cell, Example, Table
from tandem.stats import proportion

Generate: TypeAlias = Callable[[Sequence[list[int]]], list[list[int]]]
"""New ids for each prompt's ids, without the prompt; with or without the end mark."""
Extract: TypeAlias = Callable[[str], str | None]
"""The answer in what the model wrote, None when there is none."""
Outcome: TypeAlias = Literal["answered", "truncated", "unparsed", "empty"]

OUTCOMES: tuple[Outcome, ...] = ("answered", "truncated", "unparsed", "empty")


@dataclass(frozen=True)
class AnswerItem:
    """One question with the answers that count as right."""

    id: str
    """Unique within its set."""
    prompt: str
    """The question as text, for reports."""
    accepted: tuple[str, ...]
    """Right answers, the first is canonical."""
    task: str = ""
    """Name of its task."""
    type: str = ""
    """Name of the kind of task."""


@dataclass(frozen=True)
class AnswerRecord:
    """What a system answered to one item."""

    id: str
    """Of the item."""
    written: str
    """All it wrote."""
    answer: str
    """The extracted answer; empty where there is none."""
    outcome: Outcome
    """What became of it."""
    right: bool
    """Whether the answer is accepted."""


def whole(written: str) -> str | None:
    """All that was written, edge spaces aside."""
    return written.strip() or None


def first_line(written: str) -> str | None:
    """The first line that is not empty: for short answers, fair to a model that does not know when to stop."""
    return next((line.strip() for line in written.splitlines() if line.strip()), None)


def after(cue: str) -> Extract:
    """What follows the last occurrence of a cue, to the end of that line."""

    def extract(written: str) -> str | None:
        _, found, rest = written.rpartition(cue)
        return first_line(rest) if found else None

    return extract


def ask(
    items: Sequence[AnswerItem],
    prompts: Sequence[list[int]],
    generate: Generate,
    decode: Callable[[Sequence[int]], str],
    *,
    ends: frozenset[int],
    max_tokens: int,
    context: int | None = None,
    extract: Extract = whole,
) -> list[AnswerRecord]:
    """Generate an answer to each item and judge it; `prompts` are the items' token ids, `ends` the ids that end one.

    An answer is truncated when it has no end and `max_tokens` tokens, or fills the model's `context` together with its
    prompt; one that would have ended with the next token counts as truncated too. Records come in the items' order.
    """
    check(items)
    assert len(items) == len(prompts), f"{len(prompts)} prompts for {len(items)} items"
    produced = generate(prompts)
    assert len(produced) == len(items), f"{len(produced)} answers for {len(items)} items"
    records = []
    for item, prompt, ids in zip(items, prompts, produced, strict=True):
        end = next((i for i, token in enumerate(ids) if token in ends), None)
        full = len(ids) >= max_tokens or (context is not None and len(prompt) + len(ids) >= context)
        truncated = end is None and full
        records.append(judge(item, decode(ids[:end]), truncated=truncated, extract=extract))
    return records


def judge(item: AnswerItem, written: str, *, truncated: bool = False, extract: Extract = whole) -> AnswerRecord:
    """The verdict on what was written."""
    answer = extract(written) if written.strip() else None
    right = answer is not None and answer_form(answer) in {answer_form(a) for a in item.accepted}
    outcome: Outcome = (
        "empty" if not written.strip() else "unparsed" if answer is None else "truncated" if truncated else "answered"
    )
    return AnswerRecord(item.id, written, answer or "", outcome, right)


def check(items: Iterable[AnswerItem]) -> None:
    """Raise UserError on no items, a repeated id, or an item without an accepted answer."""
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise UserError("this id occurs twice", where=f"item {item.id}", remedy="give each item an id of its own")
        if not item.accepted or not all(a.strip() for a in item.accepted):
            raise UserError(
                "no accepted answer, or an empty one", where=f"item {item.id}", remedy="mend or remove the item"
            )
        seen.add(item.id)
    if not seen:
        raise UserError("no items to answer")


class Majority:
    """The answer that is most frequent in training: for the item's task, else its type, else overall.

    `by_task=False` gives the overall majority to every item. Ties go to the answer that sorts first.
    """

    def __init__(self, train: Iterable[AnswerItem], *, by_task: bool = True) -> None:
        counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        text: dict[str, str] = {}
        for item in train:
            gold = item.accepted[0]
            text[answer_form(gold)] = min(gold, text.get(answer_form(gold), gold))
            for key in (("", ""), ("type", item.type), ("task", item.task)):
                counts[key][answer_form(gold)] += 1
        if not counts:
            raise UserError("no training items to take the majority answer from")
        self._answers = {key: text[min(forms, key=lambda f: (-forms[f], f))] for key, forms in counts.items()}
        self._by_task = by_task

    def __call__(self, item: AnswerItem) -> str:
        """The majority answer to an item."""
        keys = (("task", item.task), ("type", item.type), ("", "")) if self._by_task else (("", ""),)
        return next(self._answers[key] for key in keys if key in self._answers)

    def answer(self, items: Sequence[AnswerItem]) -> list[AnswerRecord]:
        """Its answers, judged like any system's."""
        check(items)
        return [judge(item, self(item)) for item in items]


def verdicts(records: Iterable[AnswerRecord]) -> dict[str, bool]:
    """Whether each item is right, by id: for comparisons."""
    return {record.id: record.right for record in records}


def by_task(
    items: Sequence[AnswerItem], systems: Mapping[str, Sequence[AnswerRecord]], title: str = "Right answers per task"
) -> Table:
    """One row per task, the last for all; each system's share of right answers with Wilson's interval."""
    right = {name: verdicts(records) for name, records in systems.items()}
    tasks: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in items:
        tasks[(item.type, item.task)].append(item.id)
    rows = [(type, task, ids) for (type, task), ids in sorted(tasks.items())] + [("all", "", [i.id for i in items])]
    return Table(
        title,
        ("type", "task", *systems, "n"),
        tuple(
            (
                type,
                task,
                *(figure(name, proportion(sum(right[name][i] for i in ids), len(ids)), "%") for name in systems),
                len(ids),
            )
            for type, task, ids in rows
        ),
        note="Exact match after normalising; 95 % Wilson intervals.",
    )


def outcomes(systems: Mapping[str, Sequence[AnswerRecord]], title: str = "What became of the answers") -> Table:
    """How many answers of each system were read, cut short, not understood, or empty."""
    rows: list[tuple[Cell, ...]] = []
    for name, records in systems.items():
        counted = Counter(record.outcome for record in records)
        rows.append((name, *(counted[outcome] for outcome in OUTCOMES), len(records)))
    return Table(
        title,
        ("system", *OUTCOMES, "n"),
        tuple(rows),
        note="Truncated: the token limit came before an end. Unparsed: no answer found in the text. All count.",
    )


def examples(
    items: Sequence[AnswerItem], systems: Mapping[str, Sequence[AnswerRecord]], n: int = 8
) -> tuple[Example, ...]:
    """The first n items in turn from each task, as every system answered them."""
    by_id = {name: {record.id: record for record in records} for name, records in systems.items()}
    queues: dict[str, list[AnswerItem]] = defaultdict(list)
    for item in items:
        queues[item.task].append(item)
    deepest = max(map(len, queues.values()), default=0)
    in_turn = [queue[depth] for depth in range(deepest) for queue in queues.values() if depth < len(queue)]
    return tuple(
        Example(
            item.task or item.type or item.id,
            item.prompt,
            tuple((name, by_id[name][item.id].written) for name in systems),
            item.accepted[0],
            tuple(by_id[name][item.id].right for name in systems),
        )
        for item in in_turn[:n]
    )
