"""Recorded answers: what a model was asked, what came back, in one SQLite file that people can read."""

from tandem.store.records import Record, Request, Sample, Scored, fits, normalised
from tandem.store.store import Store

__all__ = ["Record", "Request", "Sample", "Scored", "Store", "fits", "normalised"]
