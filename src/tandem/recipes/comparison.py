"""Published figures beside a plan's own: which printed figure the arithmetic does not give.

A recipe's [[provenance]] entry names a table of experiments/published.toml; its mixture or its context steps are then
compared with it, figure by figure, at the printed number of decimals. What this does not do: correct either side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal

from tandem.errors import UserError
from tandem.recipes import published
from tandem.recipes.planned import Comparison, Difference, MixturePlan, StagePlan
from tandem.recipes.published import Published
from tandem.recipes.recipe import Recipe

TOKENS, EPOCHS, SHARE = "Tokens (B)", "Epochs", "Sampling prop. (%)"
BILLION = 1e9


def comparisons(recipe: Recipe, mixtures: Sequence[MixturePlan], stages: Sequence[StagePlan]) -> Iterator[Comparison]:
    """All comparisons that the recipe's provenance asks for. Raises `UserError` when it names no known table."""
    for i, entry in enumerate(recipe.provenance):
        if not entry.table:
            continue
        table = published.table(entry.table)
        named = [mixture for mixture in mixtures if f"mixture.{mixture.name}" in entry.keys]
        if named:
            for mixture in named:
                yield _compare(table, f"mixture {mixture.name}", list(_mixture_figures(mixture)))
        elif any(key.startswith("stage") for key in entry.keys):
            yield _compare(table, "stages by context", list(_step_figures(stages)))
        else:
            raise UserError(
                "has a table, but no key of a whole mixture (`mixture.NAME`) or of stages to compare with it",
                where=f"provenance[{i}]",
                remedy="add such a key, or leave the table out",
            )


def _mixture_figures(mixture: MixturePlan) -> Iterator[tuple[str, str, float]]:
    for row in mixture.rows:
        yield row.title, TOKENS, row.tokens / BILLION
        yield row.title, SHARE, 100 * row.share
        if row.epochs is not None:
            yield row.title, EPOCHS, row.epochs
    yield "Total", TOKENS, mixture.tokens / BILLION


def _step_figures(stages: Sequence[StagePlan]) -> Iterator[tuple[str, str, float]]:
    for context in sorted({stage.context for stage in stages}):
        yield str(context), TOKENS, sum(stage.tokens for stage in stages if stage.context == context) / BILLION


def _compare(table: Published, of: str, figures: Sequence[tuple[str, str, float]]) -> Comparison:
    """Compare every printed figure; one whose row the recipe lacks counts as computed 0."""
    computed = {(row, column): figure for row, column, figure in figures}
    differences, compared = [], 0
    for cells in table.rows:
        for column in (TOKENS, EPOCHS, SHARE):
            if column not in table.columns:
                continue
            printed = table.value(str(cells[0]), column)
            key = (str(cells[0]), column)
            if isinstance(printed, str) or (key == ("Total", SHARE)):
                continue
            compared += 1
            ours = computed.get(key, 0.0)
            if _rounded(ours, printed) != Decimal(repr(printed)):
                differences.append(Difference(f"{key[0]}, {column}", float(printed), ours))
    unpublished = [
        row
        for row in dict.fromkeys(row for row, _, _ in figures)
        if row not in map(str, table.column(table.columns[0]))
    ]
    differences += [Difference(f"{row}, {TOKENS}", 0.0, computed[row, TOKENS]) for row in unpublished]
    return Comparison(table.title, of, compared, tuple(differences))


def _rounded(computed: float, printed: float) -> Decimal:
    """A computed figure at two decimals, as the tables print, or at those of a printed figure that has more."""
    places = max(2, -int(Decimal(repr(printed)).as_tuple().exponent))
    return Decimal(repr(computed)).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP).normalize()
