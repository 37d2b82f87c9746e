"""Pure functions on predictions: how good they are, as a number with its interval."""

from tandem.metrics.pass_at_k import mean_pass_at_k, pass_at_k

__all__ = ["mean_pass_at_k", "pass_at_k"]
