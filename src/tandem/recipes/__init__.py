"""A run described in TOML: checked, planned, executed, resumed."""

from tandem.recipes.schema import load, resolved, shipped
from tandem.recipes.sections import Recipe

__all__ = ["Recipe", "load", "resolved", "shipped"]
