"""What a SPARQL text would do besides reading: SERVICE, FROM, and updates, found outside comments, strings and names.

The engine tells no syntax tree, so this reads words as its parser does, which needs no space between them:
`trueSERVICE:x{…}` is a call. Where a text can be read in two ways (`<` is less-than or begins a name), the one that
hides nothing is taken: the guard refuses rather more. What holds without it: the engine parses updates only where an
update is asked for, and a run has no socket to reach a service with. The guard turns a silently empty answer into a
refusal.
"""

from __future__ import annotations

import re

from tandem.sandbox import answer

_TOKENS = re.compile(
    r"""
      (?P<iri>     <[^<>"{}|^`\x00-\x20]*>)
    | (?P<comment> \#[^\n\r]*)
    | (?P<string>  \"{3}(?:\"{0,2}(?:[^"\\]|\\.))*\"{3} | '{3}(?:'{0,2}(?:[^'\\]|\\.))*'{3}
                 | "(?:[^"\\\n\r]|\\.)*" | '(?:[^'\\\n\r]|\\.)*')
    | (?P<tag>     @[a-zA-Z]+(?:-[a-zA-Z0-9]+)*)
    | (?P<name>    [?$]\w+)
    | (?P<local>   :[\w\-:%]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_WHOLE = re.compile(r"<(?:[A-Za-z][A-Za-z0-9+.\-]*://|[^)]*>$)")
"""What cannot be a comparison and what follows it: every expression with `<` stands in parentheses."""
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})")
_UPDATES = "INSERT DELETE LOAD CLEAR DROP CREATE COPY MOVE ADD WITH"
_UPDATE = re.compile(
    rf"(?:^|;)\s*(?:(?:PREFIX|BASE)\b[^<]*<>\s*)*\b({_UPDATES.replace(' ', '|')})\b(?!:)", re.IGNORECASE
)
_FROM = re.compile(r"(?<![\w\-])from(?![\w\-])", re.IGNORECASE)


def check(query: str) -> None:
    """Raise `Stop` for a query that names a service, another data set, or an update."""
    for text in {query, _ESCAPE.sub(_character, query)}:
        code = _code(text)
        if "service" in code.lower():
            raise answer.Stop("refused", "SERVICE is not allowed: only this graph can be asked")
        if found := _UPDATE.search(code):
            raise answer.Stop("refused", f"{found[1].upper()} is not allowed: the graph can only be read")
        if _FROM.search(code):
            raise answer.Stop("refused", "FROM is not allowed: the data set is the one given; GRAPH names a part of it")


def _code(text: str) -> str:
    """The text without comments, strings, variables, names and language tags, in their place what parts words."""
    return _TOKENS.sub(_part, text)


def _part(found: re.Match[str]) -> str:
    kind, text = found.lastgroup, found[0]
    if kind == "iri":
        return "<>" if _WHOLE.match(text) or "service" not in text.lower() else text
    return {"comment": " ", "string": '""', "tag": "@", "name": "?", "local": ":"}[kind or ""]


def _character(escape: re.Match[str]) -> str:
    """The character of an escape, except one that would end the name or string it stands in."""
    number = int(escape[1] or escape[2], 16)
    made = chr(number) if number < 0x110000 else ""
    return made if made.isalnum() else "_"
