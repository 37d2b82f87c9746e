"""Tune a model to write queries for a language, and measure it before and after: the adaptive query generator.

Chain-of-Knowledge (Li et al. 2024, §3.3) tunes one adapter for each query language. Here a run folder holds

    01-pairs     what is trained on and measured with, after every pair's own query was run on its data
    02-before    queries of the untuned model, without and with worked examples
    03-train     the adapter, in PEFT's form, beside it what it was trained for (`query_generator.json`)
    04-after     queries of the tuned model

and a report. The prompt in training is the one that the tuned model is asked with (`reason.query_writer.put`); the
order of a row's pairs shares the schema between them (`train.branched`). The published settings are rank 64, alpha 16,
rate 1.41e-5, 3 epochs, the loss on the whole text, and the listing of wrong queries.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tandem import decoder
from tandem import tokenizer as tokenizers
from tandem.decoder import adapters
from tandem.errors import UserError
from tandem.lm import connect
from tandem.lm.locate import locate
from tandem.lm.wording import Wording, lead_of
from tandem.reason import query_scores
from tandem.reason.query_layout import PARTS, laid_out
from tandem.reason.query_pairs import QueryPair, refusal
from tandem.reason.query_scores import Gold, ScoredQuery
from tandem.reason.query_writer import LONGEST, put, target
from tandem.recipes import toml
from tandem.recipes.execute import choose_device, device_name, use_threads
from tandem.recipes.learning import computing, decision_teller, progress_teller
from tandem.recipes.place import Watch, write_json
from tandem.recipes.query_material import Given, Material, engines, gather
from tandem.recipes.query_results import FACTS, STAGES, tell
from tandem.report import write as write_report
from tandem.results import Results
from tandem.runs import Run, file_hash, read_results, write_whole
from tandem.store import Store
from tandem.train.branched import Branched, Text, loss
from tandem.train.loop import Settings, adamw, fit
from tandem.train.schedule import Cosine
from tandem.types import Schema

CONTRASTS = ("none", "listing", "margin")


@dataclass(frozen=True)
class QueryGenerator:
    """What to tune, on what, and how."""

    model: str
    """`embedded`, a model's folder or a run's folder."""
    given: Given
    """The material."""
    parts: int = PARTS
    """Tables or predicates that are shown; 0 shows no schema."""
    lora: int = 16
    """Rank."""
    alpha: float = 0.0
    """Scale; 0 takes twice the rank."""
    dropout: float = 0.0
    """Of the adapter's inputs."""
    epochs: float = 3.0
    """Times each pair is seen."""
    context: int = 2048
    """Tokens of a row: a schema, and as many pairs as fit behind it."""
    rows: int = 1
    """Rows of a step."""
    peak: float = 2e-4
    """Highest learning rate."""
    warmup: float = 0.1
    """Share of the steps that warm up."""
    learn: str = "query"
    """`query`, or `text`: the loss falls on the whole text, as published."""
    contrast: str = "none"
    """`none`; `listing`, as published; `margin`."""
    margin: float = 1.0
    """Nats that the right token shall be ahead, with `margin`."""
    weight: float = 1.0
    """Of the margin beside the cross-entropy."""
    shots: int = 3
    """Worked examples of the second measurement before; 0 leaves it out."""
    longest: int = LONGEST
    """Tokens of a query that is written."""
    precision: str = "fp32"
    """fp32 or bf16."""
    seed: int = 0
    """Of order, adapter, dropout, and what is drawn."""


def run(
    job: QueryGenerator, out: Path, *, watch: Watch, device: str | None = None, threads: int | None = None
) -> Results:
    """Measure, tune, measure again in the run folder `out`, or continue what was begun there.

    Raises UserError when model, pairs or settings cannot be used, Failure when the work fails.
    """
    _check(job)
    where = choose_device(device)
    use_threads(threads)
    folder = locate(job.model)
    with Run(out, _recipe(job), {"seed": job.seed, "device": device_name(where), "torch": torch.__version__}) as held:
        material = gather(job.given, out / "tables")
        _staged(held, watch, 0, "Pairs, each run on its data", lambda path: _pairs(job, material, path, watch))
        known = _known(job, material, out)
        measured = bool(known.pairs)
        if measured:
            _staged(
                held, watch, 1, "Queries before tuning", lambda path: _before(job, material, known, path, out, device)
            )
        _staged(held, watch, 2, "Tuning", lambda path: _train(job, material, folder, path, held, watch, where))
        if measured:
            _staged(
                held, watch, 3, "Queries after tuning", lambda path: _after(job, material, known, path, out, device)
            )
        held.write_results(tell(out, model=job.model, measured=measured))
        write_report(out)
    return read_results(out)


def _check(job: QueryGenerator) -> None:
    wrong = {
        "--parts": job.parts < 0 and "give 0 or more",
        "--lora": job.lora < 1 and "give a rank of at least 1",
        "--epochs": not (math.isfinite(job.epochs) and job.epochs > 0) and "give a number above 0, such as 3",
        "--peak": not (math.isfinite(job.peak) and job.peak > 0) and "give a learning rate, such as 2e-4",
        "--rows": job.rows < 1 and "give at least 1",
        "--shots": job.shots < 0 and "give 0 or more",
        "--margin": not (math.isfinite(job.margin) and job.margin > 0) and "give a number above 0",
        "--learn": job.learn not in ("query", "text") and "query or text",
        "--contrast": job.contrast not in CONTRASTS and f"one of {', '.join(CONTRASTS)}",
    }
    for flag, remedy in wrong.items():
        if remedy:
            raise UserError("cannot be used", where=flag, remedy=remedy)


def _recipe(job: QueryGenerator) -> str:
    """The settings and the contents of all files, as TOML."""
    given = job.given
    files = [*given.pairs, *given.test, *given.tables, *([given.schemas] if given.schemas else [])]
    files += given.data.values()
    kind = {"sql": "**/*.sqlite", "sparql": "triples.nt", "text": "queries/*.jsonl"}[given.language]
    for world in (*given.worlds, *([given.unseen_world] if given.unseen_world else [])):
        files += sorted({*(world / "queries").glob("*.json*"), *world.glob(kind)})
    told = {k: str(v) if isinstance(v, Path) else v for k, v in vars(given).items() if v is not None}
    told |= {k: [str(p) for p in told[k]] for k in ("worlds", "pairs", "test", "tables")}
    told["data"] = {name: str(path) for name, path in given.data.items()}
    settings = {k: v for k, v in vars(job).items() if k != "given"}
    hashes = {str(path): file_hash(path) for path in files if path.is_file()}
    return toml.write({"query_generator": settings, "given": told, "data_hashes": hashes})


def _staged(held: Run, watch: Watch, number: int, title: str, fill: Any) -> None:
    if held.finished(STAGES[number]):
        watch.standing(title)
        return
    watch.stage(title)
    with held.stage(STAGES[number], title=title) as path:
        fill(path)


# ── Pairs ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _pairs(job: QueryGenerator, material: Material, path: Path, watch: Watch) -> None:
    """Run what is measured with, and what is trained on where there is data; name what fails."""
    asked = {pair.schema for pair in (*material.train, *material.test)}
    if job.parts and job.given.language != "text" and (missing := asked - material.schemas.keys()):
        remedy = "give --schemas FILE or --data NAME=FILE with --describe source, or --parts 0 to show no schema"
        raise UserError("is described nowhere", where=f"schema {min(missing)!r}", remedy=remedy)
    test, train = asyncio.run(_gold(job, material))
    failed = [*train.failed, *test.failed]
    if failed and not job.given.skip:
        total = len(material.train) + len(material.test)
        raise refusal(failed, total, "mend these queries or their data, or leave them out with --on-bad skip")
    for where, what in [*material.skipped, *failed][:5]:
        watch.say(f"  left out: {where} {what}")
    left = {one for one, _ in failed}
    kept = [pair for pair in material.train if pair.where not in left]
    if not kept:
        raise UserError("no pair to train on is left", where="01-pairs", remedy="mend the queries or their data")
    counts = {
        "train": len(kept),
        "test": len(test.pairs),
        "skipped": len(material.skipped),
        "failed": len(failed),
        "empty": len(test.empty),
        "other_languages": material.others,
        "not_run": sum(pair.schema not in material.data for pair in kept)
        if job.given.language != "text"
        else len(kept),
    }
    watch.say("  " + ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n))
    write_json(path / "pairs.json", counts)
    write_json(path / "kept.json", {"train": [p.where for p in kept], "test": [p.where for p in test.pairs]})


async def _gold(job: QueryGenerator, material: Material) -> tuple[Gold, Gold]:
    async with AsyncExitStack() as held:
        asked = {pair.schema for pair in (*material.train, *material.test)}
        running = await engines(material, job.given.language, asked, held)
        text = job.given.language == "text"
        parts = [[p for p in part if text or p.schema in running] for part in (material.test, material.train)]
        test, train = [await query_scores.gold(part, running) for part in parts]
        return test, train


def _known(job: QueryGenerator, material: Material, out: Path) -> Gold:
    kept = set(json.loads((out / STAGES[0] / "kept.json").read_text())["test"])
    return Gold(tuple(pair for pair in material.test if pair.where in kept), {})


# ── Measuring ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _before(job: QueryGenerator, material: Material, known: Gold, path: Path, out: Path, device: str | None) -> None:
    _measure(job, material, known, path, out, device, "", ())
    if job.shots:
        _measure(job, material, known, path, out, device, "", _some_shots(material.train, job.shots))


def _after(job: QueryGenerator, material: Material, known: Gold, path: Path, out: Path, device: str | None) -> None:
    _measure(job, material, known, path, out, device, f"+adapter:{out / STAGES[2] / 'adapter'}", ())


def _some_shots(train: Sequence[QueryPair], n: int) -> tuple[QueryPair, ...]:
    """Worked examples, spread over the pairs."""
    return tuple(train[at * len(train) // n] for at in range(min(n, len(train))))


def _measure(
    job: QueryGenerator,
    material: Material,
    known: Gold,
    path: Path,
    out: Path,
    device: str | None,
    adapter: str,
    shots: Sequence[QueryPair],
) -> None:
    async def measured() -> list[ScoredQuery]:
        address = "embedded" if job.model == "embedded" else f"local:{locate(job.model)}"
        with Store(out.with_name(out.name + ".answers.db")) as store:
            lm = connect(address + adapter, store=store, precision=job.precision, device=device)
            async with lm, AsyncExitStack() as held:
                asked = {pair.schema for pair in known.pairs}
                running = await engines(material, job.given.language, asked, held)
                gold = await query_scores.gold(known.pairs, running)
                return await query_scores.measure(
                    lm,
                    gold,
                    material.schemas,
                    running,
                    shots=shots,
                    parts=job.parts,
                    max_tokens=job.longest,
                )

    scored = asyncio.run(measured())
    lines = "".join(json.dumps(one.to_json(), ensure_ascii=False) + "\n" for one in scored)
    write_whole(path / ("items-shots.jsonl" if shots else "items.jsonl"), lines.encode("utf-8", "replace"))


# ── Training ────────────────────────────────────────────────────────────────────────────────────────────────────────


def texts(
    pairs: Sequence[QueryPair], schemas: Mapping[str, Schema], wording: Wording, end: int, job: QueryGenerator
) -> list[list[Text]]:
    """Pairs as token ids, those of one schema together: the prompt as a writer is asked, then the query and the end."""
    groups: dict[str, list[Text]] = {}
    for pair in pairs:
        schema = schemas.get(pair.schema) if job.parts else None
        laid = laid_out(pair.language, pair.need, schema, names=pair.names, parts=job.parts)
        asked = put(wording.abilities, laid)
        before, right = wording.pair(asked, target(pair, listing=job.contrast == "listing"), cut_left=True)
        wrong = []
        if job.contrast == "margin":
            others = (dataclasses.replace(pair, query=query) for query in pair.wrong)
            wrong = [(*wording.pair(asked, target(other), cut_left=True)[1], end) for other in others]
        groups.setdefault(pair.schema, []).append(Text((*before, *right, end), len(before), tuple(wrong)))
    return list(groups.values())


def _train(
    job: QueryGenerator, material: Material, source: Path, path: Path, held: Run, watch: Watch, device: torch.device
) -> None:
    made = tokenizers.load(source)
    kept = set(json.loads((held.path / STAGES[0] / "kept.json").read_text())["train"])
    pairs = [pair for pair in material.train if pair.where in kept]
    model = computing(decoder.load(source, dtype=torch.float32, device=device), job.precision)
    context = min(job.context, model.shape.context)
    wording = Wording(made, context=10**9, lead=lead_of(made))
    groups = texts(pairs, material.schemas, wording, made.end, job)
    packed = Branched(
        groups,
        context=context,
        rows=job.rows,
        pad=made.pad,
        seed=job.seed,
        epochs=job.epochs,
        whole=job.learn == "text",
    )
    report = packed.report
    watch.say(f"  {report.tokens:,} tokens an epoch ({report.alone:,} without sharing schemas), {packed.steps:,} steps")
    if report.dropped:
        watch.say(f"  {report.dropped:,} pairs are longer than {context:,} tokens: left out")
    adapters.attach(model, adapters.LoRA(job.lora, job.alpha or 2.0 * job.lora, job.dropout), seed=job.seed)
    partings = packed.partings() if job.contrast == "margin" else None
    settings = Settings(decay=0.0, seed=job.seed)
    history = fit(
        model,
        packed,
        adamw(model, settings),
        Cosine(job.peak, max(1, round(job.warmup * packed.steps)), packed.steps, 0.1),
        settings,
        data=f"{packed.fingerprint} {job.contrast} {job.margin} {job.weight}",
        work=held.work(STAGES[2]),
        loss=loss(partings, margin=job.margin, weight=job.weight),
        on_progress=progress_teller(held, watch, "tune"),
        on_decision=decision_teller(held, watch, "tune"),
    )
    model.eval()
    adapters.save(model, path / "adapter", base=job.model)
    facts = {"language": job.given.language, "parts": job.parts, "describe": job.given.describe, "base": job.model}
    write_json(path / "adapter" / FACTS, facts)
    write_json(path / "history.json", history.as_json())
    write_json(path / "packing.json", dataclasses.asdict(report))
