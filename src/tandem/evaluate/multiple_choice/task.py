"""A benchmark with its items, ready to be asked: every prompt made, every item's examples chosen and looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.evaluate.multiple_choice import data, overlap
from tandem.evaluate.multiple_choice.benchmarks import BENCHMARKS, NAMES, Benchmark, subject_of
from tandem.evaluate.multiple_choice.item import DELIMITER, Item
from tandem.evaluate.multiple_choice.shots import SEED, drawn, first
from tandem.evaluate.overlap.items import Looked
from tandem.evaluate.row import Row
from tandem.runs import file_hash

BETWEEN = "\n\n"
"""Stands after each example."""


@dataclass(frozen=True)
class Asked:
    """An item with what comes before it."""

    item: Item
    """The item."""
    before: str
    """Header or preamble, and the examples."""
    examples: tuple[str, ...] = ()
    """Ids of the examples."""

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Context and continuation of each choice."""
        item = self.item
        return tuple((self.before + stem, DELIMITER + text) for stem, text in zip(item.stems, item.texts, strict=True))


@dataclass(frozen=True)
class Task:
    """What is asked, and all that its figures depend on besides the model."""

    name: str
    """As it was asked for: a benchmark, or one subject of MMLU."""
    benchmark: Benchmark
    """Its prompts and scores."""
    version: str
    """The harness's version, and what differs from it."""
    shots: int
    """Examples in each prompt, those of a preamble aside."""
    asked: tuple[Asked, ...]
    """Every item in the data's order."""
    facts: Mapping[str, Any]
    """Files with their hashes and how examples were chosen."""
    overlaps: tuple[tuple[str, str, str], ...] = ()
    """(item, example, how): examples that give an item away."""
    notes: tuple[str, ...] = ()
    """What a reader has to know beside the figures."""
    training: Looked | None = None
    """What a training text holds of the items; None: it was not looked through."""

    def sought(self) -> dict[str, str]:
        """Each item's question and right answer as one text, by id."""
        return {one.item.id: one.item.sought for one in self.asked}


def load(name: str, places: Sequence[Path | str], *, shots: int = 0, limit: int | None = None) -> Task:
    """A task out of files; `limit` keeps the first items (of MMLU: of each subject).

    Raises UserError on a name that is unknown, on data that are missing or damaged, on too few examples.
    """
    if shots < 0 or (limit is not None and limit < 1):
        where, value = ("--shots", shots) if shots < 0 else ("--limit", limit)
        raise UserError(f"is {value}", where=where, remedy="give 0 or more" if shots < 0 else "give at least 1")
    subject = subject_of(name)
    if subject is None and name not in BENCHMARKS:
        remedy = f"known: {', '.join(NAMES)}, mmlu_SUBJECT"
        raise UserError(f"no task is called {name!r}", where="--tasks", remedy=remedy)
    benchmark = BENCHMARKS["mmlu" if subject else name]
    found = [Path(place) for place in places]
    loaded = data.load(benchmark, found, "items")
    items, rows = _chosen(loaded, subject, limit)
    if not items:
        raise UserError(f"no items of the subject {subject}", where=loaded.file, remedy="check --data")
    facts: dict[str, Any] = {"file": loaded.file, "sha256": loaded.sha256}
    notes: list[str] = []
    version = benchmark.version
    if benchmark.name == "hellaswag" and not rows[0].has("ctx_a"):
        version += " (contexts joined)"
        notes.append("the file has both contexts joined: figures differ a little from those on the official file")
    if text := data.preamble(benchmark, found):
        items = [replace(item, lead=text[0] + BETWEEN) for item in items]
        facts |= {"preamble": text[1].name, "preamble_sha256": file_hash(text[1])}
    if benchmark.examples is None and shots:
        notes.append(f"{shots} shots were asked for; {name} has its preamble and takes none")
        shots = 0
    if not shots:
        asked = tuple(Asked(item, item.lead) for item in items)
        return Task(name, benchmark, version, 0, asked, facts | {"shots": 0}, notes=tuple(notes))
    pool = data.load(benchmark, found, "examples")
    asked, used = _with_examples(benchmark, items, rows, pool, shots)
    facts |= {"examples": pool.file, "examples_sha256": pool.sha256, "shots": shots}
    facts |= {"chosen": "the first of the file"} if benchmark.first else {"chosen": "drawn per item", "seed": SEED}
    return Task(name, benchmark, version, shots, asked, facts, _given_away(asked, pool, used), tuple(notes))


def _chosen(loaded: data.Loaded, subject: str | None, limit: int | None) -> tuple[list[Item], list[Row]]:
    """The items of a subject, or all, up to the limit in each group."""
    taken: Counter[str] = Counter()
    items, rows = [], []
    for item, row in zip(loaded.items, loaded.rows, strict=True):
        if (subject is None or item.group == subject) and (limit is None or taken[item.group] < limit):
            taken[item.group] += 1
            items.append(item)
            rows.append(row)
    return items, rows


def _with_examples(
    benchmark: Benchmark, items: Sequence[Item], rows: Sequence[Row], pool: data.Loaded, n: int
) -> tuple[tuple[Asked, ...], list[int]]:
    """The items behind their examples, and the places of all examples that are used."""
    if benchmark.first:
        groups, others = [item.group for item in items], [item.group for item in pool.items]
        chosen = first(groups, others, n, file=pool.file)
    else:
        fields = [row.fields for row in rows], [row.fields for row in pool.rows]
        chosen = drawn(*fields, n, spare=benchmark.spare, file=pool.file)
    texts = [item.shown + BETWEEN for item in pool.items]
    befores: dict[tuple[str, tuple[int, ...]], str] = {}  # the items of a subject share one
    asked = []
    for item, places in zip(items, chosen, strict=True):
        key = (item.lead, places)
        if key not in befores:
            befores[key] = item.lead + "".join(texts[place] for place in places)
        asked.append(Asked(item, befores[key], tuple(pool.items[place].id for place in places)))
    return tuple(asked), sorted({place for places in chosen for place in places})


def _given_away(asked: Sequence[Asked], pool: data.Loaded, used: Sequence[int]) -> tuple[tuple[str, str, str], ...]:
    """Items that stand among the examples; `in its own prompt` where an item's own examples show it."""
    examples = [pool.items[place] for place in used]
    hits = overlap.overlaps(
        [one.item.question for one in asked], [(example.question, example.shown) for example in examples]
    )
    found = []
    for hit in hits:
        one, example = asked[hit.item], examples[hit.text]
        own = ", in its own prompt" if example.id in one.examples else ""
        found.append((one.item.id, example.id, hit.kind + own))
    return tuple(found)
