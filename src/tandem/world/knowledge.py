"""What knowledge-grounded methods need of a world, as files beside its other views; `knowledge.json` tells of them.

    triples.nt              the facts as a graph
    tables/*.csv            the facts as tables (schema `normalised`), and the same as world.sqlite
    schemas/*.sqlite        the facts in the other schemas
    claims.jsonl            claims to be judged against the passages; half in held-out wordings
    strata.jsonl            questions by how often passages mention what they ask for
    table_questions.jsonl   questions about a table, answered by a sentence; half in held-out wordings
    mixed/                  passages.jsonl, triples.nt and world.sqlite that share the facts out among them, and
                            questions.jsonl, which need several of the three
    queries/*.jsonl         pairs of a need and its query, a file for each split; sources.json: what there is to ask

Files that `folder` writes stay as they are. The same seed and sizes give the same bytes; those of SQLite files also
depend on the version of SQLite.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.runs import disk_failure
from tandem.world.claims import claims
from tandem.world.engines import Engines
from tandem.world.folder import passage_record, write_lines
from tandem.world.mixed import Mixed
from tandem.world.pairs import SPLITS, held_out_relations, held_out_schemas, pairs, record, schemas
from tandem.world.partition import SOURCES, By, Partition
from tandem.world.passages import Mask
from tandem.world.schema import RELATIONS
from tandem.world.strata import stratified
from tandem.world.table_questions import table_questions
from tandem.world.table_schemas import table_schemas
from tandem.world.tables import write_csv, write_sqlite
from tandem.world.triples import triples
from tandem.world.world import MECHANISM, VERSION, World

PARTS = ("triples", "tables", "claims", "strata", "table-questions", "mixed", "queries")
"""What can be written, or left out."""


@dataclass(frozen=True)
class Sizes:
    """How much of each part."""

    claims: int = 1200
    """Claims."""
    strata: int = 400
    """Questions in all strata together, at most."""
    table_questions: int = 300
    """Questions answered by a sentence."""
    mixed: int = 600
    """Questions that need several sources."""
    queries: int = 2000
    """Pairs to train on; each of the four splits for evaluation has a fifth of it."""
    schemas: int = 6
    """Table schemas, at least 3."""


def write_knowledge(
    world: World,
    folder: Path,
    sizes: Sizes | None = None,
    *,
    without: Collection[str] = (),
    by: By = "fact",
    seed: int = 0,
) -> dict[str, int]:
    """Write all parts but those in `without` into an existing folder; returns the number of lines or rows of each.

    Raises UserError for an unknown part or too few schemas, Failure when the disk is full.
    """
    sizes = sizes or Sizes()
    if unknown := set(without) - set(PARTS):
        raise UserError(
            f"there is no part {min(unknown)!r}", where="without", remedy="choose among " + ", ".join(PARTS)
        )
    if min(vars(sizes).values()) < 0 or sizes.schemas < 3:
        raise UserError("a size cannot be used", where="sizes", remedy="give numbers ≥ 0, and at least 3 schemas")
    writers = {
        "triples": lambda: {"triples": _triples(world, folder / "triples.nt")},
        "tables": lambda: {"table rows": _tables(world, folder, sizes.schemas)},
        "claims": lambda: {"claims": write_lines(folder / "claims.jsonl", _both(claims, world, sizes.claims, seed))},
        "strata": lambda: {
            "strata": write_lines(folder / "strata.jsonl", map(asdict, stratified(world, sizes.strata, seed)))
        },
        "table-questions": lambda: {
            "table questions": write_lines(
                folder / "table_questions.jsonl", _both(table_questions, world, sizes.table_questions, seed)
            )
        },
        "mixed": lambda: _mixed(world, folder / "mixed", by, sizes.mixed, seed),
        "queries": lambda: _queries(world, folder / "queries", sizes, seed),
    }
    counts: dict[str, int] = {}
    try:
        for part in PARTS:
            if part not in without:
                counts |= writers[part]()
        about = {"label": MECHANISM, "version": VERSION, "seed": world.seed, "views_seed": seed, "counts": counts}
        text = json.dumps(about | _summary(world, sizes, by, seed, without), indent=2) + "\n"
        (folder / "knowledge.json").write_text(text, encoding="utf-8")
    except OSError as e:
        raise disk_failure(e, folder) from e
    return counts


def _summary(world: World, sizes: Sizes, by: By, seed: int, without: Collection[str]) -> dict[str, Any]:
    """What the parts hold, and what is held out of which."""
    held: dict[str, Any] = {"schemas": [schema.name for schema in table_schemas(world, sizes.schemas)]}
    if "queries" not in without:
        held["held_out_of_training_queries"] = {
            "relations": list(held_out_relations()),
            "schemas": list(held_out_schemas(world, sizes.schemas)),
        }
    if "mixed" not in without:
        partition = Partition.of(world, by, seed)
        held["mixed"] = {"by": by} | {s: int(partition.told(s).sum()) for s in SOURCES}
        if by == "relation":
            told = {s: sorted(set(world.columns.relation[partition.told(s)].tolist())) for s in SOURCES}
            held["mixed"]["relations"] = {s: [RELATIONS[r].name for r in told[s]] for s in SOURCES}
    return held


def _triples(world: World, path: Path, told: Mask | None = None) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for block in triples(world, told):
            file.write(block)
            count += block.count("\n")
    return count


def _tables(world: World, folder: Path, n_schemas: int) -> int:
    (folder / "tables").mkdir()
    (folder / "schemas").mkdir()
    first, *others = table_schemas(world, n_schemas)
    count = write_csv(world, first, folder / "tables")
    write_sqlite(world, first, folder / "world.sqlite").close()
    for schema in others:
        write_sqlite(world, schema, folder / "schemas" / f"{schema.name}.sqlite").close()
    return count


def _both(make: Any, world: World, n: int, seed: int) -> Any:
    """Questions, half of them in held-out wordings, as records."""
    return (asdict(q) for held_out in (False, True) for q in make(world, n // 2, seed, held_out=held_out))


def _mixed(world: World, folder: Path, by: By, n: int, seed: int) -> dict[str, int]:
    folder.mkdir()
    mixed = Mixed(world, Partition.of(world, by, seed))
    tables = mixed.partition.told("tables")
    write_sqlite(world, mixed.schema, folder / "world.sqlite", tables).close()
    return {
        "mixed passages": write_lines(folder / "passages.jsonl", map(passage_record, mixed.passages())),
        "mixed triples": _triples(world, folder / "triples.nt", mixed.partition.told("triples")),
        "mixed questions": write_lines(
            folder / "questions.jsonl",
            (asdict(q) for held_out in (False, True) for q in mixed.questions(n // 2, seed, held_out=held_out)),
        ),
    }


def _queries(world: World, folder: Path, sizes: Sizes, seed: int) -> dict[str, int]:
    folder.mkdir()
    counts = {}
    engines = Engines(world, table_schemas(world, sizes.schemas))
    for split in SPLITS:
        n = sizes.queries if split == "train" else sizes.queries // 5
        made = pairs(world, split, n, seed, n_schemas=sizes.schemas, engines=engines)
        counts[f"queries, {split}"] = write_lines(folder / f"{split}.jsonl", map(record, made))
    engines.close()
    described = {name: asdict(schema) for name, schema in schemas(world, sizes.schemas).items()}
    (folder / "sources.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return counts
