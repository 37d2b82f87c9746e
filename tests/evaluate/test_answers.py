"""Generated answers and comparisons of systems: what is right, what was unreadable, what could be chance."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.evaluate import answers, comparisons
from tandem.evaluate.answers import AnswerItem, Majority, after, ask, first_line, judge, whole
from tandem.evaluate.comparisons import compare, mcnemar
from tandem.results import from_json, to_json

END = 0


def decode(ids):
    return "".join(map(chr, ids))


def item(id="1", *accepted, task="towns", type="facts"):
    return AnswerItem(id, f"Where is {id}?", accepted or ("Karo",), task, type)


def answered(written, *accepted, max_tokens=50, extract=whole):
    """The record of one answer, generated as ids; `written` ends with an end mark unless it is cut."""
    (record,) = ask(
        [item("1", *accepted)],
        [[1, 2]],
        lambda prompts: [[ord(c) for c in written][:max_tokens]],
        decode,
        ends=frozenset({END}),
        max_tokens=max_tokens,
        extract=extract,
    )
    return record


@pytest.mark.parametrize("written", ["Karo", " karo.", "The Karo!", "KARO\x00 and so on", "  Karo\n"])
def test_an_answer_is_right_when_its_normalised_form_is_accepted(written):
    record = answered(written)
    assert (record.right, record.outcome) == (True, "answered")


@pytest.mark.parametrize("written", ["Karo or Lusta", "Kar", "It is Karo"])
def test_an_answer_that_merely_contains_the_gold_is_wrong(written):
    assert not answered(written).right


def test_every_accepted_answer_counts():
    assert answered("Lusta", "Karo", "Lusta").right


def test_an_article_alone_is_an_answer_of_its_own():
    assert answered("A", "A").right
    assert not answered("the", "A").right
    assert not answered("+", "-").right


@pytest.mark.parametrize(
    ("written", "extract", "outcome", "answer"),
    [
        ("", whole, "empty", ""),
        (" \n\x00Karo", whole, "empty", ""),
        ("x" * 60, whole, "truncated", "x" * 50),
        ("Karo\nand more", first_line, "answered", "Karo"),
        ("\n\n Karo \nand more", first_line, "answered", "Karo"),
        ("So: maybe. So: Karo\nor not", after("So:"), "answered", "Karo"),
        ("Karo", after("So:"), "unparsed", ""),
        ("So: \n", after("So:"), "unparsed", ""),
    ],
)
def test_what_became_of_an_answer_is_named(written, extract, outcome, answer):
    record = answered(written, extract=extract)
    assert (record.outcome, record.answer) == (outcome, answer)


def test_an_answer_of_the_longest_length_that_ends_is_not_truncated():
    assert answered("x" * 49 + "\x00").outcome == "answered"


def test_an_answer_that_fills_the_models_context_is_truncated():
    fill = lambda prompts: [[ord("x")] * (8 - len(p)) for p in prompts]  # noqa: E731
    short, long = ask(
        [item("1"), item("2")], [[1, 2], [1]], fill, decode, ends=frozenset({END}), max_tokens=7, context=8
    )
    assert (short.outcome, long.outcome) == ("truncated", "truncated")
    (roomy,) = ask([item("1")], [[1, 2]], fill, decode, ends=frozenset({END}), max_tokens=7, context=9)
    assert roomy.outcome == "answered"


def test_all_outcomes_are_counted():
    records = [answered(w, extract=after("So:")) for w in ("So: Karo", "Karo", "", "So: " + "x" * 60)]
    table = answers.outcomes({"tuned": records})
    assert table.rows == (("tuned", 1, 1, 1, 1, 4),)
    assert from_json(to_json(table)) == table


@pytest.mark.parametrize(
    ("items", "problem"),
    [([], "no items"), ([item(), item()], "occurs twice"), ([AnswerItem("1", "?", (" ",))], "no accepted answer")],
)
def test_items_that_cannot_be_judged_are_refused(items, problem):
    with pytest.raises(UserError, match=problem):
        answers.check(items)


# ── The majority answer ─────────────────────────────────────────────────────────────────────────────────────────────


def train():
    return [
        item("a", "Karo", task="towns"),
        item("b", "karo.", task="towns"),
        item("c", "Lusta", task="towns"),
        item("d", "yes", task="checks", type="verification"),
        item("e", "no", task="checks", type="verification"),
        item("f", "no", task="doubts", type="verification"),
        item("g", "no", task="doubts", type="verification"),
    ]


@pytest.mark.parametrize(
    ("task", "type", "expected"),
    [
        ("towns", "facts", "Karo"),
        ("checks", "verification", "no"),  # a tie: the answer that sorts first
        ("unseen", "verification", "no"),
        ("unseen", "facts", "Karo"),
        ("unseen", "unseen", "no"),
    ],
)
def test_the_majority_answer_is_that_of_the_task_else_of_the_type_else_of_all(task, type, expected):
    assert Majority(train())(item("x", task=task, type=type)) == expected


def test_the_overall_majority_ignores_the_task():
    assert Majority(train(), by_task=False)(item("x", task="towns")) == "no"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["yes", "no", "Karo"])), min_size=1, max_size=30))
def test_on_its_own_training_items_no_constant_answer_per_task_beats_the_majority(pairs):
    items = [item(str(i), answer, task=task) for i, (task, answer) in enumerate(pairs)]
    right = sum(r.right for r in Majority(items).answer(items))
    assert right == sum(
        max(sum(i.accepted[0] == answer for i in items if i.task == task) for answer in ("yes", "no", "Karo"))
        for task in {i.task for i in items}
    )


# ── Comparisons ─────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemars_p_is_the_exact_binomial_tail(b, c):
    tail = sum(Fraction(comb(b + c, i), 2 ** (b + c)) for i in range(min(b, c) + 1))
    assert mcnemar(b, c) == pytest.approx(float(min(Fraction(1), 2 * tail)), rel=1e-9)
    assert mcnemar(b, c) == mcnemar(c, b)


def test_mcnemars_p_stays_finite_for_many_items():
    assert 0 < mcnemar(50_000, 51_000) < 0.01


VERDICTS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(VERDICTS)
def test_a_comparison_counts_the_items_on_which_two_systems_differ(pairs):
    a = {str(i): x for i, (x, _) in enumerate(pairs)}
    b = {str(i): y for i, (_, y) in enumerate(pairs)}
    found, back = compare("a", a, "b", b), compare("b", b, "a", a)
    assert found.only_system - found.only_other == sum(a.values()) - sum(b.values())
    assert found.difference.value == pytest.approx((sum(a.values()) - sum(b.values())) / len(pairs))
    assert (back.only_system, back.only_other, back.p) == (found.only_other, found.only_system, found.p)
    assert found.difference.low <= found.difference.value <= found.difference.high


def test_systems_are_apart_when_their_intervals_do_not_overlap():
    good = {str(i): i < 90 for i in range(100)}
    bad = {str(i): i < 10 for i in range(100)}
    fair = {str(i): i < 85 for i in range(100)}
    assert compare("good", good, "bad", bad).apart
    assert not compare("good", good, "fair", fair).apart
    assert compare("good", good, "fair", fair).p == mcnemar(5, 0)


def test_systems_that_answered_different_items_cannot_be_compared():
    with pytest.raises(UserError, match="answered different items, '2' among 1"):
        compare("a", {"1": True}, "b", {"1": True, "2": False})
    with pytest.raises(UserError, match="no system named 'c'"):
        comparisons.table({"a": {"1": True}}, {"all": ["1"]}, "c")


def test_the_table_of_systems_has_a_row_for_each_group_and_system():
    systems = {"tuned": {"1": True, "2": True}, "untuned": {"1": False, "2": True}}
    table = comparisons.table(systems, {"instances": ["1"], "tasks": ["2"], "none": []}, "tuned", chance=0.25)
    assert [(row[0], row[1], row[2].value, row[-1]) for row in table.rows] == [
        ("instances", "tuned", 1.0, 1),
        ("instances", "untuned", 0.0, 1),
        ("tasks", "tuned", 1.0, 1),
        ("tasks", "untuned", 1.0, 1),
    ]
    assert table.rows[0][3] is None and table.rows[1][3].value == 1.0
    assert from_json(to_json(table)) == table


def test_the_table_per_task_ends_with_all_items():
    items = [item("1"), item("2", task="checks"), item("3", task="checks")]
    systems = {"one": [judge(i, "Karo") for i in items], "other": [judge(i, "x") for i in items]}
    table = answers.by_task(items, systems)
    assert [(r[1], r[2].value, r[3].value, r[4]) for r in table.rows] == [
        ("checks", 1.0, 0.0, 2),
        ("towns", 1.0, 0.0, 1),
        ("", 1.0, 0.0, 3),
    ]


def test_examples_take_one_item_of_each_task_in_turn_with_every_systems_words():
    items = [item(str(i), task=task) for i, task in enumerate("aaab")]
    records = [judge(i, "Karo" if i.id == "0" else "x") for i in items]
    shown = answers.examples(items, {"tuned": records}, 3)
    assert [e.prompt for e in shown] == ["Where is 0?", "Where is 3?", "Where is 1?"]
    assert [(e.outputs, e.correct) for e in shown[:2]] == [
        ((("tuned", "Karo"),), (True,)),
        ((("tuned", "x"),), (False,)),
    ]
