"""A question's own paragraphs: all of them, ranked, and nothing that gives gold away."""

import asyncio
import random

import pytest

from tandem.errors import UserError
from tandem.sources.dataset import Dataset
from tandem.types import Question, Source

GOLD = ("The bridge of Ard was built in 1904.", "Ard is a town in Belm.")
OTHERS = ("Sand is used in glass.", "The mill of Ard burned down.")


def asked(source, query="When was the bridge built?", limit=9):
    return asyncio.run(source.look_up(query, limit)).findings


def question(titles=None, order=None, name="q1"):
    texts = [*GOLD, *OTHERS]
    order = order or range(4)
    meta = {"kind": ["gold", "gold", "distractor", "distractor"]}
    if titles:
        meta["titles"] = [titles[i] for i in order]
    return Question(name, "When?", context=tuple(texts[i] for i in order), meta=meta)


def test_it_is_a_source_of_exactly_the_questions_paragraphs():
    source = Dataset().about(question())
    assert isinstance(Dataset(), Source) and isinstance(source, Source)
    found = asked(source)
    assert found[0].text == GOLD[0]
    assert sorted(f.text for f in found) == sorted((*GOLD, *OTHERS))
    assert len(asked(source, limit=2)) == 2


@pytest.mark.parametrize(
    "titles",
    [
        ("Ard bridge", "Ard", "added", "added"),
        ("Ard bridge", "Ard", "Glass", "added"),
        ("Ard bridge", "Ard", "Glass", ""),
        ("Ard bridge", "Ard", "Glass", "ard"),
    ],
)
def test_titles_that_tell_are_shown_for_no_paragraph_and_do_not_rank(titles):
    told, plain = asked(Dataset().about(question(titles))), asked(Dataset().about(question()))
    assert {f.title for f in told} == {""}
    assert [(f.text, f.score) for f in told] == [(f.text, f.score) for f in plain]


def test_titles_that_tell_nothing_are_shown():
    found = asked(Dataset().about(question(("Ard bridge", "Ard", "Glass", "Mill"))))
    assert {f.text: f.title for f in found}[GOLD[0]] == "Ard bridge"


def test_the_order_of_the_file_does_not_shine_through():
    for seed in range(3):
        orders = [random.Random(n).sample(range(4), 4) for n in range(6)]
        told = [asked(Dataset(seed=seed).about(question(order=order)), "zebra") for order in orders]
        assert all(findings == told[0] for findings in told)
    first = [asked(Dataset().about(question(name=f"q{n}")), "zebra", 1)[0].text in GOLD for n in range(200)]
    assert 70 < sum(first) < 130
    assert len({asked(Dataset(seed=s).about(question()), "zebra", 1)[0].text for s in range(40)}) == 4


def test_a_place_says_the_question_and_a_number_in_the_shuffled_order():
    places = [f.place for f in asked(Dataset().about(question()))]
    assert sorted(places) == [f"dataset:q1#{n}" for n in range(1, 5)]


def test_a_question_without_paragraphs_and_a_source_without_a_question_are_errors():
    with pytest.raises(UserError, match="no paragraphs"):
        Dataset().about(Question("q", "?"))
    with pytest.raises(UserError, match="questions only"):
        asked(Dataset())
