"""Win rates, length control and the reading of judges' answers: worked by hand, by law, and on recorded judgments."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judged_sample import judgments, write
from tandem.errors import UserError
from tandem.evaluate.judged import alpaca, files, from_judgments, length_control, logistic, reading
from tandem.evaluate.judged.alpaca import Lengths
from tandem.evaluate.judged.length_control import Rows, length_term
from tandem.evaluate.judged.pair import Pair, swapped
from tandem.evaluate.judged.win_rate import win_rate

REAL = Path(__file__).parents[3] / "shared" / "data" / "instructions"
ANNOTATIONS = REAL / "alpaca_eval_gemma_7b_it_gpt4_turbo_annotations.jsonl.gz"
COEFFICIENTS = REAL / "alpaca_eval_gemma_7b_it_length_control.json"
preference = st.one_of(st.none(), st.floats(1, 2))


@pytest.fixture(scope="module")
def real():
    if not ANNOTATIONS.is_file():
        pytest.skip(f"the recorded judgments are not here: {ANNOTATIONS}")
    return files.judgments(ANNOTATIONS)


# ── Win rates ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_win_rate_by_hand():
    found = win_rate([1.0, 2.0, 1.75, 1.5])
    assert found.win_rate.value == pytest.approx((0 + 1 + 0.75 + 0.5) / 4)
    assert found.standard_error == pytest.approx(np.std([0, 1, 0.75, 0.5], ddof=1) / 2)
    assert found.discrete.value == pytest.approx((0 + 1 + 1 + 0.5) / 4)
    assert (found.wins, found.draws, found.losses) == (2, 1, 1)


def test_a_zero_is_a_draw_and_is_counted():
    assert win_rate([0.0, 2.0]).win_rate.value == 0.75
    assert win_rate([0.0, 2.0]).zeros == 1


def test_what_has_no_preference_is_in_no_figure_and_counted():
    found = win_rate([2.0, None, math.nan])
    assert (found.win_rate.value, found.n, found.missing) == (1.0, 1, 2)


def test_nothing_judged_is_no_win_rate():
    assert win_rate([None, None]) is None


@given(st.lists(preference, min_size=1, max_size=30))
def test_exchanging_model_and_baseline_mirrors_the_win_rate(preferences):
    found, mirrored = win_rate(preferences), win_rate([None if p is None else 3 - p for p in preferences])
    if found is None:
        assert mirrored is None
        return
    assert found.win_rate.value + mirrored.win_rate.value == pytest.approx(1)
    assert found.discrete.value + mirrored.discrete.value == pytest.approx(1)
    assert (found.wins, found.losses) == (mirrored.losses, mirrored.wins)


# ── Reading answers ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(0.0, None, 1.0), (None, -3.0, 2.0), (-1.0, -1.0, 1.5), (None, None, None), (math.log(0.3), math.log(0.1), 1.25)],
)
def test_a_preference_is_the_second_names_share_of_probability(first, second, expected):
    assert reading.from_logprobs(first, second) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m", 1),
        ("M", 2),
        (' "M".', 2),
        ("**m** is better", 1),
        ("model M", None),
        ("Me", None),
        ("", None),
        ("x m", None),
    ],
)
def test_a_letter_counts_only_as_a_word_of_its_own_at_the_beginning(text, expected):
    assert reading.from_letter(text) == expected


def ranks(first, second):
    return json.dumps([{"model": "model_1", "rank": first}, {"model": "model_2", "rank": second}])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ranks(1, 2), 1),
        (f"Here: {ranks(2, 1)} I hope it helps", 2),
        (ranks(1, 1), None),
        ('[{"model": "model_1", "rank": 1}]', None),
        ("model_1 is better", None),
        ("[" * 2000, None),
    ],
)
def test_a_ranked_list_has_to_rank_both_apart(text, expected):
    assert reading.from_ranks(text, ("model_1", "model_2")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good. Rating: [[8]]", 8),
        ("[3] of them … [[7.5]] and [[2]]", 7.5),
        ("Rating: [6]", 6),
        ("Rating: 6", None),
        ("[[11]]", None),
        ("[[0]]", None),
    ],
)
def test_a_grade_is_the_first_double_bracket_else_the_first_single_one(text, expected):
    assert reading.grade(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("[[A]]", "A"), ("so [[b]].", "B"), ("[[C]]", "tie"), ("[[Tie]]", "tie"), ("[[A]] … [[B]]", None), ("A", None)],
)
def test_a_verdict_stands_in_double_brackets_and_does_not_contradict_itself(text, expected):
    assert reading.verdict(text) == expected


def test_the_order_is_drawn_from_the_instruction_alone():
    orders = [swapped(f"Task {n}.") for n in range(200)]
    assert orders == [swapped(f"Task {n}.") for n in range(200)]
    assert 70 < sum(orders) < 130


# ── The fit ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def data(seed, n=60, d=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.uniform(size=n), rng.uniform(0.1, 1, size=n)


@given(st.integers(0, 10_000), st.sampled_from(logistic.STRENGTHS))
@settings(max_examples=40, deadline=None)
def test_a_fit_is_where_no_direction_makes_the_objective_smaller(seed, strength):
    x, y, weight = data(seed)
    w = logistic.fit(x, y, weight, strength)

    def objective(w):
        return np.abs(w).sum() + strength * logistic.loss(x, y, weight, w)

    best = objective(w)
    for direction in np.random.default_rng(1).normal(size=(20, 3)):
        assert objective(w + 1e-3 * direction) >= best - 1e-9 * (1 + abs(best))


def test_one_coefficient_by_hand():
    # weight 1, all terms 1, share 0.8, no penalty to speak of: the logit of 0.8
    x, y = np.ones((1, 1)), np.array([0.8])
    w = logistic.fit(x, y, np.ones(1), 1e9)
    assert w[0] == pytest.approx(math.log(4), abs=1e-6)
    # strength C: 1 = C (0.8 − p), so p = 0.8 − 1 / C
    w = logistic.fit(x, y, np.ones(1), 10.0)
    assert 1 / (1 + math.exp(-w[0])) == pytest.approx(0.7)


def test_a_strong_penalty_leaves_nothing():
    x, y, weight = data(3)
    assert not logistic.fit(x, y, weight, 1e-4).any()


def test_rows_of_one_group_are_held_out_together():
    # As many terms as rows, shares that are noise: who has seen a row's twin can repeat it, who has not, cannot.
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(15, 15)), rng.integers(0, 2, size=15).astype(float)
    twins = np.concatenate([x, x]), np.concatenate([y, y]), np.ones(30)
    weak, strong = 1e-3, 30.0
    assert logistic.choose(*twins, [*range(15), *range(15)], (weak, strong)) == weak
    assert logistic.choose(*twins, [*range(15), *range(1, 16)], (weak, strong)) == strong


# ── Length control ──────────────────────────────────────────────────────────────────────────────────────────────────


def pairs(lengths):
    return [Pair(n, f"Task {n}.", "b" * a, "m" * b) for n, (a, b) in enumerate(lengths)]


def published(tmp_path, **changes):
    content = {"model": "mine", "baseline": "base", "coefficients": [-1.0, 2.0, 0.5]}
    content |= {"instruction_difficulty": [0.0, 1.0, -1.0]} | changes
    file = tmp_path / "coefficients.json"
    file.write_text(json.dumps(content))
    return length_control.read(file)


def test_given_coefficients_predict_without_the_length_term(tmp_path):
    rows = write(tmp_path / "j.jsonl", judgments([1.0, 2.0, 1.5], [(9, 1), (1, 9), (5, 5)]))
    found = from_judgments("alpaca_eval", files.judgments(rows), lengths=Lengths("given", published(tmp_path)))
    expected = sum(1 / (1 + math.exp(-z)) for z in (0.5, 2.5, -1.5)) / 3
    assert found.controlled.win_rate.value == pytest.approx(expected)


def test_a_missing_row_shifts_the_join_by_row_and_not_that_by_instruction(tmp_path):
    rows = [*judgments([1.0, 2.0, 1.5])[1:]]
    recorded = files.judgments(write(tmp_path / "j.jsonl", rows))
    base = [{"instruction": f"Task {n}.", "output": "bbbb", "generator": "base"} for n in range(3)]
    baseline = files.outputs(write(tmp_path / "b.jsonl", base))
    values = {}
    for join in ("row", "instruction"):
        lengths = Lengths("given", published(tmp_path), join)
        found = from_judgments("alpaca_eval", recorded, baseline=baseline, lengths=lengths)
        values[join] = found.controlled.win_rate.value
        assert found.lacking == 1
        assert not found.complete
    logistic_mean = [sum(1 / (1 + math.exp(-z)) for z in some) / 2 for some in ((0.5, 2.5), (2.5, -1.5))]
    assert [values["row"], values["instruction"]] == pytest.approx(logistic_mean)


def test_the_length_term_is_odd_and_zero_without_differences():
    a = length_term(pairs([(9, 1), (1, 3), (5, 5)]))
    assert a.tolist() == pytest.approx((-length_term(pairs([(1, 9), (3, 1), (5, 5)]))).tolist())
    assert not length_term(pairs([(7, 4), (9, 6)])).any()


def rows_of(seed, flip=False):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 400, size=(40, 2)).tolist()
    preferences = (1 + rng.uniform(size=40)).tolist()
    difficulty = rng.normal(size=40)
    if flip:
        return Rows(pairs([(b, a) for a, b in lengths]), [3 - p for p in preferences], -difficulty)
    return Rows(pairs(lengths), preferences, difficulty)


@pytest.mark.parametrize("seed", range(3))
def test_exchanging_model_and_baseline_mirrors_a_fit(seed):
    one, other = (length_control.fitted(rows_of(seed, flip), draws=2) for flip in (False, True))
    # Terms and shares change their signs, the constant's coefficient with them.
    assert one.win_rate.value + other.win_rate.value == pytest.approx(1, abs=1e-6)
    assert one.coefficients[2] == pytest.approx(-other.coefficients[2], abs=1e-6)


def test_gamed_runs_count_a_tenth_and_have_no_constant():
    rows = rows_of(0)
    gamed = Rows(rows.pairs, rows.preferences, rows.difficulty, gamed=True)
    assert not gamed.matrix()[:, -1].any()
    found = length_control.fitted(rows, [gamed], draws=2)
    assert found.notes == ()
    parts = [(one.matrix(), np.array(one.preferences) - 1, np.full(40, w)) for one, w in ((rows, 1.0), (gamed, 0.1))]
    x, y, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    assert found.coefficients == pytest.approx(logistic.fit(x, y, weight, found.strength).tolist())


def test_a_fit_without_difficulties_and_gamed_runs_says_so():
    rows = rows_of(1)
    found = length_control.fitted(Rows(rows.pairs, rows.preferences, None), draws=2)
    assert len(found.coefficients) == 2
    assert found.notes == ("without instruction difficulties", "without gamed runs of the baseline")


def test_few_rows_are_not_fitted_and_that_is_told(tmp_path):
    found = from_judgments("alpaca_eval", files.judgments(write(tmp_path / "j.jsonl", judgments([1.0, 2.0]))))
    assert found.controlled is None
    assert "too few for a fit" in found.notes[-1]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"coefficients": [1, 2]}, "coefficients has 2 numbers"),
        ({"coefficients": ["1", 2, 3]}, "not a list of numbers"),
        ({"coefficients": None, "instruction_difficulty": None}, "has neither list"),
        ({"model": 3}, "model and baseline are names"),
    ],
)
def test_a_file_of_coefficients_that_does_not_fit_is_refused(tmp_path, changes, problem):
    with pytest.raises(UserError, match=problem):
        published(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model": "another"}, "coefficients of the model 'another', and this is 'mine'"),
        ({"baseline": "davinci"}, "coefficients of the baseline 'davinci'"),
        ({"instruction_difficulty": [1.0, 2.0]}, "has 2 difficulties, and there are 3 rows"),
    ],
)
def test_coefficients_of_something_else_are_refused(tmp_path, changes, problem):
    recorded = files.judgments(write(tmp_path / "j.jsonl", judgments([1.0, 2.0, 1.5])))
    with pytest.raises(UserError, match=problem):
        from_judgments("alpaca_eval", recorded, lengths=Lengths("given", published(tmp_path, **changes)))


# ── Files ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"preference": 2.5}, "2.5, which is not between 1 and 2"),
        ({"preference": "2"}, "not a number"),
        ({"output_1": None}, "output_1 is null, not a text"),
        ({"generator_2": "theirs"}, "generator_2 is 'theirs', and 'mine' in the rows before"),
        ({"outcome": "lost"}, "outcome is 'lost'"),
    ],
)
def test_a_judgment_that_does_not_fit_is_refused_with_its_line(tmp_path, change, problem):
    rows = judgments([1.0, 2.0])
    file = write(tmp_path / "j.jsonl", [rows[0], rows[1] | change])
    with pytest.raises(UserError, match=problem) as e:
        files.judgments(file)
    assert e.value.where == f"{file}:2"


def test_a_renamed_field_is_told_with_the_fields_there_are(tmp_path):
    file = write(tmp_path / "o.jsonl", [{"instruction": "A", "response": "B"}])
    with pytest.raises(UserError, match=r"no field 'output' \(its fields: instruction, response\)"):
        files.outputs(file)


@pytest.mark.parametrize(
    ("instructions", "problem"),
    [
        (["A", "C"], "the baseline has no such instruction"),
        (["B", "A"], "the baseline has it at"),
        (["A"], "has 1 rows"),
    ],
)
def test_outputs_that_are_not_in_line_with_the_baseline_are_refused(tmp_path, instructions, problem):
    def file(name, some):
        return write(tmp_path / name, [{"instruction": i, "output": "x"} for i in some])

    task = alpaca.load("alpaca_eval", [], baseline=file("b.jsonl", ["A", "B"]))
    with pytest.raises(UserError, match=problem):
        alpaca.given(task, file("o.jsonl", instructions))


# ── Recorded judgments of the benchmark ─────────────────────────────────────────────────────────────────────────────


def test_the_leaderboards_figures_come_out_of_its_judgments(real):
    lengths = Lengths("given", length_control.read(COEFFICIENTS))
    found = from_judgments("alpaca_eval", real, lengths=lengths)
    assert f"{100 * found.rate.win_rate.value:.6f}" == "6.937294"
    assert f"{100 * found.controlled.win_rate.value:.6f}" == "10.425760"
    by_instruction = Lengths("given", lengths.published, "instruction")
    again = from_judgments("alpaca_eval", real, lengths=by_instruction)
    assert again.controlled.win_rate.value == found.controlled.win_rate.value  # no row is missing


def test_every_recorded_preference_follows_from_its_log_probabilities_and_order(real):
    found = from_judgments("alpaca_eval", real, lengths=Lengths("none"))
    assert len(found.recomputed) == 805
    assert found.differing == ()


def test_a_fit_without_gamed_runs_comes_near_the_published_figure(real):
    given = length_control.read(COEFFICIENTS)
    pairs = [Pair(n, row.instruction, row.baseline, row.output) for n, row in enumerate(real.rows)]
    rows = Rows(pairs, [row.preference for row in real.rows], np.array(given.difficulty))
    found = length_control.fitted(rows, draws=20)
    # scikit-learn's liblinear at tol=1e-10, on the same terms and strength
    assert found.strength == pytest.approx(2.782559402207126)
    assert found.coefficients == pytest.approx((-1.02541971, 0.94410248, -2.99653771), abs=1e-7)
    assert f"{100 * found.win_rate.value:.2f}" == "9.26"
