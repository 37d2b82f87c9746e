"""Calls of remote servers: paced, repeated only where safe, failures typed and without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tandem.http.pace import Limits

if TYPE_CHECKING:
    from tandem.http.caller import Caller
    from tandem.http.reader import Reader
    from tandem.http.reply import Reply, Stats

__all__ = ["Caller", "Limits", "Reader", "Reply", "Stats"]


def __getattr__(name: str) -> Any:
    """Import aiohttp only when something is called: limits are read without it."""
    if name == "Caller":
        from tandem.http.caller import Caller

        return Caller
    if name == "Reader":
        from tandem.http.reader import Reader

        return Reader
    if name in ("Reply", "Stats"):
        from tandem.http import reply

        return getattr(reply, name)
    raise AttributeError(name)
