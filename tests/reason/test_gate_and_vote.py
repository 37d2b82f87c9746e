import math

import pytest
from reasoning_sample import LAMP

from tandem.errors import UserError
from tandem.reason.agreement import Gate, vote
from tandem.reason.chains import Chain
from tandem.types import Question


def chains(*answers, logprob=None):
    return [Chain(("a step",), answer, "answered" if answer else "unparsed", logprob) for answer in answers]


def counted(count, n):
    """A vote of which `count` of `n` agree, the others all different."""
    return vote(LAMP, chains(*["Karo"] * count, *[f"town {i}" for i in range(n - count)]))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_the_published_gate_opens_below_half_of_the_samples_rounded_up(n):
    for count in range(1, n + 1):
        assert Gate().opens(counted(count, n)) == (count < math.ceil(n / 2)), (count, n)


def test_one_sample_never_opens_the_gate_unless_it_has_no_answer():
    assert not Gate().opens(vote(LAMP, chains("Karo")))
    assert Gate().opens(vote(LAMP, chains("")))


@pytest.mark.parametrize(("threshold", "opens"), [(0.4, False), (0.41, True)])
def test_the_share_is_compared_with_a_share(threshold, opens):
    assert Gate("share", threshold).opens(counted(2, 5)) == opens


@pytest.mark.parametrize(("threshold", "opens"), [(1.49, False), (1.51, True), (3.5, True)])
def test_the_mass_is_the_sum_of_the_majoritys_sample_probabilities(threshold, opens):
    found = vote(LAMP, [*chains("Karo", "Karo", "Karo", logprob=math.log(0.5)), *chains("Tolk", logprob=0.0)])
    assert found.mass == pytest.approx(1.5)
    assert Gate("mass", threshold).opens(found) == opens


def test_a_mass_that_is_not_known_opens_the_gate():
    assert Gate("mass", 0.1).opens(counted(5, 5))


@pytest.mark.parametrize(("sure", "opens"), [(0.5, False), (0.49, True), (None, True)])
def test_the_verbal_gate_goes_by_what_the_model_says(sure, opens):
    assert Gate("verbal").opens(counted(5, 5), sure) == opens


def test_always_and_never_do_what_they_say():
    assert Gate("always").opens(counted(5, 5))
    assert not Gate("never").opens(vote(LAMP, chains("", "")))


@pytest.mark.parametrize(
    ("score", "threshold", "n"),
    [("count", 5.1, 5), ("share", 3, 5), ("verbal", 3.6, 5), ("mass", 6, 5), ("count", -1, 5), ("share", math.nan, 5)],
)
def test_a_threshold_outside_its_scores_range_is_refused(score, threshold, n):
    with pytest.raises(UserError, match="outside the range"):
        Gate(score, threshold).limit(n)


def test_a_threshold_for_always_and_an_unknown_score_are_refused():
    with pytest.raises(UserError, match="no threshold"):
        Gate("always", 0.5).limit(5)
    with pytest.raises(UserError, match="no gate is called"):
        Gate("entropy").limit(5)


def test_answers_are_normalised_before_they_vote():
    assert vote(LAMP, chains("the Karo", "karo.", "Tolk")).count == 2


def test_a_sample_without_an_answer_agrees_with_nobody_and_counts_among_the_n():
    found = vote(LAMP, chains("", "", "", "Karo", "Karo"))
    assert (found.count, found.n, found.best.answer) == (2, 5, "Karo")


def test_of_equal_groups_the_likelier_one_wins_and_without_probabilities_the_earlier_one():
    assert vote(LAMP, [*chains("Tolk", logprob=-2.0), *chains("Karo", logprob=-1.0)]).best.answer == "Karo"
    assert vote(LAMP, chains("Tolk", "Karo")).best.answer == "Tolk"


def test_when_all_answers_differ_one_agrees_with_itself():
    found = counted(1, 5)
    assert (found.count, found.share) == (1, 0.2)


def test_the_majority_is_spoken_for_by_its_likeliest_chain():
    made = [Chain((f"step {i}",), "Karo", "answered", p) for i, p in enumerate((-3.0, -1.0, -2.0))]
    assert vote(LAMP, made).best.steps == ("step 1",)


def test_a_chain_with_steps_speaks_before_a_likelier_one_without():
    made = [Chain((), "Karo", "answered", -0.1), Chain(("a step",), "Karo", "answered", -3.0)]
    assert vote(LAMP, made).best.steps == ("a step",)


def test_of_sentences_the_one_in_the_middle_speaks_for_those_alike():
    question = Question("s", "What happened?", meta={"answer": "sentence"})
    texts = ["one two three four", "one two five six", "five six seven eight"]  # ends share nothing, the middle both
    made = [Chain(("a step",), text, "answered", p) for text, p in zip(texts, (-0.1, -9.0, -0.2), strict=True)]
    found = vote(question, made)
    assert (found.count, found.best.answer) == (3, texts[1])
