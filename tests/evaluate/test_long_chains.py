"""Chains of steps: written ones parse back, errors get their kind, and the first is told from what it leads to."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.evaluate.long import Asking, Inputs, facts, load, multiplication, working
from tandem.evaluate.long.steps import by_step, first_errors, verdicts
from tandem.lm import Model, Rule, Scripted


def measure(task, *rules):
    return asyncio.run(task.measure(Model(Scripted(rules)), Asking()))


def shares(found):
    return {(of, figure.name): figure.value for of, figure in found.figures}


# ── Multiplication ──────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_flawless_chain_is_right_in_every_step(a, b):
    chain = working.check(a, b, working.written(a, b))
    assert chain.right and chain.surplus == 0
    assert len(chain.steps) == len(working.names(len(str(b)))) == 2 * len(str(b))
    assert working.answer_of(working.written(a, b)) == a * b


@given(st.integers(1, 10**4), st.integers(10, 10**4), st.data())
def test_one_changed_result_is_the_first_wrong_step_and_later_ones_only_pass_it_on(a, b, data):
    lines = working.lines(a, b)
    n = data.draw(st.integers(0, len(lines) - 1))
    off = data.draw(st.integers(1, 999))
    digits = len(str(b))
    values = [line.result for line in lines[:digits]]
    text = []
    for m, line in enumerate(lines):
        left, right = (line.left, line.right) if m < digits else (total, values[m - digits + 1])  # noqa: F821
        result = (left * right if line.sign == "x" else left + right) + (off if m == n else 0)
        if m < digits:
            values[m] = result
        total = values[0] if m < digits else result
        text.append(str(working.Line(line.sign, left, right, result)))
    chain = working.check(a, b, "\n".join([*text, f"Answer: {total}"]))
    assert chain.first_wrong == n
    assert chain.steps[n].kind in (working.CARRY, working.PRODUCT, working.ADDITION)
    assert {step.verdict for step in chain.steps[n + 1 :]} <= {"right", "propagated"}
    assert chain.steps[-1].verdict == "propagated"


@pytest.mark.parametrize(
    ("text", "wrong", "kind", "rest"),
    [
        # 47 x 36: 7 x 6 = 42, and the carried 4 is lost: 242 for 282
        ("47 x 6 = 242\n47 x 30 = 1410\n242 + 1410 = 1652\nAnswer: 1652", 0, "carry", ["right", *["propagated"] * 2]),
        ("47 x 6 = 292\n47 x 30 = 1410\n292 + 1410 = 1702\nAnswer: 1702", 0, "carry", ["right", *["propagated"] * 2]),
        (
            "47 x 6 = 281\n47 x 30 = 1410\n281 + 1410 = 1691\nAnswer: 1691",
            0,
            "partial product",
            ["right", *["propagated"] * 2],
        ),
        ("47 x 6 = 282\n47 x 3 = 141\n282 + 141 = 423\nAnswer: 423", 1, "copy", ["propagated"] * 2),
        ("47 x 6 = 282\n47 x 30 = 1,410\n282 + 1410 = 1693\nAnswer: 1693", 2, "addition", ["propagated"]),
        ("47 x 6 = 282\n30 x 47 = 1410\n1410 + 282 = 1692\nAnswer: 1629", 3, "copy", []),
        ("47 x 6 = 282\n47 x 30 = 1410\n282 + 1400 = 1692\nAnswer: 1692", 2, "copy", ["right"]),
        ("47 x 6 is 282", 0, "format", ["absent"] * 3),
        ("47 x 6 = 282\n47 times 30 = 1410\nAnswer: 1692", 1, "format", ["absent", "restored"]),
    ],
)
def test_the_first_wrong_step_has_a_kind(text, wrong, kind, rest):
    chain = working.check(47, 36, text)
    assert (chain.first_wrong, chain.steps[wrong].kind) == (wrong, kind)
    assert [step.verdict for step in chain.steps[wrong + 1 :]] == rest


def test_prose_and_list_marks_around_the_lines_do_not_matter():
    text = "Sure!\n1. 47 x 6 = 282\n2. 47 × 30 = 1410\nNow add:\n- 282 + 1410 = 1692.\nAnswer: 1,692."
    assert working.check(47, 36, text).right


def test_carries_that_can_go_wrong():
    # 47 x 6: 42 carries 4 into the tens, 28 carries 2 into the hundreds
    assert working.carry_errors(47, 6, "x") == {282 - 240, 282 - 40, 282 - 200, 272, 292, 182, 382}
    assert working.carry_errors(47, 60, "x") == {10 * wrong for wrong in working.carry_errors(47, 6, "x")}
    assert working.carry_errors(58, 67, "+") == {125 - 110, 125 - 10, 125 - 100, 135, 225}
    assert working.carry_errors(12, 4, "x") == set()


def test_an_oracle_gets_everything_right_and_known_errors_are_counted():
    task = load("multiplication", Inputs(limit=4), ["sizes=2x1,2x2"])
    small, large = ([p for p in task.problems if p.size == size] for size in ("2x1", "2x2"))
    rules = [Rule((working.written(p.a, p.b),), contains=(f"Multiply {p.a} by {p.b}.",)) for p in task.problems]
    assert set(shares(measure(task, *rules)).values()) == {1.0}
    wrong = [Rule((f"Answer: {p.a * p.b}",), contains=(f"Multiply {p.a} by {p.b}.",)) for p in large[:1]]
    cut = [Rule((working.written(p.a, p.b + 1),), contains=(f"Multiply {p.a} by {p.b}.",)) for p in small[:1]]
    found = measure(task, *wrong, *cut, *rules)
    assert shares(found) == {
        ("2x1", "product right"): 0.75,
        ("2x1", "every step right"): 0.75,
        ("2x2", "product right"): 1.0,  # the right product, out of nothing
        ("2x2", "every step right"): 0.75,
    }
    errors = next(item for item in found.items if item.title == "The first wrong step")
    assert errors.columns == ("of", "format", "copy", "no error", "n")
    assert errors.rows == (("2x1", 0, 1, 3, 4), ("2x2", 1, 0, 3, 4))


def test_examples_have_the_size_of_the_question_and_never_its_numbers():
    settings = multiplication.Settings(sizes=("1x1", "3x2"), items=20)
    for p in multiplication.problems(settings, 3):
        assert len(p.examples) == 3 and (p.a, p.b) not in p.examples
        assert {(len(str(a)), len(str(b))) for a, b in p.examples} == {tuple(map(int, p.size.split("x")))}
        assert multiplication.body(p, "steps").count("\nAnswer: ") == 3


def test_the_product_alone_is_read_and_its_ends_are_looked_at():
    task = load("multiplication", Inputs(limit=1), ["sizes=2x2", "form=direct"])
    (p,) = task.problems
    product = p.a * p.b
    found = measure(task, Rule((f" {p.a} x {p.b} = {product + 10}.\n",)))
    assert shares(found)["2x2", "product right"] == 0.0
    assert shares(found)["2x2", "last digit right"] == 1.0


@pytest.mark.parametrize("sizes", ["2", "0x1", "2x", "a", ""])
def test_sizes_that_are_none_are_refused(sizes):
    with pytest.raises(UserError, match="has"):
        load("multiplication", Inputs(), [f"sizes={sizes}"])


def test_tables_of_steps_count_what_was_reached():
    chains = [working.check(47, 36, working.written(47, 36), "2x2"), working.check(47, 36, "47 x 6 = 0", "2x2")]
    table = by_step(chains, {"2x2": working.names(2)})
    assert [(row[3].value, row[4]) for row in table.rows] == [(0.5, 2), (1.0, 1), (1.0, 1), (1.0, 1)]
    assert first_errors(chains, working.KINDS).rows == (("2x2", 1, 1, 2),)
    ((_, *shares_of, total),) = verdicts(chains).rows
    assert [share.value for share in shares_of] == [0.5, 0.125, 0.0, 0.0, 0.0, 0.375] and total == 8


# ── Hops ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def hops():
    return load("hops", Inputs(limit=12, shots=2), ["facts=1500", "hops=1,2,3,4"])


def test_a_flawless_chain_of_facts_parses_back(hops):
    reader = facts.Reader(hops.world)
    for question in hops.questions:
        chain = reader.check(question, facts.written(question))
        assert chain.right, facts.written(question)
        assert len(chain.steps) == question.meta["hops"] + 1


def test_a_model_that_knows_the_chains_is_right_at_every_depth(hops):
    rules = [
        Rule((facts.written(q),), matches=rf"Question: {q.text}\s+Facts in order:\s*$".replace("?", r"\?"))
        for q in hops.questions
    ]
    found = measure(hops, *rules)
    assert set(shares(found).values()) == {1.0}
    assert len(found.rows) == 48


def test_the_step_that_fails_is_told_from_those_that_follow_from_it(hops):
    reader = facts.Reader(hops.world)
    question = next(
        q for q in hops.questions if q.meta["relations"][:2] == ["written_by", "works_for"] or q.meta["hops"] == 3
    )
    first, *others = [each["text"] for each in question.meta["evidence"]]
    # A fact about someone else, which is true, in the place of the second step.
    relation = question.meta["relations"][1]
    other = next(
        f
        for f in hops.world.holding(relation).tolist()
        if hops.world.object_text(f) not in others[0] and f"f{f:07d}" not in question.meta["facts"]
    )
    from tandem.world.questions import plain

    lines = [first, plain(hops.world, other), *others[1:], f"Answer: {question.answers[0]}"]
    chain = reader.check(question, "\n".join(lines))
    assert chain.first_wrong == 1
    assert (chain.steps[1].kind, chain.steps[1].verdict) == (facts.SUBJECT, "local")
    assert chain.steps[2].kind == facts.SUBJECT  # it goes on from the right town, not from what was written


def test_kinds_of_wrong_facts(hops):
    reader = facts.Reader(hops.world)
    question = next(q for q in hops.questions if q.meta["hops"] == 2)
    first, second = (each["text"] for each in question.meta["evidence"])
    answer = f"Answer: {question.answers[0]}"
    middle = first.rpartition(" is ")[0]

    def kinds(*lines):
        return [step.kind for step in reader.check(question, "\n".join(lines)).steps]

    assert kinds(first, second, answer) == ["", "", ""]
    assert kinds(first, second, "Answer: nobody") == ["", "", facts.ANSWER]
    assert kinds(f"{middle} is Nobody At All.", second, answer)[0] == facts.OBJECT
    assert kinds("I think so.", second, answer)[0] == facts.FORMAT
    assert kinds(first) == ["", facts.FORMAT, facts.FORMAT]
    assert reader.check(question, first).steps[1].verdict == "absent"


def test_direct_answers_have_a_chance(hops):
    task = load("hops", Inputs(limit=3), ["facts=1500", "hops=2", "form=direct"])
    rules = [Rule((f" {q.answers[0]}\n\nmore",), contains=(q.text,)) for q in task.questions]
    found = measure(task, *rules)
    (_, right), (_, holds) = found.figures
    assert (right.value, holds.value) == (1.0, 1.0)
    assert right.chance == pytest.approx(1 / 5)  # two facts that lead to the answer among three others


def test_a_world_too_small_says_how_many_questions_it_has():
    task = load("hops", Inputs(), ["facts=100", "hops=1", "items=500"])
    found = measure(task, Rule(("Answer: x",)))
    assert found.notes[0] == f"the world has {task.total} such questions, 500 were asked for"
    with pytest.raises(UserError, match="too few other questions"):
        load("hops", Inputs(shots=90), ["facts=100", "hops=1", "items=500"])
