"""What a table of a mixture means: tokens seen, unique tokens, shares, epochs, and the data of other mixtures.

The tokens of a table are tokens *seen*. share = seen / total; unique = seen / epochs: 62 B tokens seen in 2 epochs are
31 B tokens of text, and 191.5 B in 0.2 epochs are a fifth of 957.5 B. A row may be the data of another mixture ("data
from stage 1"): it gives that mixture's sources in that mixture's shares. A mixture may also state shares alone.

Arithmetic only; which files a source is, and which windows it gives, is for `build.py` and `batches.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tandem.errors import UserError
from tandem.results import Cell, Table

NESTED = "mixture:"
"""How the name of a row begins that is the data of another mixture."""
TOLERANCE = 1e-3
"""Shares may miss 1 by this much, from rounding; they are then used in proportion."""


@dataclass(frozen=True)
class Row:
    """One line of the table: either `tokens` or `share` is given."""

    name: str
    """A source, or `mixture:NAME` for the data of another mixture."""
    tokens: float | None = None
    """Tokens seen."""
    share: float | None = None
    """Of all tokens seen, between 0 and 1."""
    epochs: float | None = None
    """How often each token is seen; unknown when None."""
    title: str = ""
    """Name in tables; `name` when empty."""

    @property
    def nested(self) -> str | None:
        """The mixture whose data this is, if it is one."""
        return self.name.removeprefix(NESTED) if self.name.startswith(NESTED) else None

    @property
    def unique(self) -> float | None:
        """Different tokens behind those seen: seen / epochs."""
        return None if self.tokens is None or self.epochs is None else self.tokens / self.epochs


@dataclass(frozen=True)
class Mixture:
    """A table of rows. Raises UserError, naming mixture and row, when it makes no sense."""

    name: str
    """For messages and tables."""
    rows: tuple[Row, ...]
    """In the order of the table."""

    def __post_init__(self) -> None:
        where = f"mixture.{self.name}"
        if not self.rows:
            raise UserError("no rows", where=where, remedy="add a row per source, such as: text = { share = 1.0 }")
        names = [row.name for row in self.rows]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"{name!r} stands there twice", where=where, remedy="add the two rows up")
        for row in self.rows:
            _check(row, f'{where}."{row.name}"')
        given = {row.tokens is None for row in self.rows}
        if len(given) > 1:
            raise UserError("tokens for some rows, shares for others", where=where, remedy="give one kind for all rows")
        if given == {True}:
            total = math.fsum(row.share or 0.0 for row in self.rows)
            if abs(total - 1) > TOLERANCE:
                listed = " + ".join(f"{row.share:g}" for row in self.rows)
                hint = "write 12.5 % as 0.125; " if abs(total - 100) < 1 else ""
                raise UserError(
                    f"the shares sum to {total:.6g}, not 1 ({listed})", where=where, remedy=hint + "mend the shares"
                )

    @property
    def total(self) -> float | None:
        """Tokens seen in all; None when the mixture states shares alone."""
        return None if self.rows[0].tokens is None else math.fsum(row.tokens or 0.0 for row in self.rows)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each row of the tokens seen, summing to 1."""
        parts = {row.name: row.share if row.tokens is None else row.tokens for row in self.rows}
        total = math.fsum(part or 0.0 for part in parts.values())
        return {name: (part or 0.0) / total for name, part in parts.items()}

    def sources(self, mixtures: Mapping[str, Mixture]) -> dict[str, float]:
        """Share of each source, the rows that are other mixtures' data taken apart; sums to 1.

        Raises UserError for a mixture that is not in `mixtures`, and for one that contains itself.
        """
        return self._sources(mixtures, (self.name,))

    def _sources(self, mixtures: Mapping[str, Mixture], inside: tuple[str, ...]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, share in self.shares.items():
            inner = {name: 1.0}
            if name.startswith(NESTED):
                nested = name.removeprefix(NESTED)
                where = f'mixture.{self.name}."{name}"'
                if nested in inside:
                    raise UserError(
                        f"contains itself ({' → '.join((*inside, nested))})",
                        where=where,
                        remedy="a mixture may only hold the data of others",
                    )
                if nested not in mixtures:
                    known = ", ".join(mixtures) or "none"
                    raise UserError(f"no mixture {nested!r}; there are: {known}", where=where, remedy="mend the name")
                inner = mixtures[nested]._sources(mixtures, (*inside, nested))
            for source, part in inner.items():
                found[source] = found.get(source, 0.0) + share * part
        return found

    def table(self, title: str, *, unit: float = 1e9, unit_name: str = "B") -> Table:
        """Name, tokens seen, epochs, unique tokens, share in per cent; the total last. Tokens in `unit`."""
        shares = self.shares
        rows: list[tuple[Cell, ...]] = [
            (
                row.title or row.name,
                _rounded(row.tokens, unit),
                row.epochs,
                _rounded(row.unique, unit),
                round(100 * shares[row.name], 2),
            )
            for row in self.rows
        ]
        known = [row.unique for row in self.rows if row.unique is not None]
        unique = math.fsum(known) if len(known) == len(self.rows) else None
        rows.append(("Total", _rounded(self.total, unit), None, _rounded(unique, unit), 100.0))
        columns = ("source", f"tokens seen ({unit_name})", "epochs", f"unique tokens ({unit_name})", "share (%)")
        return Table(title, columns, tuple(rows), note="unique = seen / epochs; share = seen / total", bars=columns[-1])


def seen(stages: Sequence[tuple[Mapping[str, float], float]]) -> dict[str, float]:
    """Tokens of each source seen over several stages, each given as (share of each source, tokens of the stage)."""
    found: dict[str, float] = {}
    for shares, tokens in stages:
        for source, share in shares.items():
            found[source] = found.get(source, 0.0) + share * tokens
    return found


def _check(row: Row, where: str) -> None:
    if (row.tokens is None) == (row.share is None):
        what = "both tokens and a share" if row.tokens is not None else "neither tokens nor a share"
        raise UserError(what, where=where, remedy="give one: { share = 0.5 } or { tokens = 55e9 }")
    for key, value in (("tokens", row.tokens), ("share", row.share), ("epochs", row.epochs)):
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise UserError(f"{key} = {value:g}", where=where, remedy="give a number above 0, or leave the row out")


def _rounded(tokens: float | None, unit: float) -> float | None:
    return None if tokens is None else round(tokens / unit, 2)
