"""Questions that need several sources: what each arm may ask, and what counts as found."""

import asyncio
import json
import sys
from pathlib import Path

import heterogeneous
import pytest

from tandem.errors import UserError
from tandem.reason.running import Record
from tandem.store import Store
from tandem.trace import Step
from tandem.types import Answer, Finding
from tandem.world import Mixed, World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mixed, tuple]:
    return heterogeneous.made(World.make(7, 600), "fact", tmp_path_factory.mktemp("world"))


def test_the_gold_query_of_each_step_finds_its_answer_in_its_own_source(world: tuple[Mixed, tuple]) -> None:
    mixed, sources = world
    by_name = {source.name: source for source in sources}

    async def ask() -> list[bool]:
        found = []
        for question in mixed.questions(4):
            for step in question.meta["steps"]:
                result = await by_name[step["source"]].look_up(step["query"], 5)
                found.append(any(step["answer"] in f"{f.title} {f.text}" for f in result.findings))
        await heterogeneous.addresses.close(sources)
        return found

    found = asyncio.run(ask())
    assert len(found) >= 8 and all(found)


def test_steps_are_reached_where_their_answers_stand_in_the_findings(world: tuple[Mixed, tuple]) -> None:
    (question,) = world[0].questions(1)
    first, *others = question.meta["steps"]
    record = Record(question, Answer("", findings=(Finding(first["text"]),)), Step("x"))
    found = heterogeneous.reached([record])
    assert found[first["source"]].value >= 0.5 and found["all steps"].value == 0
    whole = Record(question, Answer("", findings=tuple(Finding(s["text"]) for s in (first, *others))), Step("x"))
    assert heterogeneous.reached([whole])["all steps"].value == 1


def test_the_oracle_is_given_the_sentences_of_the_steps(world: tuple[Mixed, tuple]) -> None:
    asked = world[0].questions(2)
    assert [q.context for q in heterogeneous.evidence(asked)] == [
        tuple(step["text"] for step in q.meta["steps"]) for q in asked
    ]
    assert all(q.context == () for q in asked)


def test_a_writer_that_is_no_language_is_the_users_error(world: tuple[Mixed, tuple], tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store, pytest.raises(UserError, match="names no writer"):
        asyncio.run(heterogeneous.writer(["cobol=embedded"], world[1][1], store))


def test_arms_have_equal_budgets_and_the_command_tells_what_each_source_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script, out = tmp_path / "rules.json", tmp_path / "figures.json"
    rules = [
        {"matches": r"Steps:\n1\.\Z", "answers": [" The home is here.\nAnswer: nowhere"]},
        {"matches": r"SPARQL:\Z", "answers": ["SELECT ?x { ?x ?p ?o } LIMIT 1"]},
        {"matches": r"SQL:\Z", "answers": ["SELECT broken"]},
        {"answers": ["It is known."]},
    ]
    script.write_text(json.dumps({"rule": rules}))
    options = [
        "--model",
        f"scripted:{script}",
        "--limit",
        "2",
        "--facts",
        "600",
        "--shots",
        "1",
        "--work",
        str(tmp_path),
    ]
    monkeypatch.setattr(sys, "argv", ["heterogeneous.py", *options, "--out", str(out)])
    heterogeneous.main()
    told, printed = json.loads(out.read_text()), capsys.readouterr().out
    text, everything = told["asked"]["VE, passages"], told["asked"]["VE, all sources"]
    assert set(text) == {"passages"} and set(everything) == {"passages", "triples", "tables"}
    assert set(everything["triples"]) == {"found"} and set(everything["tables"]) == {"query-invalid"}
    assert told["differences"]["CoK, all sources - CoK, passages"]["difference"]["value"] == 0
    written = {arm: f["tokens_written"] for arm, f in told["arms"].items()}
    assert written["VE, all sources"] > written["VE, passages"]  # the queries, and nothing else
    assert "mechanism" in printed and "Questions to sources" in printed
