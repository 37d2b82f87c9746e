"""Do methods that look things up answer better? Adversarial HotpotQA, MedMCQA, FeTaQA, FEVER; all methods in one run.

    python experiments/grounded.py --data DIR [--sets hotpotqa medmcqa fetaqa fever] [--shots 1 6] [--model ADDRESS]
                                   [--limit N] [--work DIR] [--fever-source ADDRESS]

Standard, chain of thought, self-consistency, ReAct and both back-offs, Verify-and-Edit, Chain-of-Knowledge, and two
oracles that are given only what answers the question: shown to the model, and as a source to Verify-and-Edit. All arms
share one store, so they begin with the same chains; differences are within questions, against self-consistency. Sources
are offline: HotpotQA's own paragraphs (two gold, two adversarial), what MedMCQA's development set explains about other
questions, FeTaQA's tables in SQL (and shown in every prompt, as published). FEVER names pages and holds none: it is not
run unless recorded pages are named. Published figures of other models stand beside. No text of the data is written out.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grounded_sets
import side_by_side
import trials
from grounded_sets import FILES, Set
from side_by_side import Arm

from tandem.errors import UserError
from tandem.lm import Model
from tandem.metrics.translation import bleu
from tandem.reason import demonstrations, kinds
from tandem.reason.agreement import Gate
from tandem.reason.calibrated import fitted, uncalibrated
from tandem.reason.chains import Asking
from tandem.reason.figures import bleus
from tandem.reason.methods import Settings
from tandem.reason.running import LACKING, Record
from tandem.recipes import published
from tandem.results import Table
from tandem.sources.recorded import Recorded, Recorder
from tandem.stats import Interval
from tandem.store import Store

LABEL = "Another model than the published ones: the direction can be compared, the figures cannot."
REFERENCE = "cot-sc"
METHODS = (
    "standard", "cot", "cot-sc", "react", "react-then-cot-sc", "cot-sc-then-react", "verify-and-edit",
    "chain-of-knowledge",
)  # fmt: skip
SHOWN, GIVEN = "oracle shown (cot)", "oracle as source (verify-and-edit)"
FIT = 58 / 308
"""Share of the questions that the calibrator is fitted on: the paper's."""
SHOTS = {1: "one-shot", 6: "six-shot"}
KNOWLEDGE = {
    "standard": "Standard",
    "cot": "CoT",
    "cot-sc": "CoT-SC",
    "verify-and-edit": "VE",
    "chain-of-knowledge": "KA",
}
COLUMN = {"hotpotqa": "AdvHotpotQA EM", "medmcqa": "MedMCQA Acc.", "fetaqa": "FeTaQA BLEU", "fever": "FEVER Acc."}
EDITED = {
    "react-then-cot-sc": ("ReAct → CoT-SC", "Wiki."),
    "cot-sc-then-react": ("CoT-SC → ReAct", "Wiki."),
    "standard": ("Standard", "-"),
    "cot": ("CoT", "-"),
    "cot-sc": ("CoT-SC", "-"),
    "calibrated": ("CoT-SC + Calib.", "Dataset"),
    "verify-and-edit": ("CoT-SC + VE", "Dataset"),
}
"""Rows of the published table on HotpotQA; its knowledge `Dataset` is what our source is: the questions' paragraphs."""


def arms(given: Set, shots: int, options: argparse.Namespace, recorder: Recorder) -> list[Arm]:
    """All arms on one set, with so many worked examples."""
    kind = kinds.of(given.questions[0]).name
    worked = demonstrations.shipped(kind, shots)
    asking: dict[kinds.Name, Asking] = {kind: Asking(worked, context=given.shown)}
    plain = Settings(samples=options.samples)
    always = Settings(samples=options.samples, gate=Gate("always"))
    sources = [Recorded(source, recorder) for source in given.sources]
    made = [Arm(name, name, asking, plain, sources) for name in METHODS]
    if given.name == "hotpotqa":
        made.append(Arm("calibrated", "calibrated", asking, plain, sources))
    own = [Recorded(grounded_sets.Dataset("oracle"), recorder)]
    shown: dict[kinds.Name, Asking] = {kind: Asking(side_by_side.reading(worked), context=True)}
    if given.name != "fever":
        made.append(Arm(SHOWN, "cot", shown, plain, (), given.oracle))
    if given.name in ("hotpotqa", "medmcqa") and all(q.context for q in given.oracle):
        made.append(Arm(GIVEN, "verify-and-edit", asking, always, own, given.oracle))
    return [arm for arm in made if arm.name not in options.without]


# ── What is measured besides ────────────────────────────────────────────────────────────────────────────────────────


def sentence_bleus(records: Sequence[Record]) -> list[float | None]:
    """Lower-cased sentence BLEU of each answer; None where there is none to score."""
    kept = [r for r in records if r.right is not None]
    found = bleu([r.answer.text for r in kept], [list(r.question.answers) for r in kept], lowercase=True).sentences()
    values = iter(found.tolist())
    return [next(values) if r.right is not None else None for r in records]


def calibration(records: Sequence[Record]) -> dict[str, Any]:
    """AUC of the calibrator on the questions that it was not fitted on, and of the log-probability on the same."""
    known = sum(r.right is not None for r in records)
    try:
        calibrator, _, rest = fitted(records, max(1, round(known * FIT)))
    except UserError as e:
        return {"not measured": e.problem}
    right = [float(r.right or 0.0) for r in rest]
    plain = [uncalibrated(r).answer.facts.get("answer_logprob") for r in rest]
    return {
        "weights": vars(calibrator),
        "calibrated": side_by_side.telling([r.answer.confidence for r in rest], right),
        "uncalibrated": side_by_side.telling(plain, right),
    }


def beside(name: str, shots: int) -> dict[str, str]:
    """Published figures by arm, each with where it stands."""
    told: dict[str, str] = {}
    if shots in SHOTS:
        for arm, row in KNOWLEDGE.items():
            value = published.value("knowledge-adapting", f"{row} ({SHOTS[shots]})", COLUMN[name])
            if value != "":
                told[arm] = f"published {value}"
    if name == "hotpotqa" and shots == 6:
        table = published.table("verify-and-edit")
        for arm, key in EDITED.items():
            em, auc = table.value(key, "EM (%)"), table.value(key, "AUC")
            parts = [f"EM {em}" if em != "" else "", f"AUC {auc}" if auc != "" else ""]
            told[arm] = f"published {', '.join(filter(None, parts))}" + (f" ({key[1]})" if key[1] != "-" else "")
    return told


# ── One set ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def measure(
    given: Set, shots: int, model: Model, options: argparse.Namespace, recorder: Recorder
) -> tuple[dict[str, Any], list[Table]]:
    """A set with so many examples: its figures, and the tables to print."""
    found = await side_by_side.answered(
        arms(given, shots, options, recorder), given.questions, model, options.concurrency
    )
    return told(given.name, shots, found)


def told(name: str, shots: int, found: Mapping[str, Sequence[Record]]) -> tuple[dict[str, Any], list[Table]]:
    """Figures and tables out of records."""
    measured = {arm: side_by_side.measured(records) for arm, records in found.items() if arm != "calibrated"}
    apart = {arm: side_by_side.against(found[arm], found[REFERENCE]) for arm in measured if arm != REFERENCE}
    facts: dict[str, Any] = {"set": name, "shots": shots, "arms": measured, f"minus {REFERENCE}": apart}
    facts["published"] = beside(name, shots)
    title = f"{name}, {SHOTS.get(shots, f'{shots} shots')}"
    tables = [side_by_side.table(title, measured, apart, facts["published"], REFERENCE)]
    if "calibrated" in found:
        facts["calibrator"] = calibration(found["calibrated"])
        facts["published"].setdefault("calibrated", "")
        tables.append(_calibrated(title, facts["calibrator"], facts["published"]["calibrated"]))
    if name == "fetaqa":
        scored = {arm: both for arm, records in found.items() if (both := bleus(records))}
        facts["bleu"] = {
            arm: {"corpus": both["corpus BLEU"], "mean_sentence": both["mean sentence BLEU"]}
            for arm, both in scored.items()
        }
        base = sentence_bleus(found[REFERENCE])
        facts["bleu_minus"] = {}
        for arm in facts["bleu"]:
            records = found[arm]
            both = [(a, b) for a, b in zip(sentence_bleus(records), base) if a is not None and b is not None]
            facts["bleu_minus"][arm] = side_by_side.compared([a for a, _ in both], [b for _, b in both])
        rows = tuple(
            (arm, _bleu(b["corpus"]), _bleu(b["mean_sentence"]), _bleu(facts["bleu_minus"][arm]["difference"], True),
             facts["published"].get(arm, ""))
            for arm, b in facts["bleu"].items()
        )  # fmt: skip
        note = "Published: mean of lower-cased sentence BLEU over its own sample; corpus BLEU is another figure."
        heads = ("arm", "corpus BLEU", "mean sentence BLEU", f"the same minus {REFERENCE}", "published")
        tables.append(Table(f"{title}: BLEU", heads, rows, note))
    facts["left_out"] = {arm: sum(r.answer.outcome in LACKING for r in records) for arm, records in found.items()}
    return facts, tables


def _bleu(interval: Interval, sign: bool = False) -> str:
    plus = "+" if sign else ""
    return f"{interval.value:{plus}.1f} [{interval.low:{plus}.1f}, {interval.high:{plus}.1f}]"


def _calibrated(title: str, found: Mapping[str, Any], stated: str) -> Table:
    if "not measured" in found:
        return Table(f"{title}: calibrator", ("", ""), (("not measured", found["not measured"]),))
    rows = tuple(
        (name, side_by_side.percent(found[name]["auc_over_coverage"]), stated if name == "calibrated" else "")
        for name in ("calibrated", "uncalibrated")
    )
    n = found["calibrated"]["n"]
    return Table(f"{title}: calibrator", ("confidence", "AUC", "published"), rows, f"Measured on {n} questions.")


# ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def run(options: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All sets; a set that cannot be had is told with the reason."""
    work, done = side_by_side.work(options), []
    facts: dict[str, Any] = {}
    with Store(work / "answers.db") as store:
        recorder = Recorder(store, retry_failed=options.retry_failed)
        async with side_by_side.open_model(options, store) as model:
            facts["model"] = {"address": options.model, "name": model.name}
            for name in options.sets:
                try:
                    given = grounded_sets.load(name, options.data, work, options.limit, options.fever_source)
                except UserError as e:
                    done.append({"set": name, "not run": f"{e.problem}: {e.remedy}" if e.remedy else e.problem})
                    print(f"\n{name}: not run. {e.problem}", flush=True)
                    continue
                try:
                    for shots in options.shots:
                        found, tables = await measure(given, shots, model, options, recorder)
                        done.append(found)
                        for table in tables:
                            trials.print_table(table, side_by_side.WIDTH)
                finally:
                    for source in given.sources:
                        if hasattr(source, "close") and (closing := source.close()) is not None:
                            await closing
    return done, facts


def main() -> None:
    parser = side_by_side.parser("grounded", __doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder that holds questions/ and choices/ (the file names: see docs)")
    add("--sets", nargs="+", choices=list(FILES), default=list(FILES), help="question sets (default: all)")
    add(
        "--shots", nargs="+", type=int, choices=range(7), default=[1, 6], help="worked examples in front (default: 1 6)"
    )
    left = (*METHODS, "calibrated", SHOWN, GIVEN)
    add("--without", nargs="+", choices=left, default=[], help="arms to leave out; react takes longest")
    add(
        "--fever-source",
        default="",
        help="where claims are looked up: replay:FILE#wikipedia (default: FEVER is not run)",
    )
    options = parser.parse_args()
    if REFERENCE in options.without:
        raise UserError("is what the others are compared with", where=f"--without {REFERENCE}", remedy="leave it in")
    began = time.monotonic()
    done, facts = asyncio.run(run(options))
    head = {
        "experiment": "grounded answering",
        "label": LABEL,
        **facts,
        "limit": options.limit,
        "samples": options.samples,
        "reference": REFERENCE,
    }
    out = side_by_side.out_path(options)
    trials.write(out, head, done, side_by_side.machine(began))
    print(f"\n{LABEL}\nwritten: {out}")


if __name__ == "__main__":
    trials.ended(main)
