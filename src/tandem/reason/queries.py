"""From a step to a query in a source's own language: a sentence, SPARQL or SQL.

A source of text is asked the checking question itself. For SPARQL and SQL the model writes the query from the source's
schema (prompted here; a tuned model is an `LM` like any other and is given as `lm`). A query that the engine refuses is
mended once with the engine's own message; the second refusal is the outcome. Whatever is written runs behind its
source, which confines it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tandem.reason.asking import Exchange, draw, is_chat, one_line, prompt
from tandem.types import LM, Schema, Source

PARTS = 40
"""Tables or predicates of a schema that are shown, the ones that share most words with the need first."""
_FENCE = re.compile(r"```(?:sql|sparql)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)
_NAMES = {"sql": "SQL", "sparql": "SPARQL"}


@dataclass(frozen=True)
class Prompted:
    """Queries written by a model that is shown the schema and some examples."""

    examples: tuple[tuple[str, str, str], ...] = ()
    """(language, need, query): worked examples, of any schema."""
    max_tokens: int = 160
    """Longest query."""
    seed: int = 0
    """Seed of the sampling."""

    async def write(self, need: str, source: Source, lm: LM, refused: tuple[str, str] | None = None) -> str:
        """A query for what is needed; after one that was `refused`, given with the engine's message, another one.

        Empty where the model writes none. Raises SourceFailed where the source cannot tell what it holds.
        """
        if source.language == "text":
            return one_line(need)
        name = _NAMES[source.language]
        given = f"{schema_text(source.describe(), need)}\nNeed: {one_line(need)}"
        if refused:
            query, message = refused
            given += f"\nFailed query: {one_line(query)}\nMessage: {one_line(message)[:400]}"
        task = f"Write one {name} query that reads what is needed. Use only names of the schema."
        shots = [
            Exchange(f"Need: {asked}", query) for language, asked, query in self.examples if language == source.language
        ]
        put = prompt(lm, task, shots, given, f"{name}:")
        stop = () if is_chat(put) else ("\n\n",)
        (came,) = await draw(lm, put, max_tokens=self.max_tokens, stop=stop, seed=self.seed)
        return "" if came.finish in ("refusal", "filter") else bare(came.text.strip().removeprefix(f"{name}:"))


def bare(written: str) -> str:
    """The query alone: out of a fenced block, without a semicolon at its end."""
    fenced = _FENCE.search(written)
    return (fenced[1] if fenced else written).strip().rstrip(";").strip()


def schema_text(schema: Schema, need: str) -> str:
    """A schema as lines of a prompt, what is nearest to the need first where it is long."""
    words = set(re.findall(r"\w+", need.lower()))
    parts = list(schema.parts.items())
    if len(parts) > PARTS:
        parts.sort(
            key=lambda part: -len(words & set(re.findall(r"\w+", f"{part[0]} {part[1]}".lower().replace("_", " "))))
        )
        parts = parts[:PARTS]
    return "\n".join(
        [f"Schema: {one_line(schema.summary)}", *(f"- {one_line(key)}: {one_line(what)}" for key, what in parts)]
    )
