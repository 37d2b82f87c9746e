"""Python source as text: does it parse, what does it define, where does a header end, what did a model mean.

Headers are found by parser and tokenizer; a pattern takes the first colon, and splits an annotation. What this does
not do: run anything, or repair what does not parse.
"""

from __future__ import annotations

import ast
import io
import textwrap
import tokenize
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

LONGEST = 1 << 17
"""Characters; longer source is not parsed."""
_NOT_PARSED = (SyntaxError, ValueError, RecursionError, MemoryError, SystemError)

How: TypeAlias = Literal["fence", "whole", "body", "unparsed", "none"]
"""Where an answer's code was found: in a fence that defines what is asked for; the answer is the code; a fence with the
function's body only; in a fence that does not parse; nowhere."""


def parsed(code: str) -> ast.Module | None:
    """The syntax tree; None where there is none."""
    if len(code) > LONGEST:
        return None
    try:
        return ast.parse(code)
    except _NOT_PARSED:
        return None


def defined(code: str | ast.Module) -> tuple[str, ...]:
    """Names of functions and classes at the top level, in order; empty where the code does not parse."""
    tree = parsed(code) if isinstance(code, str) else code
    return tuple(node.name for node in tree.body if isinstance(node, _DEFINING)) if tree else ()


def names(code: str) -> frozenset[str]:
    """Names that code uses; empty where it does not parse."""
    tree = parsed(code)
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)) if tree else frozenset()


def besides(code: str, entry: str) -> str:
    """What stands at the top level of code besides one function: helpers and their imports; empty where it has none.

    Imports alone are left out: they serve the program, which has them itself.
    """
    tree = parsed(code)
    rest = [n for n in tree.body if not (isinstance(n, _DEFINING) and n.name == entry)] if tree else []
    if not any(isinstance(node, _DEFINING) for node in rest):
        return ""
    lines = code.splitlines(keepends=True)
    return "".join("".join(lines[_first_line(n) - 1 : n.end_lineno]).rstrip("\n") + "\n" for n in rest)


# ── Headers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Parts:
    """Source taken apart at one function; put together again it is the same text."""

    before: str
    """Imports, helpers, comments above it."""
    header: str
    """From the first decorator to the colon."""
    docstring: str
    """The docstring, from the end of the header to the end of its own last line; empty where there is none."""
    body: str
    """The rest of the function."""
    after: str
    """What stands below it."""


def split(code: str, entry: str) -> Parts | None:
    """Take source apart at the last top-level function of a name; None where there is none, or it does not parse."""
    tree = parsed(code)
    found = [n for n in tree.body if isinstance(n, _FUNCTIONS) and n.name == entry] if tree else []
    if not found:
        return None
    node = found[-1]
    lines = code.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    begin, end = starts[_first_line(node) - 1], starts[node.end_lineno or len(lines)]
    colon = _colon(lines[node.lineno - 1 :])
    header_end = starts[node.lineno - 1 + colon[0]] + colon[1]
    body_start = header_end
    if ast.get_docstring(node, clean=False) is not None and len(node.body) > 1:
        last = node.body[0].end_lineno or 1
        same_line = node.body[1].lineno == last
        body_start = header_end if same_line else starts[last]
    elif ast.get_docstring(node, clean=False) is not None:
        body_start = end
    return Parts(code[:begin], code[begin:header_end], code[header_end:body_start], code[body_start:end], code[end:])


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def _colon(lines: Sequence[str]) -> tuple[int, int]:
    """Line, from 0, and column after the colon that ends a function's header."""
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO("".join(lines)).readline):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
            if token.string == ":" and depth == 0:
                return token.end[0] - 1, token.end[1]
    raise AssertionError("a function that parses has a colon")


# ── Line ends and tabs ──────────────────────────────────────────────────────────────────────────────────────────────


def normalised(code: str) -> tuple[str, tuple[str, ...]]:
    """Code with line feeds as line ends and spaces for indentation, and what was changed: `line ends`, `tabs`.

    Tabs are left where replacing them would change the program (in a text of several lines) or it does not parse.
    """
    changed: list[str] = []
    if "\r" in code:
        code = code.replace("\r\n", "\n").replace("\r", "\n")
        changed.append("line ends")
    if "\t" in code and (spaced := _spaced(code)) is not None:
        code = spaced
        changed.append("tabs")
    return code, tuple(changed)


def _spaced(code: str) -> str | None:
    before = parsed(code)
    if before is None:
        return None
    lines = []
    for line in code.split("\n"):
        rest = line.lstrip(" \t")
        lines.append(line[: len(line) - len(rest)].expandtabs(8 if " " in line[: len(line) - len(rest)] else 4) + rest)
    spaced = "\n".join(lines)
    after = parsed(spaced) if spaced != code else None
    return spaced if after is not None and ast.dump(before) == ast.dump(after) else None


# ── Out of answers ──────────────────────────────────────────────────────────────────────────────────────────────────


def truncated(completion: str, stops: Iterable[str]) -> str:
    """A completion up to the first stop text."""
    ends = [at for stop in stops if (at := completion.find(stop)) >= 0]
    return completion[: min(ends)] if ends else completion


def fences(answer: str) -> list[str]:
    """The contents of an answer's code fences in order; one that is never closed runs to the end."""
    found: list[str] = []
    mark, indent = "", ""
    inside: list[str] = []
    for line in answer.split("\n"):
        bare = line.strip()
        if mark:
            if bare.startswith(mark) and not bare.strip(mark[0]):
                found.append("\n".join(inside))
                mark = ""
            else:
                inside.append(line.removeprefix(indent))
        elif bare.startswith(("```", "~~~")):
            length = len(bare) - len(bare.lstrip(bare[0]))
            mark, inside = bare[0] * length, []
            indent = line[: len(line) - len(line.lstrip())]
    if mark:
        found.append("\n".join(inside))
    return found


def extracted(answer: str, entry: str, opening: str = "") -> tuple[str, How]:
    """The program in a chat answer: of its fences the last one that defines `entry`.

    Without any: the whole answer where it is such a program; a fence that holds the body of the function `opening`
    begins; a fence that was to define it and does not parse. Else nothing.
    """
    inside = fences(answer)
    for code in reversed(inside):
        if entry in defined(code):
            return code, "fence"
    if not inside and entry in defined(answer):
        return answer, "whole"
    for code in reversed(inside):
        if opening and (body := _as_body(code, opening)) is not None:
            return body, "body"
    for code in reversed(inside):
        if any(line.split("(")[0].split() in (["def", entry], ["async", "def", entry]) for line in code.splitlines()):
            return code, "unparsed"
    return "", "none"


def _as_body(code: str, opening: str) -> str | None:
    """Code that continues the opening's last function, indented as that asks for."""
    if not code.strip() or defined(code):
        return None
    for body in (code, textwrap.indent(textwrap.dedent(code), "    ")):
        if body[:1] in (" ", "\t") and parsed(opening + body) is not None:
            return body
    return None


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINING = (*_FUNCTIONS, ast.ClassDef)
