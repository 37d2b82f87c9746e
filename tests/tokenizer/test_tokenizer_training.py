"""Training: layout of ids, runs of white space, bounds."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.tokenizer import Tokenizer, train
from tandem.types import Encoder

CALM = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def test_a_trained_tokenizer_is_an_encoder_of_exactly_the_size_asked_for(trained: Tokenizer) -> None:
    assert isinstance(trained, Encoder)
    assert trained.live == 1500
    assert trained.vocabulary == 1536 and trained.vocabulary % 64 == 0


def test_bytes_come_first_then_end_of_text_and_marks_then_pad_above_every_live_id(trained: Tokenizer) -> None:
    assert sorted(trained.decode_bytes([i]) for i in range(256)) == [bytes([b]) for b in range(256)]
    assert [trained.end, trained.id_of("<|im_start|>"), trained.id_of("<|im_end|>")] == [1497, 1498, 1499]
    assert trained.pad == trained.live == 1500


@pytest.mark.parametrize("vocabulary", [295, 300, 400, 700])
def test_every_run_is_one_token_whatever_the_size(sources: list[str], vocabulary: int) -> None:
    t = train(sources[:8], vocabulary)
    assert t.live == vocabulary
    assert all(len(t.encode(" " * n)) == 1 for n in range(2, 32))
    assert all(len(t.encode("\t" * n)) == 1 for n in range(2, 10))
    assert [t.decode([i]) for i in t.encode("x" + " " * 9 + "=")] == ["x", " " * 8, " ="] or vocabulary < 400


def test_without_runs_only_what_the_text_holds_becomes_a_token() -> None:
    t = train(["the cat sat on the mat\n"] * 20, 290, whitespace_runs=False)
    assert len(t.encode(" " * 8)) == 8
    assert t.live < 290


@CALM
@given(text=st.text(max_size=80))
def test_any_text_comes_back(trained: Tokenizer, text: str) -> None:
    ids = trained.encode(text)
    assert trained.decode(ids) == text
    assert trained.decode_bytes(ids) == text.encode()


@CALM
@given(data=st.binary(max_size=80))
def test_any_bytes_come_back_from_a_trained_tokenizer(trained: Tokenizer, data: bytes) -> None:
    assert trained.decode_bytes(trained.encode_bytes(data)) == data


def test_the_same_texts_give_the_same_tokenizer(sources: list[str], trained: Tokenizer) -> None:
    again = train(sources, 1500, specials=["<|im_start|>", "<|im_end|>"])
    assert again.fingerprint == trained.fingerprint
    assert train(sources, 1501).fingerprint != trained.fingerprint


def test_a_vocabulary_that_is_an_exact_multiple_still_gets_a_row_to_pad_with(sources: list[str]) -> None:
    t = train(sources[:8], 512)
    assert (t.live, t.pad, t.vocabulary) == (512, 512, 576)


@pytest.mark.parametrize(("vocabulary", "specials"), [(294, ()), (295, ("<|a|>",)), (10, ())])
def test_a_vocabulary_too_small_for_its_fixed_part_is_refused(vocabulary: int, specials: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="cannot hold 256 bytes"):
        train(["text"], vocabulary, specials=specials)
    with pytest.raises(UserError):
        train(["text"], 256, whitespace_runs=False)


@pytest.mark.parametrize("special", ["", "the", " ", "    ", "<|endoftext|>", "<|pad|>"])
def test_a_special_that_text_can_produce_or_that_repeats_is_refused(special: str) -> None:
    with pytest.raises(UserError) as raised:
        train(["the the the the"] * 5, 400, specials=[special])
    assert raised.value.where == "specials"


def test_no_text_at_all_gives_a_tokenizer_of_bytes_and_runs() -> None:
    t = train([], 1000)
    assert t.live == 256 + 38 + 1
    assert t.decode(t.encode("déjà  vu")) == "déjà  vu"


@pytest.mark.parametrize("word", ["ab" * 500_000, "x" * 1_000_000, " " * 1_000_000, "漢字" * 200_000, "=-" * 500_000])
def test_one_word_of_a_megabyte_takes_seconds(trained: Tokenizer, word: str) -> None:
    start = time.process_time()
    ids = trained.encode(word)
    t = train([word], 1000)
    assert time.process_time() - start < 20  # a bound a hundred times what it takes; without cutting it is minutes
    assert trained.decode(ids) == word
    assert t.decode(t.encode(word[:1000])) == word[:1000]


def test_lone_surrogates_count_as_the_replacement_character(trained: Tokenizer) -> None:
    assert trained.decode(trained.encode("a\ud800b")) == "a\ufffdb"
    assert train(["a\ud800b"], 400).live >= 295
