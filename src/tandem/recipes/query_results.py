"""What a query generator's run tells: figures before and after, by split, and examples; from its folder's files."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

from tandem.reason import query_scores
from tandem.reason.query_pairs import QueryPair
from tandem.reason.query_scores import ScoredQuery
from tandem.results import Curve, Example, Figure, Results, Section, Series, Table

FACTS = "query_generator.json"
"""Beside an adapter: the language it writes, and how many parts of a schema it is shown."""
STAGES = ("01-pairs", "02-before", "03-train", "04-after")


def items(out: Path) -> dict[str, list[ScoredQuery]]:
    """What was measured in a run folder, by writer."""
    files = {
        "untuned": out / STAGES[1] / "items.jsonl",
        "untuned, worked examples": out / STAGES[1] / "items-shots.jsonl",
        "tuned": out / STAGES[3] / "items.jsonl",
    }
    language = json.loads((out / STAGES[2] / "adapter" / FACTS).read_text())["language"]
    found = {}
    for name, path in files.items():
        if path.is_file():
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
            found[name] = [
                ScoredQuery(
                    QueryPair(row["id"], language, row["need"], row["gold"], split=row["split"]),
                    row["written"],
                    row["outcome"],
                    row.get("message", ""),
                )
                for row in rows
            ]
    return found


def tell(out: Path, *, model: str, measured: bool) -> Results:
    """The results of a finished run."""
    language = json.loads((out / STAGES[2] / "adapter" / FACTS).read_text())["language"]
    counts = json.loads((out / STAGES[0] / "pairs.json").read_text())
    history = json.loads((out / STAGES[2] / "history.json").read_text())
    packing = json.loads((out / STAGES[2] / "packing.json").read_text())
    name = {"sql": "SQL", "sparql": "SPARQL", "text": "plain questions"}[language]
    lead = f"{model}, tuned on {counts['train']:,} pairs to write {name}."
    sections, headline = [], [Figure("pairs", counts["train"])]
    if measured:
        found = items(out)
        before, after = found["untuned"], found["tuned"]
        gained = query_scores.gained(before, after)
        headline = [
            dataclasses.replace(query_scores.accuracy(before), name="right before"),
            dataclasses.replace(query_scores.accuracy(after), name="right after"),
            gained,
        ]
        lead += f" Right: {headline[0].value:.1%} before, {headline[1].value:.1%} after, of {len(after):,}."
        sections = [
            Section("queries", "Queries", "", (query_scores.table(f"{name}, every query run in the sandbox", found),)),
            Section("examples", "Examples", "", _examples(before, after)),
        ]
    else:
        lead += " Not measured: there is no data that the pairs for measuring could be run on."
    y = tuple(math.nan if v is None else v for v in history["loss"])
    curve = Curve("Training loss", "step", "nats/token learnt", (Series("loss", tuple(range(1, len(y) + 1)), y),))
    tables = [Table(title, ("", ""), tuple(told.items())) for title, told in (("Pairs", counts), ("Rows", packing))]
    sections += [Section("loss", "Training", "", (curve,)), Section("data", "What was learnt from", "", tuple(tables))]
    use = f"tandem answer FILE --query-model {language}={model}+adapter:{{run}}/{STAGES[2]}/adapter …"
    return Results(f"A query generator for {name}", lead, tuple(headline), tuple(sections), (("Use it", use),))


def _examples(before: Sequence[ScoredQuery], after: Sequence[ScoredQuery]) -> tuple[Example, ...]:
    """The first pair of each split, and the first that came right."""
    earlier = {one.pair.id: one for one in before}
    shown = [part[0] for part in query_scores.by_split(after).values()]
    shown += [one for one in after if one.outcome == "right"][:2]
    return tuple(
        Example(
            one.pair.split,
            one.pair.need,
            (("untuned", earlier[one.pair.id].query), ("tuned", one.query)),
            one.pair.query,
            (earlier[one.pair.id].outcome == "right", one.outcome == "right"),
        )
        for one in dict.fromkeys(shown)
    )
