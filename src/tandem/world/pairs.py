"""Pairs of a need and the query for it, in SPARQL, SQL and plain words, to train a query writer and to measure it.

Splits hold things out apart, so that each shows one kind of generalising:

    train       usual wordings, known relations, known schemas, known things
    things      the same of other things: nothing else is new
    templates   wordings that are held out from training
    relations   relations that no training pair uses, the same ones in every world
    schemas     table schemas that no training pair uses (SQL only)

The four for evaluation are about things that no training pair is about; a need that would hold out two at once is in no
split. A gold query is run before it is kept: on the graph of `triples`, on the tables of its schema, and it gives the
answer that the facts give. Its four wrong queries are run, too, and do not give it: another predicate, the wrong
direction, another entity, and one that the engine refuses. For plain words, the query is a question; its wrong ones
are answered by the facts in place of an engine, and the broken one names nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from tandem.errors import UserError
from tandem.types import Schema
from tandem.world.engines import Broken, Engines
from tandem.world.forms import Form, Term, Thing, Var, answers, shown, term
from tandem.world.needs import SHAPES, Need, draw
from tandem.world.noise import Draws, permutation
from tandem.world.pair_wordings import lookups
from tandem.world.schema import RELATIONS
from tandem.world.sparql import sparql
from tandem.world.sql import sql
from tandem.world.table_schemas import TableSchema, table_schemas
from tandem.world.templates import sentence
from tandem.world.triples import graph_schema, items
from tandem.world.world import World
from tandem.world.wrong_queries import MISTAKES, Mistake, broken, wrong_forms

Split: TypeAlias = Literal["train", "things", "templates", "relations", "schemas"]
Language: TypeAlias = Literal["sparql", "sql", "text"]
SPLITS: tuple[Split, ...] = ("train", "things", "templates", "relations", "schemas")
LANGUAGES: tuple[Language, ...] = ("sparql", "sql", "text")
HELD_OUT_RELATIONS = 4
"""Relations that no training pair uses."""
HELD_OUT_THINGS = 5
"""One thing or word in so many is in no training pair."""
_ATTEMPTS = 400
_FALLBACK: tuple[Mistake, ...] = ("predicate", "entity")


@dataclass(frozen=True)
class Wrong:
    """A query that does not answer the need."""

    mistake: Mistake
    """What is wrong with it."""
    query: str
    """Itself."""


@dataclass(frozen=True)
class Pair:
    """A need and its query."""

    id: str
    """Split, language, shape, number."""
    split: Split
    """Which part it belongs to."""
    language: Language
    """Of the query."""
    shape: str
    """`lookup`, `join`, `count`, `extreme`, `filter` or `dated`."""
    need: str
    """A question, or a step of a reasoning chain."""
    step: bool | None
    """For a step whether what it states is true; None for a question."""
    schema: str
    """`graph`, the name of a table schema, or empty for plain words: a key of `schemas`."""
    entities: dict[str, str]
    """Names in the need, with their names in the graph (empty for words of closed lists): what linking gives."""
    query: str
    """The gold query."""
    answers: tuple[str, ...]
    """What it gives."""
    wrong: tuple[Wrong, ...]
    """Four queries that give something else, or nothing."""
    relations: tuple[str, ...]
    """Relations that it needs."""
    template: str
    """Identifier of the wording."""
    facts: tuple[str, ...]
    """Fact ids, for a lookup, a join or a dated one."""


def held_out_relations() -> tuple[str, ...]:
    """The relations that no training pair of any world uses, so that several worlds can be trained on."""
    order = permutation(0, "relations held out of pairs", len(RELATIONS))[:HELD_OUT_RELATIONS]
    return tuple(RELATIONS[i].name for i in sorted(order.tolist()))


def held_out_schemas(world: World, n: int = 6) -> tuple[str, ...]:
    """The table schemas that no training pair uses: the last third."""
    return tuple(schema.name for schema in table_schemas(world, n)[n - n // 3 :])


@lru_cache(maxsize=1 << 16)
def held_out_thing(world: World, about: Term) -> bool:
    """Whether training pairs leave out a thing or word."""
    return Draws(world.seed, f"things held out of pairs {shown(world, about)}").below(HELD_OUT_THINGS) == 0


def schemas(world: World, n: int = 6) -> dict[str, Schema]:
    """What there is to ask, by the names that pairs use: the graph, and each table schema."""
    return {"graph": graph_schema(world)} | {s.name: s.describe() for s in table_schemas(world, n)}


def pairs(
    world: World,
    split: Split,
    n: int = 1000,
    seed: int = 0,
    *,
    languages: Sequence[Language] = LANGUAGES,
    n_schemas: int = 6,
    engines: Engines | None = None,
) -> list[Pair]:
    """Up to `n` distinct pairs of a split, shared evenly among languages, then shapes; fewer in a small world.

    `engines` with the graph and all schemas saves making them again for each split.

    Raises UserError for an unknown split or language, and for fewer than three schemas.
    """
    if split not in SPLITS or not languages or not set(languages) <= set(LANGUAGES):
        remedy = f"splits are {', '.join(SPLITS)}; languages {', '.join(LANGUAGES)}"
        raise UserError(f"no pairs are made for {split!r} in {list(languages)}", where="pairs", remedy=remedy)
    if n < 0 or seed < 0 or n_schemas < 3:
        remedy = "give numbers ≥ 0, and at least 3 schemas"
        raise UserError(
            f"cannot make {n} pairs from seed {seed} over {n_schemas} schemas", where="pairs", remedy=remedy
        )
    spoken: list[Language] = [x for x in languages if x == "sql"] if split == "schemas" else list(languages)
    made: list[Pair] = []
    if n and spoken:
        held = engines or Engines(world, table_schemas(world, n_schemas))
        writer = _Writer(world, split, seed, n_schemas, held)
        for place, language in enumerate(spoken):
            shapes = ("lookup",) if language == "text" else SHAPES
            share = n // len(spoken) + (place < n % len(spoken))
            for turn, shape in enumerate(shapes):
                wanted = share // len(shapes) + (turn < share % len(shapes))
                made.extend(writer.pairs(language, shape, wanted))
        if engines is None:
            held.close()
    return made


class _Writer:
    """Draws needs of a split, writes and runs their queries."""

    def __init__(self, world: World, split: Split, seed: int, n_schemas: int, engines: Engines) -> None:
        self._world, self._split, self._seed = world, split, seed
        every, hidden = table_schemas(world, n_schemas), held_out_schemas(world, n_schemas)
        self._schemas = [schema for schema in every if (schema.name in hidden) == (split == "schemas")]
        self._hidden = set(held_out_relations())
        self._engines = engines

    def pairs(self, language: Language, shape: str, n: int) -> Iterator[Pair]:
        """Up to `n` pairs of a language and a shape."""
        draws = Draws(self._world.seed, f"pairs {self._seed} {self._split} {language} {shape}")
        seen: set[tuple[str, str]] = set()
        misses = 0
        while len(seen) < n and misses < _ATTEMPTS:
            need = draw(self._world, shape, draws, self._split == "templates", self._belongs)
            schema = draws.choose(self._schemas) if language == "sql" else None
            key = ("", "") if need is None else (need.text, schema.name if schema else "")
            made = None
            if need is not None and key not in seen:
                made = self._pair(f"{self._split}-{language}-{shape}-{len(seen):05d}", language, need, schema, draws)
            if made is None:
                misses += 1
                continue
            misses = 0
            seen.add(key)
            yield made

    def _belongs(self, relations: tuple[str, ...], about: Term) -> bool:
        """Whether a need holds out what its split holds out, and nothing else."""
        known = not self._hidden & set(relations)
        return known == (self._split != "relations") and self._hides(about) == (self._split != "train")

    def _pair(self, id_: str, language: Language, need: Need, schema: TableSchema | None, draws: Draws) -> Pair | None:
        write, run = self._language(language, need, schema)
        query = write(need.form)
        got = run(query, need.form)
        assert got == need.answers, (query, got, need.answers)
        wrong = self._wrong(language, need, query, write, run, draws)
        if len(wrong) < len(MISTAKES):
            return None
        names = {shown(self._world, need.about): _item(self._world, need.about)}
        return Pair(
            id_, self._split, language, need.shape, need.text, need.step,
            schema.name if schema else "graph" if language == "sparql" else "",
            names, query, need.answers, tuple(wrong), need.relations, need.template.id,
            tuple(f"f{f:07d}" for f in need.facts),
        )  # fmt: skip

    def _language(
        self, language: Language, need: Need, schema: TableSchema | None
    ) -> tuple[Callable[[Form], str], Callable[[str, Form], tuple[str, ...]]]:
        """How a form is written, and how what was written is run."""
        if schema is not None:
            return (lambda form: sql(self._world, form, schema)), (lambda q, _: self._engines.sql(q, schema.name))
        if language == "sparql":
            return (lambda form: sparql(self._world, form)), (lambda q, _: self._engines.sparql(q))
        return (lambda form: plain_query(self._world, form)), (lambda _, form: answers(self._world, form))

    def _wrong(
        self,
        language: Language,
        need: Need,
        query: str,
        write: Callable[[Form], str],
        run: Callable[[str, Form], tuple[str, ...]],
        draws: Draws,
    ) -> list[Wrong]:
        """Four different queries that were run and do not give the answer."""
        found: list[Wrong] = []
        taken = {query}
        for mistake in MISTAKES:
            if mistake == "invalid":
                continue
            for kind in (mistake, *_FALLBACK):
                for form in self._wrong_forms(language, need, kind, draws):
                    other = write(form)
                    if other not in taken and self._allowed(need, form) and run(other, form) != need.answers:
                        found.append(Wrong(kind, other))
                        taken.add(other)
                        break
                else:
                    continue
                break
        cut = self._broken(language, need, query, run, draws)
        return found if cut is None else [*found, Wrong("invalid", cut)]

    def _wrong_forms(self, language: Language, need: Need, mistake: Mistake, draws: Draws) -> Iterator[Form]:
        if language == "text" and mistake == "direction":  # asked about the answer, in place of the thing
            (pattern,) = need.form.patterns
            about = term(self._world, need.facts[0])
            return iter([replace(need.form, patterns=(replace(pattern, subject=about),))])
        return wrong_forms(self._world, need.form, mistake, draws)

    def _allowed(self, need: Need, form: Form) -> bool:
        """Whether a wrong form may be shown: no training pair shows what is held out, and no tie can make it right."""
        if self._split == "train" and any(
            pattern.relation in self._hidden or any(map(self._hides, (pattern.subject, pattern.object)))
            for pattern in form.patterns
        ):
            return False
        return need.shape != "extreme" or not set(need.answers) & set(answers(self._world, form))

    def _hides(self, term: Term) -> bool:
        return not isinstance(term, Var) and held_out_thing(self._world, term)

    def _broken(
        self,
        language: Language,
        need: Need,
        query: str,
        run: Callable[[str, Form], tuple[str, ...]],
        draws: Draws,
    ) -> str | None:
        if language == "text":
            return " ".join(query.replace(shown(self._world, need.about), "").split())
        for text in broken(query, draws):
            try:
                run(text, need.form)
            except Broken:
                return text
        return None


def plain_query(world: World, form: Form) -> str:
    """A lookup as a question in its relation's first wording."""
    (pattern,) = form.patterns
    return sentence(lookups(pattern.relation)[0].text, s=shown(world, pattern.subject))


def _item(world: World, about: Term) -> str:
    return items(world)[about.number] if isinstance(about, Thing) else ""


def record(pair: Pair) -> dict[str, Any]:
    """A pair as a line of JSON."""
    return vars(pair) | {"wrong": [vars(wrong) for wrong in pair.wrong]}
