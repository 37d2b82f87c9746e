"""ROUGE by the rules of the rouge-score package, and Porter's stemmer as it uses it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer

from tandem.errors import UserError
from tandem.metrics.rouge import common_subsequence, rouge_lsum, rouge_scores, rouge_words, subsequence
from tandem.metrics.stem import stem

WORDS = [
    "The",
    "cats,",
    "running",
    "dogs'",
    "relational",
    "happily",
    "agreed",
    "2nd",
    "x-ray",
    "Élan",
    "flies",
    "skies",
    "a",
    "of",
]
texts = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(texts, st.lists(texts, min_size=1, max_size=3), st.booleans())
def test_scores_are_those_of_the_package(prediction, references, stemmed):
    kinds = ["rouge1", "rouge2", "rougeL"]
    theirs = rouge_scorer.RougeScorer(kinds, use_stemmer=stemmed).score_multi(references, prediction)
    found = rouge_scores([prediction], [references], stemmed=stemmed)
    assert found.f[0].tolist() == pytest.approx([theirs[kind].fmeasure for kind in kinds], abs=1e-12)
    assert found.precision[0].tolist() == pytest.approx([theirs[kind].precision for kind in kinds], abs=1e-12)
    assert found.recall[0].tolist() == pytest.approx([theirs[kind].recall for kind in kinds], abs=1e-12)


summaries = st.lists(st.lists(st.sampled_from("abcd"), max_size=6).map(" ".join), max_size=4).map("\n".join)


@settings(max_examples=120, deadline=None)
@given(summaries, st.lists(summaries, min_size=1, max_size=3))
def test_scores_by_sentence_are_those_of_the_package(prediction, references):
    theirs = rouge_scorer.RougeScorer(["rougeLsum"]).score_multi(references, prediction)["rougeLsum"]
    found = rouge_lsum([prediction], [references])
    assert found.f[0].tolist() == pytest.approx([theirs.fmeasure], abs=1e-12)
    assert found.precision[0].tolist() == pytest.approx([theirs.precision], abs=1e-12)
    assert found.recall[0].tolist() == pytest.approx([theirs.recall], abs=1e-12)


def test_lins_example_of_the_union_of_subsequences():
    # Lin 2004, §3.2: w1 w2 w3 w4 w5 has 4 of its words in common with the two sentences together.
    found = rouge_lsum(["w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5"], ["w1 w2 w3 w4 w5"])
    assert found.recall[0, 0] == 4 / 5


@given(st.lists(st.integers(0, 4), max_size=40), st.lists(st.integers(0, 4), max_size=40))
def test_the_common_subsequence_is_one_and_the_longest(a, b):
    common = [a[i] for i in subsequence(a, b)]
    rest = iter(b)
    assert all(token in rest for token in common)
    assert len(common) == common_subsequence(a, b)


ENDINGS = [
    "",
    "s",
    "ed",
    "ing",
    "ies",
    "ied",
    "eed",
    "ational",
    "logi",
    "alli",
    "bli",
    "fulli",
    "ement",
    "ion",
    "y",
    "ll",
]


@settings(max_examples=400, deadline=None)
@given(
    st.text("aeiouyltsndgrbz", min_size=1, max_size=5), st.sampled_from(ENDINGS), st.sampled_from(["", "s", "ly", "y"])
)
def test_stems_are_those_of_the_package(front, middle, end):
    word = front + middle + end
    assert stem(word) == PorterStemmer().stem(word)


@pytest.mark.parametrize(
    ("word", "stemmed"),
    [
        *(("caresses", "caress"), ("ponies", "poni"), ("cats", "cat"), ("feed", "feed"), ("agreed", "agre")),
        *(("plastered", "plaster"), ("motoring", "motor"), ("sing", "sing"), ("conflated", "conflat")),
        *(("hopping", "hop"), ("falling", "fall"), ("filing", "file"), ("happy", "happi"), ("relational", "relat")),
        *(("conditional", "condit"), ("digitizer", "digit"), ("vietnamization", "vietnam"), ("triplicate", "triplic")),
        *(("electrical", "electr"), ("revival", "reviv"), ("adoption", "adopt"), ("controll", "control")),
        *(("dying", "die"), ("skies", "sky"), ("news", "news"), ("enjoy", "enjoy"), ("spied", "spi"), ("died", "die")),
    ],
)
def test_porters_published_examples(word, stemmed):
    assert stem(word) == stemmed


def test_lins_example_of_the_longest_common_subsequence():
    # Lin 2004, §3.1: against "police killed the gunman", "police kill the gunman" has 3 of 4, the other 2 of 4.
    found = rouge_scores(["police kill the gunman", "the gunman kill police"], ["police killed the gunman"] * 2)
    assert found.f[:, 2].tolist() == [0.75, 0.5]


def test_words_are_runs_of_letters_and_digits():
    assert rouge_words("The X-ray's 2nd Élan") == ["the", "x", "ray", "s", "2nd", "lan"]


def test_references_without_a_word_are_counted():
    assert rouge_scores(["कमल", "a cat"], ["कमल", "a cat"]).empty == 1


@given(st.lists(st.integers(0, 4), max_size=80), st.lists(st.integers(0, 4), max_size=80))
def test_the_bits_find_the_same_length_as_the_table(a, b):
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    assert common_subsequence(a, b) == table[-1][-1]


@given(texts, texts)
def test_f_is_symmetric_and_between_nought_and_one(one, other):
    there, back = rouge_scores([one], [other]).f, rouge_scores([other], [one]).f
    assert there.tolist() == back.tolist() and (there >= 0).all() and (there <= 1).all()


def test_lists_of_different_length_are_refused():
    with pytest.raises(UserError, match="1 predictions, 2 references"):
        rouge_scores(["a"], ["a", "b"])
