"""Two or more runs on the same items: what changed, and could it be chance?"""

from tandem.evaluate.compare.comparison import Comparison, Row, compare_sides
from tandem.evaluate.compare.difference import Difference, compare, holm
from tandem.evaluate.compare.sides import Side, read

__all__ = ["Comparison", "Difference", "Row", "Side", "compare", "compare_sides", "holm", "read"]
