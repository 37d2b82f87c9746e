"""Queries from models that were tuned to write them, one for each language; the others are prompted for.

    writer = QueryModel({"sql": connect("embedded+adapter:runs/sql/adapter")})
    query = await writer.write("Where was Ada born?", source, lm)

`put` makes the prompt of a query for every use: here, when writers are measured, and for training, where `target` is
what follows it. So a tuned model is asked exactly what it was trained on. What this does not do: train, run queries, or
link names (`link` is given: `sources.entities`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from tandem.reason.asking import Exchange, draw, is_chat, prompt
from tandem.reason.looking_up import QueryWriter
from tandem.reason.queries import Prompted
from tandem.reason.query_layout import PARTS, Laid, Language, laid_out, written
from tandem.reason.query_pairs import QueryPair
from tandem.reason.watched import Watched
from tandem.sources.blocking import described
from tandem.trace import note
from tandem.types import LM, Abilities, Prompt, Source

Linking: TypeAlias = Callable[[str, Source], Awaitable[Sequence[tuple[str, str]]]]
"""The things of a source that a need names: (name, what a query calls it)."""
LONGEST = 192
"""Tokens of a query."""
END = "\n\n"
"""Ends a query where the model continues plain text; the wrong ones of a listing stand behind it."""


@dataclass(frozen=True)
class QueryModel:
    """A query writer with a model of its own for some languages."""

    models: Mapping[Language, LM]
    """The tuned model by language."""
    parts: Mapping[Language, int] = field(default_factory=dict)
    """Tables or predicates shown, where the model was trained on another number than usual."""
    link: Linking | None = None
    """Finds the things that a need names; without it the model has to know what a query calls them."""
    otherwise: QueryWriter = field(default_factory=Prompted)
    """Writes in the other languages."""
    max_tokens: int = LONGEST
    """Longest query."""

    async def write(
        self, need: str, source: Source, lm: LM, refused: tuple[str, str] | None = None, options: str = ""
    ) -> str:
        """A query for what is needed; after one that was `refused`, given with the engine's message, another one.

        Options are shown to a prompted model only: a tuned one is asked as it was trained, on needs without them.
        """
        tuned = self.models.get(source.language)
        if tuned is None:
            return await self.otherwise.write(need, source, lm, refused, options)
        note(writer=tuned.name)
        names: Sequence[tuple[str, str]] = ()
        if self.link is not None and source.language == "sparql":
            names = await self.link(need, source)
            note(names=dict(names))
        schema = None if source.language == "text" else await described(source)
        parts = self.parts.get(source.language, PARTS)
        laid = laid_out(source.language, need, schema, names=names, refused=refused, parts=parts)
        return await ask(Watched(tuned), laid, max_tokens=self.max_tokens)


async def ask(lm: LM, laid: Laid, shots: Sequence[Exchange] = (), *, max_tokens: int = LONGEST) -> str:
    """The likeliest query of a model; empty where it writes none."""
    asked = put(lm.abilities, laid, shots)
    (came,) = await draw(lm, asked, max_tokens=max_tokens, stop=() if is_chat(asked) else (END,))
    return written(came, laid.cue)


@dataclass(frozen=True)
class _Able:
    abilities: Abilities


def put(abilities: Abilities, laid: Laid, shots: Sequence[Exchange] = ()) -> Prompt:
    """The prompt for a query, as a model of these abilities gets it."""
    able = cast(LM, _Able(abilities))  # `prompt` looks at nothing else
    return prompt(able, laid.instruction, shots, laid.given, laid.cue)


def target(pair: QueryPair, *, listing: bool = False) -> str:
    """What a model is to write after the prompt: the query, with `listing` the wrong ones behind it.

    The listing is the published contrastive form (one right query, then wrong ones, the first taken). A model that
    writes from left to right has written the right one before it comes to them, so they teach it only what wrong ones
    look like.
    """
    right = "\n".join(line for line in pair.query.splitlines() if line.strip())
    return " " + right + (END + "\n".join(f"Wrong: {one}" for one in pair.wrong) if listing and pair.wrong else "")
