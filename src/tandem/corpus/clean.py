"""Characters and white space put in order, so that equal texts are equal bytes and no token is spent on junk.

Text: Unicode NFC; one kind of line end and of space; no control, zero-width or direction-override characters; no
spaces before a line's end; at most two blank lines together; nothing blank at both ends.
Code: line ends made \\n; NUL, other control characters but tab and form feed, and a byte-order mark removed. All
other white space stays, and no character is composed: a string literal may mean what it says.

Cleaning twice changes nothing (a test says so). Kept in text: zero-width joiner and non-joiner, which Persian, Indic
scripts and emoji need; runs of spaces inside a line, which tables need. Not here: judging quality.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["text", "code"]

_NUL = "\0"
_SURROGATES = re.compile("[\ud800-\udfff]")
_NONCHARACTERS = "\ufdd0-\ufdef\ufffe\uffff"
# Soft hyphen, zero-width space, word joiner and invisible operators, byte-order mark, direction marks and overrides.
_INVISIBLE = "\u00ad\u200b\u2060-\u2064\ufeff\u200e\u200f\u202a-\u202e\u2066-\u206f" + _NONCHARACTERS
_ZERO_WIDTH = re.compile(f"[{_INVISIBLE}]")
_TEXT_CONTROL = re.compile("[\x01-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_CODE_CONTROL = re.compile("[\x01-\x08\x0b\x0e-\x1f\x7f]")
_TEXT_LINE_ENDS = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_CODE_LINE_ENDS = re.compile("\r\n?")
_UNUSUAL_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_SPACES = re.compile(f"[{_UNUSUAL_SPACES}]")
_BLANK_LINES = re.compile("\n{4,}")

# Most texts hold none of the characters above: one look decides, of ASCII at the speed of memory.
_ASCII_SUSPECTS = bytes(sorted({*range(32), 127} - set(b"\t\n")))
_SUSPECTS = re.compile(f"[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_INVISIBLE}{_UNUSUAL_SPACES}]")


def clean(text: str, kind: Kind = "text") -> tuple[str, list[str]]:
    """The cleaned text, and the reasons for which it was altered (none when it was clean). May come out empty."""
    reasons: list[str] = []

    def swap(pattern: re.Pattern[str], by: str, reason: str) -> None:
        nonlocal text
        text, n = pattern.subn(by, text)
        if n:
            reasons.append(reason)

    ascii_only = text.isascii()
    suspect = _suspect(text, ascii_only)
    if suspect:
        swap(_SURROGATES, "\ufffd", "lone surrogates replaced")
        if _NUL in text:
            text = text.replace(_NUL, "")
            reasons.append("NUL removed")
        # Invisible characters first: one between \r and \n would hide that they are one line end.
        swap(_CODE_CONTROL if kind == "code" else _TEXT_CONTROL, "", "control characters removed")
    if kind == "code":
        if suspect:
            swap(_CODE_LINE_ENDS, "\n", "line ends made \\n")
        if text.startswith("\ufeff"):
            text = text.lstrip("\ufeff")
            reasons.append("byte-order mark removed")
        return ("" if not text.strip() else text), reasons
    if suspect:
        swap(_ZERO_WIDTH, "", "zero-width characters removed")
        swap(_TEXT_LINE_ENDS, "\n", "line ends made \\n")
    if not ascii_only:
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
            reasons.append("composed (NFC)")
        if suspect:
            swap(_SPACES, " ", "spaces made plain")
    if " \n" in text or "\t\n" in text:
        # Line by line: the pattern `[ \t]+$` takes quadratic time on a long run of spaces inside a line.
        text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
        reasons.append("spaces at line ends removed")
    if "\n\n\n\n" in text:
        swap(_BLANK_LINES, "\n\n\n", "blank lines reduced to two")
    stripped = text.strip(" \t\n")
    if stripped != text:
        # A missing or additional newline at the very end is no news.
        if text.rstrip("\n") != stripped:
            reasons.append("blank ends removed")
        text = stripped
    return text, reasons


def _suspect(text: str, ascii_only: bool) -> bool:
    if ascii_only:
        return len(text.encode().translate(None, _ASCII_SUSPECTS)) != len(text)
    return _SUSPECTS.search(text) is not None
