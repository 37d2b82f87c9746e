"""Front matter: the block of settings at the top of a Markdown file, between `---` (YAML) or `+++` (TOML).

It is no text: its lines become empty ones, so that those below keep their numbers; its title and date become the
document's. A block between `---` counts only where every line of it can be YAML; otherwise its first line is a rule,
and what follows is text. What this does not do: parse YAML or TOML. Read are `key: value` and `key = "value"` on one
line, at the outermost level; lists, nested and folded values go unread.
"""

from __future__ import annotations

import json
import re

from tandem.sources.documents.blocks import lines_of

_MARKS = ("---", "+++")
_KEY = r"(\w[\w.-]*|\"[^\"]+\"|'[^']+')"
_YAML = re.compile(_KEY + r"\s*:(?:\s+(.*)|)$")
_TOML = re.compile(_KEY + r"\s*=\s*(.*)$")
_GOES_ON = re.compile(r"\s|#|- |-$|[\]}]|$")
"""A line of YAML that is no key: indented, a comment, an item, the end of a list, or empty."""
_DOUBLE = re.compile(r'("(?:[^"\\]|\\.)*")\s*(?:#.*)?$')
_SINGLE = re.compile(r"'((?:[^']|'')*)'\s*(?:#.*)?$")
_COMMENT = re.compile(r"(?:^|\s)#.*$")


def parted(text: str) -> tuple[dict[str, str], str]:
    """The simple fields of a text's front matter, keys in small letters, and the text with it blanked."""
    lines = lines_of(text)
    mark = lines[0].rstrip()
    if mark not in _MARKS:
        return {}, text
    ends = (mark, "...") if mark == "---" else (mark,)
    end = next((n for n, line in enumerate(lines[1:], 1) if line.rstrip() in ends), 0)
    block = [line.rstrip() for line in lines[1:end]]
    if not end or (mark == "---" and not _is_yaml(block)):
        return {}, text
    return _fields(block, _YAML if mark == "---" else _TOML), "\n".join([""] * (end + 1) + lines[end + 1 :])


def _is_yaml(block: list[str]) -> bool:
    first = next((line for line in block if line and not line.startswith("#")), "")
    return (not any(block) or _YAML.match(first) is not None) and all(
        _YAML.match(line) or _GOES_ON.match(line) for line in block
    )


def _fields(block: list[str], pattern: re.Pattern[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for n, line in enumerate(block):
        if pattern is _TOML and line.startswith("["):
            break  # a table: what follows belongs to it
        found = pattern.match(line)
        goes_on = pattern is _YAML and n + 1 < len(block) and block[n + 1][:1].isspace() and bool(block[n + 1].strip())
        if found and not goes_on and (value := _value(found[2] or "")):
            fields.setdefault(found[1].strip("\"'").lower(), value)
    return fields


def _value(told: str) -> str:
    """A quoted or a plain value; empty for one that is neither."""
    if quoted := _DOUBLE.match(told):
        try:
            told = str(json.loads(quoted[1]))
        except ValueError:  # an escape that JSON does not have
            return ""
    elif quoted := _SINGLE.match(told):
        told = quoted[1].replace("''", "'")
    elif told.startswith(tuple("\"'[{|>&*!%@`")):
        return ""
    else:
        told = _COMMENT.sub("", told)
    return " ".join(told.split())[:200]
