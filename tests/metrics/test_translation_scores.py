"""BLEU and chrF equal sacrebleu's own figures, to the last digit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF

from tandem.errors import UserError
from tandem.metrics import ngrams
from tandem.metrics.translation import bleu, chrf, chrf_statistics, corpus_bleu, corpus_chrf, mean_sentence_bleu

WORDS = ["the", "cat", "(cat)", "sat.", "on", "mat", "A", "ça", "कमल", "猫", "!", "don't", "\u00a0", "x"]
sentences = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
corpora = st.lists(st.tuples(sentences, st.lists(sentences, min_size=1, max_size=3)), min_size=1, max_size=5)


def streams(references):
    return [[each[i] if i < len(each) else None for each in references] for i in range(max(map(len, references)))]


@settings(max_examples=60, deadline=None)
@given(corpora, st.sampled_from([0, 1, 2]), st.booleans())
def test_chrf_is_sacrebleus(corpus, word_order, lowercase):
    predictions, references = [p for p, _ in corpus], [r for _, r in corpus]
    theirs = CHRF(word_order=word_order, lowercase=lowercase).corpus_score(predictions, streams(references)).score
    assert chrf(predictions, references, word_order=word_order, lowercase=lowercase).value == theirs


@settings(max_examples=60, deadline=None)
@given(corpora, st.booleans(), st.sampled_from(["13a", "char", "intl"]))
def test_bleu_is_sacrebleus(corpus, lowercase, tokenize):
    predictions, references = [p for p, _ in corpus], [r for _, r in corpus]
    theirs = BLEU(lowercase=lowercase, tokenize=tokenize).corpus_score(predictions, streams(references)).score
    assert corpus_bleu(predictions, references, lowercase=lowercase, tokenize=tokenize).value == theirs


@settings(max_examples=40, deadline=None)
@given(corpora)
def test_mean_sentence_bleu_is_the_mean_of_sacrebleus(corpus):
    each = [BLEU(effective_order=True).sentence_score(p, r).score for p, r in corpus]
    found = mean_sentence_bleu([p for p, _ in corpus], [r for _, r in corpus])
    assert found.value == pytest.approx(sum(each) / len(each), abs=1e-12)


def test_the_published_example_of_sacrebleu():
    # Its README: three systems' lines against two references each.
    said = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
    first = ["The dog bit the man.", "It was not unexpected.", "The man bit him first."]
    second = ["The dog had bit the man.", "No one was surprised.", "The man had bitten the dog."]
    references = [list(pair) for pair in zip(first, second, strict=True)]
    assert corpus_bleu(said, references).value == pytest.approx(48.530827, abs=1e-6)
    assert chrf(said, references, word_order=0).value == pytest.approx(59.73, abs=0.005)


def test_one_figure_is_not_the_other():
    said, meant = ["the cat sat on the mat", "no"], ["the cat sat on the mat", "yes it is"]
    assert corpus_bleu(said, meant).value != pytest.approx(mean_sentence_bleu(said, meant).value, abs=1)


@settings(max_examples=30, deadline=None)
@given(corpora, st.randoms(use_true_random=False))
def test_the_order_of_segments_does_not_count(corpus, random):
    mixed = random.sample(corpus, len(corpus))
    for figure in (chrf, corpus_bleu):
        one, other = (figure([p for p, _ in c], [r for _, r in c]).value for c in (corpus, mixed))
        assert one == pytest.approx(other, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(corpora)
def test_intervals_hold_the_figure(corpus):
    predictions, references = [p for p, _ in corpus], [r for _, r in corpus]
    for figure in (chrf, corpus_bleu):
        found = figure(predictions, references)
        assert found.low <= found.value <= found.high and found.n == len(corpus)


def test_the_interval_narrows_with_the_number_of_segments():
    said, meant = ["a b c d e", "a b x y z", "q r s t u"] * 8, ["a b c d e", "a b c d e", "q r s d e"] * 8
    few, many = (chrf(said[:n], meant[:n]) for n in (6, 24))
    assert few.value == pytest.approx(many.value) and many.high - many.low < few.high - few.low


def test_figures_of_a_group_need_no_second_count():
    said, meant = ["a b c", "d e f", "g h i"], ["a b x", "d e f", "g y i"]
    rows = np.array([0, 2])
    alone = [said[i] for i in rows], [meant[i] for i in rows]
    assert corpus_chrf(chrf_statistics(said, meant)[rows]) == chrf(*alone)
    assert bleu(said, meant).corpus(rows) == corpus_bleu(*alone)


def test_large_corpora_are_counted_in_pieces(monkeypatch):
    said, meant = ["the cat sat", "on", "", "the mat"], ["a cat sat", "on a", "x", "the mats"]
    whole = chrf_statistics(said, meant)
    monkeypatch.setattr(ngrams, "AT_ONCE", 10)
    assert (chrf_statistics(said, meant) == whole).all()


def test_a_lone_surrogate_breaks_nothing():
    assert chrf(["\ud800 a"], ["\ud800 a"], word_order=0).value == 100


@pytest.mark.parametrize("figure", [corpus_bleu, mean_sentence_bleu, chrf])
def test_lists_of_different_length_are_refused(figure):
    with pytest.raises(UserError, match="2 predictions, 1 references"):
        figure(["a", "b"], ["a"])
