from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.corpus.clean import clean

CHARACTERS = [
    *"ab\u00e9e\u0301 \t\n\r\v\f\0\x01\x1c\x7f\x85\xa0\xad",
    *("\u2028", "\u2029", "\u200b", "\u200d", "\ufeff", "\u202e", "\u3000", "\ud800", "\udfff", "\ufffe", "\u2000"),
    *("\u0323", "\u0307", "\u1100", "\u1161", "\uac00", "\u037e", "\U0001f600", "\u212b"),
]
AWKWARD = st.text(st.sampled_from(CHARACTERS), max_size=40)


@settings(max_examples=300, deadline=None)
@given(text=AWKWARD, kind=st.sampled_from(["text", "code"]))
def test_cleaning_twice_changes_nothing_and_says_so(text: str, kind: str) -> None:
    once, _ = clean(text, kind)  # type: ignore[arg-type]
    assert clean(once, kind) == (once, [])  # type: ignore[arg-type]


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=200), kind=st.sampled_from(["text", "code"]))
def test_cleaning_any_text_twice_changes_nothing(text: str, kind: str) -> None:
    once, _ = clean(text, kind)  # type: ignore[arg-type]
    assert clean(once, kind)[0] == once  # type: ignore[arg-type]
    once.encode()  # no surrogates are left


@settings(max_examples=200, deadline=None)
@given(text=AWKWARD, kind=st.sampled_from(["text", "code"]))
def test_an_altered_document_has_a_reason_and_a_clean_one_has_none(text: str, kind: str) -> None:
    cleaned, reasons = clean(text, kind)  # type: ignore[arg-type]
    if cleaned == text:
        assert reasons == []
    elif cleaned.strip("\n") != text.strip("\n") and cleaned:
        assert reasons


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("one\r\ntwo\rthree", "one\ntwo\nthree", "line ends"),
        ("a\u2028b\x85c\fd", "a\nb\nc\nd", "line ends"),
        ("e\u0301", "\u00e9", "NFC"),
        ("nul\0 here", "nul here", "NUL"),
        ("bell\x07", "bell", "control"),
        ("zero\u200bwidth\ufeff", "zerowidth", "zero-width"),
        ("\u202eoverride", "override", "zero-width"),
        ("soft\u00adhyphen", "softhyphen", "zero-width"),
        ("no\u00a0break\u3000wide", "no break wide", "spaces"),
        ("end  \nof\t\nline ", "end\nof\nline", "line ends removed"),
        ("a\n\n\n\n\n\nb", "a\n\n\nb", "blank lines"),
        ("  \n  indented", "indented", "blank ends"),
        ("half \ud83d pair", "half \ufffd pair", "surrogates"),
    ],
)
def test_text_is_put_in_order(before: str, after: str, reason: str) -> None:
    cleaned, reasons = clean(before)
    assert cleaned == after
    assert any(reason in r for r in reasons), reasons


@pytest.mark.parametrize(
    "text", ["two\n\n\nblank", "col  umns   stay", "\u0645\u06cc\u200c\u062e", "\U0001f468\u200d\U0001f469"]
)
def test_what_text_needs_stays(text: str) -> None:
    assert clean(text) == (text, [])


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n\tif x:\n\t    return 1   \n\n\n\n\n\n\ny = 2\n",
        "    indented first line\n",
        "s = 'e\u0301 \u00a0 \u200b'\n",
        "page\f\nbreak\n\n\n",
        "\n\n# leading blank lines",
    ],
)
def test_white_space_and_characters_of_code_stay(code: str) -> None:
    assert clean(code, "code") == (code, [])


def test_code_loses_only_marks_nul_and_control_characters() -> None:
    assert clean("\ufeffx = 1\r\ny\0 = 2\x07\r\n", "code")[0] == "x = 1\ny = 2\n"


@pytest.mark.parametrize("text", ["", " ", "\n\t \r\n", "\0\0", "\u200b\ufeff", "\x01"])
def test_what_holds_nothing_comes_out_empty(text: str) -> None:
    assert clean(text)[0] == ""
