"""Blocks: what a reader finds in a file, before it is cut into passages. Text, Markdown and source code become blocks.

A block is a paragraph, an item, a table or a function: lines with their places, and the headings above. Line-based
rules, no parser: broken files have blocks, too, and nothing of a file is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Lines that belong together."""

    lines: tuple[tuple[int, str], ...]
    """Place (line, page or paragraph in the file, from 1) and text of each."""
    heading: str = ""
    """Headings above it, joined by ` › `."""
    prose: bool = True
    """Whether it may be split between sentences; otherwise only between lines."""


SEPARATOR = " › "
_HEADING = re.compile(r"(#{1,6})(?:\s+(.*?))?(?:\s+#+)?\s*$")
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_UNDERLINE = re.compile(r"(=+|-{2,})\s*$")
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s|\s*\|")


class Headings:
    """The headings above the place that is being read."""

    def __init__(self) -> None:
        self._held: list[tuple[int, str]] = []

    def open(self, level: int, text: str) -> None:
        """A heading begins: those of its level and deeper end."""
        while self._held and self._held[-1][0] >= level:
            self._held.pop()
        if text := " ".join(text.split())[:200]:
            self._held.append((level, text))

    def __str__(self) -> str:
        return SEPARATOR.join(text for _, text in self._held[:6])


def paragraphs(lines: Iterable[tuple[int, str]], heading: str = "") -> Iterator[Block]:
    """Runs of lines between blank ones."""
    held: list[tuple[int, str]] = []
    for place, line in lines:
        if line.strip():
            held.append((place, line))
        elif held:
            yield Block(tuple(held), heading)
            held = []
    if held:
        yield Block(tuple(held), heading)


def plain(text: str) -> Iterator[Block]:
    """Paragraphs of a plain text."""
    return paragraphs(enumerate(lines_of(text), 1))


def markdown(text: str, title: str = "") -> tuple[str, list[Block]]:
    """The title, and paragraphs, items, tables and code under their headings.

    The title is the first heading of the first level, unless one is given: then that is a heading like others.
    """
    headings, blocks = Headings(), []
    given = title
    held: list[tuple[int, str]] = []
    fence = ""

    def close(prose: bool = True) -> None:
        if any(line.strip() for _, line in held):
            prose = prose and not any(_ITEM.match(line) for _, line in held)
            blocks.append(Block(tuple(held), str(headings), prose))
        held.clear()

    for place, line in enumerate(lines_of(text), 1):
        if fence:
            held.append((place, line))
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
                close(False)
            continue
        found = _HEADING.match(line)
        below = _UNDERLINE.match(line) if len(held) == 1 and not _ITEM.match(held[0][1]) else None
        if opened := _FENCE.match(line):
            close()
            fence = opened[1]
            held.append((place, line))
        elif found or below:
            name = (found[2] or "") if found else held.pop()[1]
            level = len(found[1]) if found else 1 if below and below[1][0] == "=" else 2
            close()
            name = " ".join(name.split())[:200]
            if level == 1 and (not title or (given and name == given)):
                title = name
                headings.open(1, "")
            else:
                headings.open(level, name)
        elif not line.strip():
            close()
        else:
            held.append((place, line))
    close(not fence)
    return title, blocks


_PYTHON = re.compile(r"(\s*)(?:async\s+def|def|class)\s+(\w+)")
_QUOTES = re.compile(r'"""|\'\'\'')


def python(text: str) -> Iterator[Block]:
    """Functions and classes with their names as headings; decorators and comments go with what follows them."""
    headings = Headings()
    held: list[tuple[int, str]] = []
    quotes = ""
    for place, line in enumerate(lines_of(text), 1):
        found = None if quotes else _PYTHON.match(line)
        indent = len(line) - len(line.lstrip())
        leaves = not quotes and indent == 0 and bool(line.strip()) and line[0] not in "#@)]}" and str(headings) != ""
        if found is not None or leaves:
            lead = _lead(held)
            if kept := held[: len(held) - lead]:
                yield Block(tuple(kept), str(headings), prose=False)
            held = held[len(held) - lead :]
            headings.open(indent, found[2] if found else "")
        held.append((place, line))
        for mark in _QUOTES.findall(line):
            quotes = mark if not quotes else "" if mark == quotes else quotes
    if held:
        yield Block(tuple(held), str(headings), prose=False)


def _lead(held: list[tuple[int, str]]) -> int:
    """How many of the last lines belong to what follows: decorators and comments without a gap."""
    n = 0
    while n < len(held) and held[-1 - n][1].lstrip().startswith(("@", "#")):
        n += 1
    return n


def code(text: str) -> Iterator[Block]:
    """Runs of lines of source code between blank lines."""
    for block in paragraphs(enumerate(lines_of(text), 1)):
        yield Block(block.lines, prose=False)


def lines_of(text: str) -> list[str]:
    """Lines as editors count them: \\n, \\r\\n and \\r end one, other separators do not."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
