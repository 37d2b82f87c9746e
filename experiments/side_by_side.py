"""Methods side by side on the same questions: one store, the same chains, differences in pairs.

What the experiments on grounded answering share. An *arm* is a method with its sources and its way of asking. All arms
go through one store of answers, so arms that begin with the same chains get the same chains, and a run that was ended
goes on where it was. Arms are compared by the differences within questions: a bootstrap over questions for the mean
difference, McNemar's exact test where answers are right or wrong. What could not be asked, or has no known answer, is
left out of both sides of a pair and counted.

What this does not do: choose questions, or correct for the number of comparisons.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trials

from tandem.evaluate.comparisons import mcnemar
from tandem.lm import Model, connect
from tandem.metrics.coverage import auc_over_coverage, roc_auc
from tandem.reason import figures, kinds, methods
from tandem.reason.chains import Asking
from tandem.reason.demonstrations import Demonstration
from tandem.reason.running import LACKING, Record, answer_all
from tandem.results import Cell, Table
from tandem.stats import Interval, bootstrap
from tandem.store import Store
from tandem.types import LM, Question, Source

NOTE = (
    "95 % intervals: Wilson for shares, bootstrap over questions for means and differences. AUC: mean accuracy over "
    "coverage. p: exact McNemar test, two-sided, not corrected for the number of comparisons. * excludes 0. Fixed / "
    "broken: of the questions looked at again. Tokens: read + written for a question, shared prompts counted in full."
)
FEW = 30
"""Questions below which a table says that it proves a mechanism, no effect."""


@dataclass(frozen=True)
class Arm:
    """A method as it is compared."""

    name: str
    """Of its row."""
    method: str
    """One of `methods.NAMES`."""
    asking: Mapping[kinds.Name, Asking]
    """How questions of each kind are put."""
    settings: methods.Settings = field(default_factory=methods.Settings)
    """What the method is told."""
    sources: Sequence[Source] = ()
    """Where it looks things up."""
    questions: Sequence[Question] | None = None
    """The questions with other paragraphs, where this arm is given others."""


def reading(worked: Sequence[Demonstration]) -> tuple[Demonstration, ...]:
    """Worked examples that bring the passages of their own steps, for arms in which questions bring theirs."""
    own = [tuple(dict.fromkeys(step.passage for step in d.steps if step.passage)) for d in worked]
    return tuple(
        replace(d, question=replace(d.question, context=d.question.context or context))
        for d, context in zip(worked, own, strict=True)
    )


# ── Asking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def answered(
    arms: Sequence[Arm], questions: Sequence[Question], model: LM, concurrent: int
) -> dict[str, list[Record]]:
    """Records of every arm, in the order of the questions; a line on standard error for each."""
    found: dict[str, list[Record]] = {}
    for arm in arms:
        began = time.monotonic()
        method = methods.named(arm.method, arm.asking, arm.settings)
        asked = questions if arm.questions is None else arm.questions
        assert [q.id for q in asked] == [q.id for q in questions], f"{arm.name} is asked other questions"
        records = await answer_all(asked, method, model, arm.sources, name=arm.name, concurrent=concurrent)
        found[arm.name] = records
        right = [r.right for r in records if r.right is not None]
        share = f"{sum(right) / len(right):.1%} of {len(right)}" if right else "nothing known"
        print(f"{arm.name}: {share} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    return found


# ── What it is worth ────────────────────────────────────────────────────────────────────────────────────────────────


def measured(records: Sequence[Record]) -> dict[str, Any]:
    """An arm's figures as JSON values."""
    score, f1, auc = figures.accuracy(records), figures.token_f1(records), figures.auc(records)
    read, written = (sum(each) / max(len(records), 1) for each in zip(*(r.tokens for r in records), strict=True))
    return {
        "n": sum(r.right is not None for r in records),
        "left_out": sum(r.answer.outcome in LACKING for r in records),
        "score": _of(score),
        "score_is": score.name if score else None,
        "f1": _of(f1),
        "auc_over_coverage": _of(auc),
        "auc_by": auc.note if auc else None,
        "tokens_read": round(read, 1),
        "tokens_written": round(written, 1),
        **figures.summary(records),
        "right": {r.question.id: round(r.right, 4) for r in records if r.right is not None},
    }


def _of(figure: Any) -> Interval | None:
    if figure is None:
        return None
    ends = [math.nan if end is None else end for end in (figure.low, figure.high)]  # all are equal: none is known
    return Interval(figure.value, *ends, figure.n)


def against(records: Sequence[Record], others: Sequence[Record]) -> dict[str, Any] | None:
    """Mean difference of two arms on the questions that both answered; None where there are none."""
    pairs = [
        (a.right, b.right)
        for a, b in zip(records, others, strict=True)
        if a.right is not None and b.right is not None and a.question.id == b.question.id
    ]
    return compared([a for a, _ in pairs], [b for _, b in pairs])


def compared(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any] | None:
    """The same of two lists of scores."""
    if not ours:
        return None
    only = sum(a > b for a, b in zip(ours, theirs, strict=True))
    other = sum(a < b for a, b in zip(ours, theirs, strict=True))
    told: dict[str, Any] = {
        "difference": bootstrap([a - b for a, b in zip(ours, theirs, strict=True)]),
        "better": only,
        "worse": other,
    }
    if {*ours, *theirs} <= {0.0, 1.0}:
        told["p"] = mcnemar(only, other)
    return told


def telling(scores: Sequence[float | None], right: Sequence[float]) -> dict[str, Any]:
    """Whether a score tells right answers from wrong ones; answers without a score count as the least sure."""
    there = [score for score in scores if score is not None]
    if len(right) < 2 or not there:
        return {"n": len(right), "scored": len(there), "not measured": "too few answers with a score"}
    filled = [min(there) - 1 if score is None else float(score) for score in scores]
    told: dict[str, Any] = {
        "n": len(right),
        "scored": len(there),
        "auc_over_coverage": auc_over_coverage(filled, right),
    }
    if 0 < sum(right) < len(right):
        return told | {"roc_auc": roc_auc(filled, right)}
    return told | {"roc_auc": None, "why": f"all {len(right)} answers are {'right' if sum(right) else 'wrong'}"}


# ── What is shown ───────────────────────────────────────────────────────────────────────────────────────────────────


def percent(interval: Interval | None, *, sign: bool = False) -> str:
    """`31.2 [26.3, 36.6]`, in per cent; a difference with its sign, and a star when the interval excludes 0."""
    if interval is None:
        return ""
    plus = "+" if sign else ""
    if math.isnan(interval.low):
        return f"{interval.value * 100:{plus}.1f}"
    ends = f"[{interval.low * 100:{plus}.1f}, {interval.high * 100:{plus}.1f}]"
    clear = " *" if sign and (interval.low > 0 or interval.high < 0) else ""
    return f"{interval.value * 100:{plus}.1f} {ends}{clear}"


WIDTH = 190
"""Columns of a printed table: it is cut nowhere."""
COLUMNS = ("arm", "score", "F1", "AUC", "against the reference", "p", "fixed / broken", "tokens", "published")


def table(
    title: str,
    found: Mapping[str, Mapping[str, Any]],
    differences: Mapping[str, Mapping[str, Any] | None],
    published: Mapping[str, str],
    reference: str,
    note: str = "",
) -> Table:
    """One row an arm."""
    rows: list[tuple[Cell, ...]] = []
    for name, f in found.items():
        apart, edit = differences.get(name), f["editing"]
        rows.append(
            (
                name,
                percent(f["score"]),
                percent(f["f1"]),
                percent(f["auc_over_coverage"]),
                percent(apart["difference"], sign=True) if apart else "",
                f"{apart['p']:.2g}" if apart and "p" in apart else "",
                figures.changes(edit) or "",
                f"{f['tokens_read']:,.0f} + {f['tokens_written']:,.0f}",
                published.get(name, ""),
            )
        )
    n = max((f["n"] for f in found.values()), default=0)
    small = f" {n} questions: they show that the arms run, not which is better." if n < FEW else ""
    return Table(title, COLUMNS, tuple(rows), f"n = {n}. Reference: {reference}. {note}{NOTE}{small}")


# ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────────


def parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """The options these experiments share."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--model", default="embedded", help="address of the model that is asked (default: embedded)")
    add("--limit", type=trials._positive, help="so many questions of each set (default: all)")
    add("--samples", type=trials._positive, default=5, help="chains that vote (default: 5)")
    add("--concurrency", type=trials._positive, default=16, help="questions under way at once (default: 16)")
    add("--threads", type=trials._positive, help="threads on a CPU (default: what torch chooses)")
    add("--precision", default="auto", help="fp32, bf16, auto (default: auto)")
    add("--allow", action="append", default=[], help="policy for what the model lacks; may be repeated")
    add("--retry-failed", action="store_true", help="ask again what failed before")
    add("--work", type=Path, help=f"where answers are kept, and gone on with (default: out/experiments/{name})")
    add("--out", type=Path, help=f"where the figures go (default: experiments/results/{name}.json)")
    made.set_defaults(name=name)
    return made


def work(options: argparse.Namespace) -> Path:
    """The folder of an experiment, made if it is not there."""
    folder: Path = options.work or Path("out/experiments") / options.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def out_path(options: argparse.Namespace) -> Path:
    """Where the figures go; under a name of their own for a part of the questions or another model."""
    name: str = options.name
    if options.model != "embedded":
        name += "-" + "".join(c if c.isalnum() or c in ".-" else "_" for c in options.model)
    name += f"-limit-{options.limit}" if options.limit else ""
    return options.out or Path(__file__).parent / "results" / f"{name}.json"


def open_model(options: argparse.Namespace, store: Store) -> Model:
    """The model that is asked, its answers on record."""
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    return connect(
        options.model,
        store=store,
        allow=options.allow,
        precision=options.precision,
        retry_failed=options.retry_failed,
    )


def machine(began: float) -> dict[str, Any]:
    """What a repetition need not equal."""
    import torch

    return {"seconds": round(time.monotonic() - began, 1), "torch": torch.__version__}
