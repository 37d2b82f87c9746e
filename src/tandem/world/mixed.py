"""Questions whose steps need different sources: one fact stands in passages only, the next in triples, or in tables.

A partition says which source tells which fact. A question's chain crosses from one source to another at least once; no
other source joins the subject of a step with its object, nor its first subject with its last object, so no single
source answers it and no step can be taken elsewhere. The passages state nothing that rivals a step. `meta` is that of
any question (`questions`), and

    sources   per step: passages, triples or tables
    steps     per step: source, fact, question (in words), query (in the source's language), answer, text (a sentence),
              passages (ids of those that state it; of the passages written for this partition)
    by        how facts were divided: relation or fact

`evidence` is as always, but names passages only for the steps that passages tell. There is no `context`: it would tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tandem.errors import UserError
from tandem.types import Question
from tandem.world.forms import Form, Pattern, Thing, Var
from tandem.world.history import CONTRADICTED
from tandem.world.noise import Draws
from tandem.world.pairs import plain_query
from tandem.world.partition import SOURCES, Partition
from tandem.world.passages import Passage, passages, plan
from tandem.world.questions import ask, plain, question, rivals, walk
from tandem.world.schema import RELATION, RELATIONS
from tandem.world.sparql import sparql
from tandem.world.sql import sql
from tandem.world.table_schemas import TableSchema, table_schema
from tandem.world.world import World

HOPS = (2, 3)
_ATTEMPTS = 3000


@dataclass(frozen=True, eq=False)
class Mixed:
    """A world whose facts are divided among three sources, and questions that need several."""

    world: World
    """The world."""
    partition: Partition
    """Which source tells which fact."""

    @cached_property
    def schema(self) -> TableSchema:
        """The tables: normalised, plain names, without the relations that no table tells."""
        told = set(self.world.columns.relation[self.partition.told("tables")].tolist())
        return table_schema(self.world, 0, [r.name for number, r in enumerate(RELATIONS) if number in told])

    def passages(self) -> Iterator[Passage]:
        """Passages that state the facts of the passages' part only; ids are those of the world's passages."""
        return passages(self.world, told=self.partition.told("passages"))

    def questions(
        self, n: int = 600, seed: int = 0, *, hops: Sequence[int] = HOPS, held_out: bool = False
    ) -> list[Question]:
        """`n` distinct questions, shared evenly among the numbers of hops; fewer when there are no more.

        Raises UserError for hops other than 2 and 3.
        """
        if not hops or not set(hops) <= set(HOPS) or n < 0 or seed < 0:
            remedy = "choose 2 and 3 hops, and numbers ≥ 0"
            raise UserError(f"{n} questions of {list(hops)} hops are not mixed", where="hops", remedy=remedy)
        made: list[Question] = []
        for place, count in enumerate(hops):
            wanted = n // len(hops) + (place < n % len(hops))
            name = f"m{'h' if held_out else ''}{count}"
            draws = Draws(self.world.seed, f"mixed {seed} {self.partition.by} {name}")
            seen: set[tuple[int, ...]] = set()
            misses = 0
            while len(seen) < wanted and misses < _ATTEMPTS:
                chain = walk(self.world, count, draws)
                if chain is None or tuple(chain) in seen or not self._needs_several(chain):
                    misses += 1
                    continue
                misses = 0
                made.append(self._question(f"{name}-{len(seen):06d}", chain, draws, held_out))
                seen.add(tuple(chain))
        return made

    def _needs_several(self, chain: list[int]) -> bool:
        """Whether each step is told by its source and by no other, and the sources differ."""
        sources = [int(self.partition.source[f]) for f in chain]
        if len(set(sources)) == 1:
            return False
        for fact, source in zip(chain, sources, strict=True):
            spoken = SOURCES[source] == "passages"
            if spoken and (not self.world.mentions[fact] or rivals(self.world, fact)):
                return False
            if self._joined(fact, fact, source):
                return False
        return not self._joined(chain[0], chain[-1], None)

    def _joined(self, first: int, last: int, besides: int | None) -> bool:
        """Whether a source other than `besides` joins the subject of one fact with the object of another."""
        c, world = self.world.columns, self.world
        subject, object_ = int(c.subject[first]), int(c.object[last])
        r = RELATIONS[c.relation[last]]
        for fact in world.facts_of(subject):
            other = RELATIONS[c.relation[fact]]
            same = other.range == r.range or (other.to_entity and r.to_entity)
            dated = r.range == ("year",) and object_ in (c.since[fact], c.until[fact])
            if ((same and c.object[fact] == object_) or dated) and self._tells(fact, besides):
                return True
        if not r.to_entity:
            return False
        back = (f for f in world.facts_of(object_) if RELATIONS[c.relation[f]].to_entity)
        return any(c.object[f] == subject and self._tells(f, besides) for f in back)

    def _tells(self, fact: int, besides: int | None) -> bool:
        """Whether a source other than `besides` states a fact."""
        source = int(self.partition.source[fact])
        if source == besides:
            return False
        if SOURCES[source] == "passages":
            return bool(self.world.mentions[fact])
        return bool(self.world.columns.status[fact] != CONTRADICTED)

    def _question(self, id_: str, chain: list[int], draws: Draws, held_out: bool) -> Question:
        sources = [SOURCES[self.partition.source[f]] for f in chain]
        steps = [self._step(fact, source) for fact, source in zip(chain, sources, strict=True)]
        made = question(self.world, id_, ask(self.world, chain, draws, held_out), chain, draws, held_out)
        evidence = [{"fact": s["fact"], "text": s["text"], "passages": s["passages"][:3]} for s in steps]
        meta = {**made.meta, "evidence": evidence, "sources": sources, "steps": steps, "by": self.partition.by}
        del meta["distractors"]
        return replace(made, context=(), meta=meta)

    def _step(self, fact: int, source: str) -> dict[str, Any]:
        c, unknown = self.world.columns, Var("x")
        relation = RELATIONS[c.relation[fact]].name
        form = Form(unknown, (Pattern(Thing(int(c.subject[fact])), relation, unknown),))
        asked = plain_query(self.world, form)
        written = {"triples": lambda: sparql(self.world, form), "tables": lambda: sql(self.world, form, self.schema)}
        assert RELATION[relation].functional, relation
        return {
            "source": source,
            "fact": f"f{fact:07d}",
            "question": asked,
            "query": written[source]() if source in written else asked,
            "answer": self.world.object_text(fact),
            "text": plain(self.world, fact),
            "passages": plan(self.world).of_fact(fact) if source == "passages" else [],
        }
