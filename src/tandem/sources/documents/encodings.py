"""Which encoding the bytes of a text file are in: its mark's, UTF-8, what a page declares, what is named.

In this order, for each file by itself: a mark (UTF-8, UTF-16, UTF-32) is taken at its word. Bytes that are UTF-8 are
read as UTF-8, whatever is named: text in another encoding hardly ever is UTF-8 by accident, while UTF-8 is some text in
nearly every encoding, and a wrong one. What is not UTF-8 is read in the encoding that a page of HTML declares, then in
the one that was named. Two kinds of encoding need more:

    those of seven bits (iso-2022-jp, hz, utf-7), whose text is ASCII and so UTF-8, too: where one of them is named,
        what holds nothing but ASCII is read in it; escapes become letters, what has none stays as it is
    those in which ASCII is not ASCII (utf-16-le, utf-32-be, cp037): where one is named, a zero byte is not in UTF-8

What this does not do: guess. A file that is in none of these encodings is left out and told.
"""

from __future__ import annotations

import codecs
import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from tandem.errors import UserError
from tandem.sources.documents.packed import Unreadable

UTF_8 = "utf-8"
DECLARED_WITHIN = 4096
"""Bytes at the top of a page in which it may declare its encoding."""
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\b\x1b"))
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_DECLARED = re.compile(
    rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([\w.:-]+)|<\?xml\b[^>]*?\bencoding\s*=\s*[\"']([\w.:-]+)", re.IGNORECASE
)
_AS_BROWSERS = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "shift_jis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "euc_kr": "cp949",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
    "utf-7": "",
}
"""Encodings of pages that are read as a wider one, or not at all, as browsers do."""


@dataclass(frozen=True)
class Decoded:
    """The text of a file."""

    text: str
    """Without a mark."""
    encoding: str
    """What it was read in."""
    repaired: bool = False
    """Whether a few bytes were no text, and became U+FFFD."""


def canonical(name: str) -> str:
    """The name that Python has for an encoding of text. Raises UserError for what is none."""
    try:
        "a".encode(name)
        return codecs.lookup(name).name.removesuffix("-sig")
    except (LookupError, UnicodeError) as e:
        raise UserError(f"no encoding {name!r}", where="encoding", remedy="utf-8, latin-1, cp1252 …") from e


def declared(data: bytes) -> str:
    """The encoding that a page of HTML declares for itself; empty where it declares none that is known."""
    found = _DECLARED.search(_COMMENT.sub(b"", data[:DECLARED_WITHIN]))
    if found is None:
        return ""
    name = (found[1] or found[2]).decode("ascii", "replace").lower()
    try:
        name = name if name in _AS_BROWSERS else canonical(name)
    except UserError:
        return ""
    name = _AS_BROWSERS.get(name, name)
    return "" if not name or _wide(name) else name  # the declaration itself is ASCII


def decoded(data: bytes, named: Sequence[str]) -> Decoded:
    """The text of a file; `named` are encodings by their canonical names, the likelier first.

    Raises Unreadable for what is no text, or in none of them.
    """
    if mark := next((name for mark, name in _MARKS.items() if data.startswith(mark)), None):
        return Decoded(data.decode(mark, "replace"), mark)
    marked, data = data.startswith(codecs.BOM_UTF8), data.removeprefix(codecs.BOM_UTF8)
    others = [] if marked else [name for name in dict.fromkeys(named) if name and name != UTF_8]
    wide, seven = ([name for name in others if is_so(name)] for is_so in (_wide, _of_seven_bits))
    binary = len(data) - len(data.translate(None, _CONTROL)) > len(data) // 100
    if binary and not wide and not seven:  # these two may write what looks like it
        raise Unreadable("binary")
    ways: list[Iterator[Decoded]] = [_whole(data, others), _repaired(data, others)]
    if not binary and not (b"\0" in data and wide):
        ways = [_whole(data, seven if data.isascii() else ()), _as_utf_8(data, alone=not others), *ways]
    if (found := next(itertools.chain(*ways), None)) is not None:
        return replace(found, encoding=UTF_8) if found.text.encode("utf-8", "replace") == data else found
    if binary:
        raise Unreadable("binary")
    if others:
        raise Unreadable(f"neither utf-8 nor {' nor '.join(others)} (name its encoding with --encoding)")
    raise Unreadable("not utf-8 (name its encoding with --encoding)")


def _as_utf_8(data: bytes, *, alone: bool) -> Iterator[Decoded]:
    try:
        yield Decoded(data.decode(), UTF_8)
        return
    except UnicodeDecodeError:
        text = data.decode(errors="replace")
    wrong, beyond = text.count("\ufffd"), len(text) - len(text.encode("ascii", "ignore"))
    if _few(wrong, text) and (alone or 2 * wrong < beyond):  # else its letters beyond ASCII are of another encoding
        yield Decoded(text, UTF_8, repaired=True)


def _whole(data: bytes, names: Sequence[str]) -> Iterator[Decoded]:
    for name in names:
        with contextlib.suppress(UnicodeError):
            text = data.decode(name)
            if _is_text(text):
                yield Decoded(text, name)


def _repaired(data: bytes, names: Sequence[str]) -> Iterator[Decoded]:
    for name in names:
        with contextlib.suppress(UnicodeError):
            text = data.decode(name, "replace")
            if _few(text.count("\ufffd"), text) and _is_text(text):
                yield Decoded(text, name, repaired=True)


def _is_text(text: str) -> bool:
    return sum(text.count(chr(control)) for control in _CONTROL) <= len(text) // 100


def _few(wrong: int, text: str) -> bool:
    return wrong <= len(text) // 1000


@cache
def _wide(name: str) -> bool:
    """Whether ASCII is not ASCII in an encoding."""
    return "a0 \n".encode(name).removeprefix(codecs.BOM_UTF8) != b"a0 \n"


@cache
def _of_seven_bits(name: str) -> bool:
    """Whether letters beyond ASCII are written in ASCII."""
    if _wide(name):
        return False
    for letter in "éжあ中한":
        try:
            return letter.encode(name).isascii()
        except UnicodeError:
            continue
    return False
