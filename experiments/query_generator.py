"""Does an adapter make a small model write queries, and does what it learnt carry over?

    python experiments/query_generator.py [--languages sql sparql] [--pairs 160] [--contrasts none margin] [--work DIR]
                                          [--worlds 8 9 10 --unseen 7] [--describe file|source]

Chain-of-Knowledge tunes a writer of queries for each language. Here the embedded model (135 M parameters) is tuned by
LoRA on pairs of a made-up world, and writes queries before and after, all of them run in the sandbox. Held out apart:
the things asked about, wordings, relations, (SQL) table schemas, and with --unseen a whole world, which has other
numbers for its predicates and other names for its tables. Figures go to --out, with every query's outcome;
`mechanism`, not a published figure. Killed and started again with the same --work, it goes on. With `--describe source`
the adapters in WORK/LANGUAGE-CONTRAST/03-train/adapter are ones that `heterogeneous.py --query-model` can ask.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tandem.decoder.threads import sleep_while_idle

sleep_while_idle()  # before torch is loaded

# ruff: noqa: E402
from trials import ended, machine

from tandem.cli.progress import watcher
from tandem.reason import query_scores
from tandem.reason.query_scores import ScoredQuery
from tandem.recipes.execute import choose_device
from tandem.recipes.query_generator import QueryGenerator, run
from tandem.recipes.query_material import Given, gather
from tandem.recipes.query_results import STAGES, items
from tandem.results import to_json
from tandem.runs import read_events
from tandem.world import MECHANISM, Sizes, World, write_knowledge

_PREDICATE = re.compile(r":[PH]\d+")
WITHOUT = ("claims", "strata", "table-questions", "mixed")


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--languages", nargs="+", choices=["sql", "sparql"], default=["sql", "sparql"], help="adapters to tune")
    add("--contrasts", nargs="+", choices=["none", "listing", "margin"], default=["none"], help="uses of wrong queries")
    add("--describe", choices=["file", "source"], default="file", help="schemas: the world's own words, or a source's")
    add("--pairs", type=int, default=160, help="to train on, of each language; 0 takes all (default: 160)")
    add("--test-pairs", type=int, default=20, help="to measure with, of each split (default: 20)")
    add("--epochs", type=float, default=2.0, help="times each is seen (default: 2)")
    add("--peak", type=float, default=1e-3, help="highest learning rate (default: 1e-3)")
    add("--context", type=int, default=1024, help="tokens of a row (default: 1,024)")
    add("--precision", choices=["fp32", "bf16"], default="fp32", help="of the products (default: fp32)")
    add("--worlds", type=int, nargs="+", default=[7], metavar="SEED", help="seeds of worlds to train on (default: 7)")
    add("--unseen", type=int, metavar="SEED", help="seed of a world that is measured with only")
    add("--facts", type=int, default=2000, help="size of each world (default: 2,000)")
    add("--model", default="embedded", help="embedded or a model's folder (default: embedded)")
    add("--seed", type=int, default=0, help="of pairs, order and adapter (default: 0)")
    add("--threads", type=int, help="threads on a CPU")
    add("--work", type=Path, help="keeps world and run folders, to go on with (default: a temporary folder)")
    add("--out", type=Path, default=Path(__file__).parent / "results" / "query_generator.json", help="the figures")
    return made


def one(
    options: argparse.Namespace, worlds: Sequence[Path], unseen: Path | None, work: Path, language: Any, contrast: str
) -> dict[str, Any]:
    """Tune and measure one adapter."""
    given = Given(
        language,
        tuple(worlds),
        unseen,
        describe=options.describe,
        most=options.pairs,
        most_test=options.test_pairs,
        seed=options.seed,
    )
    job = QueryGenerator(
        options.model,
        given,
        epochs=options.epochs,
        peak=options.peak,
        context=options.context,
        contrast=contrast,
        longest=128,
        precision=options.precision,
        seed=options.seed,
    )
    out = work / f"{language}-{contrast}"
    with watcher() as watch:
        run(job, out, watch=watch, threads=options.threads)
    found = items(out)
    seconds = {e["stage"]: e["seconds"] for e in read_events(out) if e["event"] == "stage ends"}
    return {
        "language": language,
        "contrast": contrast,
        "pairs": json.loads((out / STAGES[0] / "pairs.json").read_text()),
        "rows": json.loads((out / STAGES[2] / "packing.json").read_text()),
        "settings": {
            "lora": job.lora,
            "epochs": job.epochs,
            "peak": job.peak,
            "context": job.context,
            "precision": job.precision,
            "describe": given.describe,
        },
        "loss": json.loads((out / STAGES[2] / "history.json").read_text())["loss"],
        "writers": {name: told(scored) for name, scored in found.items()},
        "tuned_by_schema": by_schema(found["tuned"], given, out),
        "tuned_names": names_right(found["tuned"]) if language == "sparql" else None,
        "gained": {
            split: to_json(query_scores.gained(query_scores.by_split(found["untuned"])[split], scored))
            for split, scored in query_scores.by_split(found["tuned"]).items()
        },
        "items": {name: {x.pair.id: x.outcome for x in scored} for name, scored in found.items()},
        "clock": {"seconds": round(sum(seconds.values()), 1), "training": seconds[STAGES[2]]},
    }


def by_schema(scored: Sequence[ScoredQuery], given: Given, work: Path) -> dict[str, dict[str, list[int]]]:
    """Of each split and schema: queries that are right, and all."""
    schema = {pair.id: pair.schema for pair in gather(given, work).test}
    counts: dict[str, dict[str, list[int]]] = {}
    for one in scored:
        right = counts.setdefault(one.pair.split, {}).setdefault(schema[one.pair.id], [0, 0])
        right[0] += one.outcome == "right"
        right[1] += 1
    return counts


def names_right(scored: Sequence[ScoredQuery]) -> dict[str, dict[str, int]]:
    """Of each split: queries of the right form, predicates aside; predicates that stand in their places, and all."""
    counts: dict[str, dict[str, int]] = {}
    for one in scored:
        gold, written = (_PREDICATE.findall(query) for query in (one.pair.query, one.query))
        form = _PREDICATE.sub(":P", one.pair.query) == _PREDICATE.sub(":P", one.query)
        told = counts.setdefault(
            one.pair.split, {"queries": 0, "right form": 0, "right predicates": 0, "predicates": 0}
        )
        told["queries"] += 1
        told["right form"] += form
        told["predicates"] += min(len(gold), len(written))
        told["right predicates"] += sum(a == b for a, b in zip(gold, written, strict=False))
    return counts


def made(seed: int, facts: int, work: Path) -> Path:
    """A world's folder, written unless it is there."""
    folder = work / f"world-{seed}-{facts}"
    if not (folder / "knowledge.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_knowledge(World.make(seed, facts), folder, Sizes(), without=WITHOUT)
    return folder


def told(scored: list[query_scores.ScoredQuery]) -> dict[str, Any]:
    """Figures of one writer, for each split and for all."""
    parts = query_scores.by_split(scored) | {"all": scored}
    return {
        split: {
            "n": len(part),
            "valid": to_json(query_scores.valid(part)),
            "right": to_json(query_scores.accuracy(part)),
            "outcomes": query_scores.outcomes(part),
        }
        for split, part in parts.items()
    }


def main() -> None:
    """Make the world, tune, measure, write the figures."""
    options = parser().parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        worlds = [made(seed, options.facts, work) for seed in options.worlds]
        unseen = made(options.unseen, options.facts, work) if options.unseen is not None else None
        trials = [
            one(options, worlds, unseen, work, lang, how) for lang in options.languages for how in options.contrasts
        ]
    figures = {
        "label": MECHANISM,
        "model": options.model,
        "facts": options.facts,
        "worlds": options.worlds,
        "unseen": options.unseen,
        "seed": options.seed,
        "trials": trials,
        "clock": machine(choose_device(None), sum(trial["clock"]["seconds"] for trial in trials)),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    for trial in trials:
        for name, splits in trial["writers"].items():
            for split, part in splits.items():
                right = f"{part['right']['value']:.1%} right, {part['valid']['value']:.1%} valid"
                print(f"{trial['language']:7} {trial['contrast']:8} {name:25} {split:10} n {part['n']:4}  {right}")


if __name__ == "__main__":
    ended(main)
