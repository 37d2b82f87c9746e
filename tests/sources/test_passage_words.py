"""How texts become words, one by one and in batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.sources.passages import Splitting
from tandem.sources.passages.counting import count
from tandem.sources.passages.words import LONGEST, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The CAT's look_up, 3.14!", ["the", "cat", "s", "look", "up", "3", "14"]),
        ("Müller naïve ÉCOLE", ["muller", "naive", "ecole"]),
        ("ﬁne Ⅻ", ["fine", "xii"]),
        ("Straße", ["strasse"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("می‌خواهم كِتَاب", ["میخواهم", "كتاب"]),
        ("co\u00adoperate", ["cooperate"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("", []),
        ("— … !", []),
    ],
)
def test_words_are_split_and_folded(text, expected):
    assert words(text) == expected


def test_scripts_without_spaces_give_characters_and_pairs():
    assert sorted(words("北京大学 2024年")) == sorted(["北", "京", "大", "学", "北京", "京大", "大学", "2024", "年"])
    assert set(words("カタカナ")) >= {"カタ", "タカ", "カナ"}
    assert "ไท" in words("ภาษาไทย")


def test_accents_can_be_kept_and_words_stemmed():
    assert words("été", Splitting(accents="keep")) == ["été"]
    assert words("running capitals", Splitting(stem="english")) == ["run", "capit"]


def test_a_setting_that_is_not_known_is_refused():
    with pytest.raises(UserError, match="klingon"):
        Splitting(stem="klingon")


def test_a_word_counts_as_far_as_the_longest():
    assert words("x" * 1000) == ["x" * LONGEST]


mixed = st.text(st.sampled_from("abA1é水木が가ह्ि ­._\0\u0301ß\ud800😀ไ"), max_size=20)


@settings(max_examples=150, deadline=None)
@given(st.lists(mixed | st.text(max_size=10), max_size=6), st.sampled_from(["none", "english"]))
def test_a_batch_is_counted_as_its_texts_one_by_one(texts, stem):
    splitting = Splitting(stem=stem)
    counted = count(texts, splitting)
    told: list[dict[str, int]] = [{} for _ in texts]
    for number, word in enumerate(counted.terms.to_pylist()):
        pairs = slice(counted.starts[number], counted.starts[number + 1])
        assert list(counted.texts[pairs]) == sorted(set(counted.texts[pairs].tolist()))
        for text, often in zip(counted.texts[pairs].tolist(), counted.often[pairs].tolist()):
            told[text][word.decode()] = often
    expected = [words(text, splitting) for text in texts]
    assert told == [{word: ws.count(word) for word in ws} for ws in expected]
    assert np.array_equal(counted.lengths, [len(ws) for ws in expected])
