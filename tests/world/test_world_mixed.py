"""Mixed questions need the sources they say, checked on what each holds; sentences answer from a table's rows."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyoxigraph
import pytest

from tandem.errors import UserError
from tandem.types import Question
from tandem.world import Mixed, Partition, Sizes, World, table_questions, write_knowledge
from tandem.world.forms import Form, Pattern, Thing, Var
from tandem.world.sparql import sparql
from tandem.world.sql import sql

WAYS = ("fact", "relation")
X = Var("x")


class Written:
    """The three sources of one partition, as their files hold them."""

    def __init__(self, world: World, folder: Path, by: Any) -> None:
        others = ("triples", "tables", "claims", "strata", "table-questions", "queries")
        write_knowledge(world, folder, Sizes(mixed=120), by=by, without=others)
        self.world, self.mixed = world, Mixed(world, Partition.of(world, by))
        self.graph = pyoxigraph.Store()
        self.graph.bulk_load(path=str(folder / "mixed" / "triples.nt"), format=pyoxigraph.RdfFormat.N_TRIPLES)
        self.tables = sqlite3.connect(f"file:{folder / 'mixed' / 'world.sqlite'}?mode=ro", uri=True)
        self.passages = [json.loads(line) for line in (folder / "mixed" / "passages.jsonl").open()]
        self.questions = [json.loads(line) for line in (folder / "mixed" / "questions.jsonl").open()]
        self.stating: dict[str, list[str]] = {}
        self.sentences: list[str] = []
        for passage in self.passages:
            for mention in passage["mentions"]:
                self.stating.setdefault(mention["fact"], []).append(passage["id"])
                self.sentences.append(passage["text"][mention["start"] : mention["end"]])

    def ask(self, source: str, query: str) -> list[str]:
        if source == "triples":
            found: Any = self.graph.query(query)
            return sorted(row[0].value for row in found)
        return sorted(str(row[0]) for row in self.tables.execute(query) if row[0] is not None)

    def elsewhere(self, fact: int, source: str) -> list[str]:
        """What the other sources say when they are asked for a step's fact."""
        told = self.world.fact(fact)
        form = Form(X, (Pattern(Thing(int(told.subject[1:])), told.relation, X),))
        said = []
        if source != "triples":
            said += self.ask("triples", sparql(self.world, form))
        if source != "tables" and told.relation in self.mixed.schema.current:
            said += self.ask("tables", sql(self.world, form, self.mixed.schema))
        if source != "passages":
            said += self.stating.get(told.id, [])
        return said


@pytest.fixture(scope="module", params=WAYS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(World.make(7, 3000), tmp_path_factory.mktemp(request.param), request.param)


def test_each_step_is_answered_by_its_source_and_by_no_other(written: Written) -> None:
    asked: Counter[str] = Counter()
    for question in written.questions:
        for step in question["meta"]["steps"]:
            if step["source"] == "passages":
                assert sorted(step["passages"]) == written.stating[step["fact"]]
                assert step["query"] == step["question"]
            else:
                assert written.ask(step["source"], step["query"]) == [step["answer"]]
                assert step["passages"] == [] and step["fact"] not in written.stating
            assert written.elsewhere(int(step["fact"][1:]), step["source"]) == []
            asked[step["source"]] += 1
    assert min(asked[s] for s in ("passages", "triples", "tables")) > 20


def test_no_question_is_answered_from_one_source(written: Written) -> None:
    assert len(written.questions) == 120
    for question in written.questions:
        assert len(set(question["meta"]["sources"])) > 1
        assert [s["source"] for s in question["meta"]["steps"]] == question["meta"]["sources"]


def test_the_steps_lead_from_the_question_to_its_answer(written: Written) -> None:
    named = {e.name: e.id for e in written.world.entities}
    for question in written.questions:
        steps = question["meta"]["steps"]
        for step, following in pairwise(steps):
            fact = written.world.fact(int(following["fact"][1:]))
            assert named[step["answer"]] == fact.subject
            assert step["answer"] in following["question"]
        first = written.world.fact(int(steps[0]["fact"][1:]))
        assert written.world.names[int(first.subject[1:])] in question["text"]
        assert steps[-1]["answer"] == question["answers"][0]
        assert [s["fact"] for s in steps] == question["meta"]["facts"]


def test_no_sentence_of_the_passages_joins_the_ends_of_a_step_told_elsewhere(written: Written) -> None:
    for question in written.questions:
        for step in question["meta"]["steps"]:
            if step["source"] != "passages":
                fact = written.world.fact(int(step["fact"][1:]))
                subject = written.world.names[int(fact.subject[1:])]
                both = re.compile(rf"(?=.*\b{re.escape(subject)}\b).*\b{re.escape(step['answer'])}\b")
                assert not [s for s in written.sentences if both.match(s)], step


def test_a_mixed_question_brings_no_context_that_would_tell(written: Written) -> None:
    for question in written.questions:
        assert question["context"] == []
        for evidence, step in zip(question["meta"]["evidence"], question["meta"]["steps"], strict=True):
            assert evidence["passages"] == step["passages"][:3]


def test_half_of_the_mixed_questions_are_in_held_out_words(written: Written) -> None:
    flags = [q["meta"]["template_held_out"] for q in written.questions]
    assert sum(flags) * 2 == len(flags)


def test_other_numbers_of_hops_are_refused() -> None:
    world = World.make(7, 200)
    with pytest.raises(UserError, match="hops"):
        Mixed(world, Partition.of(world)).questions(10, hops=(1,))
    with pytest.raises(UserError, match="divided"):
        Partition.of(world, "name")  # type: ignore[arg-type]


# ── Sentences from tables ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def world() -> World:
    return World.make(7, 6000)


@pytest.fixture(scope="module")
def told(world: World) -> list[Question]:
    return table_questions(world, 150) + table_questions(world, 60, held_out=True)


def test_the_cells_of_a_table_question_are_what_its_query_gives(
    world: World, told: list[Question], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    write_knowledge(
        world, folder, Sizes(schemas=3), without=("triples", "claims", "strata", "table-questions", "mixed", "queries")
    )
    tables = sqlite3.connect(folder / "schemas" / "wide.sqlite")
    for question in told:
        table, meta = question.meta["table"], question.meta
        places = [table["columns"].index(column) for column in meta["cells"]]
        cells = [tuple(table["rows"][row][place] for place in places) for row in meta["rows"]]
        assert tables.execute(meta["query"]).fetchall() == cells
        for row in cells:
            for cell in row:
                assert cell is None or all(str(cell) in answer for answer in question.answers), question
    tables.close()


def test_a_sentence_rests_on_the_facts_it_names_and_on_all_of_them(world: World, told: list[Question]) -> None:
    names = {e.id: e.name for e in world.entities}
    for question in told:
        for id_ in question.meta["facts"]:
            fact = world.fact(int(id_[1:]))
            subject, value = names[fact.subject], names.get(fact.object, fact.object)
            about = question.meta["kind"] == "members" and value in question.text
            assert fact.relation in question.meta["relations"] and fact.status != "contradicted"
            assert subject in question.answers[0]
            assert about or value in question.answers[0]


def test_the_table_that_comes_with_a_question_holds_other_rows_too(told: list[Question]) -> None:
    first = Counter(question.meta["rows"][0] for question in told)
    assert len(first) > 4
    for question in told:
        table = question.meta["table"]
        assert len(question.meta["rows"]) < len(table["rows"]) <= 8
        header, columns, *lines = question.context[0].split("\n")
        assert header == f"Table {table['name']}" and columns == " | ".join(table["columns"])
        assert len(lines) == len(table["rows"])


def test_table_questions_are_of_three_kinds_and_answered_by_a_sentence(told: list[Question]) -> None:
    counted = Counter(q.meta["kind"] for q in told)
    assert counted["record"] == counted["history"] == 70 and 50 < counted["members"] <= 70  # few wrote several works
    assert len({q.id for q in told}) == len(told)
    for question in told:
        assert question.meta["answer"] == "sentence"
        assert all(answer.endswith(".") for answer in question.answers) and len(set(question.answers)) == 2


def test_held_out_words_of_table_questions_stand_in_no_usual_one(told: list[Question]) -> None:
    usual = {q.text[:12] for q in told if not q.meta["template_held_out"]}
    held = {q.text[:12] for q in told if q.meta["template_held_out"]}
    assert not usual & held
