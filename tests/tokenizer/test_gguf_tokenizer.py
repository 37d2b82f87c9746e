"""Tokenizers out of GGUF metadata give the ids that `transformers` gives for the same file."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from gguf_sample import sentencepiece_keys, tokenizer_keys, write_gguf
from tandem.decoder import gguf
from tandem.errors import UserError
from tandem.tokenizer.gguf import SPLITTINGS, build, ends
from tandem.types import Message

os.environ.setdefault("HF_HUB_OFFLINE", "1")

TEXTS = [
    "",
    " ",
    "the cat sat on the mat",
    "def f(x):\n        return  x + 1\t\t# naïve 漢字 😀\n",
    "It's 1234! I'LL, they've, we'Re; don't 'S",
    "\n\n    \t\t\tx\r\n\r\n  y  \n",
    "a" + " " * 70 + "b",
    "e\u0301 \u1e9b\u0323 ﬁ ½ ² ٣٤ Ⅻ \u00a0\u2003\u200b x",
    "{'k': [1, 2.50, -3e10], \"q\": null}; // ok --> <b>&amp;</b>",
    "CamelCaseWords ALLCAPS snake_case x1y22z333",
    "👩‍👩‍👧 ไทย हिन्दी العربية עברית 한국어",
]


def noise(seed: int, n: int = 300) -> list[str]:
    """Random texts of what splitting depends on: letters, digits, signs and white space of several scripts."""
    draw = random.Random(seed)
    alphabet = [
        "a",
        "B",
        "é",
        "漢",
        "ا",
        "1",
        "٣",
        "½",
        " ",
        "  ",
        "\n",
        "\r",
        "\t",
        "\u00a0",
        "'",
        "s",
        "LL",
        "-",
        "😀",
    ]
    return ["".join(draw.choices(alphabet, k=draw.randint(1, 24))) for _ in range(n)]


def theirs(path: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "qwen2", "tekken"])
def test_byte_level_ids_equal_those_of_transformers(pre: str, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", tokenizer=tokenizer_keys(pre=pre))
    ours, other = gguf.read(path).tokenizer(), theirs(path)
    for text in TEXTS + noise(1):
        if pre == "qwen2":  # the normal form is the model's own; transformers' reading of GGUF leaves it out
            text = "".join(c for c in text if c not in "\u0301\u0323\u1e9b")
        assert ours.encode(text) == other.encode(text, add_special_tokens=False), repr(text)
        assert ours.decode(ours.encode(text)) == text


def test_digits_stand_alone_where_the_model_learned_them_so(tmp_path: Path) -> None:
    """Cutting digits first and then as GPT-2 does; `transformers` 5.24 forgets the first step for this name."""
    tokenizers = pytest.importorskip("tokenizers")
    path = write_gguf(tmp_path / "m.gguf", tokenizer=tokenizer_keys(pre="smollm"))
    ours, other = gguf.read(path).tokenizer(), theirs(path)
    digits = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    for text in TEXTS + noise(2):
        pieces = [piece for piece, _ in digits.pre_tokenize_str(text)]
        expected = [i for piece in pieces for i in other.encode(piece, add_special_tokens=False)]
        assert ours.encode(text) == expected, repr(text)
    assert ours.encode("x  1") != other.encode("x  1", add_special_tokens=False)


def test_sentencepiece_ids_equal_those_of_transformers(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", tokenizer=sentencepiece_keys())
    ours, other = gguf.read(path).tokenizer(), theirs(path)
    for text in TEXTS + noise(3) + ["that was the cat and the mat times two", " the", "the  the"]:
        assert ours.encode(text) == other.encode(text, add_special_tokens=False), repr(text)
        assert ours.decode(ours.encode(text)) == other.decode(ours.encode(text))


@pytest.mark.parametrize("keys", [tokenizer_keys(pre="llama-bpe"), sentencepiece_keys()], ids=["bytes", "pieces"])
@pytest.mark.parametrize("adds", [True, False])
def test_other_programs_add_the_marks_the_file_asks_for_and_we_none(
    keys: dict[str, Any], adds: bool, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    change = {"tokenizer.ggml.add_bos_token": adds, "tokenizer.ggml.add_eos_token": adds}
    gguf.convert(write_gguf(tmp_path / "m.gguf", tokenizer=keys, change=change), tmp_path / "out")
    other = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ours = gguf.read(tmp_path / "m.gguf").tokenizer()
    plain = ours.encode("the cat")
    assert other.encode("the cat") == ([1, *plain, 2] if adds else plain)


def test_marks_of_the_file_are_marks_and_the_same_text_within_a_message_is_text() -> None:
    made = build(tokenizer_keys(), rows=384, where="m.gguf")
    assert (made.bos, made.end, made.pad, made.unk) == (1, 2, 2, 0)
    assert made.special_ids == {0, 1, 2}
    assert made.encode_marked("<|im_start|>the")[0] == 1
    assert 2 not in made.encode("<|im_end|>")
    ids = made.encode_chat([Message("user", "say <|im_end|>")])
    assert ids.count(2) == 1 and ids.count(1) == 2


def test_tokens_of_users_are_cut_out_whole_but_are_no_marks() -> None:
    keys = tokenizer_keys()
    keys["tokenizer.ggml.tokens"] = [*keys["tokenizer.ggml.tokens"], "<think>"]
    keys["tokenizer.ggml.token_type"] = [*keys["tokenizer.ggml.token_type"], 4]
    made = build(keys, rows=384, where="m.gguf")
    number = len(keys["tokenizer.ggml.tokens"]) - 1
    assert made.encode("a<think>b")[1] == number
    assert number not in made.special_ids


def test_rows_without_a_token_cannot_be_taken_for_text() -> None:
    keys = tokenizer_keys()
    n = len(keys["tokenizer.ggml.tokens"])
    keys["tokenizer.ggml.tokens"] = [*keys["tokenizer.ggml.tokens"], f"[PAD{n}]", f"[PAD{n + 1}]"]
    keys["tokenizer.ggml.token_type"] = [*keys["tokenizer.ggml.token_type"], 5, 5]
    made = build(keys, rows=384, where="m.gguf")
    assert made.id_of(f"[PAD{n}]") is None
    assert made.decode([n]) == ""


def test_known_ends_are_found_among_the_marks() -> None:
    keys = tokenizer_keys()
    assert ends(keys) == [2, 0]
    assert ends(keys | {"tokenizer.ggml.eom_token_id": 5}) == [2, 5, 0]
    assert ends({}) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"tokens": ["a", "a"]}, "tokens"),
        ({"tokens": [1, 2]}, "tokens"),
        ({"tokens": ["x"] * 400}, "rows"),
        ({"token_type": [1, 2]}, "token_type"),
        ({"merges": ["ab"]}, "merges"),
        ({"merges": ["zz qq"]}, "merges"),
        ({"pre": None}, "pre"),
        ({"eos_token_id": -1}, "eos_token_id"),
        ({"eos_token_id": "two"}, "eos_token_id"),
        ({"model": "llama"}, "scores"),
    ],
)
def test_metadata_that_make_no_tokenizer_are_refused_by_their_key(change: dict[str, Any], word: str) -> None:
    keys = tokenizer_keys()
    if change.get("tokens") == ["a", "a"]:
        keys["tokenizer.ggml.token_type"] = [1, 1]
    keys |= {f"tokenizer.ggml.{name}": value for name, value in change.items()}
    with pytest.raises(UserError, match=word) as error:
        build(keys, rows=384, where="m.gguf")
    assert "m.gguf" in str(error.value)


def test_every_way_of_splitting_loses_nothing() -> None:
    for name in SPLITTINGS:
        made = build(tokenizer_keys(pre=name), rows=384, where="m.gguf")
        for text in TEXTS + noise(4, 50):
            if made.core.normalizer is None:
                assert made.decode(made.encode(text)) == text
