import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.http.redact import PIECE, REMOVED, Secrets, excerpt

KEY = 'se/cr"et+0123456789==abcdefghij'
SECRETS = Secrets.of_headers({"Authorization": f"Bearer {KEY}", "anthropic-version": "2023-06-01"})


@pytest.mark.parametrize("form", [KEY, f"Bearer {KEY}", quote(KEY, safe=""), json.dumps(KEY)[1:-1]])
def test_a_key_is_removed_plain_and_encoded(form):
    assert SECRETS.remove(f"Incorrect key: {form}.") == f"Incorrect key: {REMOVED}."


@given(st.text(), st.text(), st.integers(0, len(KEY) - PIECE), st.integers(PIECE, len(KEY)))
def test_no_piece_of_a_key_remains_in_any_text(before, after, start, length):
    left = SECRETS.remove(before + KEY[start : start + length] + after)
    assert not any(KEY[i : i + PIECE] in left for i in range(len(KEY) - PIECE + 1))


def test_values_that_anybody_may_know_stay():
    assert SECRETS.remove("version 2023-06-01 of application/json") == "version 2023-06-01 of application/json"


def test_a_short_value_is_removed_as_a_word_only():
    secrets = Secrets.of_headers({"X-Key": "abc"})
    assert secrets.remove("the key abc, not abcd") == f"the key {REMOVED}, not abcd"


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-Ab12Cd34Ef56",
        "sk-ab12***wxyz",
        "Bearer abcdef.ghi",
        "hf_AbCdEf0123456789",
        "AIzaSyA0123456789abcdefghijk",
        "a1b2c3d4e5f60718293a4b5c6d7e8f90",
    ],
)
def test_what_looks_like_anybodys_key_is_removed(text):
    assert Secrets().remove(f"the key {text} is wrong") == f"the key {REMOVED} is wrong"


@pytest.mark.parametrize(
    "text",
    [
        "the key-value store is down",
        "no such model: Qwen2.5-Coder-32B-Instruct-GPTQ-Int4",
        "request 123e4567-e89b-12d3-a456-426614174000 failed",
        "error_type: key_not_found_error",
        "this model's maximum context length is 16385 tokens",
    ],
)
def test_ordinary_words_of_errors_stay(text):
    assert Secrets().remove(text) == text


def test_answers_lose_whole_keys_however_long_they_are():
    data = b"x" * 1_000_000 + KEY.encode() + b"y"
    assert KEY.encode() not in SECRETS.remove_bytes(data)


def test_the_secrets_own_repr_holds_none():
    assert KEY[:PIECE] not in repr(SECRETS) + str(SECRETS)


def test_an_excerpt_is_one_printable_line_of_bounded_length():
    line = excerpt("a\x1b[31mred\x00\u202e\n\n  b" + "c" * 1000)
    assert line.startswith(r"a\x1b[31mred\x00\u202e b")
    assert line.isprintable()
    assert line.endswith("…")
    assert len(line) < 400
