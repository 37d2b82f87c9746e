"""Counting pieces and learning merges gives what the library's own trainer gives."""

from __future__ import annotations

import json
import random
from collections import Counter

import numpy as np
import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, trainers

from tandem.tokenizer import counting
from tandem.tokenizer.bytelevel import PIECE, spelling, unspell
from tandem.tokenizer.counting import LONGEST, count_pieces
from tandem.tokenizer.merging import learn

CALM = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
LETTERS = st.sampled_from([*"aaabbcde", " ", " ", "\n", "é", "漢", "'s", "1", "_"])
TEXTS = st.lists(st.lists(LETTERS, max_size=120).map("".join), max_size=6)


def library(texts: list[str], tokens: int, longest: int = 64, least: int = 2) -> list[tuple[bytes, bytes]]:
    learner = tokenizers.Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=tokens,
        min_frequency=least,
        initial_alphabet=list(spelling()),
        show_progress=False,
        max_token_length=longest,
    )
    learner.train_from_iterator(texts, trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    return [(unspell(left) or b"", unspell(right) or b"") for left, right in merges]


def ours(texts: list[str], tokens: int, longest: int = 64, least: int = 2) -> list[tuple[bytes, bytes]]:
    return learn(*count_pieces(texts), tokens, longest=longest, least=least)


def counted(texts: list[str]) -> dict[bytes, int]:
    data, counts = count_pieces(texts)
    pieces = data.tobytes().split(b"\xff")
    assert pieces.pop() == b"" and len(pieces) == len(set(pieces)) == len(counts)
    return dict(zip(pieces, counts.tolist()))


def by_the_library(texts: list[str]) -> dict[bytes, int]:
    split = pre_tokenizers.Split(tokenizers.Regex(PIECE), "isolated")
    return dict(Counter(part.encode() for text in texts for part, _ in split.pre_tokenize_str(text)))


@CALM
@given(texts=TEXTS, tokens=st.integers(256, 420), longest=st.sampled_from([3, 5, 9, 64]), least=st.integers(0, 4))
def test_merges_and_their_order_are_the_librarys(texts: list[str], tokens: int, longest: int, least: int) -> None:
    assert ours(texts, tokens, longest, least) == library(texts, tokens, longest, least)


@pytest.mark.parametrize("seed", range(4))
def test_runs_and_repeated_words_merge_as_in_the_library(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(40):
        letters = "abc"[: draw.randint(1, 3)]
        words = ["".join(draw.choices(letters, k=draw.randint(1, 30))) for _ in range(draw.randint(1, 30))]
        text = " ".join(draw.choices(words, k=draw.randint(1, 200)))
        assert ours([text], 500) == library([text], 500)


@pytest.mark.parametrize("tokens", [300, 1000, 6000])
def test_real_code_gives_the_librarys_merges(sources: list[str], tokens: int) -> None:
    assert ours(sources, tokens) == library(sources, tokens)


@CALM
@given(texts=st.lists(st.text(max_size=60), max_size=8))
def test_pieces_are_counted_as_the_library_cuts_them(texts: list[str]) -> None:
    assert counted(texts) == by_the_library(texts)


@pytest.mark.parametrize(("at_once", "kept"), [(1, 1), (50, 3), (3000, 100)])
def test_counts_do_not_depend_on_how_much_is_counted_at_once(
    sources: list[str], monkeypatch: pytest.MonkeyPatch, at_once: int, kept: int
) -> None:
    texts = [*sources[:4], "", "nul \x00\x00 \x00", "'s", "x" * 7, "x" * 8, " \u3000漢字"]
    monkeypatch.setattr(counting, "_AT_ONCE", at_once)
    monkeypatch.setattr(counting, "_KEPT", kept)
    assert counted(texts) == by_the_library(texts)


def test_long_words_are_cut_between_characters() -> None:
    found = counted(["漢" * 1000])
    assert sum(len(piece) * count for piece, count in found.items()) == 3000
    assert max(map(len, found)) == LONGEST - LONGEST % 3
    assert all(piece.decode() for piece in found)


def test_no_text_has_no_pieces_and_no_merges() -> None:
    data, counts = count_pieces([])
    assert len(data) == len(counts) == 0
    assert learn(data, counts, 1000, longest=64, least=2) == []


def test_a_count_beyond_32_bits_is_no_trouble() -> None:
    data = np.frombuffer(b"ab\xffcd\xff", np.uint8)
    assert learn(data, np.array([1 << 40, 3]), 300, longest=64, least=2) == [(b"a", b"b"), (b"c", b"d")]
