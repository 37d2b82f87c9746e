"""A server's JSON reply, read strictly: what is missing or of the wrong type is an error that names the path to it.

Nothing here knows a wire format. Rejected: pydantic models of the replies; they would refuse fields that servers spell
differently and that nobody reads.
"""

from __future__ import annotations

import math
from typing import Any

from tandem.errors import CallFailed

_NAMES = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


class Part:
    """A value inside a reply, and the path that leads to it."""

    __slots__ = ("_key", "_within", "value", "where")

    def __init__(self, value: Any, where: str, within: Part | None = None, key: str | int = "") -> None:
        self.value = value
        self.where = where
        """The model that answered, for messages."""
        self._within, self._key = within, key

    @property
    def path(self) -> str:
        """As in choices[0].message.content; empty for the whole reply."""
        return "" if self._within is None else self._within._below(self._key)

    def __getitem__(self, key: str) -> Part:
        """The value of a key that has to be there."""
        found = self.get(key)
        if found is None:
            raise self.malformed(f"the reply has no {self._below(key)}")
        return found

    def get(self, key: str) -> Part | None:
        """The value of a key, or None when it is absent or null."""
        if not isinstance(self.value, dict):
            raise self._not("an object")
        value = self.value.get(key)
        return None if value is None else Part(value, self.where, self, key)

    def items(self) -> list[Part]:
        """The entries of a list."""
        if not isinstance(self.value, list):
            raise self._not("a list")
        return [Part(value, self.where, self, index) for index, value in enumerate(self.value)]

    def entries(self) -> list[tuple[str, Part]]:
        """Keys and values of an object."""
        if not isinstance(self.value, dict):
            raise self._not("an object")
        return [(key, Part(value, self.where, self, key)) for key, value in self.value.items()]

    def text(self) -> str:
        """A text; half a surrogate pair, which is no character, becomes U+FFFD."""
        if not isinstance(self.value, str):
            raise self._not("text")
        if self.value.isascii():
            return self.value
        return self.value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def number(self) -> float:
        """A finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not math.isfinite(self.value):
            raise self._not("a number")
        return float(self.value)

    def whole(self) -> int:
        """A whole number that is not negative."""
        number = self.number()
        if number < 0 or number != int(number) or number >= 2**63:
            raise self._not("a whole number")
        return int(number)

    def octets(self) -> bytes:
        """A list of bytes, each a number from 0 to 255."""
        try:
            return bytes(self.value if isinstance(self.value, list) else [-1])
        except (ValueError, TypeError):
            raise self._not("a list of bytes") from None

    def malformed(self, problem: str) -> CallFailed:
        """The error of a reply that does not have the shape of its format."""
        return CallFailed(
            problem,
            kind="malformed",
            where=self.where,
            remedy="check that the endpoint's address and format are those of the server",
        )

    def _below(self, key: str | int) -> str:
        path = self.path
        if isinstance(key, int):
            return f"{path}[{key}]"
        return f"{path}.{key}" if path else key

    def _not(self, wanted: str) -> CallFailed:
        place = self.path or "the reply"
        if self.value is None:
            return self.malformed(f"{place} is null where {wanted} belongs")
        return self.malformed(f"{place} is {_NAMES.get(type(self.value), 'a value')} where {wanted} belongs")
