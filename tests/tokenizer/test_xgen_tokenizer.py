"""XGen's tokenizer: its layout, and its ids against tiktoken with the same ranks."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import tiktoken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rank_tables import gpt2_shaped, write_tiktoken, xgen_by_tiktoken

from tandem.errors import UserError
from tandem.tokenizer import Tokenizer, xgen
from tandem.tokenizer import ranks as rank_files
from tandem.tokenizer.bytelevel import spell

WORDS = ["the", " self", "a", "ab", "'s", "'", "é", "漢字", "😀", "_", "==", "1", "23", "x\u0301", "\u00a0", "\x00"]
GAPS = [" " * n for n in (1, 2, 3, 8, 30, 31, 32, 33, 63, 100)] + ["\t" * n for n in (1, 2, 9, 10, 19)] + ["\n", "\r\n"]


@pytest.fixture(scope="module")
def twin(ranks: dict[bytes, int]) -> tiktoken.Encoding:
    return xgen_by_tiktoken(ranks)


TEXTS = st.lists(st.sampled_from(WORDS + GAPS) | st.text(max_size=4), max_size=20).map("".join)


def test_ids_are_laid_out_as_published(xgen_tokenizer: Tokenizer) -> None:
    t = xgen_tokenizer
    assert (t.live, t.vocabulary, t.end, t.pad, t.bos, t.unk) == (50_313, 51_200, 50_256, 50_313, None, None)
    assert [t.encode(" " * n) for n in range(31, 1, -1)] == [[i] for i in range(50_257, 50_287)]
    assert [t.encode("\t" * n) for n in range(9, 1, -1)] == [[i] for i in range(50_287, 50_295)]
    assert [t.id_of(m) for m in ("<|endoftext|>", "<fim_prefix>", "<reponame>")] == [50_256, 50_295, 50_312]
    assert sum(50_295 <= i <= 50_312 for i in t.special_ids) == 18


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=TEXTS)
def test_ids_are_those_of_tiktoken_with_the_same_ranks(
    xgen_tokenizer: Tokenizer, twin: tiktoken.Encoding, text: str
) -> None:
    assert xgen_tokenizer.encode(text) == twin.encode_ordinary(text)


def test_ids_are_those_of_tiktoken_on_thousands_of_mixtures_of_words_and_gaps(
    xgen_tokenizer: Tokenizer, twin: tiktoken.Encoding
) -> None:
    draw = random.Random(5)
    texts = ["".join(draw.choices(WORDS + GAPS, k=draw.randrange(40))) for _ in range(4000)]
    assert xgen_tokenizer.encode_batch(texts) == [twin.encode_ordinary(text) for text in texts]


def test_a_run_that_the_ranks_hold_already_moves_to_its_new_id(trained: Tokenizer, tmp_path: Path) -> None:
    table = gpt2_shaped(trained, runs=True)
    held = [run for run in (b"  ", b"    ") if run in table]
    t = xgen(write_tiktoken(tmp_path / "ranks.tiktoken", table))
    encoding = xgen_by_tiktoken(table)
    assert held and t.live < 50_313
    for text in ("  ", "    ", "\n    x", "a  b" + " " * 40 + "c", "\t\t \t  \n   \n"):
        assert t.encode(text) == encoding.encode_ordinary(text)
        assert table[held[0]] not in t.encode(text)


@pytest.mark.parametrize("n", [2, 5, 31, 32])
def test_spaces_before_a_word_are_one_run_and_the_word_with_its_space(xgen_tokenizer: Tokenizer, n: int) -> None:
    parts = [xgen_tokenizer.decode([i]) for i in xgen_tokenizer.encode(" " * n + "the")]
    assert parts == [" " * (n - 1), " the"]


def test_longer_runs_split_greedily_from_the_left(xgen_tokenizer: Tokenizer) -> None:
    assert [len(xgen_tokenizer.decode([i])) for i in xgen_tokenizer.encode(" " * 75)] == [31, 31, 13]
    assert [len(xgen_tokenizer.decode([i])) for i in xgen_tokenizer.encode("\t" * 20)] == [9, 9, 2]


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_come_back(xgen_tokenizer: Tokenizer, data: bytes) -> None:
    assert xgen_tokenizer.decode_bytes(xgen_tokenizer.encode_bytes(data)) == data


def test_marks_are_never_made_from_text(xgen_tokenizer: Tokenizer) -> None:
    text = "<|endoftext|><fim_prefix><reponame><|pad|>"
    ids = xgen_tokenizer.encode(text)
    assert not xgen_tokenizer.special_ids & set(ids)
    assert xgen_tokenizer.decode(ids) == text
    assert xgen_tokenizer.encode_marked("a<|endoftext|>")[-1] == 50_256


def test_every_form_of_the_ranks_gives_the_same_tokenizer(
    trained: Tokenizer, xgen_tokenizer: Tokenizer, ranks: dict[bytes, int], tmp_path: Path
) -> None:
    spelt = {spell(token): rank for token, rank in ranks.items()}
    merges = []
    for token in list(ranks)[256:]:
        cut = next(
            c
            for c in range(1, len(token))
            if max(ranks.get(token[:c], 1 << 30), ranks.get(token[c:], 1 << 30)) < ranks[token]
        )
        merges.append(f"{spell(token[:cut])} {spell(token[cut:])}\n")
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\n" + "".join(merges), encoding="utf-8")
    (tmp_path / "encoder.json").write_text(json.dumps(spelt | {"<|endoftext|>": 50_256}))
    for form in ("vocab.bpe", "encoder.json", "."):
        assert rank_files.read(tmp_path / form) == ranks
    hf = tmp_path / "hf"
    hf.mkdir()
    model = {"type": "BPE", "vocab": spelt, "merges": []}
    added = [{"id": 50_256, "content": "<|endoftext|>", "special": True}]
    (hf / "tokenizer.json").write_text(json.dumps({"model": model, "added_tokens": added}))
    assert rank_files.read(hf) == ranks
    assert xgen(tmp_path).fingerprint == xgen_tokenizer.fingerprint


def test_a_table_of_another_size_is_refused(ranks: dict[bytes, int], tmp_path: Path) -> None:
    short = {token: rank for token, rank in ranks.items() if rank < 50_255}
    with pytest.raises(UserError, match="50,255"):
        xgen(write_tiktoken(tmp_path / "short.tiktoken", short))


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.tiktoken", "IQ== 0\nnot base64 here\n", "a.tiktoken:2"),
        ("b.tiktoken", "IQ== 0\nIQ== 1\n", "b.tiktoken:2"),
        ("merges.txt", "#version: 0.2\nh e\nhe zz\n", "merges.txt:3"),
        ("vocab.json", "{}", "vocab.json"),
    ],
)
def test_a_malformed_rank_file_is_named_with_its_line(tmp_path: Path, name: str, content: str, place: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as raised:
        rank_files.read(tmp_path / name)
    assert raised.value.where is not None and raised.value.where.endswith(place)
    assert raised.value.remedy


def test_ids_that_disagree_with_the_merges_are_refused(tmp_path: Path) -> None:
    (tmp_path / "merges.txt").write_text("h e\n")
    (tmp_path / "vocab.json").write_text(json.dumps({"he": 7}))
    with pytest.raises(UserError, match="disagrees"):
        rank_files.read(tmp_path)
