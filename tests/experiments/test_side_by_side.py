"""Arms on the same questions: shared chains, differences in pairs, and scores that tell right from wrong."""

import asyncio
from pathlib import Path

import pytest
import side_by_side
from side_by_side import Arm

from tandem.lm import Model, Rule, Scripted
from tandem.reason import demonstrations
from tandem.reason.chains import Asking
from tandem.reason.methods import Settings
from tandem.store import Store
from tandem.types import Question

ASKING = {"short": Asking()}
QUESTIONS = [Question(name, f"Where is {name}?", (right,)) for name, right in (("a", "X"), ("b", "Y"), ("c", "Z"))]


def script() -> Scripted:
    chains = [(f" In {x}.\nAnswer: {x}", f" In {y}.\nAnswer: {y}") for x, y in (("X", "X"), ("Q", "Y"), ("Q", "R"))]
    rules = [
        Rule(answers, matches=rf"Where is {name}\?\nSteps:\n1\.\Z") for name, answers in zip("abc", chains, strict=True)
    ]
    return Scripted([*rules, Rule(("X",), matches=r"Question: [^\n]*\nAnswer:\Z")])


@pytest.fixture(scope="module")
def found() -> dict:
    settings = Settings(samples=2)
    arms = [Arm(name, name, ASKING, settings) for name in ("standard", "cot", "cot-sc")]

    async def ask() -> dict:
        async with Model(script()) as model:
            return await side_by_side.answered(arms, QUESTIONS, model, 2)

    return asyncio.run(ask())


def test_records_come_for_every_arm_in_the_order_of_the_questions(found: dict) -> None:
    assert list(found) == ["standard", "cot", "cot-sc"]
    assert [[r.question.id for r in records] for records in found.values()] == [["a", "b", "c"]] * 3


def test_a_difference_is_taken_within_questions(found: dict) -> None:
    apart = side_by_side.against(found["cot"], found["standard"])
    assert apart and apart["difference"].value == 0 and (apart["better"], apart["worse"], apart["p"]) == (0, 0, 1)
    told = side_by_side.compared([1, 1, 0, 1], [0, 1, 1, 0])
    assert told and told["difference"].value == pytest.approx(0.25)
    assert (told["better"], told["worse"], told["p"]) == (2, 1, 1.0)


def test_scores_between_0_and_1_get_no_test_for_right_and_wrong() -> None:
    told = side_by_side.compared([0.5, 1], [0.25, 1])
    assert told and "p" not in told and told["difference"].value == pytest.approx(0.125)


def test_arms_that_begin_with_the_same_chains_ask_for_them_once(tmp_path: Path) -> None:
    scripted = script()
    arms = [Arm(n, n, ASKING, Settings(samples=2)) for n in ("cot-sc", "react-then-cot-sc")][:1]
    arms.append(Arm("again", "cot-sc", ASKING, Settings(samples=2)))

    async def ask() -> None:
        with Store(tmp_path / "answers.db") as store:
            async with Model(scripted, store=store) as model:
                await side_by_side.answered(arms, QUESTIONS, model, 2)

    asyncio.run(ask())
    assert len(scripted.calls) == len(QUESTIONS)


def test_examples_in_front_of_questions_with_passages_bring_passages_of_their_own() -> None:
    (worked,) = side_by_side.reading(demonstrations.shipped("short", 1))
    assert worked.question.context == tuple(step.passage for step in worked.steps)
    (table,) = side_by_side.reading(demonstrations.shipped("sentence", 1))
    assert table.question.context == demonstrations.shipped("sentence", 1)[0].question.context


def test_a_score_that_orders_right_before_wrong_has_an_area_of_one() -> None:
    told = side_by_side.telling([0.9, 0.8, 0.1, None], [1, 1, 0, 0])
    assert told["roc_auc"].value == 1 and told["scored"] == 3
    assert side_by_side.telling([0.2, 0.9], [0, 0])["roc_auc"] is None
    assert "not measured" in side_by_side.telling([None, None], [1, 0])


def test_a_table_of_few_questions_says_so(found: dict) -> None:
    measured = {arm: side_by_side.measured(records) for arm, records in found.items()}
    table = side_by_side.table("t", measured, {}, {"cot": "published 1"}, "cot-sc")
    assert "not which is better" in table.note
    assert [row[0] for row in table.rows] == list(found)
    assert table.rows[1][-1] == "published 1" and table.rows[0][-1] == ""
    assert measured["cot"]["right"] == {"a": 1.0, "b": 0.0, "c": 0.0}
