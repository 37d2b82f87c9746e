"""Files and databases are opened before the first question is asked, so that what is wrong with them costs nothing.

    await opened_first(sources)         # raises UserError for a file that cannot be used

Graphs and tables of files, and databases, are opened when they are first asked, which is after a model has been paid to
think of the question. Here they are asked for their descriptions, which every writer of queries needs anyway, and which
are kept. A recorded description is not asked for again, and a replayed source has no files. What this does not do: ask
an endpoint or a service; one that is down fails look-up by look-up, and so does a database that cannot be reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tandem.errors import SourceFailed, UserError
from tandem.sources.blocking import described
from tandem.sources.database import Database
from tandem.sources.recorded import behind
from tandem.sources.sparql import GraphFile
from tandem.sources.sql import TableFiles
from tandem.types import Source


async def opened_first(sources: Sequence[Source]) -> None:
    """Open what lies in files or databases, all at once. Raises UserError for the first that cannot be used."""
    late = [source for source in sources if isinstance(behind(source), GraphFile | TableFiles | Database)]
    for outcome in await asyncio.gather(*map(_open, late), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _open(source: Source) -> None:
    try:
        held = await described(source)
        if isinstance(behind(source), TableFiles) and not held.parts:
            raise UserError("holds no table", where=source.name, remedy="name a file with one")
    except SourceFailed as e:
        if not isinstance(behind(source), Database):  # a server may be up again when it is needed, a file stays broken
            raise UserError(e.problem, where=e.where, remedy=e.remedy or "mend the file, or name another one") from e
