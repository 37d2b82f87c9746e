"""FEVER's scores on the worked example of the shared task's scorer, and its rules one by one."""

import numpy as np
import pytest

from tandem.errors import UserError
from tandem.metrics.fever import NEI, Claim, score_claims

PAIR = (frozenset({("page1", 1), ("page2", 2)}),)


def claim(predicted, gold=PAIR, label="REFUTES", said=None):
    return Claim(label, tuple(gold), said or label, tuple(predicted))


def figures(*claims, **options):
    return {name: found.value for name, found in score_claims(claims, **options).figures().items()}


def test_the_scorers_worked_example():
    # One group of two sentences; the first prediction has one of them, the second both and one more.
    one, other = claim([("page1", 1)]), claim([("page1", 1), ("page2", 2), ("page3", 3)])
    assert figures(one, other) == {
        "FEVER score": 0.5,
        "label accuracy": 1.0,
        "evidence precision": pytest.approx(0.8333, abs=1e-4),
        "evidence recall": 0.5,
        "evidence F1": pytest.approx(0.625),
    }


def test_evidence_counts_among_the_first_five_sentences_only():
    late = claim([("other", i) for i in range(4)] + [("page1", 1), ("page2", 2)])
    assert figures(late)["FEVER score"] == 0
    assert figures(late, first=6)["FEVER score"] == 1


def test_sentences_beyond_the_fifth_are_ignored_not_punished():
    five = [("page1", 1), ("page2", 2), *(("other", i) for i in range(3))]
    more = [*five, *(("other", i) for i in range(90))]
    assert figures(claim(five)) == figures(claim(more))


def test_one_whole_group_is_enough():
    gold = (frozenset({("page1", 1), ("page2", 2)}), frozenset({("page9", 9)}))
    assert figures(claim([("page9", 9)], gold))["FEVER score"] == 1


def test_sentences_of_two_half_groups_are_not():
    gold = (frozenset({("a", 1), ("b", 2)}), frozenset({("c", 3), ("d", 4)}))
    assert figures(claim([("a", 1), ("c", 3)], gold))["FEVER score"] == 0


def test_not_enough_info_needs_the_label_only():
    assert figures(claim([("any", 1)], (), NEI))["FEVER score"] == 1
    assert figures(claim([], (), NEI, "SUPPORTS")) == {"label accuracy": 0, "FEVER score": 0}


def test_the_evidence_is_worth_nothing_under_the_wrong_label():
    wrong = figures(claim([("page1", 1), ("page2", 2)], said="SUPPORTS"))
    assert wrong["FEVER score"] == 0 and wrong["evidence recall"] == 1


def test_case_of_labels_does_not_count():
    assert figures(claim([("page1", 1), ("page2", 2)], said="refutes"))["FEVER score"] == 1


def test_without_predicted_sentences_precision_is_one_and_recall_nought():
    found = figures(claim([]))
    assert (found["evidence precision"], found["evidence recall"], found["evidence F1"]) == (1, 0, 0)


def test_nothing_found_gives_f1_nought_where_the_published_scorer_divides_by_zero():
    assert figures(claim([("wrong", 1)]))["evidence F1"] == 0


def test_figures_of_some_claims_are_those_of_these_alone():
    claims = [claim([("page1", 1)]), claim([("page1", 1), ("page2", 2)]), claim([], (), NEI)]
    rows = np.array([0, 2])
    assert score_claims(claims).figures(rows) == score_claims([claims[0], claims[2]]).figures()


@pytest.mark.parametrize(("label", "gold"), [("SUPPORTED", PAIR), ("SUPPORTS", ()), ("SUPPORTS", (frozenset(),))])
def test_claims_that_cannot_be_judged_are_refused(label, gold):
    with pytest.raises(UserError):
        score_claims([claim([], gold, label)])
