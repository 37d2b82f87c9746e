"""One run, one page: `report.html`, readable from a disk, without network and without scripts.

`render` gives the page, `write` puts it into the run's folder. This room draws and words what a run has written down;
it measures nothing and knows no model.
"""

from tandem.report.page import render, write

__all__ = ["render", "write"]
