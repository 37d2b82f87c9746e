"""What is wrong with a tokenizer, what is merely odd, and what it costs: findings by name, each with an example.

Looks from outside, at what encoding and decoding do, so it holds for any `tokenizer.json`. An *error* loses or invents
text, or confuses text with a mark; a *warning* is for the user to weigh; a *fact* is a figure. Repairs nothing.
"""

from __future__ import annotations

import ast
import random
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tandem.errors import UserError
from tandem.tokenizer import samples
from tandem.tokenizer.bytelevel import SPACES, TABS, unspell
from tandem.tokenizer.tokenizer import Tokenizer

Severity = Literal["error", "warning", "fact"]


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    name: str
    """What it is about, in a few words; the same words each time."""
    severity: Severity
    """error: text is lost, changed or taken for a mark; warning: to be weighed; fact: a figure."""
    message: str
    """What was seen and what follows from it, in a sentence or two."""
    example: str = ""
    """The text or ids that show it."""


@dataclass(frozen=True)
class Report:
    """Everything found, errors first."""

    findings: tuple[Finding, ...]
    """In order of severity, then as checked."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Those that make the tokenizer unfit."""
        return tuple(f for f in self.findings if f.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Those to be weighed."""
        return tuple(f for f in self.findings if f.severity == "warning")

    @property
    def facts(self) -> tuple[Finding, ...]:
        """Figures."""
        return tuple(f for f in self.findings if f.severity == "fact")

    def named(self, name: str) -> tuple[Finding, ...]:
        """All findings of a name."""
        return tuple(f for f in self.findings if f.name == name)


def check(tokenizer: Tokenizer, texts: Mapping[str, str] | None = None) -> Report:
    """Look for everything this module knows; `texts` by kind are measured beside the built-in ones."""
    found: list[Finding] = []
    for probe in (_text, _code, _stray_bytes, _leading_space, _unknown, _marks_from_text, _added, _end, _pad):
        found += probe(tokenizer)
    found += _rows(tokenizer)
    found += _unreachable(tokenizer)
    found += _digits(tokenizer)
    found += _runs(tokenizer)
    found += _bytes_per_token(tokenizer, {**samples.KINDS, **(texts or {})})
    order = ("error", "warning", "fact")
    return Report(tuple(sorted(found, key=lambda finding: order.index(finding.severity))))


# ── what comes back ─────────────────────────────────────────────────────────────────────────────────────────────────


def _text(tokenizer: Tokenizer) -> Iterator[Finding]:
    for what, text in {**samples.FORMS, **samples.KINDS}.items():
        back = _back(tokenizer, text)
        if back == text or what == "code":
            continue
        if _squeezed(back) == _squeezed(text):
            name, message = "white space changed", f"{what}: not the same white space comes back"
        else:
            name, message = "round trip", f"{what}: decoding what was encoded gives another text"
        yield Finding(name, "error", message, f"{_cut(text)} → {_cut(back)}")
        normalised = _normalised(tokenizer, text)
        if normalised is not None and normalised != text:
            form = next(
                (f for f in ("NFC", "NFKC", "NFD", "NFKD") if unicodedata.normalize(f, text) == normalised), None
            )
            form = form or ("lower case" if text.lower() == normalised.lower() else "its own rules")
            yield Finding(
                "normaliser changes text", "error", f"{what} is changed before encoding, by {form}", _cut(normalised)
            )


def _code(tokenizer: Tokenizer) -> Iterator[Finding]:
    """OpenLLaMA-7B's failure: runs of white space taken for one space, so its Python never compiles (HumanEval 0)."""
    back = _back(tokenizer, samples.CODE)
    if back == samples.CODE:
        return
    wrong = next((b for a, b in zip(samples.CODE.splitlines(), back.splitlines()) if a != b), back)
    try:
        same = ast.dump(ast.parse(back)) == ast.dump(ast.parse(samples.CODE))
        outcome = "still the same program, but not the same text" if same else "another program"
    except SyntaxError as e:
        outcome = f"no program any more ({e.msg})"
    collapsed = _squeezed(back) == _squeezed(samples.CODE)
    yield Finding(
        "Python breaks",
        "error",
        ("white space is changed" if collapsed else "text is changed")
        + f": an indented program comes back as {outcome}",
        _cut(wrong),
    )


def _stray_bytes(tokenizer: Tokenizer) -> Iterator[Finding]:
    draw = random.Random(17)
    data = bytes(range(256)) + draw.randbytes(2000)
    try:
        back = tokenizer.decode_bytes(tokenizer.encode_bytes(data))
    except UserError:
        yield Finding("any bytes", "warning", "not byte-level: bytes that are not UTF-8 cannot be encoded")
        return
    if back != data:
        yield Finding("any bytes", "error", "arbitrary bytes do not come back", f"{len(data)} → {len(back)} bytes")


def _leading_space(tokenizer: Tokenizer) -> Iterator[Finding]:
    first, second = tokenizer.encode("foo"), tokenizer.encode("bar")
    joined = tokenizer.decode(first + second)
    if joined != "foobar" and _squeezed(joined) == "foobar":
        yield Finding(
            "leading space added",
            "warning",
            "a space is put before a text: parts encoded one by one do not join to the whole",
            f"foo + bar → {_cut(joined)}",
        )


def _unknown(tokenizer: Tokenizer) -> Iterator[Finding]:
    if tokenizer.unk is None:
        return
    for what, text in {**samples.FORMS, **samples.KINDS}.items():
        if tokenizer.unk in tokenizer.encode(text):
            yield Finding(
                "unknown token", "error", f"{what}: some of it becomes the unknown token and is lost", _cut(text)
            )
            return


# ── marks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _marks_from_text(tokenizer: Tokenizer) -> Iterator[Finding]:
    marks = {i: tokenizer.decode([i]) for i in sorted(tokenizer.special_ids)}
    for i, text in marks.items():
        if i in tokenizer.encode(f"a {text} b") or i in tokenizer.encode(text):
            yield Finding(
                "mark from ordinary text",
                "error",
                "what a user types becomes a mark; have it flagged special in tokenizer.json",
                f"{text!r} → {i}",
            )
    inside = next((t for i, t in marks.items() if t and i in tokenizer.encode_marked(t)), None)
    if inside is not None:
        yield Finding(
            "marks in other programs",
            "fact",
            "transformers and tokenizers turn a mark's text in user input into the mark; `encode` here does not",
            inside,
        )


def _added(tokenizer: Tokenizer) -> Iterator[Finding]:
    plain = tokenizer.core.encode("text", add_special_tokens=False).ids
    dressed = tokenizer.core.encode("text", add_special_tokens=True).ids
    if plain != dressed:
        extra = [tokenizer.decode([i]) for i in dressed if i not in plain]
        yield Finding(
            "marks added silently",
            "warning",
            "transformers adds marks around each text by default; `encode` here does not: add them where they belong",
            " ".join(extra),
        )


def _end(tokenizer: Tokenizer) -> Iterator[Finding]:
    try:
        yield Finding("end of text", "fact", f"id {tokenizer.end:,}", tokenizer.decode([tokenizer.end]))
    except UserError as e:
        yield Finding("no end of text", "error", f"{e.problem}: documents cannot be told apart; {e.remedy}")


def _pad(tokenizer: Tokenizer) -> Iterator[Finding]:
    try:
        pad = tokenizer.pad
    except UserError:
        yield Finding("no padding", "warning", "no pad token, no free row and no end of text to pad with")
        return
    roles = sorted({"eos": "end of text", "bos": "beginning of text", "unk": "unknown"}.items())
    shared = [
        words for role, words in roles if role in tokenizer.marks and tokenizer.id_of(tokenizer.marks[role]) == pad
    ]
    token = tokenizer.decode([pad])
    if shared:
        yield Finding(
            "pad is a live id",
            "warning",
            f"padding is also {' and '.join(shared)}: where losses or masks go by id, that token is never learned",
            f"{token!r} = {pad}",
        )
    elif token and pad in tokenizer.encode(token) + tokenizer.encode(f"a{token}a"):
        yield Finding(
            "pad is a live id",
            "error",
            "ordinary text produces the padding id, and loses it again",
            f"{token!r} = {pad}",
        )
    else:
        yield Finding("padding", "fact", f"id {pad:,}, which no text produces", token)


# ── figures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _rows(tokenizer: Tokenizer) -> Iterator[Finding]:
    free = tokenizer.vocabulary - tokenizer.live
    yield Finding(
        "rows", "fact", f"{tokenizer.live:,} live ids in {tokenizer.vocabulary:,} rows, {free:,} of them without text"
    )
    if tokenizer.vocabulary % 64:
        yield Finding(
            "odd number of rows", "warning", f"{tokenizer.vocabulary:,} is no multiple of 64: slower products"
        )


def _unreachable(tokenizer: Tokenizer) -> Iterator[Finding]:
    """Tokens that encoding their own text does not make. Single bytes are left out: they are there for any bytes."""
    ordinary = {
        t: i for t, i in tokenizer.core.get_vocab(with_added_tokens=False).items() if i not in tokenizer.special_ids
    }
    model = tokenizer.core.model
    texts: dict[str, int] = {}
    dead: list[str] = []
    for token, i in ordinary.items():
        data = unspell(token) if tokenizer.byte_level else None
        if data is not None and len(data) == 1:
            continue
        try:
            texts[data.decode() if data is not None else tokenizer.decode([i])] = i
        except UnicodeDecodeError:  # part of a character: reachable within one if merging makes it
            if [t.id for t in model.tokenize(token)] != [i]:
                dead.append(token)
    for (text, i), ids in zip(texts.items(), tokenizer.encode_arrays(list(texts))):
        if i not in ids:
            dead.append(text)
    if dead:
        share = len(dead) / max(len(ordinary), 1)
        yield Finding(
            "unreachable tokens",
            "warning" if share > 0.01 else "fact",
            f"{len(dead):,} tokens ({share:.1%}) that encoding their own text never makes: rows that are not trained",
            ", ".join(map(_cut, dead[:3])),
        )


def _digits(tokenizer: Tokenizer) -> Iterator[Finding]:
    parts = [tokenizer.decode([i]) for i in tokenizer.encode("x=1234567890")][1:]
    digits = [part for part in parts if any(c.isdigit() for c in part)]
    longest = max((sum(c.isdigit() for c in part) for part in digits), default=0)
    how = "one by one" if longest == 1 else f"in groups of up to {longest}, as merging happens to make them"
    yield Finding("digits", "fact", f"numbers are split {how}", " ".join(digits))


def _runs(tokenizer: Tokenizer) -> Iterator[Finding]:
    """White space should not eat the context: XGen's runs make any indentation one token."""
    lines = [line for line in samples.CODE.splitlines() if line.strip()]
    white = sum(len(tokenizer.encode(line)) - len(tokenizer.encode(line.lstrip())) for line in lines)
    many = sum(len(tokenizer.encode(line)) for line in lines)
    one = sum(len(tokenizer.encode(run)) == 1 for run in SPACES + TABS)
    eight = len(tokenizer.encode("\n" + " " * 8 + "x")) - len(tokenizer.encode("\nx"))
    yield Finding(
        "indentation",
        "warning" if eight > 3 else "fact",
        f"{many / len(lines):.1f} tokens a line of indented code, {white / len(lines):.1f} of them indentation; "
        f"{one} of {len(SPACES + TABS)} runs (2–31 spaces, 2–9 tabs) are one token",
        f"eight spaces before a word: {eight} more" if eight > 3 else "",
    )


def _bytes_per_token(tokenizer: Tokenizer, texts: Mapping[str, str]) -> Iterator[Finding]:
    for kind, text in texts.items():
        ids = tokenizer.encode(text)
        if ids:
            yield Finding("bytes per token", "fact", f"{kind}: {len(text.encode()) / len(ids):.2f} bytes per token")


# ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _back(tokenizer: Tokenizer, text: str) -> str:
    return tokenizer.decode(tokenizer.encode(text))


def _normalised(tokenizer: Tokenizer, text: str) -> str | None:
    normaliser = tokenizer.core.normalizer
    return None if normaliser is None else str(normaliser.normalize_str(text))


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _cut(text: str, longest: int = 60) -> str:
    return repr(text if len(text) <= longest else text[: longest - 1] + "…")
