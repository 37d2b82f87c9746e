"""Does agreement tell what a model knows? A decoder that has read a made-up world, asked by how often it read of it.

    python experiments/knowing.py [--limit N] [--work DIR] [--verbal-model ADDRESS] [--report DIR]

A decoder of ours reads passages in which facts are mentioned never, 1 to 3, 4 to 15 or 16 times and more (Zipf's law),
is tuned on the methods' own prompts about *other* facts (`world_reader`), and is then asked: the same number of
questions of each stratum and relation, and questions of two hops. Measured: accuracy of direct answers, chains and
votes by stratum; whether the share of agreeing chains, or the answer's log-probability, tells right answers from wrong
ones; what Verify-and-Edit and Chain-of-Knowledge fix and break, with the passages and with the evidence itself; and the
chains, step by step against the world's, since a right answer may stand on a wrong chain.

A decoder this small may know facts and still not be able to read. Arms with a *perfect reader* tell the two apart: the
checks are written, and what they find is read, by a teacher that states a fact only where a passage found states it.

Such a decoder cannot speak of its confidence. For that, the embedded model reads the same questions with their
paragraphs, votes, and is asked how sure it is. All of it is `mechanism`: it reproduces no published figure.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import side_by_side
import trials
import world_reader
from side_by_side import Arm
from world_teacher import Assisted, Known, Teacher

from tandem.lm import connect, embedded
from tandem.metrics.normalise import answer_form
from tandem.reason import demonstrations, figures, kinds
from tandem.reason.agreement import Gate
from tandem.reason.chains import Asking
from tandem.reason.methods import Settings
from tandem.reason.running import Record
from tandem.results import Curve, Results, Section, Series, Table
from tandem.sources import Dataset
from tandem.sources.recorded import Recorded, Recorder
from tandem.stats import Interval, proportion
from tandem.store import Store
from tandem.text import fingerprint
from tandem.types import Question
from tandem.world import MECHANISM, STRATA, World, questions, stratified, stratum_of

REFERENCE = "cot-sc"
STRATIFIED, TWO_HOPS = "one hop, by stratum", "two hops"
MOST = {STRATIFIED: 400, TWO_HOPS: 100}
"""Questions of each set at most; the rarest stratum decides how many there are."""
PERFECT = "perfect reader"
"""Arms in which someone else reads what is found; the decoder writes chains and answers."""
VERBAL = 24
"""Questions that the embedded model is asked."""
VERBAL_SHOTS = 3


def question_sets(world: World) -> dict[str, list[Question]]:
    """What is asked; nothing of it is taught."""
    return {
        STRATIFIED: stratified(world, MOST[STRATIFIED]),
        TWO_HOPS: [q for q in questions(world, hops=(2,), n=MOST[TWO_HOPS]) if not q.meta["contested"]],
    }


def few(asked: Sequence[Question], limit: int | None) -> list[Question]:
    """The first questions; of strata equally many of each."""
    if limit is None:
        return list(asked)
    by = {name: [q for q in asked if stratum_of(q) == name] for name in STRATA}
    return [q for name in STRATA for q in by[name][: max(1, limit // len(STRATA))]]


def arms(passages: Recorded, own: Recorded, samples: int) -> list[Arm]:
    """Every arm: from memory, with the passages, with the evidence among other sentences."""
    asking: dict[kinds.Name, Asking] = {"short": world_reader.ASKING}
    plain = Settings(samples=samples, top=world_reader.TOP)
    always = Settings(samples=samples, top=world_reader.TOP, gate=Gate("always"))
    return [
        Arm("standard", "standard", asking, plain),
        Arm("cot", "cot", asking, plain),
        Arm(REFERENCE, "cot-sc", asking, plain),
        Arm("VE, passages", "verify-and-edit", asking, plain, [passages]),
        Arm("CoK, passages", "chain-of-knowledge", asking, plain, [passages]),
        Arm("VE, passages, always", "verify-and-edit", asking, always, [passages]),
        Arm("VE, oracle", "verify-and-edit", asking, plain, [own]),
        Arm("CoK, oracle", "chain-of-knowledge", asking, plain, [own]),
        Arm("VE, oracle, always", "verify-and-edit", asking, always, [own]),
    ]


def with_reader(made: Sequence[Arm]) -> list[Arm]:
    """The arms that look up passages, with a reader that makes no mistake: what is left is what the passages state."""
    return [replace(arm, name=f"{arm.name}, {PERFECT}") for arm in made if "passages" in arm.name]


# ── By stratum ──────────────────────────────────────────────────────────────────────────────────────────────────────


def by_stratum(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records of each stratum."""
    found: dict[str, list[Record]] = {name: [] for name in STRATA}
    for record in records:
        found[stratum_of(record.question)].append(record)
    return {name: some for name, some in found.items() if some}


def strata(found: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """Figures of every arm by stratum, and what editing did there."""
    told: dict[str, Any] = {}
    for name in by_stratum(found[REFERENCE]):
        here = {arm: by_stratum(records)[name] for arm, records in found.items()}
        told[name] = {
            arm: {
                "right": proportion(sum(r.right == 1 for r in records), len(records)),
                "editing": figures.edited(records),
                f"minus {REFERENCE}": side_by_side.against(records, here[REFERENCE]),
            }
            for arm, records in here.items()
        }
    return told


# ── Agreement ───────────────────────────────────────────────────────────────────────────────────────────────────────


def agreement(records: Sequence[Record]) -> dict[str, Any]:
    """Whether votes and log-probabilities tell what is right, and how often so many chains agree and are right."""
    right = [float(r.right or 0.0) for r in records]
    counts: dict[int, list[float]] = {}
    for record, score in zip(records, right, strict=True):
        counts.setdefault(int(record.answer.facts.get("count", 0)), []).append(score)
    return {
        "share": side_by_side.telling([r.answer.confidence for r in records], right),
        "answer_logprob": side_by_side.telling([r.answer.facts.get("answer_logprob") for r in records], right),
        "right_by_count": {n: proportion(round(sum(some)), len(some)) for n, some in sorted(counts.items())},
        "curve": {
            "share": coverage([r.answer.confidence or 0.0 for r in records], right),
            "answer_logprob": coverage([r.answer.facts.get("answer_logprob", -1e9) for r in records], right),
        },
    }


def coverage(scores: Sequence[float], right: Sequence[float]) -> list[tuple[float, float]]:
    """(share of the questions answered, accuracy on them), the surest first; equal scores enter together."""
    points, seen, good = [], 0, 0.0
    for score in sorted(set(scores), reverse=True):
        here = [r for s, r in zip(scores, right, strict=True) if s == score]
        seen, good = seen + len(here), good + sum(here)
        points.append((seen / len(scores), good / seen))
    return points


# ── Chains ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def gold_steps(question: Question) -> list[str]:
    """The world's chain without its last sentence, which only repeats the answer."""
    return list(question.meta["chain"][:-1])


def right_steps(steps: Sequence[str], gold: Sequence[str]) -> int:
    """How many sentences of the world's chain a chain states, as they are."""
    said = Counter(answer_form(step) for step in steps)
    return sum((Counter(answer_form(step) for step in gold) & said).values())


def chains(records: Sequence[Record]) -> dict[str, Any]:
    """Sampled chains against the world's: steps that are right, and answers and chains that are right apart."""
    steps = wanted = written = 0
    crossed: Counter[str] = Counter()
    for record in records:
        gold = gold_steps(record.question)
        for chain in sampled(record):
            good = right_steps(chain["steps"], gold)
            steps, wanted, written = steps + good, wanted + len(gold), written + len(chain["steps"])
            answer = kinds.of(record.question).right(chain["answer"], record.question) == 1
            whole = good == len(gold) == len(chain["steps"])
            crossed[f"answer {'right' if answer else 'wrong'}, chain {'right' if whole else 'wrong'}"] += 1
    return {
        "steps_right": proportion(steps, wanted) if wanted else None,
        "steps_written": written,
        "chains": dict(sorted(crossed.items())),
        "edited": edited_steps(records),
    }


def edited_steps(records: Sequence[Record]) -> dict[str, Any] | None:
    """Steps of the world's chain that stand before and after editing, where a chain was looked at again."""
    again = [r for r in records if r.answer.facts.get("edits")]
    if not again:
        return None
    gold = [gold_steps(r.question) for r in again]
    before = [right_steps(r.answer.facts["steps_before"], g) / len(g) for r, g in zip(again, gold, strict=True)]
    after = [
        right_steps([e["text"] for e in r.answer.facts["edits"]], g) / len(g) for r, g in zip(again, gold, strict=True)
    ]
    return {
        "chains": len(again),
        "before": sum(before) / len(before),
        "after": sum(after) / len(after),
        "change": side_by_side.compared(after, before),
    }


def sampled(record: Record) -> list[Mapping[str, Any]]:
    """The chains that were sampled for a question."""
    steps = [each.facts.get("chains", ()) for each in record.trace.walk() if each.name == "sample chains"]
    return [chain for some in steps[:1] for chain in some]


# ── What the model says of itself ───────────────────────────────────────────────────────────────────────────────────


async def verbal(asked: Sequence[Question], options: argparse.Namespace, store: Store) -> dict[str, Any]:
    """Agreement and stated confidence of a model that can be asked, reading the questions' own paragraphs."""
    if not options.verbal_model:
        return {"not run": "--verbal-model names none"}
    if options.verbal_model == "embedded" and not embedded.available():
        return {"not run": f"the embedded model is not installed: {embedded.INSTALL}"}
    worked = side_by_side.reading(demonstrations.shipped("short", VERBAL_SHOTS))
    asking: dict[kinds.Name, Asking] = {"short": Asking(worked, context=True)}
    settings = Settings(samples=options.samples)
    both = [Arm(name, name, asking, settings) for name in ("cot-sc", "verbal")]
    async with connect(options.verbal_model, store=store, retry_failed=options.retry_failed) as model:
        found = await side_by_side.answered(both, asked, model, options.concurrency)
        name = model.name
    right = [float(r.right or 0.0) for r in found["cot-sc"]]
    stated = [r.answer.confidence for r in found["verbal"]]
    said = [value for value in stated if value is not None]
    return {
        "model": {"address": options.verbal_model, "name": name},
        "right": proportion(round(sum(right)), len(right)),
        "agreement": agreement(found["cot-sc"]),
        "verbal": side_by_side.telling(stated, right),
        "said": {
            "answered": len(said),
            "of": len(stated),
            "mean": sum(said) / len(said) if said else None,
            "values": dict(Counter(f"{value:.2f}" for value in said).most_common()),
        },
        "chains": chains(found["cot-sc"]),
    }


# ── Tables and curves ───────────────────────────────────────────────────────────────────────────────────────────────


def tables(name: str, told: Mapping[str, Any]) -> list[Table]:
    """What is printed of a set."""
    here = list(told["strata"])
    rows = [
        (arm, *(side_by_side.percent(told["strata"][s][arm]["right"]) for s in here)) for arm in told["arms"]
    ]  # fmt: skip
    accuracy = Table(f"{name}: right answers by mentions", ("arm", *here), tuple(rows), f"Per cent. {MECHANISM}.")
    edits = [
        (arm, *(_edits(told["strata"][s][arm]["editing"]) for s in here))
        for arm in told["arms"]
        if told["arms"][arm]["editing"]["looked at again"]
    ]
    editing = Table(f"{name}: fixed / broken of looked at again", ("arm", *here), tuple(edits))
    sure = [
        (
            score,
            _area(told["agreement"][score].get("roc_auc")),
            _area(told["agreement"][score].get("auc_over_coverage")),
        )
        for score in ("share", "answer_logprob")
    ]
    note = "Right answers by agreeing chains: " + "; ".join(
        f"{n}: {100 * i.value:.0f} % of {i.n}" for n, i in told["agreement"]["right_by_count"].items()
    )
    agreed = Table(f"{name}: does it tell what is right?", ("score", "ROC-AUC", "AUC over coverage"), tuple(sure), note)
    judged = []
    for arm, found in told["chains"].items():
        edit = found["edited"]
        judged.append(
            (
                arm,
                side_by_side.percent(found["steps_right"]),
                ", ".join(f"{what} {n}" for what, n in found["chains"].items()),
                f"{100 * edit['before']:.1f} → {100 * edit['after']:.1f} of {edit['chains']} chains" if edit else "",
            )
        )
    columns = ("arm", "steps right", "sampled chains", "steps right before → after editing")
    return [accuracy, editing, agreed, Table(f"{name}: chains", columns, tuple(judged))]


def _edits(counts: Mapping[str, int]) -> str:
    return f"{counts['fixed']} / {counts['broken']} of {counts['looked at again']}"


def _area(interval: Interval | None) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]" if interval else "not measured"


def curves(told: Mapping[str, Any]) -> tuple[Curve, ...]:
    """Accuracy by stratum, by agreement and over coverage, for the report."""
    by, sure = told["strata"], told["agreement"]
    lines = tuple(
        Series(arm, tuple(range(len(by))), tuple(by[s][arm]["right"].value for s in by)) for arm in told["arms"]
    )
    over = tuple(Series(n, tuple(x for x, _ in p), tuple(y for _, y in p)) for n, p in sure["curve"].items())
    counts = sure["right_by_count"]
    agreed = Series("cot-sc", tuple(float(n) for n in counts), tuple(i.value for i in counts.values()))
    return (
        Curve("Right answers by mentions", f"stratum: {', '.join(by)}", "share right", lines),
        Curve("Right answers over coverage", "share of the questions answered, surest first", "share right", over),
        Curve("Right answers by agreeing chains", "chains that agree", "share right", (agreed,)),
    )


def report(folder: Path, facts: Mapping[str, Any], sets: Mapping[str, Mapping[str, Any]]) -> None:
    """A run folder with tables and curves, to be looked at."""
    from tandem import report as reports
    from tandem.recipes.toml import write
    from tandem.runs import Run

    training = facts["decoder"]
    losses = tuple(
        Series(what, tuple(map(float, range(len(training[what]["loss"])))), tuple(training[what]["loss"]))
        for what in ("reading", "tuning")
    )
    items = tuple(
        Section(f"set{n}", name, items=(*tables(name, s), *curves(s))) for n, (name, s) in enumerate(sets.items())
    )
    trained = Section("loss", "Training", items=(Curve("Loss", "stretch of steps", "nats per token", losses),))
    with Run(folder, write({"knowing": {"plan": training["plan"]}})) as run:
        run.write_results(Results("What a decoder knows", f"Label: {MECHANISM}.", (), (*items, trained)))
    reports.write(folder)


# ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def run(plan: world_reader.Reader, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make the decoder, ask it, ask the embedded model; facts and figures by set."""
    work = side_by_side.work(options)
    world = World.make(plan.seed, plan.facts)
    asked = question_sets(world)
    everything = [q for some in asked.values() for q in some]
    folder = work / f"decoder-{fingerprint([vars(plan), [q.id for q in everything]])}"
    folder.mkdir(exist_ok=True)
    source = world_reader.index(world, folder / "passages")
    taught = await world_reader.taught_pairs(plan, everything, folder)
    facts: dict[str, Any] = {"decoder": world_reader.made(plan, folder, taught) | {"taught": len(taught)}}
    sets: dict[str, Any] = {}
    with Store(work / "answers.db") as store:
        recorder = Recorder(store, retry_failed=options.retry_failed)
        passages, own = Recorded(source, recorder), Recorded(Dataset(), recorder)
        async with connect(f"local:{folder / 'model'}", store=store, precision="fp32") as model:
            for name, some in asked.items():
                some = few(some, options.limit)
                made = arms(passages, own, options.samples)
                found = await side_by_side.answered(made, some, model, options.concurrency)
                if name == STRATIFIED:
                    reader = Teacher(Known(world), {q.text: q for q in some})
                    helped = Assisted(model, reader)
                    made = with_reader(made)
                    found |= await side_by_side.answered(made, some, helped, options.concurrency)
                sets[name] = told(found)
        few_asked = few(asked[STRATIFIED], min(VERBAL, options.limit or VERBAL))
        facts["verbal"] = await verbal(few_asked, options, store)
    source.close()
    return facts, sets


def told(found: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """All figures of a set."""
    measured = {arm: side_by_side.measured(records) for arm, records in found.items()}
    return {
        "arms": measured,
        f"minus {REFERENCE}": {arm: side_by_side.against(found[arm], found[REFERENCE]) for arm in found},
        "strata": strata(found),
        "agreement": agreement(found[REFERENCE]),
        "chains": {arm: chains(records) for arm, records in found.items() if arm != "standard"},
    }


def main() -> None:
    parser = side_by_side.parser("knowing", __doc__)
    add = parser.add_argument
    add("--facts", type=int, default=world_reader.Reader.facts, help="size of the world (default: 3,000)")
    add("--epochs", type=float, default=world_reader.Reader.epochs, help="how often passages are read (default: 30)")
    add(
        "--verbal-model", default="embedded", help="model that is asked how sure it is; empty: none (default: embedded)"
    )
    add("--report", type=Path, help="a run folder with the curves (default: WORK/report)")
    options = parser.parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    began = time.monotonic()
    facts, sets = asyncio.run(run(world_reader.Reader(facts=options.facts, epochs=options.epochs), options))
    for name, found in sets.items():
        for table in tables(name, found):
            trials.print_table(table, side_by_side.WIDTH)
    said = facts["verbal"]
    if "not run" in said:
        print(f"\nverbal confidence: not run, {said['not run']}")
    else:
        rows = (
            ("agreement", _area(said["agreement"]["share"].get("roc_auc"))),
            ("stated when asked", _area(said["verbal"].get("roc_auc"))),
        )
        values = f"mean stated {said['said']['mean']}" if said["said"]["answered"] else "no number was stated"
        note = f"{said['model']['address']}, right: {side_by_side.percent(said['right'])} %; {values}."
        trials.print_table(Table("Agreement beside what the model says", ("score", "ROC-AUC"), rows, note))
    report(options.report or side_by_side.work(options) / "report", facts, sets)
    head = {"experiment": "knowing", "label": MECHANISM, "limit": options.limit, **facts}
    out = side_by_side.out_path(options)
    trials.write(out, head, [{"set": name} | found for name, found in sets.items()], side_by_side.machine(began))
    print(f"\nwritten: {out}")


if __name__ == "__main__":
    trials.ended(main)
