"""What a method's answers are worth: accuracy, F1, AUC, what editing fixed and broke, outcomes, and what it took.

`fixed` and `broken` count where a method had an answer before it looked things up: wrong before and right now, and
the other way round. AUC is the mean accuracy over coverage (Zhao et al. 2023), with the answer's log-probability as the
score where most answers have one, else the method's confidence; answers without a score come last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tandem.metrics.coverage import auc_over_coverage
from tandem.metrics.translation import bleu
from tandem.reason import kinds
from tandem.reason.running import LACKING, Record
from tandem.results import Cell, Example, Figure, Section, Table
from tandem.stats import Interval, bootstrap, proportion
from tandem.text import count

EXAMPLES = 4
"""Worked answers in a report."""
_NAMES = {"short": "exact match", "label": "accuracy", "letter": "accuracy", "sentence": "token F1"}


def figure(name: str, interval: Interval, unit: str = "%", note: str = "") -> Figure:
    """An interval as a figure."""
    return Figure(name, interval.value, unit, interval.low, interval.high, n=interval.n, note=note)


def accuracy(records: Sequence[Record]) -> Figure | None:
    """The main score of records with known answers; what failed counts for nothing. None without any."""
    scored = [(record, record.right) for record in records if record.right is not None]
    if not scored:
        return None
    names = {_NAMES[kinds.of(record.question).name] for record, _ in scored}
    name = names.pop() if len(names) == 1 else "score"
    scores = [right for _, right in scored]
    return _mean(name, scores)


def token_f1(records: Sequence[Record]) -> Figure | None:
    """Token F1 of short answers."""
    scores = [record.f1 for record in records if record.f1 is not None]
    return _mean("token F1", scores) if scores else None


def _mean(name: str, scores: Sequence[float]) -> Figure:
    """A mean with its interval: Wilson's of right and wrong ones, else by bootstrap (none where all are equal)."""
    if all(score in (0.0, 1.0) for score in scores):
        return figure(name, proportion(round(sum(scores)), len(scores)))
    found = bootstrap(scores)
    return figure(name, found) if found.low < found.high else Figure(name, found.value, "%", n=found.n)


def bleus(records: Sequence[Record]) -> dict[str, Interval]:
    """Of answers that are sentences: corpus BLEU, and the mean of lower-cased sentence BLEU; both on 0 to 100.

    Published figures are of either kind; one must not be read as the other. Empty without such answers.
    """
    kept = [r for r in records if r.right is not None and kinds.of(r.question).name == "sentence"]
    if not kept:
        return {}
    said, wanted = [r.answer.text for r in kept], [list(r.question.answers) for r in kept]
    sentences = bleu(said, wanted, lowercase=True).sentences()
    return {
        "corpus BLEU": bleu(said, wanted).corpus(),
        "mean sentence BLEU": bootstrap([float(each) for each in sentences]),
    }


def auc(records: Sequence[Record]) -> Figure | None:
    """Mean accuracy over coverage; None where nothing scores the answers."""
    known = [r for r in records if r.right is not None]
    scores = [r.answer.facts.get("answer_logprob") for r in known]
    what = "by the answer's log-probability"
    if sum(score is not None for score in scores) * 2 <= len(known):
        scores, what = [r.answer.confidence for r in known], "by the method's confidence"
    there = [score for score in scores if score is not None]
    if len(known) < 2 or not there:
        return None
    lacking = len(known) - len(there)
    last = min(there) - 1
    filled = [last if score is None else float(score) for score in scores]
    note = what + (f"; {lacking} answers without one come last" if lacking else "")
    value = auc_over_coverage(np.array(filled), np.array([float(r.right or 0.0) for r in known]))
    if value.low == value.high:  # all right or all wrong: drawing again tells nothing
        return Figure("AUC over coverage", value.value, "%", n=value.n, note=note)
    return figure("AUC over coverage", value, note=note)


def edited(records: Sequence[Record]) -> dict[str, int]:
    """Of the records that had an answer before: looked at again, fixed, broken, changed from wrong to wrong.

    Of sentences, which are more or less right: better and worse.
    """
    again = [r for r in records if r.before is not None and r.right is not None]
    counts = Counter({"looked at again": len(again), "fixed": 0, "broken": 0, "changed, still wrong": 0})
    for record in again:
        before, now = record.before or 0.0, record.right or 0.0
        graded = kinds.of(record.question).name == "sentence"
        if now > before:
            counts["better" if graded else "fixed"] += 1
        elif now < before:
            counts["worse" if graded else "broken"] += 1
        elif record.answer.text != record.answer.facts.get("before") and not now:
            counts["changed, still wrong"] += 1
    return dict(counts)


def changes(counts: Mapping[str, int]) -> str | None:
    """The counts of `edited` in a cell; None where nothing was looked at again."""
    graded = "better" in counts or "worse" in counts
    told = [f"{counts['fixed']} / {counts['broken']}"] if not graded or counts["fixed"] or counts["broken"] else []
    if graded:
        told.append(f"{counts.get('better', 0)} better / {counts.get('worse', 0)} worse")
    return f"{', '.join(told)} of {counts['looked at again']}" if counts["looked at again"] else None


def outcomes(records: Sequence[Record]) -> dict[str, int]:
    """Answers by outcome."""
    return dict(Counter(record.answer.outcome for record in records).most_common())


def steps(records: Sequence[Record]) -> dict[str, int]:
    """Checked steps by outcome: edited, confirmed, no-evidence, …"""
    edits = (edit["outcome"] for record in records for edit in record.answer.facts.get("edits", ()))
    return dict(Counter(edits).most_common())


def source_outcomes(records: Sequence[Record]) -> dict[str, int]:
    """Questions to sources by outcome; what was not found is not what failed."""
    total: Counter[str] = Counter()
    for record in records:
        total += record.source_outcomes
    return dict(total.most_common())


def row(name: str, records: Sequence[Record]) -> tuple[Cell, ...]:
    """One method's line in a table of methods; columns are `COLUMNS`."""
    counts = edited(records)
    read, written = (sum(each) / max(len(records), 1) for each in zip(*(r.tokens for r in records), strict=True))
    failed = sum(record.answer.outcome in LACKING for record in records)
    silent = sum(record.answer.outcome not in ("answered", "abstained") for record in records) - failed
    return (
        name,
        accuracy(records),
        token_f1(records),
        auc(records),
        changes(counts),
        silent,
        failed,
        f"{count(read)} + {count(written)}",
        len(records),
    )


COLUMNS = ("method", "score", "token F1", "AUC", "fixed / broken", "no answer", "failed", "tokens", "n")
"""Of a table of methods; tokens are means over questions."""
WORTH, TOOK = (0, 1, 2, 3, 8), (0, 4, 5, 6, 7)
"""Columns of the two tables that a page has room for: what the answers are worth, what became of them."""


NOTE = "AUC: mean accuracy over coverage."
TAKEN = "Fixed / broken: of the questions looked at again. Tokens: read and written for a question."
"""What the columns mean."""


def sections(name: str, records: Sequence[Record]) -> tuple[Section, ...]:
    """A method's chapters: its outcomes, and some questions with what was done."""
    counted: list[tuple[Cell, ...]] = []
    for what, counts in (
        ("answers", outcomes(records)),
        ("editing", {key: n for key, n in edited(records).items() if edited(records)["looked at again"]}),
        ("checked steps", steps(records)),
        ("questions to sources", source_outcomes(records)),
    ):
        counted += [(what, outcome, n) for outcome, n in counts.items()]
    table = Table("Outcomes", ("of", "outcome", "n"), tuple(counted))
    worked = tuple(examples(name, records))
    lead = "Fixed answers first, then broken ones, then failed ones, then others."
    return (
        Section("outcomes", "What became of everything", items=(table,)),
        *([Section("examples", "Worked answers", lead, worked)] if worked else []),
    )


def examples(name: str, records: Sequence[Record], n: int = EXAMPLES) -> list[Example]:
    """Questions worth reading: fixed first, then broken, then failed ones, then what stayed right or wrong."""

    def interest(record: Record) -> float:
        if record.answer.outcome in LACKING:
            return 1.5
        if record.before is None or record.right is None:
            return 2
        return 0 if record.right > record.before else 1 if record.right < record.before else 3

    chosen = sorted(records, key=interest)[:n]
    return [_example(name, record) for record in chosen]


def _example(name: str, record: Record) -> Example:
    """Samples and vote, the chain before, what was found, the chain after with what was struck out."""
    facts, answer = record.answer.facts, record.answer
    parts: list[tuple[str, str, bool | None]] = []
    chains = _chains(record)
    if len(chains) > 1:
        parts.append(("samples", "\n".join(f"{n}. {said}" for n, said in enumerate(chains, 1)), None))
    if "before" in facts:
        said = f"Answer: {facts['before'] or '(none)'}"
        right = None if record.before is None else record.before == 1
        parts.append(("before", "\n".join([*facts.get("steps_before", ()), said]), right))
    if answer.findings:
        found = [
            f"[{n}] {f.place or f.source}  {f.title + ': ' if f.title else ''}{f.text}"
            for n, f in enumerate(answer.findings, 1)
        ]
        parts.append(("found", "\n".join(" ".join(each.split()) for each in found), None))
    after = [*_edits(record), f"Answer: {answer.text or f'({answer.outcome})'}"]
    if "error" in facts:
        after.append(f"({facts.get('kind', answer.outcome)}: {facts['error']})")
    if "kept" in facts:
        after.append(f"(kept: {facts['kept']})")
    parts.append((name, "\n".join(after), None if record.right is None else record.right == 1))
    outputs = tuple((who, text) for who, text, _ in parts)
    expected = " / ".join(kinds.gold(record.question))
    verdicts = tuple(right for _, _, right in parts)
    return Example(record.question.id, kinds.shown(record.question), outputs, expected, verdicts)


def _chains(record: Record) -> list[str]:
    """The sampled answers."""
    sampled = [each.facts.get("chains", ()) for each in record.trace.walk() if each.name == "sample chains"]
    return [chain["answer"] or f"({chain['outcome']})" for chains in sampled[:1] for chain in chains]


def _edits(record: Record) -> list[str]:
    """The chain as it stands, each sentence with its findings; before an edited one the sentence it replaces."""
    edits = record.answer.facts.get("edits", ())
    if not edits:
        return [record.answer.rationale] if record.answer.rationale else []
    lines = []
    for edit in edits:
        cited = f"{edit['text']}{''.join(f' [{n + 1}]' for n in edit['cites'])}"
        if edit["outcome"] == "edited":
            lines += [f"− {edit['before']}", f"+ {cited}"]
        else:
            lines.append(f"  {cited} ({edit['outcome']})")
    return lines


def summary(records: Sequence[Record]) -> dict[str, Any]:
    """The counts of a run as plain JSON values."""
    return {
        "outcomes": outcomes(records),
        "editing": edited(records),
        "steps": steps(records),
        "sources": source_outcomes(records),
    }
