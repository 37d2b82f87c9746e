"""Keeping secrets out of texts: error messages, excerpts of answers, anything that is shown or kept.

`Secrets` knows the values that must not be seen and removes them, whole or in part, also percent-encoded or escaped as
in JSON; and whatever looks like a key of anybody. `excerpt` makes a short, printable line of what a server sent.

What this does not do: find a secret that was changed (reversed, in other letters, in base64). Rejected: removing only
the exact value, since a server's text may be cut in the middle of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

REMOVED = "[removed]"
PIECE = 8
"""Every run of so many characters of a secret is removed from a text."""
OPEN = {"accept", "accept-encoding", "accept-language", "content-type", "user-agent", "anthropic-version"}
"""Headers whose values anybody may know."""
_LONGEST = 1 << 16
_KEY_LIKE = re.compile(
    r"\b(?:sk|pk|rk|gsk|hf|xai|ghp|pplx|nvapi|key|token)[-_](?=[\w*.-]*[\d*])[\w*.-]{8,}"  # providers' prefixes
    r"|(?i:\b(?:bearer|basic)\s+)[\w*.~+/=-]{6,}"
    r"|\bAIza[\w-]{20,}"
    r"|\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{32,}\b"  # long, letters and digits mixed
)


class Secrets:
    """Values that must not be seen. Its own `repr` tells only how many there are."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        whole: set[str] = set()
        for value in values:
            # the scheme before a key ("Bearer") is no secret
            parts = {value.strip(), *(part for part in value.split() if len(part) >= PIECE)} - {""}
            for part in parts:
                whole |= {part, quote(part, safe=""), quote_plus(part), json.dumps(part)[1:-1]}
        self._exact = tuple(sorted((text for text in whole if len(text) >= PIECE), key=len, reverse=True))
        # where none of these is, no longer form is either
        shortest = [text for text in self._exact if not any(other in text for other in self._exact if other != text)]
        self._shortest = tuple(text.encode() for text in shortest)
        self._pieces = frozenset(text[i : i + PIECE] for text in self._exact for i in range(len(text) - PIECE + 1))
        short = sorted((text for text in whole if len(text) < PIECE), key=len, reverse=True)
        self._short = re.compile("|".join(rf"(?<!\w){re.escape(text)}(?!\w)" for text in short)) if short else None

    @classmethod
    def of_headers(cls, headers: Mapping[str, str], *more: str) -> Secrets:
        """All header values but those of the headers in `OPEN`, and `more`."""
        return cls([*(value for name, value in headers.items() if name.lower() not in OPEN), *more])

    def __repr__(self) -> str:
        return f"Secrets({len(self._exact)})"

    def remove(self, text: str) -> str:
        """The text without secrets, pieces of them, and what looks like a key. Texts beyond 64 Ki are cut."""
        text = text[:_LONGEST]
        for secret in self._exact:
            text = text.replace(secret, REMOVED)
        if self._short:
            text = self._short.sub(REMOVED, text)
        return _KEY_LIKE.sub(REMOVED, self._without_pieces(text))

    def within(self, data: bytes) -> bool:
        """Whether a whole secret is in data of any length: cheap enough for every answer."""
        for secret in self._shortest:  # noqa: SIM110 — a generator would take most of the time
            if secret in data:
                return True
        return False

    def remove_bytes(self, data: bytes) -> bytes:
        """Data of any length without the whole secrets."""
        for secret in self._exact if self.within(data) else ():
            data = data.replace(secret.encode(), REMOVED.encode())
        return data

    def _without_pieces(self, text: str) -> str:
        if not self._pieces:
            return text
        kept: list[str] = []
        at = end = 0  # the text before `end` is dealt with
        while at <= len(text) - PIECE:
            if text[at : at + PIECE] in self._pieces:
                kept += text[end:at], REMOVED
                while text[at : at + PIECE] in self._pieces and at <= len(text) - PIECE:
                    at += 1
                end = at = at + PIECE - 1
            else:
                at += 1
        return "".join((*kept, text[end:]))


def excerpt(text: str, longest: int = 300) -> str:
    """A text in one printable line: control characters escaped, white space collapsed, cut at `longest` characters."""
    line = " ".join(text[: 4 * longest].split())
    cut = len(line) > longest or len(text) > 4 * longest
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line[:longest])
    return line + "…" * cut
