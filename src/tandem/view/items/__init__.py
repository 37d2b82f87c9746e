"""Files of items: what a record says, an index over a file that may still be growing, filters, two files beside
each other. No pages here.
"""

from tandem.view.items.filter import Query, Range, found
from tandem.view.items.index import ItemFile
from tandem.view.items.pairs import Pairs

__all__ = ["ItemFile", "Pairs", "Query", "Range", "found"]
