"""Asking several sources for what one step needs, and keeping the few findings that bear on it.

All sources are asked at once. Each has its own outcome, and they are told apart: `found`, `nothing` (it looked and has
none), `incomplete` (it gave up before it found any), `query-invalid` (after one repair), `no-query` (the model wrote
none), `too-long` (its schema leaves no room for a query), a kind of failure (`timeout`, `rate-limit`, …), and
`not-asked` where there is no source. A failing source never takes the others with it.

Findings of texts are put together without repeats and ranked against a target by shared words, rare ones more (BM25
over what was found), or left in the sources' own order. Rows of SQL and SPARQL are ranked among those of their source.
Then each source of rows gives one finding in turn, and the texts.

A finding's text is data. It stands in prompts on one line of its own, so that nothing in it can look like a turn, and
what is longer than `LONGEST` characters is cut there (and only there).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal, Protocol, TypeAlias

from tandem.errors import CallFailed, SourceFailed
from tandem.reason.asking import one_line
from tandem.reason.watched import TOO_LONG
from tandem.sandbox.rows import QueryError
from tandem.sources.ranking import Ranking
from tandem.together import together
from tandem.trace import note, outcome, step
from tandem.types import LM, Finding, Source

Target: TypeAlias = Literal["question", "sentence", "source"]
"""What findings are ranked against: the checking question, the step itself, or nothing (the source's own order)."""

LONGEST = 1500
"""Characters of a finding that a prompt shows."""


class QueryWriter(Protocol):
    """Turns a need into a query of a source's language."""

    async def write(
        self, need: str, source: Source, lm: LM, refused: tuple[str, str] | None = None, options: str = ""
    ) -> str:
        """The query; `options` are those of the question that the need is a part of."""
        ...


@dataclass(frozen=True)
class Evidence:
    """What the sources say together."""

    findings: tuple[Finding, ...]
    """Best first, without repeats, at most as many as were wanted."""
    outcomes: tuple[tuple[str, str], ...]
    """(source, outcome) of every source."""

    @property
    def lacking(self) -> str:
        """Why there are none: no-evidence (all have looked), source-failed, query-invalid, not-asked; else empty."""
        how = {outcome for _, outcome in self.outcomes} - {"found", "nothing"}
        if self.findings:
            return ""
        if not self.outcomes:
            return "not-asked"
        written = {"query-invalid", "no-query"}
        return "no-evidence" if not how else "query-invalid" if how <= written else "source-failed"


async def look_up(
    need: str,
    sources: Sequence[Source],
    lm: LM,
    writer: QueryWriter,
    *,
    target: str | None = None,
    top: int = 3,
    fetch: int = 10,
    options: str = "",
) -> Evidence:
    """The `top` findings for a need out of `fetch` of each source, ranked against `target` (None: as they come).

    `options` are the question's, for whoever writes queries.
    """
    with step("look up", need=need):
        each = await together(_ask(need, source, lm, writer, fetch, options) for source in sources)
        answered = [(source.language == "text", findings) for source, (findings, _) in zip(sources, each, strict=True)]
        texts = [found for is_text, findings in answered if is_text for found in findings]
        lists = [*(findings for is_text, findings in answered if not is_text), texts]
        best = in_turn([one if target is None else ranked(_without_repeats(one), target) for one in lists])
        outcomes = tuple((source.name, how) for source, (_, how) in zip(sources, each, strict=True))
        note(outcomes=[f"{name}: {how}" for name, how in outcomes], findings=[_told(found) for found in best[:top]])
        return Evidence(tuple(best[:top]), outcomes)


async def _ask(
    need: str, source: Source, lm: LM, writer: QueryWriter, limit: int, options: str
) -> tuple[tuple[Finding, ...], str]:
    """One source's findings and its outcome; its failure is an outcome, too."""
    refused: tuple[str, str] | None = None
    for _ in range(2):
        with step("ask source", source=source.name, language=source.language):
            try:
                query = await writer.write(need, source, lm, refused, options)
                note(query=query)
                if not query:
                    outcome("no-query")
                    return (), "no-query"
                result = await source.look_up(query, limit)
            except QueryError as e:
                refused = (query, str(e))
                note(refused=e.problem)
                outcome("query-invalid")
                continue
            except CallFailed as e:
                if e.kind != TOO_LONG:
                    raise  # the model fails, not the source
                note(failed=e.problem)
                outcome(e.kind)
                return (), e.kind
            except SourceFailed as e:
                note(failed=e.problem)
                outcome(e.kind)
                return (), e.kind
            note(found=len(result.findings), complete=result.complete)
            stamped = [replace(f, source=f.source or source.name, query=f.query or query) for f in result.findings]
            how = "found" if stamped else "nothing" if result.complete else "incomplete"
            outcome("done" if how != "incomplete" else how)
            return tuple(stamped), how
    return (), "query-invalid"


def in_turn(lists: Sequence[Sequence[Finding]]) -> list[Finding]:
    """The first of each list, then the second of each, and so on, without repeats.

    Rows that a query asked for and passages that share words with the need have no common scale: ranked together by
    words, `Karo`, all that was asked for, would come last.
    """
    rounds = zip_longest(*lists)
    return _without_repeats([found for one in rounds for found in one if found is not None])


def ranked(findings: Sequence[Finding], target: str) -> list[Finding]:
    """Findings by how well they fit a text, best first; equals, and those that share no word with it, in order."""
    fitting = [n for n, _ in Ranking(f"{each.title} {each.text}" for each in findings).best(target, len(findings))]
    return [findings[n] for n in dict.fromkeys([*fitting, *range(len(findings))])]


def passages(findings: Sequence[Finding]) -> str:
    """Findings as numbered lines of a prompt."""
    told = [f"{found.title}: {found.text}" if found.title else found.text for found in findings]
    return "\n".join(f"Passage {n}: {shortened(text)}" for n, text in enumerate(told, 1))


def shortened(text: str) -> str:
    """A text on one line, cut between words where it is too long."""
    line = one_line(text)
    return line if len(line) <= LONGEST else f"{line[:LONGEST].rpartition(' ')[0] or line[:LONGEST]} …"


def _without_repeats(findings: Sequence[Finding]) -> list[Finding]:
    kept: dict[str, Finding] = {}
    for found in findings:
        kept.setdefault(" ".join(found.text.split()), found)
    return list(kept.values())


def _told(found: Finding) -> dict[str, object]:
    told = {
        "text": found.text,
        "title": found.title,
        "source": found.source,
        "place": found.place,
        "score": found.score,
    }
    return {key: value for key, value in told.items() if value not in (None, "")}
