"""Documents in, deterministic token batches out."""

from __future__ import annotations

from tandem.corpus.batches import Batch, Mixed, Part, Realised, once, tokens_given
from tandem.corpus.build import BuildReport, build, documents
from tandem.corpus.document import Document
from tandem.corpus.ledger import Ledger
from tandem.corpus.mixture import Mixture, Row
from tandem.corpus.read import SourceSpec, read
from tandem.corpus.shards import Shards, TokenEncoder, write_shards

__all__ = [
    "Batch",
    "BuildReport",
    "Document",
    "Ledger",
    "Mixed",
    "Mixture",
    "Part",
    "Realised",
    "Row",
    "Shards",
    "SourceSpec",
    "TokenEncoder",
    "build",
    "documents",
    "once",
    "read",
    "tokens_given",
    "write_shards",
]
