"""Run what nobody trusts: model-written Python, SQL and SPARQL, confined by the kernel, judged from outside."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tandem.sandbox.limits import Limits
    from tandem.sandbox.pool import Sandbox
    from tandem.sandbox.queries import Graph, Tables
    from tandem.sandbox.rows import QueryError, QueryInvalid, QueryRefused, QueryTimeout, QueryTooLarge, Rows
    from tandem.sandbox.verdict import Ran, TestResult, Tests, Verdict

__all__ = [
    "Graph",
    "Limits",
    "QueryError",
    "QueryInvalid",
    "QueryRefused",
    "QueryTimeout",
    "QueryTooLarge",
    "Ran",
    "Rows",
    "Sandbox",
    "Tables",
    "TestResult",
    "Tests",
    "Verdict",
]

_HOMES = {"Limits": "limits", "Sandbox": "pool", "Graph": "queries", "Tables": "queries", "Rows": "rows"}
_HOMES |= dict.fromkeys(("Ran", "TestResult", "Tests", "Verdict"), "verdict")
_HOMES |= dict.fromkeys(("QueryError", "QueryInvalid", "QueryRefused", "QueryTimeout", "QueryTooLarge"), "rows")


def __getattr__(
    name: str,
) -> Any:  # loaded when asked for: the warm process needs none of it, and pays for all it holds
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"tandem.sandbox.{_HOMES[name]}"), name)
