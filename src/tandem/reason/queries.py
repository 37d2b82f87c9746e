"""From a step to a query in a source's own language: a sentence, SPARQL or SQL.

A source of text is asked the checking question itself. For SPARQL and SQL the model writes the query from the source's
schema (prompted here; tuned models are in `query_writer`). A query that the engine refuses is mended once with the
engine's own message; the second refusal is the outcome. Whatever is written runs behind its source, which confines it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tandem.reason.asking import Exchange, draw, is_chat, one_line, prompt
from tandem.reason.query_layout import laid_out, written
from tandem.sources.blocking import described
from tandem.types import LM, Source


@dataclass(frozen=True)
class Prompted:
    """Queries written by a model that is shown the schema and some examples."""

    examples: tuple[tuple[str, str, str], ...] = ()
    """(language, need, query): worked examples, of any schema."""
    max_tokens: int = 160
    """Longest query."""
    seed: int = 0
    """Seed of the sampling."""

    async def write(
        self, need: str, source: Source, lm: LM, refused: tuple[str, str] | None = None, options: str = ""
    ) -> str:
        """A query for what is needed; after one that was `refused`, given with the engine's message, another one.

        Empty where the model writes none. Raises SourceFailed where the source cannot tell what it holds.
        """
        if source.language == "text":
            return one_line(need)
        laid = laid_out(source.language, need, await described(source), refused=refused, options=options)
        shots = [
            Exchange(f"Need: {asked}", query) for language, asked, query in self.examples if language == source.language
        ]
        put = prompt(lm, laid.instruction, shots, laid.given, laid.cue)
        stop = () if is_chat(put) else ("\n\n",)
        (came,) = await draw(lm, put, max_tokens=self.max_tokens, stop=stop, seed=self.seed)
        return written(came, laid.cue)
