"""Run what nobody trusts: model-written Python, SQL and SPARQL, confined by the kernel, judged from outside."""

from tandem.sandbox.limits import Limits
from tandem.sandbox.pool import Sandbox
from tandem.sandbox.verdict import Ran, TestResult, Tests, Verdict

__all__ = ["Limits", "Ran", "Sandbox", "TestResult", "Tests", "Verdict"]
