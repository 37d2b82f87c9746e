"""The stage of answers on a tiny world, with a model that follows rules: what is asked, kept, told and left out."""

import asyncio
import json
import re
import shutil

import pytest
import torch

from tandem.cli.main import main
from tandem.errors import UserError
from tandem.lm import embedded
from tandem.lm.scripted import Scripted
from tandem.recipes import answering, ladder, schema
from tandem.recipes.answers import COT_SC, DOCUMENTS, METHODS, ORACLE, STANDARD
from tandem.recipes.asked import Written
from tandem.recipes.check import RecipeError
from tandem.recipes.place import Place
from tandem.recipes.plan import plan
from tandem.results import Edit, Table
from tandem.runs import Run, file_hash
from tandem.sources import Passages
from tandem.world import World, write
from tandem.world.templates import WORDINGS

RULES = r"""
[[rule]]  # five chains that disagree
matches = '\nSteps:\n1\.\Z'
answers = [" It is Ann.\nAnswer: Ann", " It is Bob.\nAnswer: Bob", " It is Cid.\nAnswer: Cid",
  " It is Dee.\nAnswer: Dee", " It is Eve.\nAnswer: Eve"]

[[rule]]  # what is asked is looked up
matches = 'Question: ([^\n]*)\nStep: [^\n]*\nCheck:\Z'
answers = ['\1']

[[rule]]  # the answer stands at the end of a sentence
matches = '\n1\. The [^\n.]* (?:is|was|from) ([^\n.]*)\.\nAnswer:\Z'
answers = ['\1']

[[rule]]
matches = 'Answer:\Z'
answers = ["nobody"]
"""
COPIED = r"""
[[rule]]  # where it does not stand there, the first sentence is copied
matches = 'Passage 1: ([^\n.]*\.)[^\n]*\nCheck: [^\n]*\nFinding:\Z'
answers = ['\1']
"""
SECTION = """
[answers]
model = "scripted:{rules}"
questions = 16
shots = 2
"""


class Quiet:
    """Hears what a run says."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    file = tmp_path_factory.mktemp("rules") / "rules.toml"
    file.write_text(RULES + "".join(reading(wording) for wording in WORDINGS.values()) + COPIED)
    return file


def reading(wording):
    """A rule that finds a relation's plain sentence in a passage, whichever way it is asked for."""
    plain = wording.plain.removesuffix("{s} is {o}.").removesuffix("{s} was {o}.").split("{s}")[0]
    asked = "|".join(re.escape(q).replace(re.escape("{s}"), "[^\\n]*") for q in wording.questions)
    matches = rf"Passage 1: [^\n]*?({re.escape(plain)}[^\n.]*\.)[^\n]*\nCheck: (?:{asked})\nFinding:\Z"
    return f"\n[[rule]]\nmatches = '{matches}'\nanswers = ['\\1']\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A stage folder of a world, made once."""
    folder = tmp_path_factory.mktemp("world")
    write(World.make(7, 500), folder)
    return folder


@pytest.fixture
def made(small, rules, world, tmp_path):
    """The stage, run in a folder with a world: (place, folder of the stage)."""

    def run(name="run", *changes, section=SECTION):
        recipe = schema.parse(small + section.format(rules=rules), "small.toml", changes)
        out = tmp_path / name
        with Run(out, schema.resolved(recipe), {}) as folder:
            place = Place(recipe, folder, Quiet(), torch.device("cpu"))
            if not folder.finished("01-world"):
                with folder.stage("01-world") as path:
                    shutil.copytree(world, path, dirs_exist_ok=True)
            with folder.stage("02-answers") as path:
                answering.answer(place, path)
            return place, out / "02-answers"

    return run


def hashes(folder):
    return {
        str(p.relative_to(folder)): file_hash(p) for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock"
    }


def test_looking_up_mends_what_memory_gets_wrong(made):
    _, folder = made()
    found = json.loads((folder / "answers.json").read_text())
    right = {name: found["methods"][name]["right"]["value"] for name in METHODS}
    assert right[STANDARD] == right[COT_SC] == 0 and right[ORACLE] >= 0.75
    oracle = found["methods"][ORACLE]
    assert oracle["editing"]["fixed"] == right[ORACLE] * 16 and oracle["editing"]["broken"] == 0
    assert oracle["answer found"] == oracle["looked up"] == 16
    assert 0 < found["chance"] < 0.5
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    assert len(items) == 4 * 16 and [i["id"] for i in items] == sorted(i["id"] for i in items)
    assert {i["method"] for i in items} == set(METHODS) and all(i["trace"] for i in items)


def test_demonstrations_are_about_entities_that_no_question_is_about(small, rules, world):
    recipe = schema.parse(
        small + SECTION.format(rules=rules), overrides=["answers.hops=[1, 2]", "answers.questions=12"]
    )
    lines = {
        name: [json.loads(line) for line in (world / f"{name}.jsonl").read_text().splitlines()]
        for name in ("facts", "entities", "passages", "questions")
    }
    written = Written.of(*lines.values())
    assert recipe.answers
    asked = written.asked(12, recipe.answers.hops, 3)
    shown = written.demonstrations(asked, 4, 3)
    by_id = {q["id"]: q for q in lines["questions"]}
    facts, entities = written.facts, set(written.names)

    def about(ids):
        meta = [by_id[i]["meta"] for i in ids]
        return {e for m in meta for f in m["facts"] for e in (facts[f]["subject"], facts[f]["object"])} & entities

    assert about([q.id for q in asked]).isdisjoint(about([d.question.id for d in shown]))
    assert [len(d.steps) for d in shown] == [1, 2, 1, 2]
    for step in (step for d in shown for step in d.steps):
        assert step.checked == step.text and step.question.endswith("?")
        assert any(f"{p['title']}: {p['text']}" == step.passage for p in lines["passages"])
    assert sorted(len(q.meta["facts"]) for q in asked) == [1] * 6 + [2] * 6
    assert all(len(q.context) == q.meta["hops"] for q in asked)


def test_a_passage_is_found_with_the_line_it_stands_on(made, world):
    _, folder = made()
    document = json.loads((world / "passages.jsonl").read_text().splitlines()[4])
    source = Passages(folder / "index")
    try:
        (found, *_) = asyncio.run(source.look_up(document["text"], 1)).findings
    finally:
        source.close()
    assert found.text == document["text"] and found.place == "01-world/passages.jsonl:5"


def test_an_interrupted_stage_goes_on_and_asks_nothing_twice(made, monkeypatch):
    _, straight = made("straight")
    asked = []  # 32 requests in the first round, then chunks of 5: it is cut between two of them
    generate = Scripted.generate

    async def cut(self, prompt, sampling, samples=range(1)):
        if len(asked) == 32 + 10:
            raise KeyboardInterrupt
        asked.append((str(prompt), sampling, samples))
        return await generate(self, prompt, sampling, samples)

    monkeypatch.setattr(answering.Rounds.__init__, "__kwdefaults__", {"chunk": 5, "told": None})
    monkeypatch.setattr(Scripted, "generate", cut)
    with pytest.raises(KeyboardInterrupt):
        made("cut")
    assert len(asked) == 32 + 10

    async def noted(self, prompt, sampling, samples=range(1)):
        asked.append((str(prompt), sampling, samples))
        return await generate(self, prompt, sampling, samples)

    monkeypatch.setattr(Scripted, "generate", noted)
    _, again = made("cut")
    assert len(asked) == len(set(asked))
    assert hashes(again) == hashes(straight) | {"stage.json": file_hash(again / "stage.json")}


def test_what_is_told_is_a_worked_edit_and_a_ladder(made):
    place, _ = made()
    found = place.read("answers", "answers.json")
    edit, rungs = ladder.sections(place, found)
    assert [edit.key, rungs.key] == ["edit", "ladder"]
    (worked,) = edit.items
    assert isinstance(worked, Edit) and worked.correct == (False, True) and worked.after == worked.expected
    assert sorted(worked.votes) == [(name, 1) for name in ("Ann", "Bob", "Cid", "Dee", "Eve")]
    (step,) = worked.steps
    assert step.outcome == "edited" and step.check == worked.question
    assert re.fullmatch(r"01-world/passages\.jsonl:\d+", step.found[0].place)
    table = rungs.items[0]
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["chance", STANDARD, COT_SC, DOCUMENTS, ORACLE]
    assert [row[3] for row in table.rows] == [None, "23.1 %", "31.2 %", "36.0 %", "56.8 %"]
    (top,) = ladder.headline(found)
    assert top.chance == found["chance"] and top.n == 16 and "16 questions" in ladder.lead(found)


def test_without_the_embedded_model_the_stage_says_so_and_stands(made, monkeypatch):
    monkeypatch.setattr(embedded, "_MODULE", "no_such_module")
    place, folder = made(section="\n[answers]\n")
    assert any(embedded.INSTALL in line for line in place.watch.lines)
    assert (folder / "items.jsonl").read_text() == ""
    found = place.read("answers", "answers.json")
    (section,) = ladder.sections(place, found)
    told = str(section.items)
    assert embedded.INSTALL in told and "02-answers" in told
    assert ladder.headline(found) == [] and ladder.lead(found) == ""


def test_a_world_with_too_few_questions_is_refused_with_the_number_it_has(made):
    with pytest.raises(UserError, match=r"the world has \d+ such questions of 1 hops, and 5000") as e:
        made("run", "answers.questions=5000")
    assert e.value.where == "answers.questions" and e.value.remedy
    with pytest.raises(UserError, match=r"400 demonstrations") as e:
        made("other", "answers.shots=400")
    assert e.value.where == "answers.shots"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("answers.model=openai:gpt", "answers.model is 'openai:gpt'"),
        ("answers.model=local:", "answers.model is 'local:'"),
        ("answers.hops=[1, 1]", "answers.hops names a number of hops twice"),
        ("answers.hops=[4]", "answers.hops[0] is 4"),
        ("answers.samples=1", "answers.samples is 1"),
        ("answers.questions=0", "answers.questions is 0"),
    ],
)
def test_what_cannot_be_asked_is_named(small, rules, change, problem):
    with pytest.raises(RecipeError, match=re.escape(problem)):
        schema.parse(small + SECTION.format(rules=rules), "small.toml", [change])


def test_a_model_that_is_not_there_stops_a_run_before_it_begins(small):
    with pytest.raises(RecipeError, match="no such dir"):
        schema.parse(small + '\n[answers]\nmodel = "local:/nowhere/at/all"\n', files=True)


def test_a_plan_tells_how_much_is_asked(small, rules, tmp_path, capsys):
    recipe = schema.parse(small + SECTION.format(rules=rules))
    planned = plan(recipe).answers
    assert planned is not None and planned.chains == 80 and planned.written == 80 * (40 + 16) + 16 * 16
    file = tmp_path / "r.toml"
    file.write_text(small + SECTION.format(rules=rules))
    assert main(["plan", str(file)]) == 0
    assert "80, shared by the methods that vote" in capsys.readouterr().out
