"""Judges and judged models that are asked: preferences, orders, grades, verdicts, and everything that goes wrong."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from judged_sample import INSTRUCTIONS, QUESTIONS, folder, outputs, write
from loopback_server import Act, LoopbackServer
from tandem.errors import BudgetSpent, CallFailed, Unsupported, UserError
from tandem.evaluate.judged import alpaca, alpaca_figures, files, mt_asking, mt_bench, mt_figures, mt_grades
from tandem.evaluate.judged.judge import PairJudge
from tandem.evaluate.judged.pair import swapped
from tandem.lm import connect
from tandem.lm.budget import Budget, Prices
from tandem.lm.model import Model
from tandem.lm.scripted import ABLE, Rule, Said, Scripted
from tandem.store import Store
from tandem.types import Abilities, Judge, Question, Sampling

PLAIN = {"scoring": False, "logprobs": False}
STRAIGHT = next(f"Task {n}." for n in range(99) if not swapped(f"Task {n}."))
TURNED = next(f"Task {n}." for n in range(99) if swapped(f"Task {n}."))
MODELS_FIRST = r"Answer of m\n\nMine"
"""Fits where the judge sees the model's answer first."""


@pytest.fixture
def data(tmp_path):
    return folder(tmp_path / "data")


def model(*rules, store=None, budget=None, prices=None, **abilities):
    able = Abilities(**(vars(ABLE) | abilities))
    return Model(Scripted(rules, abilities=able), store=store, budget=budget, prices=prices)


def judged(judge, instruction=STRAIGHT, first="one", second="two"):
    return asyncio.run(judge.judge(instruction, first, second))


# ── A judge of two answers ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_scoring_judges_preference_is_its_share_of_probability():
    found = judged(PairJudge(model(Rule(scores={"m": math.log(0.1), "M": math.log(0.3)}))))
    assert (found.preference, found.how, found.outcome) == (pytest.approx(1.75), "scores", "preferred")
    assert found.logprobs == {"m": math.log(0.1), "M": math.log(0.3)}


def test_a_judge_with_log_probabilities_only_gives_its_own_tokens():
    rules = (Rule((Said("m", logprobs=(math.log(0.8),)),)),)
    found = judged(PairJudge(model(*rules, scoring=False)))
    assert (found.preference, found.how) == (pytest.approx(1.2), "own token")
    rules = (Rule((Said("M", logprobs=(math.log(0.8),)),)),)
    assert judged(PairJudge(model(*rules, scoring=False))).preference == pytest.approx(1.8)


@pytest.mark.parametrize(
    ("tops", "preference", "how"),
    [
        ({"M": 0.5, "m": 0.25, "Both": 0.2}, 2 - 0.25 / 0.75, "likeliest tokens"),
        ({"M": 0.9, "Both": 0.1}, 2.0, "likeliest tokens"),  # what is not listed counts nothing, as published
        ({" m": 0.1, "m": 0.3, "M": 0.3}, 1.5, "likeliest tokens"),
        ({"Both": 0.9}, 2 - 0.5, "own token"),
        ({}, 2 - 0.5, "own token"),
    ],
)
def test_a_judge_behind_a_server_is_read_by_its_likeliest_tokens(tmp_path, tops, preference, how):
    asked = []

    def answer(request):
        asked.append(request.body)
        listed = [{"token": text, "logprob": math.log(p), "bytes": list(text.encode())} for text, p in tops.items()]
        token = {"token": "M", "logprob": math.log(0.5), "bytes": [77], "top_logprobs": listed}
        choice = {"message": {"content": "M"}, "finish_reason": "stop", "logprobs": {"content": [token]}}
        return Act(body={"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}})

    async def judge(lm):
        async with lm:
            return await PairJudge(lm).judge(STRAIGHT, "one", "two")

    async def both_ways():
        async with LoopbackServer(answer) as server:
            with Store(tmp_path / "answers.db") as store:
                live = await judge(connect(f"{server.url}/v1#judge", store=store))
        return live, await judge(connect(f"replay:{tmp_path / 'answers.db'}"))

    live, replayed = asyncio.run(both_ways())
    assert (live.preference, live.how) == (pytest.approx(preference), how)
    assert live == replayed and len(asked) == 1
    assert asked[0]["top_logprobs"] == 5


def test_a_judge_without_log_probabilities_gives_1_or_2():
    found = judged(PairJudge(model(Rule(("M",)), **PLAIN)))
    assert (found.preference, found.how, found.text) == (2.0, "text", "M")


def test_the_second_output_stands_first_where_the_order_is_swapped():
    judge = PairJudge(model(Rule(("m",), (r"Answer of m\n\ntwo".replace("\\n", "\n"),)), Rule(("M",)), **PLAIN))
    for instruction in (STRAIGHT, TURNED):  # whatever the order, “two” is preferred
        found = judged(judge, instruction)
        assert (found.preference, found.swapped) == (2.0, instruction == TURNED)


def test_a_judge_that_only_looks_at_the_order_prefers_by_the_draw():
    judge = PairJudge(model(Rule(("m",)), **PLAIN))
    assert [judged(judge, i).preference for i in (STRAIGHT, TURNED)] == [1.0, 2.0]


def test_both_orders_leave_nothing_to_the_order():
    judge = PairJudge(model(Rule(("m",)), **PLAIN), both_orders=True)
    assert [judged(judge, i).preference for i in (STRAIGHT, TURNED)] == [1.5, 1.5]


@pytest.mark.parametrize("seed", range(5))
def test_in_both_orders_exchanging_the_answers_mirrors_the_preference(seed):
    drawn = random.Random(seed)
    rules = [
        Rule(contains=(f"Answer of m\n\n{first}\n",), scores={"m": -drawn.random(), "M": -drawn.random()})
        for first in ("one", "two")
    ]
    judge = PairJudge(model(*rules), both_orders=True)
    one, other = judged(judge, first="one", second="two"), judged(judge, first="two", second="one")
    assert one.preference + other.preference == pytest.approx(3)


def test_the_first_version_reads_a_ranked_list():
    said = '[{"model": "model_2", "rank": 1}, {"model": "model_1", "rank": 2}]'
    judge = PairJudge(model(Rule((said,))), "alpaca_eval_1")
    assert [judged(judge, i).preference for i in (STRAIGHT, TURNED)] == [2.0, 1.0]


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        (Rule(("Both are fine.",)), "unparsed"),
        (Rule((Said("I will not.", finish="refusal"),)), "refused"),
        (Rule(fails="server"), "failed"),
    ],
)
def test_what_is_no_preference_is_named_and_counted(rule, outcome):
    judge = PairJudge(model(rule, **PLAIN))
    found = judged(judge)
    assert (found.preference, found.outcome) == (None, outcome)
    assert judge.tally == {outcome: 1}


@pytest.mark.parametrize("able", [{}, PLAIN])
def test_what_does_not_fit_the_judges_context_is_named(able):
    judge = PairJudge(model(Rule(("m",), scores={"m": -1.0, "M": -1.0}), **able, context=150))
    assert judged(judge, first="word " * 200).outcome == "too long"


def test_a_judge_is_handed_on_as_a_judge():
    judge: Judge = PairJudge(model(Rule(scores={"m": math.log(0.1), "M": math.log(0.3)})))
    assert asyncio.run(judge.prefer(Question("1", STRAIGHT), "one", "two")) == pytest.approx(0.75)


def test_prefer_is_not_a_number_where_nothing_can_be_read_and_raises_where_nothing_came():
    question = Question("1", STRAIGHT)
    assert math.isnan(asyncio.run(PairJudge(model(Rule(("?",)), **PLAIN)).prefer(question, "one", "two")))
    with pytest.raises(CallFailed, match="fails on purpose") as e:
        asyncio.run(PairJudge(model(Rule(fails="timeout"), **PLAIN)).prefer(question, "one", "two"))
    assert e.value.kind == "timeout"
    poor = model(Rule(("m",)), budget=Budget(calls=0), prices=Prices(0, 0), **PLAIN)
    with pytest.raises(BudgetSpent):
        asyncio.run(PairJudge(poor).prefer(question, "one", "two"))


def test_an_unknown_form_is_refused():
    with pytest.raises(UserError, match="no judge has the form"):
        PairJudge(model(Rule(("m",))), "alpaca")


# ── AlpacaEval ──────────────────────────────────────────────────────────────────────────────────────────────────────

MINE = Rule(("Mine.",), matches=r"\Auser: ")
"""The measured model is asked without a system message."""


def run(data, judge, answering=None, **given):
    task = alpaca.load("alpaca_eval", [data], limit=given.pop("limit", None))
    return asyncio.run(alpaca.measure(task, PairJudge(judge), model=answering, **given))


def test_a_model_is_asked_and_its_outputs_judged(data):
    judge = model(Rule(("m",), matches=MODELS_FIRST), Rule(("M",)), **PLAIN)
    found = run(data, judge, model(MINE))
    assert found.rate.win_rate.value == 1.0
    assert [pair.output for pair in found.pairs] == ["Mine."] * len(INSTRUCTIONS)
    assert [pair.finish for pair in found.pairs] == ["stop"] * len(INSTRUCTIONS)
    assert {judgment.swapped for judgment in found.judgments} == {True, False}
    assert found.complete


def test_outputs_of_a_file_are_judged_without_a_model(data, tmp_path):
    task = alpaca.load("alpaca_eval", [data])
    theirs = alpaca.given(task, write(tmp_path / "o.jsonl", outputs(["Mine."] * 6, "theirs")))
    found = asyncio.run(alpaca.measure(task, PairJudge(model(Rule(("m",)), **PLAIN)), outputs=theirs))
    assert (found.model, found.baseline) == ("theirs", "base")
    assert found.rate.wins == sum(map(swapped, INSTRUCTIONS))


def test_an_unreadable_judge_costs_no_win_and_is_told(data):
    judge = model(
        Rule(("neither",), contains=(INSTRUCTIONS[0],)), Rule(("m",), matches=MODELS_FIRST), Rule(("M",)), **PLAIN
    )
    found = run(data, judge, model(MINE))
    assert (found.rate.win_rate.value, found.rate.n, found.rate.missing) == (1.0, 5, 1)
    assert found.complete  # it answered; asking again would not help
    assert any(
        "NOT COUNTED: 1 of 6 judgments are unparsed; the first: " in note for note in alpaca_figures.notes(found)
    )


def test_a_call_that_fails_makes_the_run_incomplete(data):
    judge = model(Rule(fails="server", contains=(INSTRUCTIONS[1],)), Rule(("m",)), **PLAIN)
    assert not run(data, judge, model(MINE)).complete
    answering = model(Rule(fails="server", contains=(INSTRUCTIONS[2],)), MINE)
    found = run(data, model(Rule(("m",)), **PLAIN), answering)
    assert not found.complete
    assert [row for row, _ in found.unanswered] == [2]
    assert [pair.row for pair in found.pairs] == [0, 1, 3, 4, 5]


def test_nothing_is_asked_twice(data, tmp_path):
    with Store(tmp_path / "answers.db") as store:
        calls = []
        for _ in range(2):
            judge = model(Rule(("m",)), store=store, **PLAIN)
            answering = model(MINE, store=store)
            run(data, judge, answering)
            calls.append(len(judge.backend.calls) + len(answering.backend.calls))
    assert calls == [12, 0]


@pytest.mark.parametrize("who", ["the judge", "the model"])
def test_who_takes_no_conversation_is_refused_before_anything_is_sent(data, who):
    models = {"the judge": model(Rule(("m",)), **PLAIN), "the model": model(MINE)}
    models[who] = model(Rule(("m",)), chat=False)
    with pytest.raises(Unsupported, match=f"{who} takes no conversation"):
        run(data, models["the judge"], models["the model"])
    assert not any(one.backend.calls for one in models.values())


def test_items_are_judgments_that_can_be_read_again(data, tmp_path):
    judge = model(Rule(contains=(INSTRUCTIONS[0],), scores={"m": -1.0, "M": -2.0}), Rule(scores={"m": -3.0, "M": -2.5}))
    found = run(data, judge, model(MINE))
    again = alpaca.from_judgments("alpaca_eval", files.judgments(alpaca_figures.write_items(found, tmp_path)))
    assert again.rate == found.rate
    assert again.differing == ()
    assert len(again.recomputed) == 6


def test_a_judge_that_would_rather_say_something_else_is_told_of(data):
    found = run(data, model(Rule(scores={"m": math.log(0.1), "M": math.log(0.2)})), model(MINE))
    assert any(
        "together 30 % of its probability (median); less than half in 6 of 6" in n for n in alpaca_figures.notes(found)
    )


def test_the_chapter_shows_parts_orders_lengths_and_examples(data):
    found = run(data, model(Rule(("m",)), **PLAIN), model(MINE))
    section = alpaca_figures.section(found)
    tables = {item.title: item for item in section.items if hasattr(item, "columns")}
    assert {"What became of the items", "By order", "By length", "By part"} == set(tables)
    shares = {row[0]: row[1].value for row in tables["By order"].rows}
    assert shares == {"second": 0.0, "first": 1.0}  # this judge looks at nothing else
    assert sum(hasattr(item, "prompt") for item in section.items) == 4


# ── MT-bench ────────────────────────────────────────────────────────────────────────────────────────────────────────

ANSWERING = (
    Rule(("A rhyme.",), contains=("user: Make it rhyme.", "assistant: A line.")),
    Rule(("A line.",), contains=("Write a line",)),
    Rule(("21",), contains=("And halved?", "assistant: 42")),
    Rule(("42",), contains=("6 times 7",)),
    Rule(("print()",), contains=("Print",)),
)


def bench(data):
    return mt_bench.load([data])


def graded(data, *rules, **able):
    answers = asyncio.run(mt_asking.answer(bench(data), model(*ANSWERING), Sampling(max_tokens=50)))
    return asyncio.run(mt_asking.grade(bench(data), answers, model(*rules, **able)))


def test_the_second_question_comes_after_the_first_answer_at_the_categorys_temperature(data):
    answering = model(*ANSWERING)
    found = asyncio.run(mt_asking.answer(bench(data), answering, Sampling(max_tokens=50)))
    assert found.texts == {"1": ("A line.", "A rhyme."), "2": ("42", "21"), "3": ("print()", "print()")}
    heat = {prompt.messages[0].content: sampling.temperature for prompt, sampling, _ in answering.backend.calls}
    assert heat == {"Write a line on moss.": 0.7, "What is 6 times 7?": 0.0, "Print 1.": 0.0}


GRADES = (
    Rule(("Rating: [[9]]",), contains=("[Question 2]", "A rhyme.")),
    Rule(("Rating: [[4]]",), contains=("A line.",)),
    Rule(("Rating: [[8]]",), contains=("[Question 2]", "halved")),
    Rule(("Rating: [6]",), contains=("6 times 7",)),
    Rule(("No number.",), contains=("Print 2",)),
    Rule(("Rating: [[1]]",)),
)


def test_grades_by_hand(data):
    found = graded(data, *GRADES)
    assert [grade.score for grade in found.grades] == [4, 9, 6, 8, 1, None]
    assert mt_figures.score(found.grades).value == pytest.approx(28 / 5)
    shown = mt_figures.single(found)
    values = {one.name: one.value for one in shown.headline}
    assert values["mt_bench score, turn 1"] == pytest.approx(11 / 3)
    assert values["mt_bench score, turn 2"] == pytest.approx(17 / 2)
    assert any("NOT COUNTED: 1 of 6 grades (1 unparsed); the first: No number." in note for note in shown.notes)
    rows = {row[0]: row for row in shown.section.items[0].rows}
    assert rows["math"][3].value == 7
    assert rows["coding"][-2:] == (1, 1)


def test_a_reference_is_shown_where_there_should_be_one_and_its_lack_told(data):
    judge = model(Rule(("[[5]]",)))
    answers = asyncio.run(mt_asking.answer(bench(data), model(*ANSWERING), Sampling(max_tokens=50)))
    found = asyncio.run(mt_asking.grade(bench(data), answers, judge))
    seen = [prompt.messages[1].content for prompt, _, _ in judge.backend.calls]
    assert [text.count("[Reference answer") for text in seen] == [0, 0, 1, 2, 0, 0]
    assert "It is 21." in seen[3]
    assert "It is 21." not in seen[2]
    assert "judged without a reference, for lack of one: 2 of coding" in mt_figures.single(found).notes


def test_a_grade_that_does_not_come_is_missing_and_not_a_low_one(data):
    found = graded(data, Rule(fails="server", contains=("Print",)), Rule(("[[7]]",)))
    assert mt_figures.score(found.grades).value == 7
    assert not found.complete


def test_an_answer_that_does_not_come_leaves_its_turns_without_a_grade(data):
    answering = model(Rule(fails="server", contains=("And halved?",)), *ANSWERING)
    answers = asyncio.run(mt_asking.answer(bench(data), answering, Sampling(max_tokens=50)))
    found = asyncio.run(mt_asking.grade(bench(data), answers, model(Rule(("[[5]]",)))))
    assert [grade.score for grade in found.grades] == [5, 5, 5, None, 5, 5]
    assert not found.complete


def others(data, tmp_path):
    rows = [{"question_id": q["question_id"], "answers": ["Other.", "Other too."], "model_id": "o"} for q in QUESTIONS]
    return mt_bench.answers(write(tmp_path / "others.jsonl", rows), bench(data))


def compared(data, tmp_path, *rules):
    answers = asyncio.run(mt_asking.answer(bench(data), model(*ANSWERING), Sampling(max_tokens=50)))
    return asyncio.run(mt_asking.compare(bench(data), answers, others(data, tmp_path), model(*rules)))


def test_a_win_needs_both_orders_to_agree(data, tmp_path):
    mine_first = Rule(("[[A]]",), matches=r"of assistant A\]\n(A line|42)")
    found = compared(data, tmp_path, mine_first, Rule(("[[B]]",), contains=("A line",)), Rule(("[[tie]]",)))
    by = {(one.question.id, one.turn): one for one in found.verdicts}
    assert by["1", 1].winner == "model"  # A when it is first, B when it is second
    assert by["2", 1].winners == ("model", "tie")
    assert by["2", 1].winner == "tie"  # the orders differ
    assert by["3", 1].winner == "tie"


def test_a_judge_that_always_says_the_first_is_half_right_and_never_agrees(data, tmp_path):
    found = compared(data, tmp_path, Rule(("[[A]]",)))
    assert mt_figures.adjusted(found.verdicts).value == 0.5
    assert mt_figures.agreeing(found.verdicts).value == 0.0


def test_exchanging_the_models_mirrors_the_adjusted_win_rate(data, tmp_path):
    rules = Rule(("[[A]]",), contains=("A line",)), Rule(("[[B]]",), contains=("42",)), Rule(("[[tie]]",))
    judge = model(*rules)
    answers = asyncio.run(mt_asking.answer(bench(data), model(*ANSWERING), Sampling(max_tokens=50)))
    theirs = others(data, tmp_path)
    one = asyncio.run(mt_asking.compare(bench(data), answers, theirs, judge))
    other = asyncio.run(mt_asking.compare(bench(data), theirs, answers, judge))
    assert mt_figures.adjusted(one.verdicts).value + mt_figures.adjusted(other.verdicts).value == pytest.approx(1)
    assert mt_figures.agreeing(one.verdicts) == mt_figures.agreeing(other.verdicts)


def test_a_verdict_that_cannot_be_read_in_one_order_is_no_verdict(data, tmp_path):
    found = compared(data, tmp_path, Rule(("[[A]] or [[B]]",), matches=r"of assistant A\]\nOther\."), Rule(("[[A]]",)))
    assert all(one.winner is None for one in found.verdicts)
    assert {one.outcomes for one in found.verdicts} == {("preferred", "unparsed")}
    assert mt_figures.adjusted(found.verdicts) is None
    assert any("NOT COUNTED: 6 of 6 verdicts" in note for note in mt_figures.pair(found).notes)


def test_the_lines_of_a_run_are_grades_that_can_be_read_again(data, tmp_path):
    found = graded(data, *GRADES)
    again = mt_grades.on_record(mt_figures.single(found).write(tmp_path), bench(data))
    assert [(g.score, g.outcome) for g in again.grades] == [(g.score, g.outcome) for g in found.grades]


def test_grades_in_the_usual_tools_form_are_read_and_what_is_not_there_is_missing(data, tmp_path):
    rows = [
        {"question_id": 1, "turn": 1, "score": 7, "judge": ["j", "single-v1"]},
        {"question_id": 1, "turn": 2, "score": -1},
    ]
    found = mt_grades.on_record(write(tmp_path / "g.jsonl", rows), bench(data))
    assert [grade.score for grade in found.grades] == [7, None, None, None, None, None]
    assert [grade.outcome for grade in found.grades][:3] == ["preferred", "unparsed", "failed"]
    assert not found.complete


def test_answers_in_the_usual_tools_form_are_read(data, tmp_path):
    rows = [{"question_id": q["question_id"], "choices": [{"index": 0, "turns": ["a", "b"]}]} for q in QUESTIONS]
    found = mt_bench.answers(write(tmp_path / "a.jsonl", rows), bench(data))
    assert found.texts["3"] == ("a", "b")


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([QUESTIONS[0], QUESTIONS[0]], "the question 1 stands there already"),
        ([QUESTIONS[0] | {"turns": ["one"]}], "not a list of two texts"),
        ([{"question_id": 1, "turns": ["a", "b"]}], "no field 'category'"),
        ([QUESTIONS[0] | {"question_id": None}], "question_id is None"),
    ],
)
def test_questions_that_do_not_fit_are_refused(tmp_path, rows, problem):
    with pytest.raises(UserError, match=problem):
        mt_bench.load([write(tmp_path / "mt_bench_questions.jsonl", rows).parent])


def test_answers_of_too_few_questions_are_refused(data, tmp_path):
    rows = [{"question_id": 1, "answers": ["a", "b"]}]
    with pytest.raises(UserError, match=r"has no answer to question 2 \(2 of 3 are missing\)"):
        mt_bench.answers(write(tmp_path / "a.jsonl", rows), bench(data))
