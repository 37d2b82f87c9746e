"""Multiple choice: joint tokenisation, the three ways to compare, and what is refused."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem import tokenizer as tokenizing
from tandem.decoder import Decoder, Shape
from tandem.decoder.score import score as decoder_score
from tandem.errors import UserError
from tandem.evaluate.choices import ChoiceItem, choose, joint, of_question, predict, table
from tandem.results import from_json, to_json
from tandem.types import Question

TEXTS = [f"The town of {a}{b} lies in {b}{a}; it's   old." for a in ("Ka", "Lu", "Mi") for b in ("ro", "sta", "ne")] * 5


@cache
def tokenizer():
    return tokenizing.train(TEXTS, 400)


@cache
def model():
    torch.manual_seed(0)
    shape = Shape(
        vocabulary=tokenizer().vocabulary,
        layers=1,
        width=16,
        heads=2,
        kv_heads=2,
        head_width=8,
        mlp_width=32,
        context=24,
    )
    return Decoder(shape)


def score(pairs):
    return decoder_score(model(), pairs)


SNIPPETS = st.text(st.sampled_from("Kalu rosten'.\n\té  "), max_size=25) | st.sampled_from(TEXTS)


@settings(max_examples=150, deadline=None)
@given(SNIPPETS, SNIPPETS.filter(bool))
def test_context_and_choice_are_encoded_as_one_text_and_cut_at_the_context(context, choice):
    before, after = joint(tokenizer(), context, " " + choice, tokenizer().end)
    kept = context.rstrip()
    assert before and after
    assert tokenizer().decode([i for i in before if i != tokenizer().end] + after) == context + " " + choice
    if kept and before != [tokenizer().end]:
        assert before + after == tokenizer().encode(context + " " + choice)
        assert len(before) <= len(tokenizer().encode(kept))


def test_an_empty_context_is_the_mark_that_begins_a_text():
    assert joint(tokenizer(), "", " Karo", 7) == ([7], tokenizer().encode(" Karo"))
    assert joint(tokenizer(), "  ", "Karo", 7) == ([7], tokenizer().encode("  Karo"))


def test_spaces_at_the_end_of_the_context_belong_to_the_choice():
    assert joint(tokenizer(), "The town of ", "Karo", 0) == joint(tokenizer(), "The town of", " Karo", 0)


def test_log_probabilities_are_those_of_the_whole_text_under_the_model():
    item = ChoiceItem("1", "The town of Karo lies", ("in roKa", "old", "in Lusta"), 0)
    (record,) = choose([item], tokenizer(), score, begin=tokenizer().end, limit=24).records
    for choice, logprob in zip(item.choices, record.logprobs):
        ids = tokenizer().encode(f"{item.context} {choice}")
        n = len(tokenizer().encode(item.context))
        with torch.no_grad():
            every = model().logits(model().hidden(torch.tensor([ids]))).log_softmax(-1)[0]
        expected = sum(float(every[t - 1, ids[t]]) for t in range(n, len(ids)))
        assert logprob == pytest.approx(expected, abs=1e-4)


def scripted(*logprobs):
    """A score that answers with the given log-probabilities in turn."""
    return lambda pairs: [(p, False) for p in logprobs]


def test_the_three_rules_normalise_by_nothing_characters_and_bytes():
    #              log-probability, characters, bytes: -6, 2, 6; -4, 1, 1; -8, 3, 3
    assert predict([-6.0, -4.0, -8.0], ["日本", "a", "abc"]) == (1, 2, 0)


def test_ties_go_to_the_first():
    assert predict([-2.0, -1.0, -1.0], ["aa", "a", "a"]) == (1, 0, 0)


def test_the_delimiter_does_not_count_as_a_character():
    item = ChoiceItem("1", "Q", ("ab", "abcd"), 0)
    result = choose([item], tokenizer(), scripted(-2.0, -4.1), begin=0, limit=24)
    assert result.records[0].predictions == (0, 0, 0)
    longer = choose([item], tokenizer(), scripted(-2.0, -3.9), begin=0, limit=24)
    assert longer.records[0].predictions == (0, 1, 1)


def test_accuracy_and_chance_are_given_for_all_and_for_each_group():
    items = [
        ChoiceItem("a", "Q", ("x", "y"), 0, "two"),
        ChoiceItem("b", "Q", ("x", "y"), 1, "two"),
        ChoiceItem("c", "Q", ("w", "x", "y", "z"), 3, "four"),
    ]
    result = choose(items, tokenizer(), scripted(-1, -2, -1, -2, -9, -9, -9, -1), begin=0, limit=24)
    assert (result.accuracy().value, result.accuracy().chance, result.accuracy().n) == (
        2 / 3,
        (0.5 + 0.5 + 0.25) / 3,
        3,
    )
    assert (result.accuracy("acc", "two").value, result.accuracy("acc", "two").chance) == (0.5, 0.5)
    assert result.correct() == {"a": True, "b": False, "c": True}
    kept = table(result)
    assert [row[0] for row in kept.rows] == ["all", "four", "two"]
    assert from_json(to_json(kept)) == kept


@settings(max_examples=5, deadline=None)
@given(st.permutations(range(6)))
def test_the_order_of_the_items_does_not_matter(order):
    items = [ChoiceItem(str(i), f"The town {i} lies", ("in Karo", "in Lusta", "old"), i % 3) for i in range(6)]
    shuffled = choose([items[i] for i in order], tokenizer(), score, begin=tokenizer().end, limit=24)
    plain = choose(items, tokenizer(), score, begin=tokenizer().end, limit=24)
    assert [r.id for r in shuffled.records] == [r.id for r in plain.records]
    for a, b in zip(shuffled.records, plain.records):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_a_context_too_long_is_cut_on_its_left_and_counted():
    long = ChoiceItem("1", "old " * 40 + "The town", ("in Karo", "old"), 0)
    seen = []
    result = choose(
        [long, ChoiceItem("2", "The town", ("in Karo", "old"), 0)],
        tokenizer(),
        lambda pairs: seen.extend(pairs) or score(pairs),
        begin=tokenizer().end,
        limit=24,
    )
    assert [len(c) + len(k) for c, k in seen[:2]] == [25, 25]
    assert tokenizer().decode(seen[0][0]).endswith("The town")
    assert result.cut == 1 and "1 of 2 contexts were cut" in table(result).note


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ([], "no multiple-choice items"),
        ([ChoiceItem("1", "Q", ("x",), 0)], "no choice"),
        ([ChoiceItem("1", "Q", ("x", ""), 0)], "an empty choice"),
        ([ChoiceItem("1", "Q", ("x", "y"), 2)], "number 2, of 2 choices"),
        ([ChoiceItem("1", "Q", ("x", "y"), 0)] * 2, "occurs twice"),
        ([ChoiceItem("1", "Q", ("x", "old " * 60), 0)], "does not fit into a context of 24"),
    ],
)
def test_items_that_cannot_be_asked_are_named(items, problem):
    with pytest.raises(UserError) as caught:
        choose(items, tokenizer(), score, begin=0, limit=24)
    assert problem in caught.value.problem


def test_scores_that_are_not_numbers_are_an_error():
    with pytest.raises(UserError, match="not numbers"):
        choose([ChoiceItem("1", "Q", ("x", "y"), 0)], tokenizer(), scripted(math.nan, -1.0), begin=0, limit=24)


def test_a_question_becomes_an_item_when_its_answer_is_one_of_its_choices():
    question = Question("q", "Where?", answers=("Karo",), choices=("Lusta", "Karo"))
    assert of_question(question, "Where? Answer:").answer == 1
    with pytest.raises(UserError, match="must stand once among the choices"):
        of_question(Question("q", "Where?", answers=("Mine",), choices=("Lusta", "Karo")), "")
