"""What a decoder knows, measured with one that knows everything and spoils every second chain on purpose."""

import asyncio
import json

import knowing
import pytest
import side_by_side
import world_teacher
from world_teacher import Known, Teacher

from tandem.reason.running import Record
from tandem.sources import Dataset
from tandem.world import World, questions

WORLD = World.make(7, 1200)


@pytest.fixture(scope="module")
def found() -> dict[str, list[Record]]:
    """All arms over sixteen questions of one and two hops; the passages are the evidence, too: nothing is missing."""
    asked = list({q.text: q for q in questions(WORLD, hops=(1, 2), n=16) if not q.meta["contested"]}.values())
    teacher = Teacher(Known(WORLD), {q.text: q for q in asked}, spoils=True)
    for question in asked:
        for evidence in question.meta["evidence"]:
            fact = world_teacher.fact_number(evidence["fact"])
            teacher.known.stated[evidence["text"]] = teacher.known.stated.get(evidence["text"], frozenset()) | {fact}
    arms = knowing.arms(Dataset("passages"), Dataset(), 2)
    return asyncio.run(side_by_side.answered(arms, asked, teacher, 4))


@pytest.fixture(scope="module")
def told(found: dict[str, list[Record]]) -> dict:
    """All figures of them."""
    return knowing.told(found)


def test_spoilt_chains_are_judged_wrong_and_the_others_right(found: dict[str, list[Record]]) -> None:
    told = knowing.chains(found["cot-sc"])["chains"]
    n = len(found["cot-sc"])
    wrong = sum(count for what, count in told.items() if what.endswith("chain wrong"))
    assert sum(told.values()) == 2 * n and wrong == 2 * -(-n // world_teacher.SPOILT_PER)


def test_editing_with_the_evidence_mends_every_spoilt_chain(found: dict[str, list[Record]], told: dict) -> None:
    arm = "VE, oracle, always"
    edited, counts = told["chains"][arm]["edited"], told["arms"][arm]["editing"]
    assert edited["before"] < 0.9 and edited["after"] == 1 and edited["change"]["worse"] == 0
    wrong = sum(r.right == 0 for r in found["cot-sc"])
    assert wrong and (counts["fixed"], counts["broken"]) == (wrong, 0)
    assert told["arms"][arm]["score"].value == 1


def test_strata_divide_the_questions(found: dict[str, list[Record]], told: dict) -> None:
    strata = told["strata"]
    assert sum(by["cot"]["right"].n for by in strata.values()) == len(found["cot"])
    for by in strata.values():
        assert by["cot-sc"]["minus cot-sc"]["difference"].value == 0


def test_steps_are_right_where_the_worlds_sentences_stand_and_each_counts_once() -> None:
    gold = ["The home of A is B.", "B lies in C."]
    assert knowing.right_steps(["the home of A is B", "It rains.", "B lies in D."], gold) == 1
    assert knowing.right_steps(["B lies in C.", "B lies in C."], gold) == 1


def test_accuracy_over_coverage_takes_equal_scores_together() -> None:
    assert knowing.coverage([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0]) == [(0.25, 1.0), (0.75, 2 / 3), (1.0, 0.5)]


def test_what_is_told_can_be_printed_and_written(told: dict) -> None:
    titles = [table.title for table in knowing.tables("x", told)]
    assert len(titles) == 4 and all(title.startswith("x: ") for title in titles)
    assert [curve.title for curve in knowing.curves(told)][1] == "Right answers over coverage"
    json.dumps(knowing.trials._plain(told))


def test_a_limit_takes_equally_many_of_each_stratum() -> None:
    asked = knowing.question_sets(WORLD)[knowing.STRATIFIED]
    chosen = knowing.few(asked, 8)
    assert {name: sum(knowing.stratum_of(q) == name for q in chosen) for name in knowing.STRATA} == dict.fromkeys(
        knowing.STRATA, 2
    )
