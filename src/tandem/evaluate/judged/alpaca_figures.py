"""AlpacaEval's figures: the table that people paste, the chapter of a report, a line of JSON for each item."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tandem.evaluate.judged.alpaca import Judged
from tandem.evaluate.judged.pair import item
from tandem.evaluate.judged.win_rate import win_rate
from tandem.evaluate.perplexity import figure
from tandem.evaluate.rows import columns, row
from tandem.results import Cell, Example, Figure, Section, Table
from tandem.runs import write_lines
from tandem.stats import Interval, mean
from tandem.text import count

VERSIONS = {"alpaca_eval": "2", "alpaca_eval_1": "1"}
EXAMPLES = 4


def figures(judged: Judged) -> tuple[Figure, ...]:
    """Win rate, length-controlled and discrete."""
    if (rate := judged.rate) is None:
        return ()
    found = [_share(f"{judged.name} win rate", rate.win_rate, f"against {judged.baseline}")]
    if (held := judged.controlled) is not None:
        note = ", ".join([f"coefficients {held.how}", *held.notes])
        found.append(_share(f"{judged.name} length-controlled win rate", held.win_rate, note))
    return (*found, _share(f"{judged.name} discrete win rate", rate.discrete, "draws count half"))


def _share(name: str, interval: Interval, note: str) -> Figure:
    """A share as a figure; its interval does not leave 0 to 1."""
    within = Interval(interval.value, max(interval.low, 0.0), min(interval.high, 1.0), interval.n)
    return figure(name, interval if math.isinf(interval.high) else within, "%", 0.5, note)


def table(judged: Judged, judge: str) -> Table:
    """The figures to paste; `judge` is its name for people."""
    rate = judged.rate
    rows: list[tuple[Cell, ...]] = []
    for one in figures(judged):
        plain = one.name == f"{judged.name} win rate"
        error = rate.standard_error if rate and plain and rate.n > 1 else None
        metric = one.name.removeprefix(f"{judged.name} ")
        rows.append(row(judged.name, VERSIONS[judged.name], judge, metric=metric, figure=one, error=error))
    rows = rows or [row(judged.name, VERSIONS[judged.name], judge, metric="win rate", figure=None)]
    return Table(
        "Judged outputs", columns("judge"), tuple(rows), note="95 % intervals; standard errors of the sample (n − 1)."
    )


def notes(judged: Judged) -> list[str]:
    """What a reader has to know beside the figures, a sentence each."""
    told = list(judged.notes)
    if rate := judged.rate:
        told.append(f"{count(rate.wins)} wins, {count(rate.draws)} draws, {count(rate.losses)} losses")
        told += [f"{rate.zeros} preferences of 0 count as draws"] if rate.zeros else []
    shown = {str(row[0]): row[1] for row in by_order(judged).rows}
    if isinstance(first := shown.get("first"), Figure) and isinstance(second := shown.get("second"), Figure):
        told.append(
            f"win rate {100 * first.value:.1f} % where the judge saw the model's output first, "
            f"{100 * second.value:.1f} % where second"
        )
    if held := judged.controlled:
        names = ("length", "difficulty", "constant") if len(held.coefficients) == 3 else ("length", "constant")
        terms = ", ".join(f"{name} {value:.4f}" for name, value in zip(names, held.coefficients, strict=True))
        told.append(f"length control: coefficients {held.how}" + "".join(f", {n}" for n in held.notes) + f" ({terms})")
    counted = Counter(j.outcome for j in judged.judgments if j.preference is None)
    says = {j.outcome: j.text or j.note for j in reversed(judged.judgments) if j.preference is None}
    for outcome, n in sorted(counted.items()):
        what = f"NOT COUNTED: {n} of {len(judged.judgments)} judgments are {outcome}"
        told.append(what + (f"; the first: {' '.join(says[outcome].split()):.100}" if says[outcome] else ""))
    if judged.unanswered:
        why = judged.unanswered[0][1]
        told.append(f"MISSING: {len(judged.unanswered)} outputs; the first: {why.outcome}, {why.why:.100}")
    if judged.lacking:
        told.append(f"MISSING: {judged.lacking} of the baseline's instructions have no judgment")
    masses = [_mass(j.logprobs) for j in judged.judgments if j.how in ("scores", "likeliest tokens") and j.logprobs]
    if masses:
        mid, few = sorted(masses)[len(masses) // 2], sum(m < 0.5 for m in masses)
        told.append(
            f"the judge gives m and M together {100 * mid:.3g} % of its probability (median); "
            f"less than half in {few} of {len(masses)} judgments, where another answer is likelier"
        )
    if judged.recomputed is not None:
        told.append(
            f"of {count(len(judged.recomputed))} recorded preferences {count(len(judged.differing))} differ from their "
            "recorded log-probabilities and order"
        )
    return told


def _mass(logprobs: dict[str, float]) -> float:
    return sum(math.exp(lp) for lp in logprobs.values())


def section(judged: Judged) -> Section:
    """The chapter: what became of the judgments, parts, order and length, what differs, a few items."""
    items: list[Table | Example] = [outcomes(judged), by_order(judged), by_length(judged)]
    if len({pair.dataset for pair in judged.pairs}) > 1:
        items.append(by_dataset(judged))
    if judged.differing:
        rows = tuple((n, a, b) for n, a, b in judged.differing)
        items.append(Table("Preferences that differ from their log-probabilities", ("row", "on record", "again"), rows))
    lead = f"{judged.model} against {judged.baseline}, judged by {judged.judge}. "
    lead += " ".join(f"{note[0].upper()}{note[1:]}." for note in notes(judged))
    return Section(judged.name, judged.name, lead, (*[t for t in items if t.rows], *_examples(judged)))  # type: ignore[union-attr]


def outcomes(judged: Judged) -> Table:
    """What became of every item."""
    counted = Counter[str](judgment.outcome for judgment in judged.judgments)
    counted.update(f"no output: {lost.outcome}" for _, lost in judged.unanswered)
    counted.update({"no judgment on record": judged.lacking} if judged.lacking else {})
    return Table(
        "What became of the items",
        ("outcome", "items"),
        tuple(counted.most_common()),
        note="Only the preferred are in the figures. Unparsed: the judge's answer names neither output.",
    )


def by_order(judged: Judged) -> Table:
    """The win rate where the judge saw the model's output first, and where it saw it second."""
    groups = [
        (name, [j.swapped == swap for j in judged.judgments]) for name, swap in (("second", False), ("first", True))
    ]
    return Table(
        "By order",
        ("the model's output is shown", "win rate", "items"),
        _rows(judged, groups),
        note="Far apart: the judge looks at the order.",
    )


def by_length(judged: Judged) -> Table:
    """The win rate where the model's output is the longer one, and where it is not."""
    longer = [pair.longer_baseline < 0 for pair in judged.pairs]
    groups = [("longer than the baseline's", longer), ("not longer", [not one for one in longer])]
    sizes = [mean([float(len(text)) for text in texts]).value if texts else 0.0 for texts in _texts(judged)]
    note = f"Mean length in characters: the baseline {sizes[0]:,.0f}, the model {sizes[1]:,.0f}."
    return Table("By length", ("the model's output is", "win rate", "items"), _rows(judged, groups), note=note)


def by_dataset(judged: Judged) -> Table:
    """The win rate of each part of the data."""
    names = sorted({pair.dataset for pair in judged.pairs})
    groups = [(name, [pair.dataset == name for pair in judged.pairs]) for name in names]
    return Table("By part", ("part", "win rate", "items"), _rows(judged, groups))


def _texts(judged: Judged) -> tuple[list[str], list[str]]:
    return [pair.baseline for pair in judged.pairs], [pair.output for pair in judged.pairs]


def _rows(judged: Judged, groups: Sequence[tuple[str, Sequence[bool]]]) -> tuple[tuple[Cell, ...], ...]:
    rows: list[tuple[Cell, ...]] = []
    for name, chosen in groups:
        preferences = [j.preference for j, mine in zip(judged.judgments, chosen, strict=True) if mine]
        if (rate := win_rate(preferences)) is not None:
            rows.append((name, _share("win rate", rate.win_rate, ""), rate.n))
    return tuple(rows)


def write_items(judged: Judged, out: Path) -> Path:
    """One line of JSON for each item, to be read again as judgments; the file's path."""
    path = out / f"{judged.name}-items.jsonl"
    rows = [
        item(pair, judgment, judged.baseline, judged.model, judged.judge)
        for pair, judgment in zip(judged.pairs, judged.judgments, strict=True)
    ]
    write_lines(path, rows)
    return path


def _examples(judged: Judged) -> list[Example]:
    """Half of them the model's clearest wins, half its clearest losses, then what could not be read."""
    both = list(zip(judged.pairs, judged.judgments, strict=True))
    sure = sorted((one for one in both if one[1].preference is not None), key=lambda one: one[1].preference or 0.0)
    losses = [one for one in sure if (one[1].preference or 0) < 1.5][: EXAMPLES // 2]
    wins = [one for one in reversed(sure) if (one[1].preference or 0) > 1.5][: EXAMPLES // 2]
    odd = [one for one in both if one[1].outcome == "unparsed"][:1]
    found = []
    for pair, judgment in (*wins, *losses, *odd):
        said = "no preference" if judgment.preference is None else f"preference {judgment.preference:.4f}"
        order = "saw the model's output first" if judgment.swapped else "saw the baseline's output first"
        verdict = f"{said} (1: baseline, 2: model); {order}" + (f"\n{judgment.text}" if judgment.text else "")
        won = None if judgment.preference is None else judgment.preference > 1.5
        outputs = ((judged.baseline, pair.baseline), (judged.model, pair.output), ("the judge", verdict))
        title = f"{judged.name}, row {pair.row + 1}"
        found.append(Example(title, pair.instruction, outputs, correct=(None, won, None)))
    return found
