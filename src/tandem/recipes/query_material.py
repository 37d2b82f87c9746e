"""What a query generator is trained on and measured with: pairs, descriptions of what they ask, and what runs them.

From folders of made-up worlds, or from files of one's own: pairs in our form, WikiSQL's or LC-QuAD's; descriptions from
a file, or as the sources themselves give them; data by the names that pairs use. What this does not do: train, measure.

Each world numbers its predicates and names its tables anew. A writer of one world can learn the numbers by heart; one
that is trained on several has to read the description, and is measured on a world that it never saw (`unseen_world`).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tandem.errors import UserError
from tandem.reason import query_forms
from tandem.reason.query_layout import Language
from tandem.reason.query_pairs import PairReading, QueryPair, read, read_schemas
from tandem.sandbox import Graph, Tables
from tandem.types import Schema

if TYPE_CHECKING:
    from tandem.reason.query_scores import Engine

FORMS = ("pairs", "wikisql", "lcquad")
HELD_OUT = ("things", "templates", "relations", "schemas")
"""What a world's files for measuring hold out."""
UNSEEN = "worlds"
"""The split of a whole world that is held out."""


@dataclass(frozen=True)
class Given:
    """Where the material is."""

    language: Language
    """The language that is learnt; pairs of others in the same files are left out and counted."""
    worlds: tuple[Path, ...] = ()
    """Folders of `tandem world`, then the rest is in them; measured with what the first one holds out."""
    unseen_world: Path | None = None
    """One that is measured with only, by its pairs of usual wording: the split `UNSEEN`."""
    pairs: tuple[Path, ...] = ()
    """Files to train on."""
    test: tuple[Path, ...] = ()
    """Files to measure with."""
    form: str = "pairs"
    """One of `FORMS`."""
    tables: tuple[Path, ...] = ()
    """WikiSQL's tables, of all files."""
    schemas: Path | None = None
    """Descriptions by name."""
    data: Mapping[str, Path] = field(default_factory=dict)
    """Files of tables or triples by the names that pairs use."""
    describe: str = "file"
    """`file`: as the file of descriptions has it; `source`: as a source tells it to `tandem answer`."""
    held_out: float = 0.1
    """Share of the pairs that is measured with where there are no files to measure with."""
    most: int = 0
    """Pairs to train on, drawn evenly; 0 takes all."""
    most_test: int = 100
    """Pairs to measure with in each split; 0 takes all."""
    skip: bool = False
    """Whether rows that cannot be used are left out and counted."""
    seed: int = 0
    """Of what is drawn."""


@dataclass(frozen=True)
class Material:
    """What there is."""

    train: tuple[QueryPair, ...]
    """Pairs to train on."""
    test: tuple[QueryPair, ...]
    """Pairs to measure with, of all splits."""
    schemas: Mapping[str, Schema]
    """Descriptions by name; none for plain words."""
    data: Mapping[str, Path]
    """Files by name."""
    skipped: tuple[tuple[str, str], ...]
    """(where, what is wrong) of rows that were left out."""
    others: int
    """Pairs of other languages, left out."""


def gather(given: Given, work: Path) -> Material:
    """Read everything; tables of WikiSQL are written into `work`. Raises UserError that names what cannot be used."""
    _check(given)
    if given.worlds:
        train, test, schemas, data = _worlds(given)
    else:
        train, test, schemas, data = _files(given, work)
    readings = [*train, *test]
    held = [[p for p in _pairs(part) if p.language == given.language] for part in (train, test)]
    others = sum(len(reading.pairs) for reading in readings) - sum(map(len, held))
    if not test:
        held = list(_parted(held[0], given.held_out, given.seed))
    if not held[0]:
        raise UserError(f"there is no pair in {given.language}", where="the pairs", remedy="check --language")
    if given.describe == "source" and given.language != "text":
        schemas = dict(schemas) | asyncio.run(_described(data, given.language))
    chosen = _some(held[0], given.most, given.seed)
    by_split: dict[str, list[QueryPair]] = {}
    for pair in held[1]:
        by_split.setdefault(pair.split, []).append(pair)
    measured = [pair for part in by_split.values() for pair in _some(part, given.most_test, given.seed)]
    skipped = tuple(row for reading in readings for row in reading.skipped)
    return Material(tuple(chosen), tuple(measured), schemas, data, skipped, others)


def _check(given: Given) -> None:
    remedy = "give --world DIR, or --pairs FILE"
    if bool(given.worlds) == bool(given.pairs):
        raise UserError("either a world or files of pairs are trained on", where="--pairs", remedy=remedy)
    if given.unseen_world and not given.worlds:
        raise UserError("is no world's counterpart", where="--unseen-world", remedy="give --world DIR to train on")
    if given.form not in FORMS:
        raise UserError(f"is {given.form!r}", where="--form", remedy=f"known: {', '.join(FORMS)}")
    if given.form == "wikisql" and (not given.tables or given.language != "sql"):
        raise UserError("WikiSQL has tables and SQL", where="--form", remedy="add --tables FILE and --language sql")
    if given.form == "lcquad" and given.language != "sparql":
        raise UserError("LC-QuAD is in SPARQL", where="--language", remedy="give --language sparql")
    if not 0 <= given.held_out < 1 or given.most < 0 or given.most_test < 0:
        raise UserError("a size cannot be used", where="--held-out, --limit, --test-limit", remedy="give 0 or more")
    for path in [*given.pairs, *given.test, *given.tables, *given.data.values()]:
        if not path.exists():
            raise UserError("no such file", where=str(path), remedy="check the path")


_Parts = tuple[list[PairReading], list[PairReading], Mapping[str, Schema], Mapping[str, Path]]


def _worlds(given: Given) -> _Parts:
    """The worlds' pairs, descriptions and data; with several, each world's schemas have its name in front."""
    folders = [*given.worlds, *([given.unseen_world] if given.unseen_world else [])]
    seeds = [_seed(folder) for folder in folders]
    for folder, seed in zip(folders, seeds, strict=True):
        if seeds.count(seed) > 1:
            raise UserError(f"seed {seed} is there twice", where=str(folder), remedy="make worlds of different seeds")
    train: list[PairReading] = []
    test: list[PairReading] = []
    schemas: dict[str, Schema] = {}
    data: dict[str, Path] = {}
    for number, (folder, seed) in enumerate(zip(folders, seeds, strict=True)):
        usual, held_out, told, files = _world(given, folder)
        front = f"world {seed}: " if len(folders) > 1 else ""
        if folder == given.unseen_world:
            test += [_of(reading, front, UNSEEN) for reading in usual]
        else:
            train += [_of(reading, front) for reading in usual]
            test += [_of(reading, front) for reading in held_out if number == 0]
        schemas |= {front + name: schema for name, schema in told.items()}
        data |= {front + name: path for name, path in files.items()}
    return train, test, schemas, data


def _of(reading: PairReading, front: str, split: str = "") -> PairReading:
    """A world's pairs, with their schemas' names as they are told apart."""
    pairs = (
        replace(p, id=front + p.id, schema=front + p.schema if p.schema else "", split=split or p.split)
        for p in reading.pairs
    )
    return PairReading(tuple(pairs), reading.skipped)


def _seed(folder: Path) -> int:
    try:
        return int(json.loads((folder / "knowledge.json").read_text(encoding="utf-8"))["seed"])
    except (OSError, ValueError, TypeError, KeyError) as e:
        raise _no_world(folder) from e


def _no_world(folder: Path) -> UserError:
    remedy = "write one: tandem world --seed 7 --out DIR (with its queries, triples and tables)"
    return UserError("is no world with queries", where=str(folder), remedy=remedy)


def _world(given: Given, folder: Path) -> _Parts:
    from tandem.world.triples import BASE

    queries = folder / "queries"
    if not (queries / "train.jsonl").is_file():
        raise _no_world(folder)

    def called(thing: str) -> str:
        return f"{BASE}{thing}" if given.describe == "source" else f":{thing}"

    train = [read(queries / "train.jsonl", skip=given.skip, called=called)]
    test = [read(queries / f"{split}.jsonl", skip=given.skip, called=called) for split in _there(queries)]
    tables = {"normalised": folder / "world.sqlite"} | {f.stem: f for f in (folder / "schemas").glob("*.sqlite")}
    data = {"sql": tables, "sparql": {"graph": folder / "triples.nt"}, "text": {}}[given.language]
    data = {name: path for name, path in data.items() if path.exists()}
    return train, test, read_schemas(queries / "sources.json"), data


def _there(queries: Path) -> list[str]:
    return [split for split in HELD_OUT if (queries / f"{split}.jsonl").is_file() and _size(queries, split)]


def _size(queries: Path, split: str) -> int:
    return (queries / f"{split}.jsonl").stat().st_size


def _files(given: Given, work: Path) -> _Parts:
    schemas: dict[str, Schema] = read_schemas(given.schemas) if given.schemas else {}
    data: dict[str, Path] = dict(given.data)
    if given.form == "wikisql":
        if len(given.tables) not in (1, len(given.pairs) + len(given.test)):
            remedy = "give one file of tables for all, or one for each of --pairs and --test, in their order"
            raise UserError("are neither one nor as many as files of questions", where="--tables", remedy=remedy)
        readings = []
        work.mkdir(exist_ok=True)
        for n, path in enumerate((*given.pairs, *given.test)):
            database = work / f"wikisql-{n}.sqlite"
            reading, told = query_forms.wikisql(path, given.tables[n % len(given.tables)], database, skip=given.skip)
            readings.append(reading)
            schemas |= told
            data |= dict.fromkeys(told, database)
        return readings[: len(given.pairs)], readings[len(given.pairs) :], schemas, data
    if given.form == "lcquad":
        name = next(iter(data or schemas), "graph")
        each: Any = [query_forms.lcquad(path, name, skip=given.skip) for path in (*given.pairs, *given.test)]
    else:
        each = [read(path, skip=given.skip) for path in (*given.pairs, *given.test)]
    return each[: len(given.pairs)], each[len(given.pairs) :], schemas, data


def _pairs(readings: list[PairReading]) -> list[QueryPair]:
    return [pair for reading in readings for pair in reading.pairs]


def _parted(pairs: list[QueryPair], share: float, seed: int) -> tuple[list[QueryPair], list[QueryPair]]:
    """Pairs to train on and to measure with; needs that are the same word for word stay together."""
    needs = sorted({pair.need for pair in pairs})
    random.Random(f"held out {seed}").shuffle(needs)
    out = set(needs[: round(share * len(needs))])
    held = [QueryPair(**{**vars(pair), "split": "pairs"}) for pair in pairs if pair.need in out]
    return [pair for pair in pairs if pair.need not in out], held


def _some(pairs: list[QueryPair], most: int, seed: int) -> list[QueryPair]:
    """At most so many, drawn from the seed, in their order."""
    if not most or len(pairs) <= most:
        return pairs
    chosen = set(random.Random(f"some {seed}").sample(range(len(pairs)), most))
    return [pair for n, pair in enumerate(pairs) if n in chosen]


async def _described(data: Mapping[str, Path], language: Language) -> dict[str, Schema]:
    """What a source of each file tells of itself."""
    from tandem.sources.sparql import GraphFile
    from tandem.sources.sql import TableFiles

    found: dict[str, Schema] = {}
    for name, path in data.items():
        source = TableFiles(path) if language == "sql" else GraphFile(path)
        try:
            found[name] = await source.schema()
        finally:
            await source.close()
    return found


async def engines(material: Material, language: Language, names: set[str], held: AsyncExitStack) -> dict[str, Engine]:
    """The sandboxed engine of each name that is asked and has data; names of one file share theirs."""
    opened: dict[Path, Engine] = {}
    for name in sorted(names & material.data.keys()):
        path = material.data[name]
        if path not in opened:
            engine = Tables(path) if language == "sql" else Graph(path)
            opened[path] = await held.enter_async_context(engine)
    return {name: opened[material.data[name]] for name in names & material.data.keys()}
