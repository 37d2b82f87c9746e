"""Every gold query gives the gold answer on the world's own files; every wrong one gives something else, or nothing."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyoxigraph
import pytest

from tandem.errors import UserError
from tandem.world import Pair, Sizes, World, pairs, write_knowledge
from tandem.world.pairs import LANGUAGES, SPLITS, held_out_relations, held_out_schemas, schemas
from tandem.world.schema import RELATION
from tandem.world.templates import WORDINGS
from tandem.world.wrong_queries import MISTAKES

N = {"train": 320, "things": 110, "templates": 110, "relations": 110, "schemas": 110}


@pytest.fixture(scope="module")
def world() -> World:
    return World.make(7, 3000)


@pytest.fixture(scope="module")
def made(world: World) -> dict[str, list[Pair]]:
    return {split: pairs(world, split, N[split]) for split in SPLITS}


class Files:
    """The world's own files, asked with the engines' own packages."""

    def __init__(self, folder: Path) -> None:
        self.graph = pyoxigraph.Store()
        self.graph.bulk_load(path=str(folder / "triples.nt"), format=pyoxigraph.RdfFormat.N_TRIPLES)
        files = {"normalised": folder / "world.sqlite"} | {p.stem: p for p in (folder / "schemas").iterdir()}
        self.tables = {name: sqlite3.connect(f"file:{path}?mode=ro", uri=True) for name, path in files.items()}

    def ask(self, pair: Pair, query: str) -> list[str] | None:
        """Sorted answers; None for a query that the engine refuses."""
        try:
            if pair.language == "sparql":
                found: Any = self.graph.query(query)
                return sorted(row[0].value for row in found)
            rows = self.tables[pair.schema].execute(query).fetchall()
            return sorted(str(row[0]) for row in rows if row[0] is not None)
        except (SyntaxError, sqlite3.Error):
            return None


@pytest.fixture(scope="module")
def files(world: World, tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("files")
    write_knowledge(world, folder, Sizes(), without=("claims", "strata", "table-questions", "mixed", "queries"))
    return Files(folder)


def test_gold_queries_give_the_gold_answer_and_wrong_ones_do_not(made: dict[str, list[Pair]], files: Files) -> None:
    run: Counter[str] = Counter()
    for pair in (p for split in made.values() for p in split if p.language != "text"):
        assert files.ask(pair, pair.query) == list(pair.answers), pair
        for wrong in pair.wrong:
            got = files.ask(pair, wrong.query)
            assert got != list(pair.answers), wrong
            assert (got is None) == (wrong.mistake == "invalid"), wrong
        run[pair.language] += 1
    assert run["sparql"] > 150 and run["sql"] > 250


def test_the_answers_of_lookups_and_joins_are_those_of_the_facts_they_name(
    made: dict[str, list[Pair]], world: World
) -> None:
    for pair in (p for split in made.values() for p in split if p.shape in ("lookup", "join", "dated")):
        fact = world.fact(int(pair.facts[-1][1:]))
        value = world.names[int(fact.object[1:])] if RELATION[fact.relation].to_entity else fact.object
        assert pair.answers == (value,)
        assert len(pair.facts) == len(pair.relations)


def test_counts_are_counts_of_the_facts(made: dict[str, list[Pair]], world: World) -> None:
    names = {e.id: e.name for e in world.entities}
    counted = Counter(
        (f.relation, names.get(f.object, f.object)) for f in world.facts if f.status == "current"
    )  # of each relation and object
    checked = 0
    for pair in (p for split in made.values() for p in split if p.shape == "count"):
        (about,) = pair.entities
        assert pair.answers == (str(counted[pair.relations[0], about]),)
        checked += 1
    assert checked > 50


def test_each_split_holds_out_what_it_says_and_nothing_else(made: dict[str, list[Pair]], world: World) -> None:
    relations, tables = set(held_out_relations()), set(held_out_schemas(world))
    train = made["train"]
    known = {name for p in train for name in p.entities}
    templates = {p.template for p in train}
    for split, found in made.items():
        assert all(bool(relations & set(p.relations)) == (split == "relations") for p in found)
        assert all((p.schema in tables) == (split == "schemas") for p in found)
        if split != "train":
            assert not known & {name for p in found for name in p.entities}
        if split == "templates":
            assert not templates & {p.template for p in found}


def test_no_wording_held_out_stands_in_training(made: dict[str, list[Pair]]) -> None:
    everything = " ".join(p.need for p in made["train"])
    for wording in WORDINGS.values():
        for template in (*wording.held_out, *wording.held_out_questions):
            literal = max(re.split(r"\{\w+\}", template), key=len).strip(" .?,")
            assert literal not in everything


def test_training_shows_nothing_held_out_even_in_wrong_queries(made: dict[str, list[Pair]], world: World) -> None:
    parts = schemas(world)["graph"].parts
    labels = {WORDINGS[r].phrase.removeprefix("the ").removesuffix(" of {s}") for r in held_out_relations()}
    hidden = {name for name, text in parts.items() if re.split(r": | at some", text)[0] in labels}
    assert len(hidden) >= 4
    for pair in made["train"]:
        if pair.language == "sparql":
            for query in (pair.query, *(w.query for w in pair.wrong)):
                assert not hidden & set(re.findall(r":[PH]\d+", query)), query


def test_languages_and_shapes_are_evenly_many(made: dict[str, list[Pair]]) -> None:
    per = Counter(p.language for p in made["train"])
    assert set(per) == set(LANGUAGES) and max(per.values()) - min(per.values()) <= 1
    shapes = Counter((p.language, p.shape) for p in made["train"] if p.language != "text")
    assert len(shapes) == 12 and max(shapes.values()) - min(shapes.values()) <= 1
    assert {p.language for p in made["schemas"]} == {"sql"}


def test_four_wrong_queries_differ_and_one_of_them_is_refused(made: dict[str, list[Pair]]) -> None:
    mistakes: Counter[str] = Counter()
    for pair in (p for split in made.values() for p in split):
        queries = [w.query for w in pair.wrong]
        assert len({pair.query, *queries}) == 5
        assert [w.mistake for w in pair.wrong].count("invalid") == 1
        mistakes.update(w.mistake for w in pair.wrong)
    assert all(mistakes[m] > 200 for m in MISTAKES)


def test_steps_are_true_or_false_as_marked_and_queries_ask_for_the_truth(made: dict[str, list[Pair]]) -> None:
    marks: Counter[bool] = Counter()
    for pair in (p for split in made.values() for p in split if p.step is not None):
        (answer,) = pair.answers
        assert (answer in pair.need) == pair.step, pair
        marks[bool(pair.step)] += 1
    assert min(marks.values()) > 50


def test_entities_are_linked_as_the_graph_names_them(made: dict[str, list[Pair]], files: Files) -> None:
    for pair in made["train"]:
        for name, item in pair.entities.items():
            assert name in pair.need
            if item:
                query = (
                    f"SELECT ?n {{ <http://tandem.example/{item}> <http://www.w3.org/2000/01/rdf-schema#label> ?n }}"
                )
                found: Any = files.graph.query(query)
                assert [row[0].value for row in found] == [name]


def test_no_pair_is_made_twice(made: dict[str, list[Pair]]) -> None:
    seen: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for pair in (p for split in made.values() for p in split):
        seen[pair.need, pair.language, pair.schema].append(pair.id)
    assert all(len(ids) == 1 for ids in seen.values())
    ids = [p.id for split in made.values() for p in split]
    assert len(set(ids)) == len(ids)


def test_every_schema_of_a_pair_is_described(made: dict[str, list[Pair]], world: World) -> None:
    described = schemas(world)
    for pair in (p for split in made.values() for p in split if p.language == "sql"):
        for table in re.findall(r"(?:FROM|JOIN) (\w+)", pair.query):
            assert table in described[pair.schema].parts


@pytest.mark.parametrize(
    "wrong", [{"split": "other"}, {"languages": ("cypher",)}, {"languages": ()}, {"n": -1}, {"n_schemas": 2}]
)
def test_pairs_that_cannot_be_made_are_refused(world: World, wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="pairs"):
        pairs(world, **{"split": "train", "n": 6, **wrong})
