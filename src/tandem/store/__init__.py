"""Recorded answers: what models and sources were asked, what came back, in one SQLite file that people can read."""

from tandem.store.lookups import Lookup
from tandem.store.records import Record, Request, Sample, Scored, fits, normalised
from tandem.store.store import Store

__all__ = ["Lookup", "Record", "Request", "Sample", "Scored", "Store", "fits", "normalised"]
