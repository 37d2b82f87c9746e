import math
from dataclasses import replace

import numpy as np
import pytest
from reasoning_sample import BRELL, LAMP, WROTE, Shelf, answered, chain, model, sampled

from tandem.errors import Unsupported, UserError
from tandem.reason.calibrated import C, Calibrator, calibrated, coverage, fit, fitted, uncalibrated
from tandem.reason.editing import Editing
from tandem.reason.running import Record
from tandem.trace import Step
from tandem.types import Answer


def test_coverage_is_that_of_the_least_covered_sentence():
    steps = ["Karo lies on the Zell.", "Mira Tal was born there."]  # 5 of 5 words, and 3 of 5
    assert coverage(steps, ["Mira Tal of Karo", "the river Zell lies", "was on it"]) == pytest.approx(3 / 5)


def test_without_steps_or_without_findings_nothing_is_covered():
    assert coverage([], ["text"]) == coverage(["a step"], []) == 0.0


def test_the_features_are_the_answers_probability_and_the_cube_of_coverage():
    sure = Calibrator(2.0, 3.0, -1.0)(math.log(0.25), 0.5)
    assert sure == pytest.approx(1 / (1 + math.exp(-(2 * 0.25 + 3 * 0.125 - 1))))


def test_a_certain_calibrator_does_not_overflow():
    assert Calibrator(1e6, 0.0, -2e6)(0.0, 0.0) == 0.0
    assert Calibrator(1e6, 0.0, 0.0)(0.0, 0.0) == 1.0


def examples(n, seed):
    draw = np.random.default_rng(seed)
    logprobs, covered = -draw.exponential(1.0, n), draw.random(n)
    right = draw.random(n) < 1 / (1 + np.exp(-(3 * np.exp(logprobs) + 2 * covered**3 - 2)))
    return logprobs, covered, right


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_the_optimum_of_the_penalised_likelihood(seed):
    logprobs, covered, right = examples(80, seed)
    found = fit(logprobs.tolist(), covered.tolist(), right.tolist())
    x = np.stack([np.exp(logprobs), covered**3, np.ones(80)], axis=1)
    w = np.array([found.probability, found.coverage, found.intercept])
    p = 1 / (1 + np.exp(-x @ w))
    gradient = x.T @ (p - right) + np.array([w[0] / C, w[1] / C, 0.0])  # the intercept is not penalised
    assert np.abs(gradient).max() < 1e-8


def test_with_one_feature_that_tells_nothing_the_intercept_is_the_odds_of_being_right():
    found = fit([-1.0] * 4, [0.0] * 4, [True, True, True, False])
    assert found.probability * math.exp(-1) + found.intercept == pytest.approx(math.log(3), abs=1e-8)


def test_answers_that_are_told_apart_completely_have_finite_weights():
    found = fit([-5.0, -4.0, -0.1, -0.2], [0.1, 0.2, 0.9, 0.8], [False, False, True, True])
    assert all(map(math.isfinite, (found.probability, found.coverage, found.intercept)))
    assert found(-0.1, 0.9) > 0.5 > found(-5.0, 0.1)


def test_answers_that_are_all_right_fit_nothing():
    with pytest.raises(UserError, match="all right or all wrong"):
        fit([-1.0, -2.0], [0.5, 0.5], [True, True])


def record(id, right, logprob, covered):
    question = replace(LAMP, id=str(id))
    facts = {"features": {"answer_logprob": logprob, "coverage": covered}} if logprob is not None else {}
    return Record(question, Answer("Karo" if right else "Tolk", facts=facts), Step("calibrated"))


def test_it_is_fitted_on_the_first_questions_and_measured_on_the_others():
    logprobs, covered, right = examples(30, 1)
    records = [record(i, *each) for i, each in enumerate(zip(right, logprobs, covered, strict=True))]
    calibrator, first, others = fitted(records, 20)
    assert [r.question.id for r in first] == [str(i) for i in range(20)]
    assert [r.question.id for r in others] == [str(i) for i in range(20, 30)]
    assert calibrator == fit(logprobs[:20].tolist(), covered[:20].tolist(), right[:20].tolist())
    assert [r.answer.confidence for r in others] == [
        calibrator(p, c) for p, c in zip(logprobs[20:], covered[20:], strict=True)
    ]


def test_questions_without_features_are_neither_fitted_on_nor_given_a_confidence():
    logprobs, covered, right = examples(20, 1)
    records = [record(i, *each) for i, each in enumerate(zip(right, logprobs, covered, strict=True))]
    _, _, others = fitted([record("none", False, None, None), *records, record("none", True, None, None)], 15)
    assert others[-1].answer.confidence is None


@pytest.mark.parametrize("first", [0, 20, 21])
def test_nothing_to_fit_on_or_nothing_to_measure_is_an_error(first):
    logprobs, covered, right = examples(20, 1)
    with pytest.raises(UserError, match="cannot be fitted"):
        fitted([record(i, *each) for i, each in enumerate(zip(right, logprobs, covered, strict=True))], first)


def test_the_method_answers_as_the_majority_does_with_features_of_its_steps():
    lm = model(sampled(chain(WROTE, BRELL, answer="Brell"), logprob=-0.25))
    shelf = Shelf({"": "The Lamp of Orn was written by Mira Tal, born far away in Brell."})
    made = answered(calibrated, LAMP, lm, [shelf], settings=Editing(samples=3))
    assert (made.answer.text, made.answer.confidence) == ("Brell", None)
    assert made.answer.facts["features"] == {"answer_logprob": -0.25, "coverage": 5 / 6 + 1 / 6}
    assert shelf.asked == [WROTE, BRELL]
    assert uncalibrated(made).answer.facts["answer_logprob"] == -0.25


def test_a_model_without_log_probabilities_is_refused_before_it_is_asked():
    lm = model(sampled("x"), logprobs=False)
    with pytest.raises(Unsupported):
        answered(calibrated, LAMP, lm, [], settings=Editing())
    assert not lm.calls
