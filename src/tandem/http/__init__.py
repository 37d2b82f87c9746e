"""Calls of remote servers: paced, repeated only where safe, failures typed and without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tandem.http.pace import Limits

if TYPE_CHECKING:
    from tandem.http.caller import Caller, Reply, Stats

__all__ = ["Caller", "Limits", "Reply", "Stats"]


def __getattr__(name: str) -> Any:
    """Import aiohttp only when something is called: limits are read without it."""
    if name in ("Caller", "Reply", "Stats"):
        from tandem.http import caller

        return getattr(caller, name)
    raise AttributeError(name)
