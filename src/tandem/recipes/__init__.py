"""A run described in TOML: checked, planned, executed, resumed."""

from tandem.recipes.recipe import Recipe
from tandem.recipes.schema import load, resolved, shipped

__all__ = ["Recipe", "load", "resolved", "shipped"]
