"""The fast path gives exactly the ids the library gives, however text is cut up."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import models, normalizers, pre_tokenizers

from tandem.tokenizer import Tokenizer, pieces
from tandem.tokenizer.bytelevel import PIECE
from tandem.tokenizer.pieces import PieceTable, splits_like_gpt2
from tandem.tokenizer.splitting import piece_starts

ODD = [
    "'",
    "'s",
    "'ll",
    "'re",
    "'ve",
    "'v",
    "l",
    "s",
    "e",
    " ",
    "  ",
    "\n",
    "\t",
    " \u00a0",
    "\u3000",
    "\u2003",
    "\x85",
]
ODD += ["é", "漢", "٣", "²", "😀", "_", "-", "\x00", "\x1c", "1", " a", "the", "a" * 17, "=" * 200, "\u0345", "Ⅷ"]


def mixtures(n: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(ODD, k=draw.randrange(30))) for _ in range(n)]


def library(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.core.encode(text, add_special_tokens=False).ids
    return ids


def test_pieces_begin_where_the_expression_cuts() -> None:
    split = pre_tokenizers.Split(tokenizers.Regex(PIECE), "isolated")
    for text in mixtures(4000, seed=1):
        cuts = piece_starts(np.frombuffer(text.encode() or b"\xff", np.uint8)).tolist()
        expected = np.cumsum([0] + [len(part.encode()) for part, _ in split.pre_tokenize_str(text)]).tolist()
        assert cuts == (expected[:-1] if text else [0]), repr(text)


def test_characters_are_cut_as_the_library_cuts_them_all_over_unicode() -> None:
    split = pre_tokenizers.Split(tokenizers.Regex(PIECE), "isolated")
    characters = [chr(c) for c in (*range(0x3400), *range(0x3400, 0xD800, 37), *range(0xE000, 0x110000, 101))]
    for start in range(0, len(characters), 2000):
        text = "a1-".join(characters[start : start + 2000])
        cuts = piece_starts(np.frombuffer(text.encode(), np.uint8))
        lengths = [len(part.encode()) for part, _ in split.pre_tokenize_str(text)]
        assert np.array_equal(np.diff(cuts, append=len(text.encode())), lengths)


@pytest.mark.parametrize("together", [1, 7, 512])
def test_ids_are_the_librarys_for_texts_one_by_one_and_together(
    trained: Tokenizer, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(pieces, "_SHORT", 0)
    monkeypatch.setattr(pieces, "_TOGETHER", together)
    texts = mixtures(1500, seed=2)
    expected = [library(trained, text) for text in texts]
    table = PieceTable(trained.core)
    assert [table.encode(text) for text in texts] == expected
    assert trained.encode_batch(texts) == expected
    assert [ids.dtype for ids in trained.encode_arrays(texts)] == [np.int32] * len(texts)


def test_pieces_too_long_to_keep_are_right_each_time(trained: Tokenizer) -> None:
    table = PieceTable(trained.core)
    for n in (129, 200, 129, 3000):
        text = f"def {'=' * n} {'ab' * n}x {'new' * (n % 7)} {'漢' * n}"
        assert table.arrays([text, text])[1].tolist() == library(trained, text)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(st.text(max_size=60), max_size=8))
def test_a_batch_is_what_its_texts_are_one_by_one(trained: Tokenizer, texts: list[str]) -> None:
    assert trained.encode_batch(texts) == [library(trained, text) for text in texts]


@pytest.mark.parametrize("stretch", [1, 50, 1000])
def test_long_texts_are_cut_where_no_piece_is_broken(
    trained: Tokenizer, sources: list[str], monkeypatch: pytest.MonkeyPatch, stretch: int
) -> None:
    monkeypatch.setattr(pieces, "_STRETCH", stretch)
    table = PieceTable(trained.core)
    endless = ",".join(str(n) for n in range(2000)) + "\n".join(["漢字" * n for n in range(1, 40)]) + "x" * 5000
    for text in [*sources[:3], " ".join(mixtures(200, seed=3)), "".join(mixtures(200, seed=6)), endless]:
        assert table.arrays([text, text[:300], ""])[0].tolist() == library(trained, text)


def test_a_full_table_starts_again_and_stays_right(trained: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_SLOTS", 64)
    monkeypatch.setattr(pieces, "_TOGETHER", 1)
    monkeypatch.setattr(pieces, "_place", lambda head, tail: ((head ^ tail) % np.uint64(8)).astype(np.int64))
    table = PieceTable(trained.core)
    for text in mixtures(300, seed=4):
        assert table.arrays([text])[0].tolist() == library(trained, text)


def test_threads_may_share_it(trained: Tokenizer, sources: list[str]) -> None:
    table = PieceTable(trained.core)
    expected = [library(trained, text) for text in sources]
    wrong: list[int] = []

    def work(offset: int) -> None:
        for i in range(len(sources)):
            at = (i + offset) % len(sources)
            if table.encode(sources[at]) != expected[at]:
                wrong.append(at)

    threads = [threading.Thread(target=work, args=(7 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_other_ways_to_split_are_left_to_the_library(trained: Tokenizer) -> None:
    def changed(**parts: object) -> tokenizers.Tokenizer:
        core = tokenizers.Tokenizer.from_str(trained.core.to_str())
        for name, part in parts.items():
            setattr(core, name, part)
        return core

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    same = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(PIECE), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    assert splits_like_gpt2(changed()) and splits_like_gpt2(changed(pre_tokenizer=same))
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    assert not splits_like_gpt2(changed(pre_tokenizer=digits))
    assert not splits_like_gpt2(changed(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)))
    assert not splits_like_gpt2(changed(normalizer=normalizers.NFC()))
    assert not splits_like_gpt2(changed(model=models.WordLevel({"a": 0}, unk_token="a")))
    core = changed()
    core.add_tokens(["hello"])
    assert not splits_like_gpt2(core)
