"""Run what nobody trusts: model-written Python, SQL and SPARQL, confined by the kernel, judged from outside."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tandem.sandbox.limits import Limits
    from tandem.sandbox.pool import Sandbox
    from tandem.sandbox.verdict import Ran, TestResult, Tests, Verdict

__all__ = ["Limits", "Ran", "Sandbox", "TestResult", "Tests", "Verdict"]

_HOMES = {"Limits": "limits", "Sandbox": "pool", "Ran": "verdict", "TestResult": "verdict", "Tests": "verdict"}
_HOMES["Verdict"] = "verdict"


def __getattr__(
    name: str,
) -> Any:  # loaded when asked for: the warm process needs none of it, and pays for all it holds
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"tandem.sandbox.{_HOMES[name]}"), name)
