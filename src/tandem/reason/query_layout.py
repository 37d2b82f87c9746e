"""How a query is asked for: one layout, for a model that is prompted, for one that is tuned, and for its training.

    Write one SPARQL query …          the instruction
    Schema: …                         what the source holds, a line for each table or predicate
    - :P17: birthplace: …
    Need: Where was Ada born?         what is needed: a question, or a step of a chain
    Options: (A) Rome (B) Paris       those of the question that the need is a part of, where it has some
    Names: Ada = :Q36                 things of the source that are named in it, where they have been linked
    SPARQL: SELECT …                  the cue, and the query

What all needs of a schema share stands first, so that it is read once, in serving and in training. `laid_out` gives the
parts; `asking.prompt` puts them to a model. Nothing else in the project lays a query out: what a tuned writer was
trained on is what it is shown. What this does not do: link names, ask a model, or run anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tandem.reason.asking import one_line
from tandem.types import Completion, Schema

Language: TypeAlias = Literal["text", "sparql", "sql"]
LANGUAGES: tuple[Language, ...] = ("text", "sparql", "sql")
NAMES: Mapping[str, str] = {"sql": "SQL", "sparql": "SPARQL", "text": "Question"}
"""What stands in the cue."""
PARTS = 40
"""Tables or predicates of a schema that are shown, the ones that share most words with the need first."""
_FENCE = re.compile(r"```(?:sql|sparql)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)
_WORDS = "Write one plain question that asks for what is needed."


@dataclass(frozen=True)
class Laid:
    """The parts of a prompt for one query."""

    instruction: str
    """What is to be done."""
    given: str
    """Schema, need, names, and what went wrong before."""
    cue: str
    """What the query follows."""


def laid_out(
    language: Language,
    need: str,
    schema: Schema | None,
    *,
    names: Sequence[tuple[str, str]] = (),
    refused: tuple[str, str] | None = None,
    parts: int = PARTS,
    options: str = "",
) -> Laid:
    """The prompt for a query in `language`; `names` are (name, what a query calls it), `refused` a query and its error.

    Plain words need no schema, so none is shown for them; with `parts` 0 none is shown at all.
    """
    cue = f"{NAMES[language]}:"
    asked = f"Need: {one_line(need)}"
    if language == "text":
        return Laid(_WORDS, asked, cue)
    if options:
        asked += f"\nOptions: {options}"
    if names:
        asked += "\nNames: " + "; ".join(f"{one_line(name)} = {called(thing)}" for name, thing in names)
    given = f"{schema_text(schema, need, parts)}\n{asked}" if schema is not None and parts else asked
    if refused:
        query, message = refused
        given += f"\nFailed query: {one_line(query)}\nMessage: {one_line(message)[:400]}"
    return Laid(
        f"Write one {NAMES[language]} query that reads what is needed. Use only names of the schema.", given, cue
    )


def called(thing: str) -> str:
    """A thing's name as a query writes it: a whole IRI in angle brackets, anything else as it is."""
    return f"<{thing}>" if re.match(r"\w+://", thing) else thing


def schema_text(schema: Schema, need: str, most: int = PARTS) -> str:
    """A schema as lines of a prompt, what is nearest to the need first where it is longer than `most` parts."""
    words = set(re.findall(r"\w+", need.lower()))
    parts = list(schema.parts.items())
    if len(parts) > most:
        parts.sort(
            key=lambda part: -len(words & set(re.findall(r"\w+", f"{part[0]} {part[1]}".lower().replace("_", " "))))
        )
        parts = parts[:most]
    return "\n".join(
        [f"Schema: {one_line(schema.summary)}", *(f"- {one_line(key)}: {one_line(what)}" for key, what in parts)]
    )


def written(came: Completion, cue: str) -> str:
    """The query in what a model wrote after the cue; empty where it declined."""
    return "" if came.finish in ("refusal", "filter") else bare(came.text.strip().removeprefix(cue))


def bare(written: str) -> str:
    """The query alone: out of a fenced block, without a semicolon at its end."""
    fenced = _FENCE.search(written)
    return (fenced[1] if fenced else written).strip().rstrip(";").strip()
